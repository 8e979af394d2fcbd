"""Group commit: which requests share one, which fail together, and which are refused."""

import asyncio
from collections.abc import Collection, Sequence
from datetime import UTC, datetime, timedelta

import msgspec
import pytest

from cluster.intake.backpressure import Overloaded
from cluster.intake.intake import BULK_FROM_BYTES, Intake
from cluster.intake.prepared import prepared_request
from cluster.journal.journal import Rejected, Unavailable
from cluster.journal.records import Address, BodyPart, Content, NewRequest, PreparedPersonalization
from tests.unit.api.journal_double import JournalDouble
from tests.unit.virtual_time import in_virtual_time

NOW = datetime(2026, 1, 1, tzinfo=UTC)


def request(subject: str, text: str = "x") -> NewRequest:
    return prepared_request(
        Content(from_=Address("hello@mail.example.com"), subject=subject, parts=(BodyPart("text/plain", text),)),
        [PreparedPersonalization(to=(Address("ada@example.com"),))],
        [None],
        tenant_id="tnt_acme",
        now=NOW,
        lifetime=timedelta(minutes=1),
        files={},
    )


def subjects(commit: Sequence[NewRequest]) -> list[str]:
    return [request.messages[0].subject for request in commit]


class Bench:
    """An intake over a journal in memory."""

    def __init__(self, window_ms: float = 5.0, most_waiting: int = 100, most_waiting_bytes: int = 10**9) -> None:
        self.journal = JournalDouble()
        self.offered: list[NewRequest] = []
        self.intake = Intake(
            self.journal.intake.accept,
            commit_window_ms=window_ms,
            offers=self.offered.extend,
            most_waiting=most_waiting,
            most_waiting_bytes=most_waiting_bytes,
        )

    def take(self, subject: str) -> asyncio.Task[list[str]]:
        return asyncio.create_task(self._commit(request(subject)))

    async def _commit(self, request: NewRequest) -> list[str]:
        await self.intake.commit(request)
        return [message.id for message in request.messages]

    async def outcomes(self, *subjects: str) -> list[list[str] | BaseException]:
        return await asyncio.gather(*(self.take(subject) for subject in subjects), return_exceptions=True)


async def test_concurrent_requests_share_a_commit() -> None:
    bench = Bench()
    await bench.intake.start()
    outcomes = await bench.outcomes("one", "two")
    assert [subjects(commit) for commit in bench.journal.commits] == [["one", "two"]]
    assert outcomes == [[request.messages[0].id] for request in bench.journal.requests]
    assert bench.offered == bench.journal.requests
    await bench.intake.stop()


async def test_a_single_request_does_not_wait() -> None:
    bench = Bench(window_ms=60_000)
    await bench.intake.start()
    async with asyncio.timeout(30):
        assert [type(outcome) for outcome in await bench.outcomes("one")] == [list]
    await bench.intake.stop()


async def test_what_arrives_during_a_commit_shares_the_next() -> None:
    bench = Bench(window_ms=0)
    bench.journal.gate = asyncio.Event()
    await bench.intake.start()
    first = bench.take("one")
    for _ in range(3):
        await asyncio.sleep(0)
    others = [bench.take(subject) for subject in ("two", "three", "four")]
    await asyncio.sleep(0)
    assert not first.done()  # no id is returned before the commit
    bench.journal.gate.set()
    await asyncio.gather(first, *others)
    assert [subjects(commit) for commit in bench.journal.commits] == [["one"], ["two", "three", "four"]]
    await bench.intake.stop()


