"""One tenant's backlog does not delay another's mail to the same site."""

from collections.abc import AsyncIterator, Awaitable

import msgspec
import pytest

from cluster.journal.journal import Journal
from cluster.journal.records import NewRequest
from cluster.routing.direct_offers import DirectOffers
from tests.integration.delivery.world import DELIVERY, World, a_world
from tests.integration.journal.builders import a_message, a_request

RATE = 400
BACKLOG = 1500
"""More than the site has room for: the rest is parked, and fetched from its lane."""
SINGLES = 20


@pytest.fixture
async def api_journal(journal_dsn: str) -> AsyncIterator[Journal]:
    """The API process's journal. For a grace period the scheduler leaves its newly accepted mail to its own offers."""
    journal = Journal(journal_dsn, application="api", offer_grace_s=DELIVERY.offer_grace_s)
    await journal.open()
    yield journal
    await journal.close()


async def test_single_mails_pass_a_backlog_at_a_rate_that_it_saturates(journal: Journal, api_journal: Journal) -> None:
    settings = msgspec.structs.replace(DELIVERY, messages_per_s_per_site=RATE, window=500)
    async with a_world(journal, settings=settings) as world:
        world.zone("example.com", "127.0.0.1")
        small = await world.a_tenant("small")
        await world.scheduler.start()
        offers = await offering(world)
        backlog = 0
        waits = []
        for i in range(SINGLES):
            while backlog - len(world.taken) < BACKLOG:
                await world.accept(*(a_message(f"big{i}@example.com") for i in range(BACKLOG // 3)))
                backlog += BACKLOG // 3
            await world.arrived(len(world.taken) + RATE // 20)  # the backlog goes on
            request = a_request(small, a_message(f"small{i}@example.com"), author=world.authors[small])
            before = len(world.taken)
            await accept_and_offer(api_journal, offers, request)
            places = await places_waited(world, before, request.messages[0].to_emails)
            # How many others went before it: at the rate limit, that is how long it waited.
            waits.append(places / RATE)
            assert len(world.taken) < backlog, "the backlog ended before it was tested"
        assert sorted(waits)[int(SINGLES * 0.95) - 1] < 1.0, waits


async def places_waited(world: World, before: int, recipient: tuple[str, ...]) -> int:
    """How many of those that arrived after the first ``before`` came before this one; a second's worth at most."""
    while True:
        since = [envelope.rcpt_to for envelope in world.taken[before : before + RATE]]
        if recipient in since:
            return since.index(recipient)
        if len(since) == RATE:
            return RATE
        await world.arrived(len(world.taken) + 1)


async def offering(world: World) -> DirectOffers:

    async def share(data: bytes) -> Awaitable[bytes]:
        raise AssertionError("nothing here is large enough to share")

    offers = DirectOffers(world.dispatcher, share, 1000)
    world.tasks.spawn("offers", offers.run())
    return offers


async def accept_and_offer(journal: Journal, offers: DirectOffers, request: NewRequest) -> None:
    await journal.intake.accept([request])
    offers([request])
