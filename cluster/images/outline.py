"""The outline of an image file: its format, size and frames, read from its structure before anything is decoded.

Each walk ends at a bound, so that a file of many tiny pieces costs no more than a large image. What the walk skips is
proved by decoding (``decoding``). PNG (W3C, third edition), JPEG (ITU-T T.81 annex B), GIF89a, WebP (RFC 9649).
"""

import re
from collections.abc import Callable
from typing import Literal

from msgspec import Struct

Format = Literal["PNG", "JPEG", "GIF", "WEBP"]

CONTENT_TYPES: dict[Format, str] = {
    "PNG": "image/png",
    "JPEG": "image/jpeg",
    "GIF": "image/gif",
    "WEBP": "image/webp",
}

MOST_PIXELS: dict[Format, int] = {"PNG": 25_000_000, "JPEG": 25_000_000, "GIF": 8_000_000, "WEBP": 8_000_000}
"""Of one frame; what decoding takes of the memory for each is in ``decoding``."""
MOST_FRAMES = 1000
MOST_PIXELS_IN_ALL = 200_000_000
"""Of all frames of an animation together: some seconds of decoding."""
MOST_SCANS = 100
"""Scans of a progressive JPEG; encoders make about ten. Each is a pass over the whole image."""
MOST_PIECES = 100_000
"""Segments, chunks and blocks of a file. A GIF of 10 MB has 41,000 blocks of 255 bytes."""

PNG_SIGNATURE = b"\x89PNG\r\n\x1a\n"
JPEG_MARKER = re.compile(rb"\xff([^\x00\xff])")
"""The start of a segment; readers pass over what stands between two of them."""
STANDALONE = frozenset({0x01, *range(0xD0, 0xD9)})
"""JPEG markers without a length: TEM, RSTn, SOI."""
_START_OF_FRAME = frozenset(range(0xC0, 0xD0)) - {0xC4, 0xC8, 0xCC}
_START_OF_SCAN, _END_OF_IMAGE = 0xDA, 0xD9


class NotAnImage(Exception):
    """The file is no image that is accepted. ``reason`` is a sentence for the client."""

    def __init__(self, reason: str) -> None:
        super().__init__(reason)
        self.reason = reason


Places = list[tuple[int, int]]
"""Where parts of a file start and end."""


class Outline(Struct, frozen=True, kw_only=True):
    """What the structure of a file says. ``width`` and ``height`` are as stored, before EXIF's orientation."""

    format: Format
    width: int
    height: int
    frames: int = 1

    @property
    def pixels(self) -> int:
        return self.width * self.height


def outline(data: bytes) -> Outline:
    """The outline of a file. Raises NotAnImage: not of one of the four formats, or beyond a bound."""
    for signature, walk in _WALKS:
        if data.startswith(signature):
            try:
                found = walk(data)
            except IndexError:
                raise NotAnImage("The image is cut off") from None
            _check(found)
            return found
    raise NotAnImage("The file is not a JPEG, PNG, GIF or WebP image")


def _check(found: Outline) -> None:
    if not found.pixels:
        raise NotAnImage("The image has no pixels")
    if found.pixels > (most := MOST_PIXELS[found.format]):
        size = f"{found.width:,} by {found.height:,}"
        raise NotAnImage(f"The image has too many pixels: {size}; at most {most:,} in this format")
    if found.frames > MOST_FRAMES:
        raise NotAnImage(f"The image has more than {MOST_FRAMES:,} frames")
    if found.pixels * found.frames > MOST_PIXELS_IN_ALL:
        raise NotAnImage(f"The frames of the image have more than {MOST_PIXELS_IN_ALL:,} pixels in all")


class Pieces:
    """Counts the pieces of a file. ``step`` raises NotAnImage beyond ``MOST_PIECES``."""

    def __init__(self) -> None:
        self._left = MOST_PIECES

    def step(self) -> None:
        self._left -= 1
        if self._left < 0:
            raise NotAnImage("The image consists of too many pieces")


def _png(data: bytes) -> Outline:
    """The size is in IHDR, which comes first. An animation (APNG) has a chunk fcTL for each frame."""
    if data[12:16] != b"IHDR":
        raise NotAnImage("The PNG does not begin with its header")
    frames = sum(data[start + 4 : start + 8] == b"fcTL" for start, _ in png_chunks(data))
    width, height = (int.from_bytes(data[start : start + 4], "big") for start in (16, 20))
    return Outline(format="PNG", width=width, height=height, frames=max(1, frames))


def png_chunks(data: bytes) -> Places:
    """The chunks as (start, end), to IEND. Raises NotAnImage."""
    found: Places = []
    at, pieces = len(PNG_SIGNATURE), Pieces()
    while at < len(data):
        pieces.step()
        end = at + 12 + int.from_bytes(data[at : at + 4], "big")
        found.append((at, end))
        if data[at + 4 : at + 8] == b"IEND":
            break
        at = end
    return found


