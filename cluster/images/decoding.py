"""Decodes an image, which proves its format, and makes its thumbnail. It takes the processor for up to some seconds, so
it runs in a thread; Pillow lets go of the interpreter's lock while it decodes. Pure."""

from io import BytesIO
from typing import Final

from msgspec import Struct
from PIL import GifImagePlugin, Image, JpegImagePlugin, PngImagePlugin, WebPImagePlugin

from cluster.images.inflating import require_fitting
from cluster.images.outline import CONTENT_TYPES, Format, NotAnImage, Outline

THUMBNAIL_SIZE = 200
"""A thumbnail fits a square of so many pixels."""
BYTES_A_PIXEL: dict[Format, int] = {"PNG": 5, "JPEG": 8, "GIF": 16, "WEBP": 16}
"""The memory that decoding takes, at most: of a JPEG where it is progressive, of the last two because frames are laid
over each other."""
_STRIP = 16
"""Rows of a smaller image that are made at a time."""
_QUALITY = 85
ORIENTATION = 0x0112
"""The tag of EXIF."""
_TURNS: Final = {
    2: Image.Transpose.FLIP_LEFT_RIGHT,
    3: Image.Transpose.ROTATE_180,
    4: Image.Transpose.FLIP_TOP_BOTTOM,
    5: Image.Transpose.TRANSPOSE,
    6: Image.Transpose.ROTATE_270,
    7: Image.Transpose.TRANSVERSE,
    8: Image.Transpose.ROTATE_90,
}
"""By EXIF's orientation, how the stored image is turned to be shown."""
_LYING = frozenset({5, 6, 7, 8})
"""Orientations that exchange width and height."""

# The readers of the four formats; importing them here keeps the first upload from doing it.
_READERS = (GifImagePlugin, JpegImagePlugin, PngImagePlugin, WebPImagePlugin)
# ``outline`` bounds the pixels, per format and before a file is opened here. Pillow would only warn.
Image.MAX_IMAGE_PIXELS = None
# Compressed texts of a PNG: what they say is not read.
PngImagePlugin.MAX_TEXT_MEMORY = 4 * 1024 * 1024


class Thumbnail(Struct, frozen=True):
    content: bytes
    content_type: str


class Decoded(Struct, frozen=True, kw_only=True):
    """An image that was decoded to its end."""

    width: int
    height: int
    """As it is shown."""
    orientation: int
    """EXIF's, 1 to 8."""
    tags: frozenset[int]
    """Those of EXIF."""
    thumbnail: Thumbnail | None
    """None: the image itself is small enough."""


def decode(data: bytes, found: Outline) -> Decoded:
    """Decode all frames. ``found``: the outline of the file. Raises NotAnImage."""
    if found.format == "PNG":
        require_fitting(data)
    try:
        with Image.open(BytesIO(data), formats=(found.format,)) as image:
            if image.size != (found.width, found.height) and found.format != "GIF":
                raise NotAnImage("The image is not as large as its header says")
            return _decoded(image, found)
    except NotAnImage:
        raise
    except Exception as error:  # its readers raise almost anything for a file that is not as they expect
        raise NotAnImage(f"The {found.format} image cannot be decoded: it is damaged or cut off") from error


def _decoded(image: Image.Image, found: Outline) -> Decoded:
    exif = image.getexif()
    orientation, tags = exif.get(ORIENTATION, 1), frozenset(exif)
    if orientation not in _TURNS:  # EXIF may say anything
        orientation = 1
    frames: int = getattr(image, "n_frames", 1) if found.format != "JPEG" else 1
    is_small = max(found.width, found.height) <= THUMBNAIL_SIZE and orientation == 1
    thumbnail = None if is_small else _thumbnail(image, found.format, orientation)
    image.load()
    for frame in range(1, frames):
        image.seek(frame)
        image.load()
    width, height = found.width, found.height
    if orientation in _LYING:
        width, height = height, width
    return Decoded(width=width, height=height, orientation=orientation, tags=tags, thumbnail=thumbnail)


def _thumbnail(image: Image.Image, format: Format, orientation: int) -> Thumbnail:
    """Of the first frame. A JPEG is decoded in a smaller scale, and is that small afterwards."""
    if format != "JPEG":
        image = _shrunk(image)
    image.thumbnail((THUMBNAIL_SIZE, THUMBNAIL_SIZE))
    if orientation in _TURNS:
        image = image.transpose(_TURNS[orientation])
    profile = image.info.get("icc_profile") if image.mode != "CMYK" else None
    image = _plain(image)
    buffer = BytesIO()
    if format in ("JPEG", "WEBP") and image.mode in ("L", "RGB"):
        image.save(buffer, "JPEG", quality=_QUALITY, optimize=True, icc_profile=profile)
        return Thumbnail(buffer.getvalue(), CONTENT_TYPES["JPEG"])
    image.save(buffer, "PNG", optimize=True, icc_profile=profile)
    return Thumbnail(buffer.getvalue(), CONTENT_TYPES["PNG"])


def _shrunk(image: Image.Image) -> Image.Image:
    """A copy that is smaller by a whole number, but no smaller than twice a thumbnail. It is made in strips, because
    Pillow would convert a copy of the whole image."""
    factor = max(1, max(image.size) // (2 * THUMBNAIL_SIZE))
    width, height = image.size
    rows = factor * _STRIP
    strips = (image.crop((0, top, width, min(height, top + rows))) for top in range(0, height, rows))
    shrunk: Image.Image | None = None
    for number, strip in enumerate(strips):
        part = _plain(strip).reduce(factor)
        if shrunk is None:
            shrunk = Image.new(part.mode, (part.width, -(-height // factor)))
            shrunk.info = part.info
        shrunk.paste(part, (0, number * _STRIP))
    assert shrunk is not None
    return shrunk


def _plain(image: Image.Image) -> Image.Image:
    """In a mode that can be made smaller well and be saved as PNG: grey, colours, or colours with transparency."""
    if image.has_transparency_data:
        return image if image.mode == "RGBA" else image.convert("RGBA")
    if image.mode in ("L", "RGB"):
        return image
    if image.mode.startswith("I"):  # 16 bits of grey
        return image.convert("I").point(lambda value: value * (1 / 256)).convert("L")
    return image.convert("L" if image.mode == "1" else "RGB")
