"""When keys were last used: to the minute, in few statements, and nothing lost while the journal is away."""

from collections.abc import Mapping
from datetime import UTC, datetime
from types import SimpleNamespace
from typing import cast

import pytest

from cluster.access.last_use import PERIOD_S, KeyUses
from cluster.journal.journal import Journal, Rejected, Unavailable

MINUTE = datetime(2026, 4, 1, 12, 30, tzinfo=UTC)


class Store:
    """Records what is written, and the time."""

    def __init__(self) -> None:
        self.now = MINUTE.timestamp()
        self.written: list[Mapping[str, datetime]] = []
        self.failure: Exception | None = None
        self.uses = KeyUses(cast(Journal, SimpleNamespace(api_keys=SimpleNamespace(used=self._used))), lambda: self.now)

    async def _used(self, times: Mapping[str, datetime]) -> None:
        if self.failure is not None:
            raise self.failure
        self.written.append(dict(times))


async def test_a_period_is_one_statement_with_each_key_once() -> None:
    store = Store()
    await store.uses.write()
    for _ in range(3):
        store.uses.note("key_1")
    store.uses.note("key_2")
    store.now += PERIOD_S
    await store.uses.write()
    await store.uses.write()
    assert store.written == [{"key_1": MINUTE, "key_2": MINUTE}]


@pytest.mark.parametrize("drift_s", [-0.01, 0.0, 0.3])
async def test_the_minute_is_that_of_the_use_however_late_the_timer_is(drift_s: float) -> None:
    store = Store()
    store.now += 40.0
    await store.uses.write()
    store.uses.note("key_1")  # 12:30:40
    store.now += PERIOD_S + drift_s
    await store.uses.write()
    store.uses.note("key_1")  # 12:31
    store.now += PERIOD_S
    await store.uses.write()
    assert [written["key_1"].minute for written in store.written] == [30, 31]


async def test_what_cannot_be_written_is_written_later() -> None:
    store = Store()
    store.uses.note("key_1")
    store.uses.note("key_2")
    store.failure = Unavailable("away")
    await store.uses.write()
    store.now += 60
    await store.uses.write()
    store.uses.note("key_2")
    store.failure = None
    store.now += PERIOD_S
    await store.uses.write()
    assert store.written == [{"key_1": MINUTE, "key_2": MINUTE.replace(minute=31)}]
    store.failure = Rejected("never")
    store.uses.note("key_1")
    await store.uses.write()
    store.failure = None
    await store.uses.write()
    assert len(store.written) == 1


async def test_a_stop_writes_what_was_collected() -> None:
    store = Store()
    await store.uses.start()
    store.uses.note("key_1")
    await store.uses.stop()
    assert store.written == [{"key_1": MINUTE}]
