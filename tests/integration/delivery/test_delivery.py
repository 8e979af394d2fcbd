"""From the journal to the wire and back: what peers and DNS do, and the outcome of the message."""

import asyncio
from collections.abc import Callable
from datetime import UTC, datetime, timedelta

import msgspec
import pytest
from dnslib import MX, RCODE
from psycopg import AsyncConnection

from actors.delivery.ownership import Superseded
from cluster.events import Bounced, Deferred, Delivered, Dropped
from cluster.journal.journal import Journal
from cluster.journal.records import Address, DueDelivery, PreparedPersonalization
from cluster.message.dsn import Dsn
from cluster.message.return_address import Named, Purpose, read_return_address
from cluster.policy.lifecycle import Status
from cluster.policy.routes.mx import FAILURE_TTL_S
from cluster.routing.offer import OfferAnswer
from cluster.smtpd.envelope import Answer, Behaviour, Extension, ServerAction, ServerOptions, ServerReply
from cluster.smtpd.server import SmtpServer
from cluster.tracking.tokens import keys_by_id
from tests.integration.delivery.world import DELIVERY, World, a_world
from tests.integration.journal.builders import a_message
from tests.tracking import A_KEY


def first(*answers: Answer) -> Callable[..., Answer]:
    """A hook that gives these answers one after the other, and then the server's own."""
    left = list(answers)
    return lambda *_: left.pop(0) if left else None


async def test_a_message_is_delivered_to_the_mail_exchanger(journal: Journal) -> None:
    async with a_world(journal) as world:
        world.zone("example.com", "127.0.0.1")
        message = a_message("ada@example.com")
        await world.accept(message)
        row = await world.finished(message)
        assert (row.status, row.retry_count, row.error_message) == (Status.DELIVERED, 0, None)
        (envelope,) = world.taken
        assert envelope.rcpt_to == ("ada@example.com",)
        assert read_return_address(envelope.mail_from, keys_by_id([A_KEY])) == Named(
            purpose=Purpose.REPORTS, tenant_number=1, message_id=message.id, recipient_no=0
        )
        assert envelope.mail_from.endswith("@mail.example.com")
        assert f"Message-ID: <{message.id}@mail.example.com>".encode() in envelope.content
        (event,) = await world.events_of(message, 1)
        assert isinstance(event, Delivered)
        assert (event.mx_host, event.mx_ip, event.site) == ("mx0.example.com", "127.0.0.1", "mx0.example.com")
        assert event.smtp_response.startswith("250")
        assert event.categories == ()


async def test_the_next_host_gets_what_the_submitter_said_of_reports(journal: Journal) -> None:
    async with a_world(journal) as world:
        peer = SmtpServer(world.take, ServerOptions(extensions=frozenset(Extension) - {Extension.AUTH}))
        await peer.start("127.0.0.9", world.port)
        world.zone("example.com", "127.0.0.9")
        asked = Dsn(envelope_id="QQ 1", original_recipients={"ada@example.com": "rfc822;old+2Bada@example.net"})
        to = ("Ada@example.com", "bob@example.com")
        own = PreparedPersonalization(to=tuple(map(Address, to)), dsn=asked)
        message = a_message(*to, personalization=own)
        try:
            await world.accept(message)
            assert (await world.finished(message)).status is Status.DELIVERED
        finally:
            await peer.stop(1.0)
        (envelope,) = world.taken
        assert envelope.envelope_id == "QQ 1"
        assert {one.recipient: one.original for one in envelope.dsn} == {
            "Ada@example.com": "rfc822;old+2Bada@example.net",
            "bob@example.com": "rfc822;bob@example.com",
        }


async def test_a_transient_refusal_is_deferred_and_tried_again(journal: Journal) -> None:
    async with a_world(journal, Behaviour(rcpt=first(ServerReply(450, "4.2.0 later")))) as world:
        world.zone("example.com", "127.0.0.1")
        message = a_message()
        await world.accept(message)
        row = await world.finished(message)
        assert (row.status, row.retry_count) == (Status.DELIVERED, 1)
        deferred, delivered = await world.events_of(message, 2)
        assert isinstance(deferred, Deferred) and isinstance(delivered, Delivered)
        assert deferred.smtp_response == "450 4.2.0 later"
        assert deferred.next_attempt_at > deferred.at
        assert (deferred.attempt, delivered.attempt) == (1, 2)


