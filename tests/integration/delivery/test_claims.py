"""Claims that miss deliveries whose rows another process has locked."""

from collections.abc import Sequence

import msgspec
import pytest

from cluster.journal.journal import Journal
from cluster.journal.records import Claimed, DueDelivery
from tests.integration.delivery.world import a_world
from tests.integration.journal.builders import a_message


async def test_what_is_offered_again_while_a_claim_misses_it_is_sent_at_once(
    journal: Journal, monkeypatch: pytest.MonkeyPatch
) -> None:
    """The scheduler leases a delivery again, locks its row while it is claimed, and offers it before the claim is
    answered: no other process would look at it before its lease ends."""
    claim = journal.queue.claim
    missed: list[DueDelivery] = []
    async with a_world(journal) as world:

        async def claim_and_miss(wanted: Sequence[DueDelivery], *, owner: int, lease_s: float) -> list[Claimed]:
            if missed:
                return await claim(wanted, owner=owner, lease_s=lease_s)
            missed.extend(wanted)
            answer = await world.deliverer.offer(msgspec.msgpack.encode(list(wanted)), {})
            assert answer.refused == []
            return []

        monkeypatch.setattr(journal.queue, "claim", claim_and_miss)
        world.zone("example.com", "127.0.0.1")
        await world.accept(a_message("ada@example.com"))
        await world.scheduler.start()
        await world.arrived(1)
        assert len(missed) == 1
