"""The scheduler's own decisions."""

from types import SimpleNamespace
from typing import Any, cast

from actors.measuring import StorageWatch
from actors.scheduler import Scheduler
from cluster.context import keeps_from_work


async def test_a_disk_that_will_be_full_is_named_and_keeps_nobody_from_work() -> None:
    storage = SimpleNamespace(warning=None)
    scheduler = Scheduler(cast(Any, None), cast(Any, None), cast(Any, None), 60.0, storage=cast(StorageWatch, storage))
    assert await scheduler.problem() is None
    storage.warning = "at the present rate the disk is full in 20 h"
    problem = await scheduler.problem()
    assert problem == "degraded: at the present rate the disk is full in 20 h"
    assert not keeps_from_work(problem)
