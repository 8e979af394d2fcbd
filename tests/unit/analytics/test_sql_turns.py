"""Whose query runs next."""

import asyncio
import contextlib

import pytest

from analytics.door.failures import ErrorCode, QueryFailed
from analytics.door.turns import QueryTurns


async def hold(turns: QueryTurns, tenant_id: str, log: list[str], release: asyncio.Event) -> None:
    async with turns.turn(tenant_id):
        log.append(tenant_id or "operator")
        await release.wait()


async def started(*work: asyncio.Task[None]) -> None:
    for _ in range(5):
        await asyncio.sleep(0)


async def test_queries_wait_and_too_many_are_refused() -> None:
    turns, log, release = QueryTurns(1, 1), list[str](), asyncio.Event()
    tasks = [asyncio.create_task(hold(turns, "", log, release)) for _ in range(2)]
    await started()
    assert (turns.running, log) == (1, ["operator"])
    with pytest.raises(QueryFailed) as refused:
        await hold(turns, "", log, release)
    assert refused.value.code == ErrorCode.TOO_MANY_SIMULTANEOUS_QUERIES
    release.set()
    await asyncio.gather(*tasks)
    assert (turns.running, log) == (0, ["operator", "operator"])


async def test_a_tenant_leaves_one_place_to_others() -> None:
    turns, log, release = QueryTurns(2, 10), list[str](), asyncio.Event()
    tasks = [asyncio.create_task(hold(turns, name, log, release)) for name in ("a", "a", "a", "b")]
    await started()
    assert log == ["a", "b"]
    release.set()
    await asyncio.gather(*tasks)
    assert log == ["a", "b", "a", "a"]
    assert turns.running == 0


async def test_who_leaves_while_waiting_takes_no_place() -> None:
    turns, log, release = QueryTurns(1, 5), list[str](), asyncio.Event()
    first = asyncio.create_task(hold(turns, "a", log, release))
    await started()
    waiting = asyncio.create_task(hold(turns, "b", log, release))
    await started()
    waiting.cancel()
    with contextlib.suppress(asyncio.CancelledError):
        await waiting
    release.set()
    await first
    await hold(turns, "c", log, release)
    assert (log, turns.running) == (["a", "c"], 0)
