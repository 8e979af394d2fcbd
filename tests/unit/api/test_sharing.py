"""Sharing between tenants: no request waits for all that another has asked for, and nothing is lost."""

import asyncio
import itertools

import pytest

from api.http.sharing import MOST_WAITING, FairShare, LoopTurns
from cluster.intake.backpressure import Overloaded


class Bench:
    """Holders that release when the test sets their event."""

    def __init__(self, share: FairShare) -> None:
        self.share = share
        self.order: list[str] = []

    def hold(self, tenant: str, amount: int, name: str) -> tuple[asyncio.Task[None], asyncio.Event]:
        release = asyncio.Event()

        async def holding() -> None:
            async with self.share.hold(tenant, amount):
                self.order.append(name)
                await release.wait()

        return asyncio.create_task(holding()), release


async def settled() -> None:
    for _ in range(5):
        await asyncio.sleep(0)


async def test_tenants_take_turns() -> None:
    bench = Bench(FairShare(1, 1, 60))
    holders = {f"a{n}": bench.hold("a", 1, f"a{n}") for n in range(3)} | {"b0": bench.hold("b", 1, "b0")}
    for _ in holders:
        await settled()
        _, release = holders[bench.order[-1]]
        release.set()
    await asyncio.gather(*(task for task, _ in holders.values()))
    assert bench.order == ["a0", "b0", "a1", "a2"]


async def test_one_tenant_has_its_share_at_most_but_one_thing_always() -> None:
    bench = Bench(FairShare(10, 5, 60))
    first, release = bench.hold("a", 8, "a0")
    second, _ = bench.hold("a", 1, "a1")
    other, _ = bench.hold("b", 2, "b0")
    await settled()
    assert bench.order == ["a0", "b0"]
    release.set()
    await settled()
    assert bench.order == ["a0", "b0", "a1"]
    for task in (first, second, other):
        task.cancel()
    await asyncio.gather(first, second, other, return_exceptions=True)
    everything, _ = bench.hold("c", 10, "c0")
    await settled()
    assert bench.order[-1] == "c0"  # all was given back
    everything.cancel()


async def test_who_waits_too_long_or_with_too_many_is_told_so() -> None:
    bench = Bench(FairShare(1, 1, 0.01))
    holder, _ = bench.hold("a", 1, "a0")
    await settled()
    with pytest.raises(Overloaded):
        async with bench.share.hold("b", 1):
            pass
    waiting = [bench.hold("b", 1, "b")[0] for _ in range(MOST_WAITING + 1)]
    outcomes = await asyncio.gather(*waiting, return_exceptions=True)
    assert {type(outcome) for outcome in outcomes} == {Overloaded}
    holder.cancel()


async def test_the_loop_is_had_once_a_round() -> None:
    turns, order = LoopTurns(), list[str]()

    async def work(tenant: str) -> None:
        await turns.turn(tenant)
        order.append(tenant)

    async def round_by_round() -> list[int]:
        seen = []
        while len(order) < 4:
            seen.append(len(order))
            await asyncio.sleep(0)
        return seen

    tasks = [asyncio.create_task(work(tenant)) for tenant in ("a", "a", "a", "b")]
    rounds = await round_by_round()
    await asyncio.gather(*tasks)
    assert order == ["a", "a", "b", "a"]
    assert all(later - earlier <= 1 for earlier, later in itertools.pairwise(rounds))
