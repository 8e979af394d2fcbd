"""Recipients on suppression lists get no mail, whatever is under way."""

import asyncio
from collections.abc import Sequence
from datetime import UTC, datetime

import psycopg
import pytest
from dnslib import MX

from cluster.events import Bounced, Delivered, Dropped
from cluster.journal.journal import Journal
from cluster.journal.records import Claimed, DueDelivery
from cluster.journal.suppressions import NewSuppression
from cluster.policy.lifecycle import Status
from cluster.smtpd.envelope import Behaviour, ServerReply
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


MANY = 5000


async def test_no_unsubscribe_that_was_answered_before_the_claim_is_missed(
    journal: Journal, monkeypatch: pytest.MonkeyPatch
) -> None:
    """A running delivery against the unsubscribes of the same addresses, one by one and a few at a time."""
    emails = [f"u{number}@example.com" for number in range(MANY)]
    answered: dict[str, int] = {}
    """The address, and how many claims had begun when its unsubscribe was answered."""
    claims: dict[str, tuple[int, bool]] = {}
    """The address, which claim had it, and whether it was suppressed."""
    begun = 0
    claim = journal.queue.claim

    async def noted(wanted: Sequence[DueDelivery], *, owner: int, lease_s: float) -> list[Claimed]:
        nonlocal begun
        begun += 1
        number = begun
        claimed = await claim(wanted, owner=owner, lease_s=lease_s)
        claims.update({one.recipient: (number, one.suppression is not None) for one in claimed})
        return claimed

    async def unsubscribe(some: Sequence[str]) -> None:
        for start in range(0, len(some), 10):
            part = some[start : start + 10]
            await journal.suppressions.add([unsubscribed(world, email) for email in part])
            answered.update(dict.fromkeys(part, begun))

    async with a_world(journal) as world:
        world.zone("example.com", "127.0.0.1")
        monkeypatch.setattr(journal.queue, "claim", noted)
        for start in range(0, MANY, 1000):
            await world.accept(*(a_message(email) for email in emails[start : start + 1000]))
        backwards = emails[::-1]
        async with asyncio.TaskGroup() as group:
            for half in (backwards[::2], backwards[1::2]):
                group.create_task(unsubscribe(half))
            group.create_task(world.eventually(lambda: len(claims) == MANY))
        await world.eventually(lambda: sum(one for _, one in claims.values()) + len(world.taken) == MANY)
        sent = {email.strip("<>") for message in world.taken for email in message.rcpt_to}
    assert len(answered) == MANY
    missed = [email for email in sent if answered[email] < claims[email][0]]
    assert missed == []
    assert len(sent) == sum(not suppressed for _, suppressed in claims.values())
    assert 0 < len(sent) < MANY, "a race in which one side always wins shows nothing"


async def never(*_: object, **__: object) -> None:
    await asyncio.Event().wait()


async def test_a_life_that_ends_between_claim_and_drop_leaves_the_drop_to_the_next(
    journal: Journal, monkeypatch: pytest.MonkeyPatch
) -> None:
    async with a_world(journal) as world:
        world.zone("example.com", "127.0.0.1")
        await journal.suppressions.add([unsubscribed(world, "ada@example.com")])
        message = a_message()
        with monkeypatch.context() as patch:
            patch.setattr(journal.queue, "commit", never)
            await world.accept(message)
            claims = world.deliverer.parts.claims
            await world.eventually(lambda: claims.suppressed == 1)
            assert (await world.until(message, Status.SENDING)).error_message is None
            await world.kill()
        await world.restart()
        row = await world.finished(message)
        assert (row.status, row.error_message) == (Status.FAILED, ALL_SUPPRESSED)
        (event,) = await world.events_of(message, 1)
        assert isinstance(event, Dropped)
        assert world.taken == []
