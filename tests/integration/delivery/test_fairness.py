"""One tenant's backlog does not delay another's mail to the same site."""

import asyncio

import msgspec

from actors.dispatch import DirectOffers
from cluster.journal.records import NewRequest
from cluster.journal.store import Journal
from cluster.policy.lifecycle import Status
from tests.integration.delivery.world import DELIVERY, World, a_world
from tests.integration.journal.builders import a_message, a_request

RATE = 400
BACKLOG = 9000
SINGLES = 20


async def test_single_mails_pass_a_backlog_at_a_rate_that_it_saturates(journal: Journal) -> None:
    settings = msgspec.structs.replace(DELIVERY, messages_per_s_per_site=RATE, window=500)
    async with a_world(journal, settings=settings) as world:
        world.zone("example.com", "127.0.0.1")
        small = await journal.create_tenant("small")
        await world.accept(*(a_message(f"big{i}@example.com") for i in range(BACKLOG)))
        await world.scheduler.start()
        await world.arrived(50)
        offers = await offering(world)
        waits = []
        for i in range(SINGLES):
            message = a_message(f"small{i}@example.com")
            before = len(world.taken)
            request = a_request(small, message)
            await accept_and_offer(journal, offers, request)
            while (await journal.message(small, message.id)).status is not Status.DELIVERED:  # type: ignore[union-attr]
                await asyncio.sleep(0.005)
            position = next(i for i, e in enumerate(world.taken) if e.rcpt_to == request.messages[0].to_emails)
            # How many others went before it: at the rate limit, that is how long it waited.
            waits.append((position - before) / RATE)
        assert sorted(waits)[int(SINGLES * 0.95) - 1] < 1.0, waits
        assert len(world.taken) < BACKLOG, "the backlog ended before it was tested"


async def offering(world: World) -> DirectOffers:

    async def share(data: bytes) -> object:
        raise AssertionError("nothing here is large enough to share")

    offers = DirectOffers(world.dispatcher, share, 1000)
    world.tasks.spawn("offers", offers.run())
    return offers


async def accept_and_offer(journal: Journal, offers: DirectOffers, request: NewRequest) -> None:
    request = msgspec.structs.replace(request, events=msgspec.msgpack.encode([]))
    await journal.accept([request])
    offers([request])
