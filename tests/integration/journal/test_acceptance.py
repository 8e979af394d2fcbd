"""The rows of accepted requests: all of a request's data is stored, or nothing."""

from datetime import UTC, datetime, timedelta
from typing import Any

import psycopg
import pytest
from msgspec.structs import replace

from cluster.events import Dropped, Processed, decode_batch
from cluster.ids import is_id
from cluster.journal.ending import CANCELLED, Ended
from cluster.journal.journal import Journal, Rejected
from cluster.journal.records import NewRequest
from cluster.policy.lifecycle import Status
from tests.integration.journal.builders import a_message, a_request, a_tenant, dropped

ODD = ('"quo\\"ted, {braces}"@example.com', "back\\slash@example.com", "NULL@example.com", "björn@bücher.example")


async def stored(dsn: str, query: str) -> list[tuple[Any, ...]]:
    async with await psycopg.AsyncConnection.connect(dsn) as connection:
        return await (await connection.execute(query.encode())).fetchall()


async def test_requests_of_a_commit_keep_what_is_their_own(journal: Journal, journal_dsn: str) -> None:
    first, second = await a_tenant(journal, "first"), await a_tenant(journal, "second")
    later = datetime.now(UTC).replace(microsecond=123_457) + timedelta(hours=1)
    requests = [
        replace(a_request(first, a_message("a@one.example", "b@two.example"), a_message()), pool="fast"),
        replace(a_request(second, replace(a_message(send_at=later), subject="Later")), template_id="d-1"),
    ]
    await journal.intake.accept(requests)
    assert await stored(
        journal_dsn, "SELECT id, tenant_id, created_at, template_id, content, pool FROM requests ORDER BY id"
    ) == [(r.id, r.tenant_id, r.created_at, r.template_id, r.content, r.pool) for r in requests]
    assert await stored(
        journal_dsn,
        "SELECT id, tenant_id, request_id, created_at, send_at, from_email, to_emails, subject, personal "
        "FROM messages ORDER BY id",
    ) == [
        (
            m.id,
            r.tenant_id,
            r.id,
            r.created_at,
            m.send_at,
            m.from_email,
            list(m.to_emails),
            m.subject,
            m.personalization,
        )
        for r in requests
        for m in r.messages
    ]
    assert await stored(
        journal_dsn,
        "SELECT message_id, recipient_no, tenant_id, domain, recipient, due_at, expires_at, alone, pool, status::text "
        "FROM deliveries ORDER BY message_id, recipient_no",
    ) == [
        # Without a grace, what is not for later is due when it was accepted.
        (
            m.id,
            n,
            r.tenant_id,
            to.domain,
            to.email,
            m.send_at or r.created_at,
            m.expires_at,
            n_of == 1,
            r.pool,
            "queued",
        )
        for r in requests
        for m in r.messages
        for n_of in (len(m.recipients),)
        for n, to in enumerate(m.recipients)
    ]
    rows = [decode_batch(row) for (row,) in await stored(journal_dsn, "SELECT events FROM event_log ORDER BY id")]
    assert [[replace(event, id="") for event in row] for row in rows] == [
        [
            Processed(
                id="",
                at=r.created_at.timestamp(),
                tenant_id=r.tenant_id,
                message_id=m.id,
                recipient=to.email,
                categories=r.categories,
            )
            for m in r.messages
            for to in m.recipients
        ]
        for r in requests
    ]
    ids = [event.id for row in rows for event in row]
    assert len(set(ids)) == len(ids) and all(is_id("evt_", id) for id in ids)


async def test_texts_that_arrays_quote_are_stored_as_they_are(journal: Journal, journal_dsn: str) -> None:
    tenant = await a_tenant(journal)
    categories = ("", 'a "quoted" one', "{a,b}", "back\\slash", "two\nlines", "NULL")
    await journal.intake.accept([replace(a_request(tenant, a_message(*ODD)), categories=categories)])
    assert await stored(journal_dsn, "SELECT categories FROM requests") == [(list(categories),)]
    assert await stored(journal_dsn, "SELECT to_emails FROM messages") == [(list(ODD),)]
    assert await stored(journal_dsn, "SELECT recipient FROM deliveries ORDER BY recipient_no") == [(e,) for e in ODD]


async def test_a_commit_of_every_kind_of_request(journal: Journal, journal_dsn: str) -> None:
    """Some of them take more than the one statement."""
    tenant = await a_tenant(journal)
    paused, cancelled = await journal.batches.create(tenant), await journal.batches.create(tenant)
    await journal.scheduled_sends.schedule(tenant, paused, "pause")
    await journal.scheduled_sends.schedule(tenant, cancelled, "cancel")
    plain, waits, over = a_request(tenant), a_request(tenant, batch_id=paused), a_request(tenant, batch_id=cancelled)
    sandboxed = a_request(tenant, a_message(sandbox=True), batch_id=paused)
    filed = replace(a_request(tenant), attachments={b"\1" * 32: b"one", b"\2" * 32: b"two"})
    requests = [over, plain, waits, sandboxed, filed]
    await journal.intake.accept(requests)

    assert [await status(journal, request) for request in requests] == [
        Status.CANCELLED,
        Status.QUEUED,
        Status.QUEUED,
        Status.SANDBOX,
        Status.QUEUED,
    ]
    assert await stored(journal_dsn, "SELECT message_id FROM deliveries WHERE paused_due_at IS NOT NULL") == [
        (waits.messages[0].id,)
    ]
    assert await stored(journal_dsn, "SELECT content FROM attachments ORDER BY sha256") == [(b"one",), (b"two",)]
    rows = [decode_batch(row) for (row,) in await stored(journal_dsn, "SELECT events FROM event_log ORDER BY id")]
    assert [[(type(event), event.message_id, event.batch_id) for event in row] for row in rows] == [
        *([(Processed, request.messages[0].id, request.batch_id)] for request in (over, plain, waits, filed)),
        [(Dropped, over.messages[0].id, cancelled)],
    ]
    assert await dropped(journal, CANCELLED) == [
        Ended(tenant, over.messages[0].id, "ada@example.com", cancelled, ("greetings",))
    ]
    counts = await journal.batches.counts(tenant, paused)
    assert counts is not None
    assert (counts.total, counts.by_status[Status.QUEUED], counts.by_status[Status.SANDBOX]) == (2, 1, 1)


@pytest.mark.parametrize("in_batch", [False, True])
async def test_what_is_rejected_leaves_nothing(journal: Journal, journal_dsn: str, in_batch: bool) -> None:
    tenant = await a_tenant(journal)
    batch_id = await journal.batches.create(tenant) if in_batch else None
    twice = a_message()
    with pytest.raises(Rejected):
        await journal.intake.accept([a_request(tenant), a_request(tenant, twice, twice, batch_id=batch_id)])
    for table in ("requests", "messages", "deliveries", "event_log", "batch_tallies"):
        assert await stored(journal_dsn, f"SELECT count(*) FROM {table}") == [(0,)]


async def status(journal: Journal, request: NewRequest) -> Status:
    row = await journal.messages.find(request.tenant_id, request.messages[0].id)
    assert row is not None
    return row.status