async def test_a_permanent_refusal_bounces(journal: Journal) -> None:
    async with a_world(journal, Behaviour(rcpt=lambda _: ServerReply(550, "5.1.1 no such user"))) as world:
        world.zone("example.com", "127.0.0.1")
        message = a_message()
        await world.accept(message)
        row = await world.finished(message)
        assert (row.status, row.error_message) == (Status.BOUNCED, "550 5.1.1 no such user")
        (event,) = await world.events_of(message, 1)
        assert isinstance(event, Bounced)
        assert (event.bounce_type, event.bounce_class) == ("hard", "bad_mailbox")
        assert event.reason == "550 5.1.1 no such user"


async def test_a_message_past_its_lifetime_is_given_up(journal: Journal) -> None:
    async with a_world(journal, Behaviour(mail=lambda _: ServerReply(451, "4.3.0 busy"))) as world:
        world.zone("example.com", "127.0.0.1")
        message = msgspec.structs.replace(a_message(), expires_at=datetime.now(UTC) + timedelta(seconds=0.3))
        await world.accept(message)
        row = await world.finished(message)
        assert row.status is Status.BOUNCED
        assert row.error_message is not None and row.error_message.startswith("expired after")


@pytest.mark.parametrize("stage", ["greeting", "ehlo", "mail", "rcpt", "end_of_data"])
async def test_a_connection_lost_at_any_stage_is_tried_again(journal: Journal, stage: str) -> None:
    hook = first(ServerAction.DROP)
    async with a_world(journal, Behaviour(**{stage: hook})) as world:
        world.zone("example.com", "127.0.0.1")
        message = a_message()
        await world.accept(message)
        row = await world.until(message, Status.DELIVERED)
        assert row.retry_count == 1
        assert len(world.taken) == 1


async def test_the_next_exchanger_is_tried_when_the_first_is_down(journal: Journal) -> None:
    async with a_world(journal) as world:
        world.zone("example.com", "127.0.0.9", "127.0.0.1")  # no host listens at the first
        message = a_message()
        await world.accept(message)
        assert (await world.finished(message)).status is Status.DELIVERED
        (event,) = await world.events_of(message, 1)
        assert isinstance(event, Delivered)
        assert event.mx_host == "mx1.example.com"


async def test_a_site_that_is_down_defers_and_backs_off(journal: Journal) -> None:
    async with a_world(journal) as world:
        world.zone("example.com", "127.0.0.9")
        message = a_message()
        await world.accept(message)
        row = await world.until(message, Status.QUEUED, Status.PROCESSING, attempts=1)
        assert row.error_message is not None and "connect" in row.error_message


@pytest.mark.parametrize(
    ("name", "expected"),
    [("null.test", "null mx"), ("absent.test", "no such domain")],
)
async def test_a_domain_that_takes_no_mail_bounces(journal: Journal, name: str, expected: str) -> None:
    async with a_world(journal) as world:
        world.dns.zone["null.test", "MX"] = [MX(".", 0)]
        message = a_message(f"ada@{name}")
        await world.accept(message)
        row = await world.finished(message)
        assert (row.status, row.error_message) == (Status.BOUNCED, f"{name}: {expected}")
        (event,) = await world.events_of(message, 1)
        assert isinstance(event, Bounced)
        assert (event.bounce_type, event.bounce_class) == ("hard", "bad_domain")


async def test_a_dns_that_fails_defers(journal: Journal) -> None:
    async with a_world(journal) as world:
        world.zone("example.com", "127.0.0.1")
        world.dns.rcodes["example.com"] = RCODE.SERVFAIL
        message = a_message()
        await world.accept(message)
        (event,) = await _after(world, message)
        assert isinstance(event, Deferred)
        assert "SERVFAIL" in event.reason
        assert event.bounce_class == "dns_failure"


async def test_a_dns_that_is_back_is_asked_again_within_seconds(journal: Journal) -> None:
    async with a_world(journal) as world:
        world.zone("example.com", "127.0.0.1")
        world.dns.rcodes["example.com"] = RCODE.SERVFAIL
        message = a_message()
        await world.accept(message)
        await _after(world, message)
        del world.dns.rcodes["example.com"]
        world.passed_s += FAILURE_TTL_S
        assert (await world.finished(message)).status is Status.DELIVERED


