"""The everything-on scenario: it has all that its name says, and a figure for each of its measures."""

import re

import msgspec

from benchmarks import order_letter
from benchmarks.composing import LINKS, costs, tracked_kinds
from benchmarks.records import Repeat
from benchmarks.scenarios.everything_on import EverythingOn, EverythingOnOptions, figures_of


def test_the_letter_has_eight_links() -> None:
    html = order_letter.linked_texts(LINKS).html
    assert LINKS == 8 and len(re.findall(r'<a href="https://', html)) == LINKS
    assert 3000 < len(html) < 6000


def test_the_data_that_is_made_quickly_is_that_of_the_letter() -> None:
    made = order_letter.stored("d-x").data
    for number in (0, 1, 79, 89, 719, 720, 1439, 15_000):
        assert made(number) == msgspec.json.encode(order_letter.data(number)).decode()


def test_tracked_messages_are_composed() -> None:
    found = costs(tracked_kinds(), 1)
    assert found["tracked"] > found["untracked"] > 0


def test_every_measure_has_a_figure() -> None:
    def repeat(delivered: float) -> Repeat:
        return Repeat(
            figures={"delivered": delivered, "CPU": 100.0}, seconds=1.0, promised=1, counted=1, copies=0, usage={}
        )

    figures = figures_of({"usual": repeat(1000.0), "everything": repeat(900.0)}, {"untracked": 100.0, "tracked": 150.0})
    assert set(figures) == {measure.name for measure in EverythingOn(EverythingOnOptions()).measures}
    assert figures["delivered, everything / usual"] == 0.9
    assert figures["composing, tracked - untracked"] == 50.0
