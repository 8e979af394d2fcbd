"""Charts: their structure, what they say, and what they refuse."""

import re
from pathlib import Path

import pytest
from selectolax.lexbor import LexborHTMLParser, LexborNode

from analytics import charts
from analytics.charts.bars import bars
from analytics.charts.horizontal import MOST_LETTERS, MOST_ROWS, Part, Row, horizontal_bars
from analytics.charts.lines import duration_lines, lines
from analytics.charts.scale import counts, durations, lasting, on_log, short
from analytics.charts.series import MOST_POINTS, Moment, Series, Tone
from analytics.charts.svg import LABELS, MORE_LABELS, legend

HOSTILE = "</title></svg><script>alert(1)</script>\"'&\u202e\x1b"
STYLE = Path(charts.__file__).with_name("style.css").read_text(encoding="ascii")


def days(count: int) -> list[Moment]:
    return [Moment(f"d{i}", f"day {i}") for i in range(count)]


def series(*values: float | None, name: str = "delivered", tone: Tone = Tone.BLUE) -> Series:
    return Series(name=name, tone=tone, values=values)


def drawn(markup: str) -> LexborNode:
    (svg,) = LexborHTMLParser(markup).css("svg.chart")
    return svg


def percents(node: LexborNode, name: str) -> float:
    value = node.attributes[name]
    assert value is not None and value.endswith("%")
    return float(value[:-1])


def test_bars_are_stacked_on_a_scale_that_holds_them() -> None:
    svg = drawn(bars("Volumes", days(2), [series(30, 0), series(10, 5, name="bounced", tone=Tone.RED)]))
    assert (svg.attributes["role"], svg.attributes["aria-label"]) == ("img", "Volumes")
    assert [node.text() for node in svg.css("text.axis")][:5] == ["0", "10", "20", "30", "40"]
    delivered, bounced, later = svg.css("rect")
    assert (percents(delivered, "height"), percents(bounced, "height"), percents(later, "height")) == (75, 25, 12.5)
    assert percents(bounced, "y") == 0 and percents(delivered, "y") == 25
    assert percents(later, "x") == 55
    assert [node.text() for node in svg.css("g > title")] == [
        "day 0; delivered: 30; bounced: 10",
        "day 1; delivered: 0; bounced: 5",
    ]


def test_a_line_is_interrupted_where_there_is_no_value_and_a_single_one_is_a_dot() -> None:
    svg = drawn(lines("Opens", days(5), [series(1, 2, None, 4, None)]))
    run, dot = [node.attributes["d"] or "" for node in svg.css("path.line")]
    assert run == "M100.0 750.0L300.0 500.0"
    assert dot == "M700.0 0.0h0" and len(svg.css("path.dot")) == 1
    assert [node.text() for node in svg.css("rect > title")][2:4] == ["day 2", "day 3; delivered: 4"]


def test_durations_have_a_logarithmic_scale_with_names() -> None:
    svg = drawn(duration_lines("Times", days(2), [series(2, 500)]))
    assert [node.text() for node in svg.css("text.axis")][:4] == ["1 s", "10 s", "1 min", "10 min"]


def test_horizontal_bars_share_a_scale() -> None:
    rows = [
        Row(name="a", parts=(Part(Tone.BLUE, 60), Part(Tone.RED, 40)), said="100"),
        Row(name="b", parts=(Part(Tone.BLUE, 50), Part(Tone.RED, 0)), said="50"),
    ]
    svg = drawn(horizontal_bars("Sites", rows))
    assert [percents(node, "width") for node in svg.css("rect")] == [38.4, 25.6, 32]
    assert [node.text() for node in svg.css("text")] == ["a", "100", "b", "50"]


@pytest.mark.parametrize("count", [0, 1, 5, 6, 12, 93, MOST_POINTS])
def test_a_chart_of_any_length_names_a_few_times(count: int) -> None:
    for svg in (
        drawn(bars("x", days(count), [series(*range(count))])),
        drawn(lines("x", days(count), [series(*range(count))])),
    ):
        named = [node for node in svg.css("text") if node.attributes["text-anchor"] == "middle"]
        always = [node for node in named if node.attributes["class"] == "axis"]
        assert min(count, 1) <= len(always) <= LABELS and len(named) <= MORE_LABELS


def test_what_is_too_much_or_does_not_fit_is_refused() -> None:
    with pytest.raises(ValueError, match="at most"):
        bars("x", days(MOST_POINTS + 1), [])
    with pytest.raises(ValueError, match="at most"):
        horizontal_bars("x", [Row(name="a", parts=(), said="")] * (MOST_ROWS + 1))
    for draw in (bars, lines, duration_lines):
        with pytest.raises(ValueError, match="2 values for 3 points"):
            draw("x", days(3), [series(1, 2)])