async def _after(world: World, message: object) -> list[object]:
    await world.scheduler.paging.round()
    return list(await world.events_of(message, 1))  # type: ignore[arg-type]


async def test_recipients_at_one_site_share_a_transaction_and_have_outcomes_of_their_own(journal: Journal) -> None:
    def rcpt(path: str) -> Answer:
        return ServerReply(550, "5.1.1 unknown") if "bad" in path else None

    async with a_world(journal, Behaviour(rcpt=rcpt)) as world:
        world.zone("example.com", "127.0.0.1")
        message = a_message("good@example.com", "bad@example.com", "also@example.com")
        await world.accept(message)
        row = await world.finished(message)
        assert row.status is Status.DELIVERED
        (envelope,) = world.taken
        assert set(envelope.rcpt_to) == {"good@example.com", "also@example.com"}
        events = {event.recipient: type(event) for event in await world.events_of(message, 3)}
        assert events == {"good@example.com": Delivered, "also@example.com": Delivered, "bad@example.com": Bounced}


async def test_what_cannot_be_composed_fails_alone(journal: Journal) -> None:
    async with a_world(journal) as world:
        world.zone("example.com", "127.0.0.1")
        evil = a_message(
            personalization=PreparedPersonalization(
                to=(Address("ada@example.com"),), headers={"X-A": "a\r\nBcc: b@c.de"}
            )
        )
        good = a_message()
        await world.accept(evil, good)
        assert (await world.finished(good)).status is Status.DELIVERED
        row = await world.finished(evil)
        assert row.status is Status.FAILED
        assert row.error_message is not None and row.error_message.startswith("cannot be composed")
        (event,) = await world.events_of(evil, 1)
        assert isinstance(event, Dropped)


async def test_connections_are_reused_and_never_more_than_the_limit(journal: Journal) -> None:
    async with a_world(journal) as world:
        world.zone("example.com", "127.0.0.1")
        messages = [a_message(f"u{i}@example.com") for i in range(200)]
        await world.accept(*messages)
        for message in messages:
            assert (await world.finished(message)).status is Status.DELIVERED
        assert len({envelope.rcpt_to for envelope in world.taken}) == len(world.taken) == 200
        assert world.peers[0].totals.connected <= DELIVERY.connections_per_site


async def test_a_connection_is_closed_after_its_number_of_messages(journal: Journal) -> None:
    settings = msgspec.structs.replace(DELIVERY, messages_per_connection=3, connections_per_site=1)
    async with a_world(journal, settings=settings) as world:
        world.zone("example.com", "127.0.0.1")
        messages = [a_message(f"u{i}@example.com") for i in range(7)]
        await world.accept(*messages)
        for message in messages:
            await world.finished(message)
        assert max(envelope.transaction for envelope in world.taken) == 3
        assert len({envelope.session for envelope in world.taken}) == 3


async def test_an_offer_is_bounded_and_harmless_when_repeated(journal: Journal) -> None:
    settings = msgspec.structs.replace(DELIVERY, window=10)
    async with a_world(journal, settings=settings) as world:
        world.dns.silent = True  # so that nothing leaves meanwhile
        deliveries = [DueDelivery(f"msg_{i}", 0, f"tnt_{i % 3}", "example.com") for i in range(20)]
        batch = msgspec.msgpack.encode(deliveries)
        answer = await world.deliverer.offer(batch, {})
        assert isinstance(answer, OfferAnswer)
        taken = set(range(20)) - set(answer.refused)
        assert 0 < len(taken) <= 10
        again = await world.deliverer.offer(batch, {})
        assert set(range(20)) - set(again.refused) >= taken
        assert again.room >= 0


async def test_stopping_gives_back_what_waits(journal: Journal) -> None:
    async with a_world(journal) as world:
        world.dns.silent = True
        message = a_message(send_at=datetime.now(UTC))
        await world.accept(message)
        await world.scheduler.paging.round()
        await world.deliverer.stop()
        assert (await world.deliverer.offer(msgspec.msgpack.encode([DueDelivery("m", 0, "t", "d")]), {})).refused == [0]
        assert await journal.membership.actors(60) == []
        row = await journal.messages.find(world.tenant_id, message.id)
        assert row is not None
        assert row.status in (Status.QUEUED, Status.SENDING)


