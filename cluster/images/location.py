"""Takes the data about a photo out of an image file: where it was taken, and with it all else in EXIF, XMP, IPTC and
comments. How it is turned (EXIF's orientation) and its colour profile stay. The picture is not encoded anew.

The parts are those of ``outline``. EXIF 2.32; ITU-T T.81 annex B; PNG §11; GIF89a §24 and §26; RFC 9649 §2.7.
"""

import re
import zlib

from cluster.images.outline import (
    JPEG_MARKER,
    PNG_SIGNATURE,
    STANDALONE,
    Format,
    NotAnImage,
    gif_blocks,
    png_chunks,
    webp_chunks,
)

NOT_TAKEN_OUT = "The data about the photo cannot be taken out: the file is damaged"
_IN_SCAN = re.compile(rb"\xff+[^\x00\xff\xd0-\xd7]")
"""A marker within the data of a scan that ends it."""
_PNG_TEXTS = frozenset({b"eXIf", b"tEXt", b"zTXt", b"iTXt", b"tIME"})
_KEPT_SEGMENTS = frozenset({0xE0, 0xE2, 0xEE})
"""JPEG's APP0 (JFIF), APP2 (colour profile) and APP14 (Adobe: how colours are stored)."""
_PROFILE = b"ICC_PROFILE\0"


def without_location(data: bytes, format: Format, orientation: int) -> bytes:
    """The file without these data. ``data`` was decoded; ``orientation`` is EXIF's, 1 to 8. Raises NotAnImage for a
    structure that is damaged."""
    exif = _exif(orientation) if orientation != 1 else b""
    try:
        match format:
            case "JPEG":
                return _jpeg(data, exif)
            case "PNG":
                return _png(data, exif)
            case "GIF":
                return _gif(data)
            case "WEBP":
                return _webp(data, exif)
    except IndexError:
        raise NotAnImage(NOT_TAKEN_OUT) from None


def _exif(orientation: int) -> bytes:
    """EXIF with an orientation and nothing else: a TIFF header, and a directory of one entry."""
    return b"MM\0*\0\0\0\x08\0\1\x01\x12\0\3\0\0\0\1" + orientation.to_bytes(2, "big") + b"\0\0\0\0\0\0"


def _jpeg(data: bytes, exif: bytes) -> bytes:
    """What follows the picture goes too: in some files other pictures, with data of their own."""
    kept = [b"\xff\xd8"]
    if exif:
        kept.append(b"\xff\xe1" + (len(exif) + 8).to_bytes(2, "big") + b"Exif\0\0" + exif)
    at = 2
    while (marker := JPEG_MARKER.search(data, at)) and marker[1] != b"\xd9":
        kind, at = marker[1][0], marker.end()
        if kind in STANDALONE:
            continue
        end = at + max(2, int.from_bytes(data[at : at + 2], "big"))
        if _is_kept(kind, data[at + 2 : end]):
            kept.append(data[marker.start() : end])
        if kind == 0xDA:
            found = _IN_SCAN.search(data, end)
            at, end = end, found.start() if found else len(data)
            kept.append(data[at:end])
        at = end
    kept.append(b"\xff\xd9")
    return b"".join(kept)


def _is_kept(kind: int, payload: bytes) -> bool:
    if kind == 0xE2:
        return payload.startswith(_PROFILE)
    return kind in _KEPT_SEGMENTS or not (0xE0 <= kind <= 0xEF or kind == 0xFE)


def _png(data: bytes, exif: bytes) -> bytes:
    kept = [PNG_SIGNATURE]
    for start, end in png_chunks(data):
        kind = data[start + 4 : start + 8]
        if kind not in _PNG_TEXTS:
            kept.append(data[start:end])
        if kind == b"IHDR" and exif:
            body = b"eXIf" + exif
            kept.append(len(exif).to_bytes(4, "big") + body + zlib.crc32(body).to_bytes(4, "big"))
    return b"".join(kept)


def _gif(data: bytes) -> bytes:
    """Comments and texts go, and of the extensions of applications all but those that repeat an animation."""
    blocks = gif_blocks(data)
    kept = [data[: blocks[0][0]]]
    for start, end in blocks:
        if data[start] == 0x2C or data[start + 1] == 0xF9 or _repeats(data[start:end]):
            kept.append(data[start:end])
    return b"".join((*kept, b";"))


def _repeats(block: bytes) -> bool:
    return block[1] == 0xFF and block[3:14] in (b"NETSCAPE2.0", b"ANIMEXTS1.0", b"ICCRGBG1012")


def _webp(data: bytes, exif: bytes) -> bytes:
    """The flags in VP8X say which chunks there are: 8 is EXIF, 4 is XMP."""
    kept = []
    for start, end in webp_chunks(data):
        kind, chunk = data[start : start + 4], data[start:end]
        if kind == b"VP8X":
            chunk = chunk[:8] + bytes((chunk[8] & ~0x0C | (8 if exif else 0),)) + chunk[9:]
        if kind not in (b"EXIF", b"XMP "):
            kept.append(chunk)
    if exif:
        kept.append(b"EXIF" + len(exif).to_bytes(4, "little") + exif + b"\0" * (len(exif) & 1))
    body = b"WEBP" + b"".join(kept)
    return b"RIFF" + len(body).to_bytes(4, "little") + body
