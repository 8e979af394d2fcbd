"""Image files for tests: real ones, and hostile ones made by hand."""

import struct
import zlib
from io import BytesIO
from typing import Any

from PIL import Image


def encoded(image: Image.Image, format: str, **options: Any) -> bytes:
    buffer = BytesIO()
    image.save(buffer, format, **options)
    return buffer.getvalue()


def picture(width: int = 60, height: int = 40, mode: str = "RGB") -> Image.Image:
    """A picture whose corners differ."""
    image = Image.new("RGB", (width, height), (200, 30, 30))
    image.paste((30, 30, 200), (0, 0, width // 2, height // 2))
    return image.convert(mode)


def png(width: int = 60, height: int = 40) -> bytes:
    return encoded(picture(width, height), "PNG")


def animated(format: str, frames: int = 5, size: tuple[int, int] = (300, 220)) -> bytes:
    pictures = [Image.new("RGB", size, (40 * n, 0, 0)) for n in range(frames)]
    return encoded(pictures[0], format, save_all=True, append_images=pictures[1:], duration=80, loop=0)


def photo(orientation: int = 6, format: str = "JPEG", size: tuple[int, int] = (400, 300)) -> bytes:
    """A photo that was taken in Berlin."""
    exif = Image.Exif()
    exif[0x0112] = orientation
    exif[0x010F] = "Camera maker"
    exif.get_ifd(0x8825)[1] = "N"
    exif.get_ifd(0x8825)[2] = (52.0, 31.0, 12.0)
    return encoded(picture(*size), format, exif=exif)


def chunk(kind: bytes, data: bytes = b"") -> bytes:
    return struct.pack(">I", len(data)) + kind + data + struct.pack(">I", zlib.crc32(kind + data))


def png_of(width: int, height: int, *chunks: bytes) -> bytes:
    """A PNG with a header of this size, whatever its data are."""
    header = chunk(b"IHDR", struct.pack(">IIBBBBB", width, height, 8, 2, 0, 0, 0))
    data = chunk(b"IDAT", zlib.compress(bytes(1000)))
    return b"".join((b"\x89PNG\r\n\x1a\n", header, *chunks, data, chunk(b"IEND")))


def gif_of(*frames: tuple[int, int], canvas: tuple[int, int] = (10, 10), blocks: bytes = b"") -> bytes:
    """A GIF of frames of these sizes, each with the data of one pixel."""
    header = b"GIF89a" + struct.pack("<HHBBB", *canvas, 0x80, 0, 0) + bytes(6)
    pictures = [b"\x2c" + struct.pack("<HHHHB", 0, 0, *size, 0) + b"\x02\x02\x44\x01\0" for size in frames]
    return b"".join((header, blocks, *pictures, b";"))


def webp_of(width: int, height: int) -> bytes:
    """The head of a WebP of this size (VP8X), without a picture."""
    body = b"WEBPVP8X" + struct.pack("<I", 10) + bytes(4)
    body += struct.pack("<I", width - 1)[:3] + struct.pack("<I", height - 1)[:3]
    return b"RIFF" + struct.pack("<I", len(body)) + body


HOSTILE: dict[str, bytes] = {
    "a PNG of 100 megapixels in 1 KB": png_of(10_000, 10_000),
    "a PNG without data for its size": png_of(3000, 3000),
    "a PNG without a width": png_of(0, 10),
    "a PNG of compressed texts": png_of(10, 10, *[chunk(b"zTXt", b"a\0\0" + zlib.compress(bytes(900_000)))] * 60),
    "a PNG with a bomb as its colour profile": png_of(
        10, 10, chunk(b"iCCP", b"a\0\0" + zlib.compress(bytes(50_000_000)))
    ),
    "a PNG whose picture inflates far beyond its size": png_of(
        10, 10, chunk(b"IDAT", zlib.compress(bytes(50_000_000)))
    ),
    "a PNG whose second frame inflates far beyond its size": png_of(
        10,
        10,
        chunk(b"acTL", struct.pack(">II", 2, 0)),
        chunk(b"fcTL", struct.pack(">IIIIIHHBB", 0, 10, 10, 0, 0, 1, 1, 0, 0)),
        chunk(b"IDAT", zlib.compress(bytes(310))),
        chunk(b"fcTL", struct.pack(">IIIIIHHBB", 1, 10, 10, 0, 0, 1, 1, 0, 0)),
        chunk(b"fdAT", struct.pack(">I", 2) + zlib.compress(bytes(50_000_000))),
    ),
    "a PNG of tiny chunks": png_of(10, 10, chunk(b"tEXt", b"a\0b") * 600_000),
    "a PNG that is cut off": png(600, 400)[:-40],
    "a GIF with 10,000 frames": gif_of(*[(1, 1)] * 10_000),
    "a GIF with a huge frame": gif_of((65_535, 65_535)),
    "a GIF with a huge canvas": gif_of((1, 1), canvas=(65_535, 65_535)),
    "a GIF of many pixels in all": gif_of(*[(1, 1)] * 900, canvas=(1000, 1000)),
    "a GIF of tiny blocks": gif_of((1, 1), blocks=b"\x21\xfe" + b"\x01a" * 4_000_000 + b"\0"),
    "a GIF without a picture": gif_of(),
    "a GIF that is cut off": encoded(picture(), "GIF")[:-20],
    "a WebP of 16 by 16 thousand pixels": webp_of(16_000, 16_000),
    "a WebP without a picture": webp_of(10, 10),
    "a JPEG of 200 scans": (
        (jpeg := encoded(picture(200, 200), "JPEG", progressive=True))[:-2]
        + jpeg[jpeg.rindex(b"\xff\xda") : -2] * 200
        + jpeg[-2:]
    ),
    "a JPEG of tiny segments": jpeg[:2] + b"\xff\xe5\0\x02" * 2_000_000 + jpeg[2:],
    "a JPEG that is cut off": jpeg[: len(jpeg) // 2],
    "an SVG": b'<svg xmlns="http://www.w3.org/2000/svg"><script>alert(1)</script></svg>',
    "an HTML page": b"<!doctype html><script>alert(1)</script>",
    "a BMP": encoded(picture(), "BMP"),
    "a TIFF": encoded(picture(), "TIFF"),
    "a signature and no more": b"\x89PNG\r\n\x1a\n",
    "another signature and no more": b"\xff\xd8\xff",
    "one byte": b"G",
}
"""Files that are no images, or beyond a bound. None is larger than 10 MB."""