def test_without_values_a_chart_is_empty() -> None:
    assert not drawn(bars("x", days(3), [series(0, 0, 0)])).css("rect")
    assert not drawn(duration_lines("x", days(3), [series(None, None, None)])).css("path")
    assert not drawn(horizontal_bars("x", [])).css("g")
    assert not drawn(horizontal_bars("x", [Row(name="a", parts=(Part(Tone.BLUE, 0),), said="0")])).css("rect")


def test_every_text_is_escaped_and_visible() -> None:
    moment = [Moment(HOSTILE, HOSTILE)]
    one = series(1, name=HOSTILE)
    row = Row(name=HOSTILE, parts=(Part(Tone.BLUE, 1),), said=HOSTILE)
    for markup in (
        bars(HOSTILE, moment, [one]),
        lines(HOSTILE, moment, [one]),
        duration_lines(HOSTILE, moment, [one]),
        horizontal_bars(HOSTILE, [row]),
        legend([one]),
    ):
        assert "<script" not in markup and "&lt;script&gt;" in markup
        assert "\x1b" not in markup and "\u202e" not in markup
        assert not LexborHTMLParser(markup).css("script")


def test_a_long_name_is_cut_in_the_picture_and_whole_in_its_tooltip() -> None:
    svg = drawn(horizontal_bars("x", [Row(name="n" * 1000, parts=(), said="1")]))
    name, _ = svg.css("text")
    (tip,) = svg.css("title")
    assert len(name.text()) == MOST_LETTERS and tip.text() == f"{'n' * 1000}: 1"


@pytest.mark.parametrize("most", [0, 1, 2, 3, 7, 10, 99, 101, 1234, 5e7, 1e12])
def test_the_marks_of_counts_are_few_whole_and_hold_the_most(most: float) -> None:
    marks = counts(most)
    assert marks[0] == 0 and marks[-1] >= most and 2 <= len(marks) <= 6
    assert all(mark == int(mark) for mark in marks)


@pytest.mark.parametrize(("least", "most"), [(0, 0), (1, 1), (0.05, 0.06), (2, 500), (1, 1e9), (1e9, 1e9)])
def test_the_marks_of_durations_are_at_least_two(least: float, most: float) -> None:
    marks = durations(least, most)
    assert len(marks) >= 2 and marks == sorted(marks)
    assert 0 <= on_log(least, marks[0], marks[-1]) <= on_log(most, marks[0], marks[-1]) <= 1


def test_numbers_in_short_form() -> None:
    assert [short(n) for n in (0, 950, 999.9, 1234, 35_000_000, 999_960, 2e9, 1e12)] == [
        "0", "950", "1k", "1.23k", "35M", "1M", "2G", "1000G",
    ]  # fmt: skip
    assert [lasting(s) for s in (0, 0.35, 12.4, 59.99, 150, 3600, 129_600)] == [
        "0 s", "0.35 s", "12 s", "1 min", "2.5 min", "1 h", "1.5 d",
    ]  # fmt: skip


# Colours


def _luminance(colour: str) -> float:
    channels = (int(colour[i : i + 2], 16) / 255 for i in (1, 3, 5))
    red, green, blue = (c / 12.92 if c <= 0.04045 else ((c + 0.055) / 1.055) ** 2.4 for c in channels)
    return 0.2126 * red + 0.7152 * green + 0.0722 * blue


def _contrast(one: str, other: str) -> float:
    """WCAG 2.2, contrast ratio."""
    darker, lighter = sorted((_luminance(one), _luminance(other)))
    return (lighter + 0.05) / (darker + 0.05)


@pytest.mark.parametrize("scheme", [0, 1], ids=["light", "dark"])
def test_colours_contrast_as_wcag_aa_asks(scheme: int) -> None:
    """4.5 for text (1.4.3), 3 for what is drawn (1.4.11)."""
    colours = dict(re.findall(r"--(\w+): (#[0-9a-f]{6});", re.findall(r":root \{(.*?)\}", STYLE, re.DOTALL)[scheme]))
    assert {tone.value for tone in Tone} < colours.keys()
    for ground in ("page", "card"):
        for name in ("ink", "soft"):
            assert _contrast(colours[name], colours[ground]) >= 4.5, (name, ground)
        for tone in Tone:
            assert _contrast(colours[tone.value], colours[ground]) >= 3, (tone, ground)