async def test_stopping_waits_for_the_host_that_has_the_whole_message(journal: Journal) -> None:
    async with a_world(journal, settings=msgspec.structs.replace(DELIVERY, stop_wait_s=30)) as world:
        world.zone("example.com", "127.0.0.1")
        world.reply = asyncio.get_running_loop().create_future()
        message = a_message()
        await world.accept(message)
        await world.scheduler.paging.round()
        await world.arrived(1)
        stopping = asyncio.create_task(world.deliverer.stop())
        await asyncio.sleep(0.2)
        assert not stopping.done()
        assert dict(await world.deliverer.unanswered()) == {"mx0.example.com": 1}
        world.reply.set_result(None)
        await stopping
        row = await journal.messages.find(world.tenant_id, message.id)
        assert row is not None
        assert (row.status, len(world.taken)) == (Status.DELIVERED, 1)
        assert await journal.membership.actors(60) == []


async def test_a_hurried_stop_ends_with_the_message_deferred(journal: Journal) -> None:
    async with a_world(journal, settings=msgspec.structs.replace(DELIVERY, stop_wait_s=30)) as world:
        world.zone("example.com", "127.0.0.1")
        world.reply = asyncio.get_running_loop().create_future()
        message = a_message()
        await world.accept(message)
        await world.scheduler.paging.round()
        await world.arrived(1)
        stopping = asyncio.create_task(world.deliverer.stop())
        await asyncio.sleep(0.1)
        await world.deliverer.hurry()
        async with asyncio.timeout(30):
            await stopping
        row = await journal.messages.find(world.tenant_id, message.id)
        assert row is not None
        assert (row.status, row.retry_count) == (Status.QUEUED, 0)
        assert await journal.membership.actors(60) == []
        world.reply.set_result(None)


async def test_stopping_does_not_wait_for_a_host_that_has_only_a_part(journal: Journal) -> None:
    slow = Behaviour(mail=lambda _: ServerReply(250, "2.1.0 ok", delay_s=3600))
    async with a_world(journal, slow, settings=msgspec.structs.replace(DELIVERY, stop_wait_s=3600)) as world:
        world.zone("example.com", "127.0.0.1")
        message = a_message()
        await world.accept(message)
        await world.until(message, Status.SENDING)
        async with asyncio.timeout(30):
            await world.deliverer.stop()
        row = await journal.messages.find(world.tenant_id, message.id)
        assert row is not None
        assert (row.status, world.taken) == (Status.QUEUED, [])


async def test_a_superseded_life_ends(journal: Journal) -> None:
    async with a_world(journal) as world:
        await journal.membership.register("delivery-0-0", "elsewhere")
        with pytest.raises(Superseded):
            await world.deliverer.parts.heartbeat.beat()
        world.crashes.clear()  # of the heartbeat in the background, if it ran


async def test_a_life_that_ends_in_order_is_not_superseded(journal: Journal) -> None:
    async with a_world(journal) as world:
        await world.deliverer.parts.ownership.retire()
        await world.deliverer.parts.heartbeat.beat()  # it may be under way then


async def test_a_clock_that_jumps_ends_leases_early_and_sends_nothing_twice(journal: Journal, journal_dsn: str) -> None:
    slow = Behaviour(mail=lambda _: ServerReply(250, "2.1.0 ok", delay_s=0.5))
    async with a_world(journal, slow) as world, await AsyncConnection.connect(journal_dsn, autocommit=True) as database:
        world.zone("example.com", "127.0.0.1")
        message = a_message()
        await world.accept(message)
        await world.until(message, Status.SENDING)
        # The effect on every lease when the database's clock jumps by a day.
        await database.execute("UPDATE deliveries SET due_at = due_at - interval '1 day'")
        row = await world.finished(message)
        assert row.status is Status.DELIVERED
        assert len(world.taken) == 1


async def test_a_reply_with_a_long_line_counts_by_its_code(journal: Journal) -> None:
    long = ServerReply(250, "x" * 9000)
    behaviour = Behaviour(mail=lambda _: long, rcpt=lambda _: long, end_of_data=lambda _: long)
    async with a_world(journal, behaviour) as world:
        world.zone("example.com", "127.0.0.1")
        message = a_message()
        await world.accept(message)
        row = await world.finished(message)
        assert (row.status, row.retry_count) == (Status.DELIVERED, 0)
