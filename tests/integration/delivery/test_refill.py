"""All parked mail is fetched again, in batches."""

from collections.abc import Mapping

import msgspec
import pytest

from cluster.journal.journal import Journal
from cluster.journal.scheduling import Lane, Unparked
from tests.integration.delivery.world import DELIVERY, a_world
from tests.integration.journal.builders import a_message

WINDOW = 300
"""One tenant may hold half of it at one site."""
MESSAGES = 1500


async def test_a_lane_is_not_taken_from_by_handfuls(journal: Journal, monkeypatch: pytest.MonkeyPatch) -> None:
    taken: list[int] = []
    lease = journal.scheduling.lease_from_lanes

    async def counted(limits: Mapping[Lane, int], limit: int, *, owner: int, lease_s: float) -> Unparked:
        found = await lease(limits, limit, owner=owner, lease_s=lease_s)
        if found.leased:
            taken.append(len(found.leased))
        return found

    monkeypatch.setattr(journal.scheduling, "lease_from_lanes", counted)
    settings = msgspec.structs.replace(DELIVERY, window=WINDOW)
    async with a_world(journal, settings=settings) as world:
        world.zone("example.com", "127.0.0.1")
        await world.accept(*(a_message(f"user{i}@example.com") for i in range(MESSAGES)))
        await world.scheduler.start()
        await world.arrived(MESSAGES)
        assert len({envelope.rcpt_to for envelope in world.taken}) == MESSAGES
    assert sum(taken) >= MESSAGES - WINDOW
    # A lane is fetched from when half of the tenant's share here has left, or when little is left in the lane.
    assert sum(count < WINDOW // 4 for count in taken) <= 2, taken
