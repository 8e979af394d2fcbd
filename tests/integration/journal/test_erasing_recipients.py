"""What there is about a recipient is erased, wherever the process that erases ends, and nothing of another."""

import os
from collections.abc import Sequence
from datetime import UTC, datetime
from typing import Any

import pytest
from msgspec.structs import replace

from cluster.ids import first_id, new_id, new_ids
from cluster.journal.journal import Journal
from cluster.journal.queue_control import UnfinishedDelivery
from cluster.journal.recipient_erasure import Stage
from cluster.journal.records import (
    DueDelivery,
)
from cluster.journal.suppressions import NewSuppression
from cluster.message.mentions import ERASED
from cluster.suppression.lists import SuppressionList
from cluster.tracking.tokens import Recipient as TokenRecipient
from cluster.webhooks.bundles import OwedEvent, bundled, decode_event, split_bundle
from tests.integration.journal.builders import a_message, a_request, a_tenant, some_messages, waiting
from tests.integration.journal.erasing import ADA, BOB, World, finished, ids
from tests.unit.analytics.samples import delivered


@pytest.fixture
def world(journal: Journal, journal_dsn: str) -> World:
    return World(journal, journal_dsn)


async def test_messages_to_the_address_go_and_those_to_others_stay(world: World) -> None:
    tenant, other = await a_tenant(world.journal), await a_tenant(world.journal, "other")
    to_ada, of_other = a_message(ADA), a_message(ADA)
    # As those of one request: made at the same moment.
    both, bob = new_ids("msg_", 2)
    to_both, to_bob = replace(a_message(BOB, ADA), id=both), replace(a_message(BOB), id=bob)
    await finished(world, tenant, to_ada)
    await finished(world, tenant, to_both, to_bob)
    await finished(world, other, of_other)
    shared = some_messages(3)
    shared[1] = replace(shared[1], to_emails=(ADA,))
    await finished(world, tenant, *shared)
    job = await world.ask(tenant, "ADA@example.com")
    await world.to_end(job)
    assert await ids(world) == {to_bob.id, of_other.id, shared[0].id, shared[2].id}
    [(requests,)] = await world.sql("SELECT count(*) FROM requests WHERE tenant_id = %s", tenant)
    assert requests == 2  # that of the first has no message any more
    [(outcomes,)] = await world.sql("SELECT count(*) FROM outcomes WHERE tenant_id = %s", tenant)
    assert outcomes == 3
    state = await world.journal.recipient_erasure.find(tenant, job)
    assert state is not None and state.stage == Stage.DONE and state.finished_at
    assert await world.journal.recipient_erasure.find(other, job) is None
    await world.sql("DELETE FROM messages WHERE tenant_id = %s", other)
    await world.sql("DELETE FROM event_log")
    assert await world.tables_with("ada@example") == set()


async def test_what_was_accepted_later_stays(world: World) -> None:
    tenant = await a_tenant(world.journal)
    before = replace(a_message(ADA), id=first_id("msg_", datetime(2026, 1, 1, tzinfo=UTC)))
    await finished(world, tenant, before)
    job = await world.ask(tenant, ADA)
    await world.sql("UPDATE erase_jobs SET created_at = created_at - interval '2 s'")
    later = a_message(ADA)
    await finished(world, tenant, later)
    await world.to_end(job)
    assert await ids(world) == {later.id}


async def test_what_waits_is_ended_and_what_is_being_sent_is_waited_for(world: World) -> None:
    tenant = await a_tenant(world.journal)
    waits, is_sent = a_message(ADA), a_message(ADA)
    await world.journal.intake.accept([a_request(tenant, waits, is_sent)])
    due = [DueDelivery(is_sent.id, 0, tenant, "example.com")]
    assert len(await world.journal.queue.claim(due, owner=1, lease_s=60)) == 1
    job = await world.ask(tenant, ADA)
    await world.eraser.round()
    assert await world.stage(job) == Stage.JOURNAL
    assert await world.sql("SELECT message_id FROM deliveries") == [(is_sent.id,)]
    await world.journal.queue.unclaim([(is_sent.id, 0)], owner=1)
    await world.to_end(job)
    assert await ids(world) == set()


async def test_other_recipients_of_a_message_still_get_it(world: World) -> None:
    tenant = await a_tenant(world.journal)
    message = a_message(BOB, ADA)
    await world.journal.intake.accept([a_request(tenant, message)])
    job = await world.ask(tenant, ADA)
    await world.eraser.round()
    assert await world.stage(job) == Stage.JOURNAL
    waiting_ones = await world.sql("SELECT recipient FROM deliveries WHERE status = 'queued'")
    assert waiting_ones == [(BOB,)]
    bobs = UnfinishedDelivery(message.id, 0, BOB, tenant, None, "example.com", False, "queued")
    assert await world.journal.queue_control.give_up([bobs], "enough") == 1
    await world.to_end(job)
    assert await ids(world) == set()


