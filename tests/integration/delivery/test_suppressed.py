"""Recipients on suppression lists get no mail, whatever is under way."""

from datetime import UTC, datetime

import psycopg
from dnslib import MX

from actors.smtpd.envelope import Behaviour, ServerReply
from cluster.events import Bounced, Delivered, Dropped
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


REPLIES = {
    "gone@example.com": "550 5.1.1 No such user",
    "spam@example.com": "550 5.7.1 Blocked for spam",
    "full@example.com": "552 5.2.2 Mailbox full",
}


def refusal(path: str) -> ServerReply | None:
    said = next((said for email, said in REPLIES.items() if email in path), None)
    return None if said is None else ServerReply(int(said[:3]), said[4:])


async def test_bounces_feed_the_lists_with_their_outcome(journal: Journal, journal_dsn: str) -> None:
    behaviour = Behaviour(rcpt=refusal)
    async with a_world(journal, behaviour) as world:
        world.zone("example.com", "127.0.0.1")
        world.dns.zone["null.test", "MX"] = [MX(".", 0)]
        world.dns.zone["ours.test", "MX"] = [MX("absent.test", 0)]
        sole = [*REPLIES, "ada@null.test", "ada@absent.test", "ada@ours.test"]
        messages = [a_message(email) for email in sole]
        several = a_message("Gone@example.com", "spam@example.com", "bob@example.com")
        await world.accept(*messages)
        for message in messages:
            assert (await world.finished(message)).status is Status.BOUNCED, message.to_emails
        with psycopg.connect(journal_dsn) as connection:
            found = connection.execute("SELECT address, list::text, status, rule <> '', reason FROM suppressions")
            assert sorted(found.fetchall()) == [
                ("ada@absent.test", "invalid_emails", "", False, "absent.test: no such domain"),
                ("ada@null.test", "invalid_emails", "", False, "null.test: null mx"),
                ("gone@example.com", "bounces", "5.1.1", True, REPLIES["gone@example.com"]),
                ("spam@example.com", "blocks", "5.7.1", True, REPLIES["spam@example.com"]),
            ]
        await world.accept(several)
        row = await world.finished(several)
        assert row.status is Status.DELIVERED
        events = {event.recipient: event for event in await world.events_of(several, 3)}
        assert isinstance(events["Gone@example.com"], Dropped) and events["Gone@example.com"].reason == "bounces"
        assert isinstance(events["spam@example.com"], Bounced), "blocks suppress nothing"
