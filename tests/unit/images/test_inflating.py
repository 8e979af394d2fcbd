"""Whole PNGs of every kind inflate to what they need."""

from io import BytesIO

import pytest
from PIL import Image

from cluster.images import inflating
from cluster.images.inflating import require_fitting
from cluster.images.outline import NotAnImage
from tests.images import animated, encoded, picture

MODES = ("1", "L", "LA", "P", "RGB", "RGBA", "I;16")


@pytest.mark.parametrize("mode", MODES)
@pytest.mark.parametrize("size", [(1, 1), (5, 3), (60, 41)])
def test_a_picture_needs_all_that_it_inflates_to(
    mode: str, size: tuple[int, int], monkeypatch: pytest.MonkeyPatch
) -> None:
    buffer = BytesIO()
    Image.new(mode, size).save(buffer, "PNG")
    monkeypatch.setattr(inflating, "MOST_MORE", 0)
    require_fitting(buffer.getvalue())
    monkeypatch.setattr(inflating, "MOST_MORE", -1)  # one byte less than it has
    with pytest.raises(NotAnImage):
        require_fitting(buffer.getvalue())


def test_so_does_each_frame_of_an_animation(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(inflating, "MOST_MORE", 0)
    require_fitting(animated("PNG"))


def test_an_interlaced_picture_has_its_rows_in_seven_passes() -> None:
    rows = (1, 1, 0, 1, 1, 2, 1)  # of the passes of a picture of 5 by 3, by the drawing in the standard
    assert inflating._bytes_of(5, 3, 24, inflating._PASSES) == 5 * 3 * 3 + sum(rows)


def test_damaged_data_are_left_to_the_decoder() -> None:
    whole = encoded(picture(), "PNG")
    at = whole.index(b"IDAT") + 4
    require_fitting(whole[:at] + bytes(20) + whole[at + 20 :])
