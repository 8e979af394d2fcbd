"""When a batch will be done, told while it is sent, against the time that it took."""

import asyncio
import time
from collections.abc import Sequence
from itertools import count
from typing import Any

import pytest
from msgspec.structs import replace

from actors.sampling.sampler import Sampler
from analytics.samples import Sample, SiteSample
from cluster.journal.journal import Journal
from cluster.journal.records import BatchCounts
from cluster.peers import PeerGone
from cluster.policy.limits.binding import Bound
from cluster.routing.estimating import CannotTell, Estimating
from cluster.routing.views import BatchEstimate
from cluster.smtpd.envelope import Answer, Behaviour, ServerReply
from tests.integration.delivery.receiver import receiving
from tests.integration.delivery.world import DELIVERY, World, a_world
from tests.integration.journal.builders import a_message

RATE = 25.0
SLOW, SLOW_S = "127.0.0.11", 0.3


class Estimates:
    """Samples a world every second, as the recorder does every ten."""

    def __init__(self, world: World) -> None:
        self._world = world
        deps = world.deliverer.deps
        self.sampler = Sampler(world.journal, self._call, self._store, every_s=1)
        asked = count(0, 10)
        # An estimate is not told again here: the clock jumps.
        self._estimating = Estimating(
            world.journal, deps.router, deps.active_policy, self._ask, clock=lambda: float(next(asked))
        )

    async def _call(self, actor: str, method: str, *arguments: Any) -> Any:
        if actor == "supervisor":
            raise PeerGone(actor, "there is none here")
        return await self._world.call(actor, method, *arguments)

    async def _store(self, sites: Sequence[SiteSample], whole: Sample) -> None:
        pass

    async def _ask(self, method: str, *arguments: Any) -> Any:
        assert method == "standings"
        return self.sampler.standings(*arguments)

    async def counts(self, batch_id: str) -> BatchCounts:
        counts = await self._world.journal.batches.counts(self._world.tenant_id, batch_id)
        assert counts is not None
        return counts

    async def of(self, batch_id: str) -> BatchEstimate:
        return await self._estimating.estimate(self._world.tenant_id, await self.counts(batch_id))

    async def unknown(self, batch_id: str) -> str:
        with pytest.raises(CannotTell) as caught:
            await self.of(batch_id)
        return caught.value.reason


async def accepted(world: World, count: int) -> str:
    """A batch of so many messages."""
    batch_id = await world.journal.batches.create(world.tenant_id)
    messages = [a_message(f"user{number}@example.com") for number in range(count)]
    await world.accept(*messages, batch_id=batch_id)
    return batch_id


async def ended(world: World, batch_id: str) -> float:
    """When the batch is done, in seconds since the epoch."""

    async def is_done() -> bool:
        counts = await world.journal.batches.counts(world.tenant_id, batch_id)
        return counts is not None and counts.completed_at is not None

    await world.eventually(is_done)
    return time.time()


def assert_holds(found: BatchEstimate, end: float) -> None:
    """The earliest is not just any moment before, and the latest none far away."""
    assert found.earliest_at is not None and found.latest_at is not None
    # Moments are told to the second.
    assert found.earliest_at.timestamp() - 1 <= end <= found.latest_at.timestamp() + 1, (found, end)


async def test_by_a_message_rate(journal: Journal) -> None:
    settings = replace(DELIVERY, messages_per_s_per_site=RATE)
    async with a_world(journal, settings=settings) as world:
        world.zone("example.com", "127.0.0.1")
        estimates = Estimates(world)
        batch_id = await accepted(world, 200)
        told = time.time()
        before = await estimates.of(batch_id)
        assert before.earliest_at is not None
        assert before.earliest_at.timestamp() - told >= 200 / RATE - 1.5, "no limit is exceeded"
        ending = asyncio.ensure_future(ended(world, batch_id))
        await sampled(estimates, 3)
        later = await estimates.of(batch_id)
        end = await ending
        assert_holds(before, end)
        assert_holds(later, end)
        (site,) = later.sites
        assert (site.binds, later.not_estimated) == (Bound.MESSAGE_RATE, 0)
        assert site.said.startswith(f"{site.site}: 25 messages/s: ")
        assert await estimates.unknown(batch_id) == "it is complete"


async def sampled(estimates: Estimates, times: int) -> None:
    for _ in range(times):
        await asyncio.sleep(1)
        await estimates.sampler.sample()


async def test_by_connections(journal: Journal) -> None:
    settings = replace(DELIVERY, connections_per_site=4, connection_idle_s=5.0)
    async with a_world(journal, settings=settings) as world, receiving(world.port, SLOW, delay_s=SLOW_S):
        world.zone("example.com", SLOW)
        estimates = Estimates(world)
        batch_id = await accepted(world, 120)
        assert "nothing has been sent there lately" in await estimates.unknown(batch_id)
        ending = asyncio.ensure_future(ended(world, batch_id))
        await sampled(estimates, 4)
        found = await estimates.of(batch_id)
        end = await ending
        assert_holds(found, end)
        (site,) = found.sites
        assert (site.binds, site.said.split(": ")[1]) == (Bound.CONNECTIONS, "4 connections")


async def test_with_hosts_that_put_off_what_is_new(journal: Journal) -> None:
    seen: set[str] = set()

    def greylists(path: str) -> Answer:
        if path in seen:
            return None
        seen.add(path)
        return ServerReply(450, "4.7.1 come back later")

    settings = replace(DELIVERY, messages_per_s_per_site=RATE, retry_schedule_s=(2.0,))
    async with a_world(journal, Behaviour(rcpt=greylists), settings=settings) as world:
        world.zone("example.com", "127.0.0.1")
        estimates = Estimates(world)
        batch_id = await accepted(world, 60)
        ending = asyncio.ensure_future(ended(world, batch_id))
        await sampled(estimates, 1)
        found = await estimates.of(batch_id)
        assert_holds(found, await ending)


async def test_a_batch_that_is_paused_or_scheduled(journal: Journal) -> None:
    settings = replace(DELIVERY, messages_per_s_per_site=RATE)
    async with a_world(journal, settings=settings) as world:
        batch_id = await journal.batches.create(world.tenant_id)
        assert await Estimates(world).unknown(batch_id) == "it has no messages yet"
        batch_id = await accepted(world, 5)
        await journal.scheduled_sends.schedule(world.tenant_id, batch_id, "pause")
        assert "paused" in await Estimates(world).unknown(batch_id)
