"""Recipients on suppression lists get no mail, whatever is under way."""

from datetime import UTC, datetime

from cluster.events import Delivered, Dropped
from cluster.journal.journal import Journal
from cluster.journal.suppressions import NewSuppression
from cluster.policy.lifecycle import Status
from cluster.suppression.lists import ALL_SUPPRESSED, SuppressionList
from tests.integration.delivery.world import World, a_world
from tests.integration.journal.builders import a_message


def unsubscribed(world: World, email: str) -> NewSuppression:
    return NewSuppression(
        tenant_id=world.tenant_id, email=email, list=SuppressionList.UNSUBSCRIBES, created_at=datetime.now(UTC)
    )


async def test_a_suppressed_recipient_is_dropped_and_the_others_get_the_message(journal: Journal) -> None:
    async with a_world(journal) as world:
        world.zone("example.com", "127.0.0.1")
        await journal.suppressions.add([unsubscribed(world, "ada@example.com")])
        batch = await journal.batches.create(world.tenant_id)
        both, alone, after = (
            a_message(*emails)
            for emails in [("ada@example.com", "bob@example.com"), ("ada@example.com",), ("eve@example.com",)]
        )
        await world.accept(both, alone, after, batch_id=batch)
        assert (await world.finished(both)).status is Status.DELIVERED
        row = await world.finished(alone)
        assert (row.status, row.error_message, row.retry_count) == (Status.FAILED, ALL_SUPPRESSED, 0)
        await world.finished(after)
        assert sorted(str(r) for m in world.taken for r in m.rcpt_to) == ["bob@example.com", "eve@example.com"]
        (event,) = await world.events_of(alone, 1)
        assert isinstance(event, Dropped)
        assert (event.reason, event.categories, event.batch_id) == ("unsubscribes", ("greetings",), batch)
        by_recipient = {event.recipient: type(event) for event in await world.events_of(both, 2)}
        assert by_recipient == {"ada@example.com": Dropped, "bob@example.com": Delivered}
        counts = await journal.batches.counts(world.tenant_id, batch)
        assert counts is not None
        assert (counts.by_status[Status.DELIVERED], counts.by_status[Status.FAILED]) == (2, 1)
        assert not any(site.in_flight for site in world.deliverer.parts.sites)
        assert len(world.deliverer.parts.held) == 0
