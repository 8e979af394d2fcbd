"""Giving back what may be claimed in this actor's name."""

import asyncio
from collections.abc import Sequence
from types import SimpleNamespace
from typing import cast

from actors.delivery.giving_back import GivingBack
from actors.delivery.held import HeldDeliveries, Key, key_of
from actors.delivery.ownership import Ownership
from cluster.journal.journal import Journal
from tests.unit.delivery.builders import waiting


class SlowJournal:
    """Answers each unclaim when it is told to."""

    def __init__(self) -> None:
        self.asked: list[Sequence[Key]] = []
        self.answers: list[asyncio.Future[int]] = []
        self.queue = SimpleNamespace(unclaim=self._unclaim)

    async def _unclaim(self, keys: Sequence[Key], *, owner: int) -> int:
        self.asked.append(sorted(keys))
        self.answers.append(asyncio.get_running_loop().create_future())
        return await self.answers[-1]


async def soon() -> None:
    for _ in range(5):
        await asyncio.sleep(0)


async def test_what_was_given_back_is_not_given_back_once_more_while_it_may_be_claimed_again() -> None:
    journal, held = SlowJournal(), HeldDeliveries(100)
    back = GivingBack(cast(Journal, journal), cast(Ownership, SimpleNamespace(epoch=7)), held)
    one, two = waiting(1), waiting(2)
    for delivery in (one, two):
        held.add(key_of(delivery), delivery.tenant_id)
    back.doubt([one])
    by_heartbeat = asyncio.create_task(back.doubtful())
    await soon()
    back.doubt([two])
    by_upkeep = asyncio.create_task(back.doubtful())
    await soon()
    assert journal.asked == [[key_of(one)]], "the second waits, as it would ask for the first one again"
    journal.answers[0].set_result(1)
    await soon()
    assert key_of(one) not in held and key_of(two) in held
    assert journal.asked == [[key_of(one)], [key_of(two)]]
    journal.answers[1].set_result(1)
    await asyncio.gather(by_heartbeat, by_upkeep)
    assert len(held) == 0 and back.unclaimed == 2
