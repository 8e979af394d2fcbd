"""What was told of batches, and what became of them. Pure."""

from collections import Counter
from collections.abc import Sequence
from typing import Any

from msgspec import Struct

from benchmarks.estimates.cases import Case, Expected

ROUNDED_S = 1.0
"""Moments are told to the second."""
TARGET = 0.9


class Answer(Struct, frozen=True, kw_only=True):
    """What was told of a batch at a moment, in seconds from the beginning."""

    at_s: float
    earliest_s: float | None = None
    latest_s: float | None = None
    """None: it was not told."""
    binds: str = ""
    reason: str = ""
    """Why there is no estimate."""


class CaseRecord(Struct, frozen=True, kw_only=True):
    """A batch, and what was told of it."""

    case: Case
    ended_s: float | None
    """When its last message arrived; None: it had not ended with the run."""
    answers: list[Answer]

    def within(self, answer: Answer, run_s: float) -> bool:
        """Whether an answer with a range was right."""
        if answer.earliest_s is None:
            return False
        if self.ended_s is None:
            return answer.earliest_s >= run_s - ROUNDED_S
        if self.ended_s < answer.earliest_s - ROUNDED_S:
            return False
        return answer.latest_s is not None and self.ended_s <= answer.latest_s + ROUNDED_S


class EstimatesRecord(Struct, frozen=True, kw_only=True):
    """A run."""

    scenario: str = "estimates"
    within: str
    """``x of y``: answers with a range in which the end was."""
    share: float
    target: float = TARGET
    by_case: dict[str, str]
    nulls: dict[str, int]
    """Answers without a range, by their reasons."""
    nulls_right: str
    """Answers about batches of which nothing can be said: how many said nothing."""
    median_width: float
    """Of ranges, as a part of what was left: how much they say."""
    started_at: str
    took_s: float
    machine: dict[str, Any]
    commit: str
    cases: list[CaseRecord]


def judged(records: Sequence[CaseRecord], run_s: float) -> dict[str, Any]:
    """The sums of a run."""
    right = told = null_right = null_told = 0
    by_case: dict[str, str] = {}
    nulls: Counter[str] = Counter()
    widths: list[float] = []
    for one in records:
        ranges = [answer for answer in one.answers if answer.earliest_s is not None]
        for answer in one.answers:
            if answer.earliest_s is None:
                nulls[answer.reason] += 1
        if one.case.expected is Expected.NULL:
            null_told += len(one.answers)
            null_right += len(one.answers) - len(ranges)
            by_case[one.case.name] = f"null {len(one.answers) - len(ranges)} of {len(one.answers)}"
            continue
        fine = sum(one.within(answer, run_s) for answer in ranges)
        by_case[one.case.name] = f"{fine} of {len(ranges)}"
        right, told = right + fine, told + len(ranges)
        for answer in ranges:
            if one.ended_s is not None and answer.latest_s is not None and one.ended_s > answer.at_s + 1:
                assert answer.earliest_s is not None
                widths.append((answer.latest_s - answer.earliest_s) / (one.ended_s - answer.at_s))
    widths.sort()
    return {
        "within": f"{right} of {told}",
        "share": round(right / told, 3) if told else 0.0,
        "by_case": by_case,
        "nulls": dict(nulls.most_common()),
        "nulls_right": f"{null_right} of {null_told}",
        "median_width": round(widths[len(widths) // 2], 2) if widths else 0.0,
    }
