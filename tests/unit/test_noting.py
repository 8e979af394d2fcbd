"""What a process notes of itself and of the journal."""

import socket
import time
from collections.abc import Sequence

from cluster.journal.happenings import Happening
from cluster.journal.journal import Unavailable
from cluster.journal.silences import MOST, SLOW_S, Silences
from cluster.launch.noting import STOOD_S, Noting, begun

BEGAN = Happening(kind="began", actor="api-0", began_at=99.0, ended_at=99.0)


def test_calls_that_fail_or_take_long_are_one_stretch_until_the_journal_answers() -> None:
    silences = Silences()
    silences.answered(SLOW_S - 0.1, 100.0)
    assert silences.take(200.0) == []
    silences.answered(4.0, 104.0)
    silences.failed(0.1, 104.5)
    silences.failed(5.0, 105.0)
    assert silences.take(105.5) == [], "it may go on"
    assert silences.take(106.5) == [(100.0, 105.0)]
    assert silences.take(107.0) == [], "it is told once"
    silences.failed(0.0, 110.0)
    silences.failed(0.0, 112.0)
    assert silences.take(120.0) == [(110.0, 110.0), (112.0, 112.0)]


def test_of_many_silences_the_newest_are_kept() -> None:
    silences = Silences()
    for at in range(0, 10 * MOST, 5):
        silences.failed(0.0, at)
    kept = silences.take(100 * MOST)
    assert len(kept) == MOST and kept[-1] == (10 * MOST - 5, 10 * MOST - 5)


class Notes:
    """A journal that takes notes, or is away."""

    def __init__(self) -> None:
        self.is_away = False
        self.taken: list[tuple[str, float, float]] = []

    async def __call__(self, some: Sequence[Happening]) -> None:
        if self.is_away:
            raise Unavailable("away")
        assert {one.actor for one in some} == {"api-0"}
        self.taken += [(one.kind, one.began_at, one.ended_at) for one in some]


async def test_what_cannot_be_noted_is_noted_when_the_journal_is_back() -> None:
    notes, silences, now = Notes(), Silences(), [100.0]
    noting = Noting("api-0", [BEGAN], silences, notes, now=lambda: now[0])
    notes.is_away = True
    await noting.round()
    silences.failed(5.0, 105.0)
    now[0] = 110.0
    await noting.round()
    notes.is_away = False
    await noting.round()
    await noting.round()
    assert notes.taken == [("began", 99.0, 99.0), ("journal_away", 100.0, 105.0)]


def test_a_process_tells_when_it_began_and_its_parent_before() -> None:
    own, parent = begun("api-0")
    assert (own.kind, own.actor, parent.kind, parent.actor) == ("began", "api-0", "ray_began", socket.gethostname())
    assert parent.began_at <= own.began_at == own.ended_at <= time.time()


async def test_an_event_loop_that_stood_still_is_noted_once_the_process_works() -> None:
    notes, now = Notes(), [100.0]
    noting = Noting("api-0", [BEGAN], Silences(), notes, now=lambda: now[0])
    noting.late(9.0)
    noting.works()
    noting.late(9.0)
    now[0] = 120.0
    noting.late(STOOD_S / 2)
    noting.late(3.5)
    await noting.round()
    assert notes.taken == [("began", 99.0, 99.0), ("stood_still", 116.5, 120.0)]
