"""What files are images, as which they are shown, and what is taken out of them."""

from io import BytesIO

import pytest
from PIL import Image, ImageChops

from cluster.images.decoding import decode
from cluster.images.location import without_location
from cluster.images.names import LONGEST_FILENAME, filename_for
from cluster.images.outline import Format, NotAnImage, Outline, outline
from tests.images import HOSTILE, animated, chunk, encoded, gif_of, photo, picture

FORMATS: tuple[Format, ...] = ("PNG", "JPEG", "GIF", "WEBP")


@pytest.mark.parametrize("name", HOSTILE)
def test_hostile_files_are_no_images(name: str) -> None:
    with pytest.raises(NotAnImage, match=r"^The "):
        decode(HOSTILE[name], outline(HOSTILE[name]))


@pytest.mark.parametrize("format", FORMATS)
def test_a_file_that_is_cut_anywhere_is_no_image_or_is_whole(format: Format) -> None:
    whole = encoded(picture(), format)
    for end in range(0, len(whole), max(1, len(whole) // 40)):
        try:
            found = decode(whole[:end], outline(whole[:end]))
        except NotAnImage:
            continue
        assert (found.width, found.height) == (60, 40)


@pytest.mark.parametrize("format", FORMATS)
@pytest.mark.filterwarnings("ignore::UserWarning")  # Pillow warns of damage that it reads past
def test_damage_never_ends_in_anything_else(format: Format) -> None:
    whole = encoded(picture(), format)
    for at in range(0, len(whole), max(1, len(whole) // 60)):
        for octet in (0x00, 0xFF):
            damaged = whole[:at] + bytes((octet,)) + whole[at + 1 :]
            try:
                decode(damaged, outline(damaged))
            except NotAnImage as error:
                assert error.reason


@pytest.mark.parametrize("format", ["GIF", "WEBP", "PNG"])
def test_the_frames_of_an_animation(format: Format) -> None:
    found = outline(animated(format))
    assert found == Outline(format=format, width=300, height=220, frames=5)


@pytest.mark.parametrize("mode", ["1", "L", "LA", "P", "RGB", "RGBA", "I;16"])
def test_thumbnails_of_every_mode(mode: str) -> None:
    grey = Image.new("I;16", (900, 600), 40_000)
    content = encoded(grey if mode == "I;16" else picture(900, 600, mode), "PNG")
    thumbnail = decode(content, outline(content)).thumbnail
    assert thumbnail is not None and thumbnail.content_type == "image/png"
    shown = Image.open(BytesIO(thumbnail.content))
    assert shown.size == (200, 133)
    assert shown.has_transparency_data == (mode in ("LA", "RGBA"))
    if mode == "I;16":
        assert shown.convert("L").getpixel((5, 5)) == 40_000 // 256


def test_a_transparent_colour_stays_transparent() -> None:
    colours = picture(500, 500).quantize(4)
    content = encoded(colours, "PNG", transparency=colours.getpixel((9, 9)))
    thumbnail = decode(content, outline(content)).thumbnail
    assert thumbnail is not None
    assert Image.open(BytesIO(thumbnail.content)).convert("RGBA").getpixel((9, 9))[3] == 0  # type: ignore[index]


def test_what_fits_is_its_own_thumbnail() -> None:
    for size, fits in (((200, 200), True), ((201, 10), False)):
        content = encoded(picture(*size), "PNG")
        assert (decode(content, outline(content)).thumbnail is None) is fits


@pytest.mark.parametrize("orientation", range(1, 9))
def test_a_thumbnail_is_turned_as_exif_says(orientation: int) -> None:
    content = photo(orientation)
    found = decode(content, outline(content))
    assert (found.width, found.height) == ((300, 400) if orientation > 4 else (400, 300))
    assert found.thumbnail is not None
    shown = Image.open(BytesIO(found.thumbnail.content)).convert("RGB")
    blue = {1: "tl", 2: "tr", 3: "br", 4: "bl", 5: "tl", 6: "tr", 7: "br", 8: "bl"}[orientation]
    x = 20 if blue[1] == "l" else shown.width - 20
    y = 20 if blue[0] == "t" else shown.height - 20
    red, _, more = shown.getpixel((x, y))  # type: ignore[misc]
    assert more > red
    opposite = shown.getpixel((shown.width - x, shown.height - y))
    assert opposite[0] > opposite[2]  # type: ignore[index]


@pytest.mark.parametrize("format", ["JPEG", "PNG", "WEBP"])
@pytest.mark.parametrize("orientation", [1, 6])
def test_a_photo_without_its_data_looks_the_same(format: Format, orientation: int) -> None:
    content = photo(orientation, format)
    assert b"Camera maker" in content
    bare = without_location(content, format, orientation)
    assert b"Camera maker" not in bare and len(bare) < len(content)
    found = decode(bare, outline(bare))
    assert found.orientation == orientation
    before, after = (Image.open(BytesIO(data)) for data in (content, bare))
    assert dict(after.getexif()) == ({0x0112: 6} if orientation == 6 else {})
    assert ImageChops.difference(before.convert("RGB"), after.convert("RGB")).getbbox() is None


def test_texts_go_and_the_animation_stays() -> None:
    png = encoded(picture(), "PNG")
    with_text = png[:33] + chunk(b"tEXt", b"Comment\0Berlin") + png[33:]
    assert without_location(with_text, "PNG", 1) == png
    gif = animated("GIF")
    commented = gif[:13] + gif[13:].replace(b"\x21\xf9", b"\x21\xfe\x06Berlin\0\x21\xf9", 1)
    bare = without_location(commented, "GIF", 1)
    assert b"Berlin" in commented and b"Berlin" not in bare and b"NETSCAPE2.0" in bare
    assert outline(bare).frames == 5
    webp = animated("WEBP")
    assert without_location(webp, "WEBP", 1) == webp
    progressive = encoded(picture(), "JPEG", progressive=True, comment=b"Berlin")
    assert without_location(progressive + b"another picture", "JPEG", 1) == encoded(picture(), "JPEG", progressive=True)


def test_names() -> None:
    assert filename_for("", "image/png") == "image.png"
    assert filename_for(".png", "image/png") == "image.png"
    assert filename_for("a" * 300 + ".jpeg", "image/jpeg") == "a" * (LONGEST_FILENAME - 5) + ".jpeg"
    assert filename_for("page.html", "image/gif") == "page.html.gif"


def test_a_gif_is_as_large_as_its_frames() -> None:
    found = outline(gif_of((30, 5), (5, 40), canvas=(10, 10)))
    assert (found.width, found.height, found.frames) == (30, 40, 2)
