"""Thousands of cancels against a delivery that runs: after a 200 no copy reaches the wire, and all others do, once."""

import asyncio
import random
from collections import Counter

import msgspec

from cluster.journal.journal import Journal
from cluster.journal.records import NewMessage
from cluster.policy.lifecycle import Status
from tests.integration.delivery.world import DELIVERY, World, a_world
from tests.integration.journal.builders import a_message

MESSAGES = 2000


async def test_thousands_of_cancels_against_a_running_delivery(journal: Journal) -> None:
    settings = msgspec.structs.replace(DELIVERY, connections_per_site=8)
    async with a_world(journal, settings=settings) as world:
        world.zone("example.com", "127.0.0.1")
        messages = [a_message(f"u{n}@example.com") for n in range(MESSAGES)]
        await world.accept(*messages)
        paging = asyncio.create_task(_page_in(world))
        # In an order of their own, so that they meet every stage.
        order = random.Random(1).sample(messages, MESSAGES)
        cancelled: set[str] = set()

        async def cancel(message: NewMessage) -> None:
            answer = await journal.commands.cancel(world.tenant_id, message.id)
            assert answer is not None
            if answer.cancelled:
                cancelled.add(message.id)

        for first in range(0, MESSAGES, 30):
            await asyncio.gather(*map(cancel, order[first : first + 30]))
        for message in messages:
            row = await world.finished(message)
            assert row.status is (Status.CANCELLED if message.id in cancelled else Status.DELIVERED)
        paging.cancel()
        # Both sides must win some races, or the test proves nothing.
        assert MESSAGES // 20 < len(cancelled) < MESSAGES - MESSAGES // 20
        taken = Counter(envelope.rcpt_to[0] for envelope in world.taken)
        expected = {to for m in messages if m.id not in cancelled for to in m.to_emails}
        assert taken == Counter(expected)


async def _page_in(world: World) -> None:
    while True:
        await world.scheduler.paging.round()
        await asyncio.sleep(0.005)
