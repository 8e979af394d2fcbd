"""Whether the pictures of a PNG inflate to as many bytes as they need, and no more. Readers stop when a picture is
complete, so decoding does not notice a file whose data go on. Pure. PNG (W3C, third edition) §7.2, §8.1, §10 and §12.
"""

import zlib
from collections.abc import Iterator

from cluster.images.outline import NotAnImage, png_chunks

MOST_MORE = 64 * 1024
"""Bytes beyond what a picture needs: some encoders end with a few."""
_SLICE = 16 * 1024
_PIECE = 256 * 1024
_CHANNELS = {0: 1, 2: 3, 3: 1, 4: 2, 6: 4}
"""Samples of a pixel, by the type of its colour."""
_PASSES = ((0, 0, 8, 8), (4, 0, 8, 8), (0, 4, 4, 8), (2, 0, 4, 4), (0, 2, 2, 4), (1, 0, 2, 2), (0, 1, 1, 2))
"""Of an interlaced picture: the first column and row, and the steps between columns and between rows (Adam7)."""
_WHOLE = ((0, 0, 1, 1),)


def require_fitting(data: bytes) -> None:
    """``data`` begins with IHDR. Raises NotAnImage for a picture, or a frame, whose data inflate to more than it needs.
    Damaged data are left to the decoder."""
    width, height, depth, colour, interlaced = (
        int.from_bytes(data[start:end], "big") for start, end in ((16, 20), (20, 24), (24, 25), (25, 26), (28, 29))
    )
    bits = depth * _CHANNELS.get(colour, 0)
    passes = _PASSES if interlaced else _WHOLE
    left = _bytes_of(width, height, bits, passes)
    inflater = zlib.decompressobj()
    for start, end in png_chunks(data):
        kind = data[start + 4 : start + 8]
        if kind == b"fcTL":
            wide, high = (int.from_bytes(data[at : at + 4], "big") for at in (start + 12, start + 16))
            left, inflater = _bytes_of(wide, high, bits, passes), zlib.decompressobj()
        elif kind in (b"IDAT", b"fdAT"):
            sequence = 4 if kind == b"fdAT" else 0
            for size in _inflated(inflater, data[start + 8 + sequence : end - 4]):
                left -= size
                if left < -MOST_MORE:
                    raise NotAnImage("The PNG has more data than its size needs")


def _bytes_of(width: int, height: int, bits: int, passes: tuple[tuple[int, int, int, int], ...]) -> int:
    """What a picture inflates to: each row of each pass has a byte for its filter."""
    needed = 0
    for column, row, across, down in passes:
        wide, high = -(-(width - column) // across), -(-(height - row) // down)
        if wide > 0 and high > 0:
            needed += high * (1 + (wide * bits + 7) // 8)
    return needed


def _inflated(inflater: "zlib._Decompress", data: bytes) -> Iterator[int]:
    """The sizes of the pieces that the data inflate to."""
    try:
        for at in range(0, len(data), _SLICE):
            rest = data[at : at + _SLICE]
            while rest and not inflater.eof:
                yield len(inflater.decompress(rest, _PIECE))
                rest = inflater.unconsumed_tail
    except zlib.error:
        return