def _jpeg(data: bytes) -> Outline:
    """The size is in the frame's header. More frames in one file (MPO) are other pictures, which are not shown."""
    size: tuple[int, int] | None = None
    pieces = Pieces()
    at = 0
    while marker := JPEG_MARKER.search(data, at):
        pieces.step()
        at = marker.end()
        kind = marker[1][0]
        if kind in STANDALONE:
            continue
        if kind in (_START_OF_SCAN, _END_OF_IMAGE):
            break
        if kind in _START_OF_FRAME and size is None:
            size = int.from_bytes(data[at + 5 : at + 7], "big"), int.from_bytes(data[at + 3 : at + 5], "big")
        at += max(2, int.from_bytes(data[at : at + 2], "big"))
    if size is None:
        raise NotAnImage("The JPEG has no picture")
    # Within a scan, a byte 0xFF is followed by 0, so this counts too many at most.
    if data.count(bytes((0xFF, _START_OF_SCAN))) > MOST_SCANS:
        raise NotAnImage(f"The JPEG has more than {MOST_SCANS} scans")
    return Outline(format="JPEG", width=size[0], height=size[1])


def _gif(data: bytes) -> Outline:
    """The canvas is as large as its header says, or as its frames need."""
    width, height = (int.from_bytes(data[start : start + 2], "little") for start in (6, 8))
    frames = 0
    for start, _ in gif_blocks(data):
        if data[start] != 0x2C:
            continue
        frames += 1
        if frames > MOST_FRAMES:
            break
        left, top, wide, high = (int.from_bytes(data[start + n : start + n + 2], "little") for n in (1, 3, 5, 7))
        width, height = max(width, left + wide), max(height, top + high)
    if not frames:
        raise NotAnImage("The GIF has no picture")
    return Outline(format="GIF", width=width, height=height, frames=frames)


def gif_blocks(data: bytes) -> Places:
    """The blocks after the header as (start, end): extensions (0x21) and pictures (0x2C), without the trailer. Ends
    after ``MOST_FRAMES`` and one more. Raises NotAnImage, and IndexError for a file that is cut off."""
    found: Places = []
    frames, pieces = 0, Pieces()
    at = 13 + _colours(data[10])
    while frames <= MOST_FRAMES and at < len(data) and (kind := data[at]) != 0x3B:
        start = at
        if kind == 0x2C:
            frames += 1
            at += 11 + _colours(data[at + 9])
        elif kind == 0x21:
            at += 2
        else:
            raise NotAnImage("The GIF has a block of an unknown kind")
        while size := data[at]:
            pieces.step()
            at += 1 + size
        at += 1
        pieces.step()
        found.append((start, at))
    return found


def _colours(flags: int) -> int:
    """The bytes of a table of colours."""
    return 3 << (flags & 7) + 1 if flags & 0x80 else 0


def _webp(data: bytes) -> Outline:
    """The size is in the first chunk. An animation has a chunk ANMF for each frame."""
    kind = data[12:16]
    if data[8:12] != b"WEBP" or len(data) < 30:
        raise NotAnImage("The file is not a JPEG, PNG, GIF or WebP image")
    if kind == b"VP8X":
        width, height = (int.from_bytes(data[start : start + 3], "little") + 1 for start in (24, 27))
    elif kind == b"VP8L":
        bits = int.from_bytes(data[21:25], "little")
        width, height = (bits & 0x3FFF) + 1, (bits >> 14 & 0x3FFF) + 1
    elif kind == b"VP8 ":
        width, height = (int.from_bytes(data[start : start + 2], "little") & 0x3FFF for start in (26, 28))
    else:
        raise NotAnImage("The WebP has no picture")
    frames = sum(data[start : start + 4] == b"ANMF" for start, _ in webp_chunks(data))
    return Outline(format="WEBP", width=width, height=height, frames=max(1, frames))


def webp_chunks(data: bytes) -> Places:
    """The chunks as (start, end), padding included. Raises NotAnImage."""
    found: Places = []
    at, pieces = 12, Pieces()
    while at + 8 <= len(data):
        pieces.step()
        size = int.from_bytes(data[at + 4 : at + 8], "little")
        end = at + 8 + size + (size & 1)
        found.append((at, end))
        at = end
    return found


_WALKS: tuple[tuple[bytes, Callable[[bytes], Outline]], ...] = (
    (PNG_SIGNATURE, _png),
    (b"\xff\xd8\xff", _jpeg),
    (b"GIF87a", _gif),
    (b"GIF89a", _gif),
    (b"RIFF", _webp),
)
