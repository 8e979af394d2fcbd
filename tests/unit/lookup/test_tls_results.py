"""The counts for TLS reports before they reach the journal, and the bounded memory of the TLS parts."""

from collections.abc import Mapping
from datetime import UTC, date, datetime, timedelta

import pytest

from cluster.journal.database import Rejected, Unavailable
from cluster.lookup import tls_results
from cluster.lookup.tls_results import TlsResults
from cluster.policy.tls.policy import PolicyType
from cluster.policy.tls.report import TlsResult


class Counts:
    def __init__(self) -> None:
        self.added: list[dict[TlsResult, int]] = []
        self.failure: Exception | None = None

    async def add(self, counts: Mapping[TlsResult, int]) -> None:
        if self.failure is not None:
            raise self.failure
        self.added.append(dict(counts))


class Clock:
    def __init__(self) -> None:
        self.now = datetime(2026, 3, 1, 23, 59, tzinfo=UTC)

    def __call__(self) -> datetime:
        return self.now


def counts_of(journal: Counts) -> list[list[tuple[date, str, int]]]:
    return [[(x.day, x.domain, count) for x, count in counts.items()] for counts in journal.added]


async def test_equal_ones_are_one_count_and_days_are_apart() -> None:
    clock, journal = Clock(), Counts()
    results = TlsResults(clock)
    results.count("a.test", PolicyType.NONE)
    results.count("a.test", PolicyType.NONE)
    clock.now += timedelta(minutes=1)
    results.count("a.test", PolicyType.NONE)
    await results.flush(journal)
    await results.flush(journal)
    assert counts_of(journal) == [[(date(2026, 3, 1), "a.test", 2), (date(2026, 3, 2), "a.test", 1)]]


async def test_what_the_journal_cannot_take_now_waits() -> None:
    journal = Counts()
    results = TlsResults(Clock())
    results.count("a.test", PolicyType.NONE)
    journal.failure = Unavailable("away")
    await results.flush(journal)
    results.count("a.test", PolicyType.NONE)
    journal.failure = None
    await results.flush(journal)
    assert counts_of(journal) == [[(date(2026, 3, 1), "a.test", 2)]]


async def test_what_it_will_never_take_is_dropped() -> None:
    journal = Counts()
    results = TlsResults(Clock())
    results.count("a.test", PolicyType.NONE)
    journal.failure = Rejected("no")
    await results.flush(journal)
    assert results.counts() == {}


def test_counts_are_bounded(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(tls_results, "MAX_RESULTS", 3)
    results = TlsResults(Clock())
    for i in (0, 1, 2, 3, 0):
        results.count(f"{i}.test", PolicyType.NONE)
    assert [(x.domain, count) for x, count in results.counts().items()] == [("0.test", 2), ("1.test", 1), ("2.test", 1)]


async def test_policies_that_strangers_write_have_room_of_their_own(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(tls_results, "MAX_POLICY_BYTES", 25)
    results, journal = TlsResults(Clock()), Counts()
    for i in (0, 1, 2, 0):
        results.count(f"{i}.test", PolicyType.STS, policy="ten octets")
    assert [(x.domain, count) for x, count in results.counts().items()] == [("0.test", 2), ("1.test", 1)]
    await results.flush(journal)
    results.count("2.test", PolicyType.STS, policy="ten octets")
    assert [x.domain for x in results.counts()] == ["2.test"]
