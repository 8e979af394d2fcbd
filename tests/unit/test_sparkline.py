"""Charts of one line, and the moments that operators type."""

from datetime import UTC, datetime

import pytest
from hypothesis import given
from hypothesis import strategies as st

from cluster.commands.output import past_moment
from cluster.commands.sparkline import BARS, NONE, sparkline, squeezed

VALUES = st.lists(st.none() | st.floats(0, 1e12), max_size=200)


def test_the_greatest_is_a_full_bar_and_what_is_missing_a_gap() -> None:
    assert sparkline([0, None, 1, 4, 8]) == "▁ ▂▅█"
    assert sparkline([0, 0]) == "▁▁"
    assert sparkline([]) == ""
    assert sparkline([None]) == " "


@given(VALUES)
def test_bars_are_in_the_order_of_the_values(values: list[float | None]) -> None:
    drawn = sparkline(values)
    assert len(drawn) == len(values)
    known = [(value, bar) for value, bar in zip(values, drawn, strict=True) if value is not None]
    assert [bar for value, bar in zip(values, drawn, strict=True) if value is None] == [NONE] * (
        len(values) - len(known)
    )
    heights = [BARS.index(bar) for _, bar in sorted(known)]
    assert heights == sorted(heights)
    if any(value for value, _ in known):
        assert BARS[-1] in drawn


@given(VALUES, st.integers(1, 60))
def test_no_peak_is_lost_in_a_narrow_chart(values: list[float | None], width: int) -> None:
    narrow = squeezed(values, width)
    assert len(narrow) == min(width, len(values))
    assert max((one for one in narrow if one is not None), default=None) == max(
        (one for one in values if one is not None), default=None
    )


NOW = datetime(2026, 11, 30, 10, 0, tzinfo=UTC)


@pytest.mark.parametrize(
    ("text", "at"),
    [
        ("09:59", datetime(2026, 11, 30, 9, 59, tzinfo=UTC)),
        ("10:00", NOW),
        ("14:05", datetime(2026, 11, 29, 14, 5, tzinfo=UTC)),
        ("14:05:30", datetime(2026, 11, 29, 14, 5, 30, tzinfo=UTC)),
        ("2026-11-28 14:05", datetime(2026, 11, 28, 14, 5, tzinfo=UTC)),
        ("2026-11-28T14:05+02:00", datetime(2026, 11, 28, 12, 5, tzinfo=UTC)),
    ],
)
def test_a_time_of_day_is_the_last_one(text: str, at: datetime) -> None:
    assert past_moment(text, NOW) == at


@pytest.mark.parametrize("text", ["", "noon", "25:00", "14.05", "2026-13-01"])
def test_what_is_no_moment_is_refused(text: str) -> None:
    with pytest.raises(ValueError):
        past_moment(text, NOW)
