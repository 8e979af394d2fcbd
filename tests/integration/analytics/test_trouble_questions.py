"""What a report of troubles asks, where more was recorded than it reads: what lasted longest comes first, and one row
more than is read tells that there is more."""

from typing import Any

from msgspec.structs import replace

from analytics.client import ClickHouse
from analytics.rows import columns
from analytics.samples import SITE_SAMPLES, SiteSample, sample_columns
from analytics.troubles import questions
from cluster.events import Event
from tests.unit.analytics.samples import deferred

SINCE = 1_800_000_000
TIMES: dict[str, Any] = {"since": SINCE, "until": SINCE + 600, "step": 1}


def cut_to(question: str, rows: int) -> str:
    end = f"LIMIT {questions.MOST_ROWS + 1}\n"
    assert question.endswith(end)
    return f"{question.removesuffix(end)}LIMIT {rows + 1}"


def test_of_failures_those_that_lasted_longest_are_read(clickhouse: ClickHouse) -> None:
    reply = {"smtp_response": "421 later", "bounce_class": "rate_limited"}
    early: list[Event] = [deferred(i, at=SINCE + i % 2, site=f"short{i}.example", **reply) for i in range(20)]
    late: list[Event] = [deferred(100 + i, at=SINCE + 500 + i, site="long.example", **reply) for i in range(5)]
    clickhouse.insert(columns([replace(one, id=f"evt_{i}") for i, one in enumerate([*early, *late])]))
    rows = clickhouse.rows(cut_to(questions.FAILURES, 5), **TIMES)
    assert [row[:2] for row in rows[:5]] == [(500 + i, "long.example") for i in range(5)]
    assert [tuple(row[2:]) for row in rows[:1]] == [("rate_limited", 421, 0, 1, "421 later")]
    assert len(rows) == 6, "one more tells that there are more"


def test_of_what_was_held_back_what_lasted_longest_is_read(clickhouse: ClickHouse) -> None:
    one = SiteSample(site="", source="", at=SINCE, interval_s=10.0, queued=5, binds="back_off")
    early = [replace(one, site=f"short{i}.example") for i in range(20)]
    late = [replace(one, site="long.example", at=SINCE + at, source=of) for at in (500, 510, 520) for of in ("a", "b")]
    clickhouse.insert(sample_columns([*early, *late]), SITE_SAMPLES)
    rows = clickhouse.rows(cut_to(questions.HELD, 3), **TIMES)
    assert [tuple(row) for row in rows[:3]] == [(SINCE + at, "long.example", "back_off", 10) for at in (500, 510, 520)]
    assert len(rows) == 4