@pytest.mark.parametrize(("quick_s", "sizes"), [(60.0, [4, 2]), (0.0, [6])])
async def test_quick_commits_take_half_as_much(
    quick_s: float, sizes: list[int], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("cluster.intake.intake.QUICK_S", quick_s)
    bench = Bench(window_ms=0)
    waiting = [asyncio.create_task(bench.intake.commit(request(str(number), "x" * 20_000))) for number in range(6)]
    await asyncio.sleep(0)
    await bench.intake.start()
    await asyncio.gather(*waiting)
    assert [len(commit) for commit in bench.journal.commits] == sizes
    await bench.intake.stop()


@pytest.mark.parametrize("error", [Rejected("bad text"), RuntimeError("a defect")])
async def test_a_fault_of_one_request_fails_it_alone(error: Exception) -> None:
    bench = Bench()
    bench.journal.poisoned, bench.journal.poison = {"poison"}, error
    await bench.intake.start()
    good, bad, other = await bench.outcomes("good", "poison", "other")
    assert isinstance(good, list) and isinstance(other, list)
    assert bad is error
    assert [subjects(commit) for commit in bench.journal.commits] == [["good"], ["other"]]
    assert subjects(bench.offered) == ["good", "other"]
    await bench.intake.stop()


async def test_an_unavailable_journal_fails_all_and_the_next_commit_is_tried() -> None:
    bench = Bench()
    bench.journal.failures = [Unavailable("gone")]
    await bench.intake.start()
    assert [type(outcome) for outcome in await bench.outcomes("one", "two")] == [Unavailable, Unavailable]
    assert bench.offered == []
    assert [type(outcome) for outcome in await bench.outcomes("three")] == [list]
    await bench.intake.stop()


async def test_the_queue_is_bounded_in_number_and_in_bytes() -> None:
    bench = Bench(most_waiting=2)
    outcomes = asyncio.gather(bench.outcomes("one", "two", "three"))
    await asyncio.sleep(0)
    await bench.intake.start()
    ((*accepted, refused),) = await outcomes
    assert all(isinstance(outcome, list) for outcome in accepted)
    assert isinstance(refused, Overloaded)
    await bench.intake.stop()

    bench = Bench(most_waiting_bytes=1)
    assert [type(outcome) for outcome in await bench.outcomes("one")] == [Overloaded]


async def test_stop_commits_what_waits_and_takes_nothing_more() -> None:
    bench = Bench(window_ms=60_000)
    await bench.intake.start()
    waiting = [bench.take("one"), bench.take("two")]
    await asyncio.sleep(0)
    await bench.intake.stop()
    assert all(isinstance(ids, list) for ids in await asyncio.gather(*waiting))
    assert [type(outcome) for outcome in await bench.outcomes("three")] == [Overloaded]


async def test_a_client_that_went_away_does_not_fail_the_others() -> None:
    bench = Bench()
    await bench.intake.start()
    gone, stays = bench.take("gone"), bench.take("stays")
    await asyncio.sleep(0)
    gone.cancel()
    assert len(await stays) == 1
    assert subjects(bench.journal.requests) == ["gone", "stays"]  # it was taken, and may be committed
    await bench.intake.stop()


async def test_a_commit_that_hangs_is_given_up(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("cluster.intake.intake.COMMIT_MAX_WAIT_S", 0.01)
    bench = Bench()
    bench.journal.gate = asyncio.Event()
    await bench.intake.start()
    assert [type(outcome) for outcome in await bench.outcomes("one")] == [Unavailable]
    bench.journal.gate.set()
    assert [type(outcome) for outcome in await bench.outcomes("two")] == [list]
    await bench.intake.stop()


class SlowJournal:
    """Takes 10 ms for a small commit and 200 ms for one of bulk; virtual time."""

    def __init__(self) -> None:
        self.bulk_s = 0.0

    async def accept(self, requests: Sequence[NewRequest]) -> Collection[str]:
        is_bulk = len(requests[0].content) > BULK_FROM_BYTES
        await asyncio.sleep(0.2 if is_bulk else 0.01)
        self.bulk_s += 0.2 if is_bulk else 0.0
        return ()


def bulk() -> NewRequest:
    return msgspec.structs.replace(request("bulk"), content=bytes(BULK_FROM_BYTES + 1))


@pytest.mark.parametrize(("small_each_s", "least", "most"), [(0.02, 0.3, 0.45), (None, 0.95, 1.0)])
@in_virtual_time
async def test_bulk_rests_while_small_requests_come(small_each_s: float | None, least: float, most: float) -> None:
    journal = SlowJournal()
    intake = Intake(journal.accept, commit_window_ms=0, offers=lambda _: None)
    await intake.start()

    async def flood() -> None:
        while True:
            await intake.commit(bulk())

    async def small() -> None:
        while small_each_s is not None:
            await asyncio.gather(intake.commit(request("small")), asyncio.sleep(small_each_s))

    tasks = [asyncio.create_task(work) for work in (*(flood() for _ in range(8)), small())]
    await asyncio.sleep(20)
    assert least <= journal.bulk_s / 20 <= most
    for task in tasks:
        task.cancel()
    await asyncio.wait(tasks)
    began = asyncio.get_running_loop().time()
    await intake.stop()  # commits what waits, and does not pause any more
    assert asyncio.get_running_loop().time() - began <= 8 * 0.2 + 0.01