async def test_events_are_erased_only_once_the_log_is_read(world: World) -> None:
    tenant = await a_tenant(world.journal)
    await finished(world, tenant, a_message(ADA))
    job = await world.ask(tenant, ADA)
    for _ in range(5):
        await world.eraser.round()
    assert (await world.stage(job), world.asked) == (Stage.BUNDLES, [])
    await world.to_end(job)
    assert [one.addresses for one in world.asked] == [["ada@example.com"]] * 2


async def test_an_erased_address_stays_suppressed(world: World) -> None:
    tenant, other = await a_tenant(world.journal), await a_tenant(world.journal, "other")
    lists = world.journal.suppressions
    entry = NewSuppression(
        tenant_id=tenant,
        email=ADA,
        list=SuppressionList.UNSUBSCRIBES,
        created_at=datetime.now(UTC),
        reason=f"for {ADA}",
    )
    await lists.add([entry, replace(entry, list=SuppressionList.BOUNCES), replace(entry, tenant_id=other)])
    job = await world.ask(tenant, ADA)
    await world.to_end(job)
    [(count,)] = await world.sql(
        "SELECT count(*) FROM suppressions WHERE tenant_id = %s AND address LIKE 'sha256:%%'", tenant
    )
    assert count == 2
    assert (
        await world.sql("SELECT email FROM suppressions WHERE tenant_id = %s AND reason || email <> ''", tenant) == []
    )
    message = a_message("aDA@example.com")
    await world.journal.intake.accept([a_request(tenant, message)])
    (claimed,) = await world.journal.queue.claim(waiting(tenant, message), owner=1, lease_s=60)
    assert claimed.suppression is not None and claimed.suppression.name == "unsubscribes"
    assert await lists.among(tenant, SuppressionList.BOUNCES, [ADA, BOB]) == [ADA]
    found = await lists.entry(tenant, SuppressionList.BOUNCES, ADA)
    assert found is not None and found.email == "ada@example.com"
    assert await lists.lift(tenant, SuppressionList.UNSUBSCRIBES, [ADA]) == 1
    assert await lists.entry(tenant, SuppressionList.UNSUBSCRIBES, ADA) is None
    assert await lists.entry(other, SuppressionList.UNSUBSCRIBES, ADA) is not None
    # Another tenant's hash of the same address is another one.
    await world.to_end(await world.ask(other, ADA))
    hashes = await world.sql("SELECT DISTINCT address FROM suppressions")
    assert len(hashes) == 2


async def test_owed_events_go_out_of_their_bundles(world: World) -> None:
    tenant = await a_tenant(world.journal)
    old = "msg_01HX00000000000000000000AA"
    events = [
        OwedEvent(event=replace(delivered(), tenant_id=tenant, recipient=email, message_id=old))
        for email in (ADA, BOB, ADA)
    ]
    await world.sql(
        "INSERT INTO webhooks (id, tenant_id, dialect, url, events) "
        f"VALUES ('wh_1', '{tenant}', 'postray', 'https://h.example/', '{{*}}')"
    )

    async def owe(*some: OwedEvent) -> None:
        for count, stored in bundled(some):
            await world.sql(
                "INSERT INTO webhook_bundles (webhook_id, events, count) VALUES ('wh_1', %s, %s)", stored, count
            )

    await owe(*events)
    await owe(events[0])
    await owe(events[1])
    await owe(OwedEvent(event=replace(events[1].event, smtp_response=f"250 for {ADA}"), custom_args={"by": ADA}))
    await world.sql("UPDATE webhook_bundles SET lease = 1 WHERE count = 3")
    job = await world.ask(tenant, ADA)
    for _ in range(4):
        await world.read_log()
        await world.eraser.round()
    assert await world.stage(job) == Stage.BUNDLES  # one is being posted
    await world.sql("UPDATE webhook_bundles SET lease = NULL")
    await world.to_end(job)
    left = await world.sql("SELECT events, count FROM webhook_bundles ORDER BY id")
    assert [count for _, count in left] == [1, 1, 1]
    owed = [decode_event(one) for stored, _ in left for one in split_bundle(stored)]
    naming = OwedEvent(event=replace(events[1].event, smtp_response=f"250 for {ERASED}"), custom_args={"by": ERASED})
    assert owed == [events[1], events[1], naming]


