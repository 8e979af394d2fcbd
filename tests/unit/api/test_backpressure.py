"""Refusing before anything breaks: the decision, the process that checks, and the client's answer."""

from collections.abc import AsyncIterator
from pathlib import Path

import pytest

from cluster.intake.backpressure import Watch
from cluster.journal.journal import Unavailable
from cluster.policy.backpressure import LoadBounds, MeasuredLoad, why_full
from cluster.policy.storage import WHAT_TO_DO
from tests.unit.api.bodies import mail
from tests.unit.api.conftest import World

BOUNDS = LoadBounds(backlog=100, free_disk_mb=50)
KEPT = f"the 50 that are kept free (http.min_free_disk_mb). For the operator: {WHAT_TO_DO}"


@pytest.mark.parametrize(
    ("load", "said"),
    [
        (MeasuredLoad(backlog=99, free_disk_mb=50), None),
        (MeasuredLoad(backlog=100, free_disk_mb=50), "The queue is full: 100 deliveries wait, of 100 at most"),
        (MeasuredLoad(backlog=0, free_disk_mb=49), f"The disk is full: 49 MiB are left of {KEPT}"),
        (MeasuredLoad(backlog=100, free_disk_mb=0), f"The disk is full: 0 MiB are left of {KEPT}"),
        (MeasuredLoad(), None),
    ],
)
def test_what_is_refused(load: MeasuredLoad, said: str | None) -> None:
    assert why_full(load, BOUNDS) == said


def test_no_bounds_refuse_nothing() -> None:
    assert why_full(MeasuredLoad(backlog=10**9, free_disk_mb=0), LoadBounds(backlog=0, free_disk_mb=0)) is None


class Queue:
    """A journal's count of its backlog."""

    def __init__(self) -> None:
        self.waiting = 0
        self.counted = 0
        self.gone = False

    async def backlog(self) -> int:
        if self.gone:
            raise Unavailable("gone")
        return self.waiting

    async def count_backlog(self) -> None:
        if self.gone:
            raise Unavailable("gone")
        self.counted += 1

    def watch(self, bounds: LoadBounds = BOUNDS, journal_dir: Path | None = None) -> Watch:
        return Watch(bounds, backlog=self.backlog, count_backlog=self.count_backlog, journal_dir=journal_dir)


async def test_a_full_queue_is_refused_until_it_has_room() -> None:
    queue = Queue()
    watch = queue.watch()
    seen = []
    for queue.waiting in (99, 100, 5000, 99):
        await watch.look()
        seen.append(watch.why_full() is None)
    assert seen == [True, False, False, True]
    assert queue.counted == 1


async def test_the_count_is_set_anew_when_the_journal_was_out_of_sight() -> None:
    queue = Queue()
    watch = queue.watch()
    queue.gone = True
    await watch.look()
    assert (queue.counted, watch.why_full()) == (0, None)  # it refuses itself
    for gone in (False, True, False, False):
        queue.gone = gone
        await watch.look()
    assert queue.counted == 2


async def test_the_disk_of_the_journal(tmp_path: Path) -> None:
    watch = Queue().watch(LoadBounds(backlog=0, free_disk_mb=10**12), tmp_path)
    await watch.look()
    assert str(watch.why_full()).startswith("The disk is full")
    for unknown in (Queue().watch(journal_dir=tmp_path / "absent"), Queue().watch(journal_dir=None)):
        await unknown.look()
        assert unknown.why_full() is None


async def test_a_full_system_refuses_before_it_reads(world: World) -> None:
    world.full = "The queue is full"

    read = []

    async def body() -> AsyncIterator[bytes]:
        read.append(True)
        yield b"{}"

    headers = {"Authorization": f"Bearer {world.key}"}
    response = await world.client.post("/v3/mail/send", content=body(), headers=headers)
    assert (response.status_code, read) == (503, [])
    assert (response.headers["retry-after"], response.json()["detail"]) == ("30", "The queue is full")
    assert (await world.send(mail(), key="sg_live_" + "0" * 32)).status_code == 401
    assert (await world.request("GET", "/v3/messages")).status_code == 200
    world.full = None
    assert (await world.send(mail())).status_code == 202
