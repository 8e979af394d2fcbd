"""What is told of the journal's queue, and for how long it holds."""

from datetime import UTC, datetime, timedelta
from math import isnan
from types import SimpleNamespace
from typing import cast

import pytest

from actors.journal_watch import OLD_S, JournalWatch
from cluster.journal.journal import Journal, Unavailable
from cluster.journal.queue import QueueAges
from cluster.journal.webhook_posting import FailingEndpoints
from cluster.metrics import read

NOW = datetime(2026, 5, 1, 12, tzinfo=UTC)


class JournalDouble:
    def __init__(self) -> None:
        self.ages = QueueAges(unfinished=7, oldest_at=NOW - timedelta(hours=2), overdue_s=90.0)
        self.is_away = False
        self.queue = SimpleNamespace(ages=self._ages)
        self.event_log = SimpleNamespace(lags=self._lags, size=self._size)
        self.webhook_posting = SimpleNamespace(failing=self._failing)

    async def _ages(self) -> QueueAges:
        if self.is_away:
            raise Unavailable("away")
        return self.ages

    async def _lags(self) -> dict[str, float]:
        return {"recorder": 3.0, "webhooks": 0.0}

    async def _size(self) -> int:
        return 11

    async def _failing(self) -> FailingEndpoints:
        return FailingEndpoints(2, 1, 700.0)


class World:
    def __init__(self) -> None:
        self.at = 1000.0
        self.journal = JournalDouble()
        self.watch = JournalWatch(cast(Journal, self.journal), clock=lambda: self.at, now=lambda: NOW)

    def told(self) -> dict[str, dict[str, float]]:
        return {one.name: dict(one.values) for one in read(self.watch)}


@pytest.fixture
def world() -> World:
    return World()


async def test_what_the_journal_says_is_told(world: World) -> None:
    await world.watch.look()
    world.at += 4
    assert world.told() == {
        "postray_journal_silent_seconds": {"": 4.0},
        "postray_queue_deliveries": {"": 7},
        "postray_queue_oldest_seconds": {"": 7200.0},
        "postray_queue_overdue_seconds": {"": 90.0},
        "postray_event_log_rows": {"": 11},
        "postray_event_log_lag_seconds": {"recorder": 3.0, "webhooks": 0.0},
        "postray_webhook_endpoints": {"failing": 2, "disabled": 1},
        "postray_webhook_failing_seconds": {"": 700.0},
    }


async def test_an_empty_queue_has_no_age(world: World) -> None:
    world.journal.ages = QueueAges(unfinished=0, oldest_at=None, overdue_s=0.0)
    await world.watch.look()
    assert world.told()["postray_queue_oldest_seconds"] == {"": 0.0}


@pytest.mark.parametrize("has_looked", [False, True])
async def test_while_the_journal_is_away_its_silence_is_told_and_nothing_else(world: World, has_looked: bool) -> None:
    if has_looked:
        await world.watch.look()
    world.journal.is_away = True
    world.at += OLD_S
    with pytest.raises(Unavailable):
        await world.watch.look()
    told = world.told()
    assert told.pop("postray_journal_silent_seconds") == {"": OLD_S}
    assert all(isnan(value) for values in told.values() for value in values.values())
    assert told["postray_event_log_lag_seconds"] == {}