MAILS: Sequence[tuple[str, bytes | None, bool]] = (
    ("from the address", None, True),
    ("plain", b"Subject: x\r\n\r\n<ADA@example.com> is gone\r\n", True),
    ("quoted-printable", b"Content-Transfer-Encoding: quoted-printable\r\n\r\nto ada=40example.com\r\n", True),
    ("base64", b"Content-Transfer-Encoding: base64\r\n\r\nYWRhQGV4YW1wbGUuY29tIGlzIGdvbmU=\r\n", True),
    ("another", b"Subject: x\r\n\r\nbob@example.com is gone\r\n", False),
)


async def test_mail_that_came_in_goes_when_it_names_the_address(world: World) -> None:
    tenant = await a_tenant(world.journal)
    for name, original, _ in MAILS:
        sender = ADA if original is None else "mailer-daemon@mx.example"
        await world.sql(
            "INSERT INTO mail_in (at, kind, why, sender, mailbox, size, digest, original) "
            "VALUES (now(), %s, '', %s, '', 1, %s, %s)",
            name,
            sender,
            os.urandom(32),
            original,
        )
    await world.sql(
        "INSERT INTO site_actions (at, source, site, tenant_id, action, detail, reply, made_by) "
        "VALUES (now(), '', 's', '', 'x', '', '550 <ada@example.com> no', 'automation')"
    )
    for subject in ("SELECT 1 WHERE recipient = 'Ada@example.com'", "SELECT 2"):
        await world.sql(
            "INSERT INTO operator_audit (at, operator, address, command, subject, outcome) "
            "VALUES (now(), 'bob', '', 'run SQL', %s, 'done')",
            subject,
        )
    await world.to_end(await world.ask(tenant, ADA))
    assert await world.sql("SELECT subject, outcome FROM operator_audit ORDER BY id") == [
        ("[erased]", "done"),
        ("SELECT 2", "done"),
    ]
    left = {kind for (kind,) in await world.sql("SELECT kind FROM mail_in")}
    assert left == {name for name, _, is_about in MAILS if not is_about}
    assert await world.sql("SELECT reply FROM site_actions") == [("",)]


async def test_delivery_actors_forget_what_is_committed(world: World) -> None:
    tenant = await a_tenant(world.journal)
    for name in ("delivery-0-0", "delivery-0-1"):
        epoch, _ = await world.journal.membership.register(name, "node")
        await world.journal.membership.heartbeat(name, epoch, "", 60)
    await world.journal.membership.drain_node("node")
    await world.sql("UPDATE delivery_actors SET seen_at = now() - interval '1 hour' WHERE name = 'delivery-0-1'")
    world.gone = 1
    await world.to_end(await world.ask(tenant, ADA))
    # One is restarting when it is asked, and asked again; the other does not live.
    assert world.forgotten == ["delivery-0-0"]


async def test_links_of_an_erased_message_tell_nothing_any_more(world: World) -> None:
    tenant = await a_tenant(world.journal)
    message = a_message(ADA)
    await finished(world, tenant, message)
    [(number,)] = await world.sql("SELECT number FROM tenants WHERE id = %s", tenant)
    token = TokenRecipient(tenant_number=number, message_id=message.id, recipient_no=0, email=ADA)
    assert await world.journal.engagement.messages([token]) != [None]
    await world.to_end(await world.ask(tenant, ADA))
    other = replace(token, message_id=new_id("msg_"))
    found = await world.journal.engagement.messages([token, other])
    assert found[0] is None and found[1] is not None


async def test_it_goes_on_wherever_it_was_killed(world: World, monkeypatch: pytest.MonkeyPatch) -> None:
    tenant = await a_tenant(world.journal)
    await finished(world, tenant, a_message(ADA))
    job = await world.ask(tenant, ADA)
    erasure = world.journal.recipient_erasure

    async def killed(*_: Any, **__: Any) -> None:
        raise InterruptedError

    for step in (
        "mail_in",
        "replies",
        "suppressions",
        "begin",
        "search",
        "rewrite",
        "bundles",
        "is_replaying",
        "forget",
        "compact",
        "finish",
    ):
        parts = (world.journal.compaction, world.journal.mention_erasure, erasure)
        monkeypatch.setattr(next(part for part in parts if hasattr(part, step)), step, killed)
        with pytest.raises(InterruptedError):
            await world.to_end(job)
        monkeypatch.undo()
    await world.to_end(job)
    assert await ids(world) == set()
