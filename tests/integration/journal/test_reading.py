"""Messages, batches, accounts and the event log, against a real Postgres."""

import asyncio
from datetime import UTC, datetime

import psycopg
import pytest
from msgspec.structs import replace

from cluster.events import decode_batch
from cluster.journal import database
from cluster.journal.ending import Ended
from cluster.journal.journal import Journal, TookTooLong, Unavailable, migrate
from cluster.journal.message_filter import MessageFilter
from cluster.journal.messages import WHOLE_BYTES
from cluster.journal.records import (
    Address,
    BodyPart,
    Content,
    DueDelivery,
    PreparedPersonalization,
    decode_content,
    decode_personalization,
    encode,
)
from cluster.journal.statements import QUERIES
from cluster.policy.lifecycle import FINISHED, UNFINISHED, Status, fold
from cluster.tenancy.domains.domain import Held
from tests.domains import a_domain
from tests.integration.journal.builders import a_message, a_request, a_tenant, dropped


async def test_a_batch_sums_at_every_moment(journal: Journal) -> None:
    tenant = await a_tenant(journal)
    batch = await journal.batches.create(tenant)
    assert await journal.batches.exists(tenant, batch)
    messages = [a_message() for _ in range(5)]
    await journal.intake.accept([a_request(tenant, *messages, a_message(sandbox=True), batch_id=batch)])
    await journal.queue.claim([DueDelivery(messages[0].id, 0, tenant, "example.com")], owner=1, lease_s=60)
    await journal.commands.cancel(tenant, messages[1].id)
    counts = await journal.batches.counts(tenant, batch)
    assert counts is not None
    assert counts.total == sum(counts.by_status.values()) == 6
    assert {s: n for s, n in counts.by_status.items() if n} == {
        Status.QUEUED: 3,
        Status.SENDING: 1,
        Status.CANCELLED: 1,
        Status.SANDBOX: 1,
    }
    assert counts.completed_at is None


async def test_a_batch_belongs_to_its_tenant(journal: Journal) -> None:
    tenant, other = await a_tenant(journal), await a_tenant(journal, "other")
    batch = await journal.batches.create(tenant)
    assert not await journal.batches.exists(other, batch)
    assert await journal.batches.counts(other, batch) is None


async def test_an_empty_batch_is_not_complete(journal: Journal) -> None:
    tenant = await a_tenant(journal)
    counts = await journal.batches.counts(tenant, await journal.batches.create(tenant))
    assert counts is not None
    assert (counts.total, counts.completed_at) == (0, None)


async def test_cancel_is_answered_once_and_truly(journal: Journal) -> None:
    tenant = await a_tenant(journal)
    batch = await journal.batches.create(tenant)
    message = a_message("ada@example.com", "audit@example.com")
    await journal.intake.accept([a_request(tenant, message, batch_id=batch)])
    first = await journal.commands.cancel(tenant, message.id)
    assert first is not None and first.cancelled
    assert await journal.queue.claim([DueDelivery(message.id, 0, tenant, "example.com")], owner=1, lease_s=60) == []
    again = await journal.commands.cancel(tenant, message.id)
    assert again is not None
    assert (again.cancelled, again.status) == (False, Status.CANCELLED)
    assert await journal.commands.cancel(tenant, "msg_unknown") is None
    assert await dropped(journal, "Cancelled before delivery") == [
        Ended(tenant, message.id, email, batch, ("greetings",)) for email in ("ada@example.com", "audit@example.com")
    ]


FILTERS = [
    (MessageFilter(tenant_id="", to_email="ada@example.com"), 2),
    (MessageFilter(tenant_id="", to_email="ADA@Example.COM"), 2),
    (MessageFilter(tenant_id="", from_email="Hello@MAIL.example.com"), 3),
    (MessageFilter(tenant_id="", from_email="hello@example.com"), 0),
    (MessageFilter(tenant_id="", to_email="nobody@example.com"), 0),
    (MessageFilter(tenant_id="", subject="WELC"), 3),
    (MessageFilter(tenant_id="", subject="100%"), 0),
    (MessageFilter(tenant_id="", category="greetings"), 3),
    (MessageFilter(tenant_id="", template_id="d-none"), 0),
    (MessageFilter(tenant_id="", statuses=(Status.QUEUED,)), 2),
    (MessageFilter(tenant_id="", statuses=(Status.CANCELLED,)), 1),
    (MessageFilter(tenant_id="", statuses=(Status.RENDERED,)), 0),
    (MessageFilter(tenant_id="", statuses=(Status.RENDERED, Status.CANCELLED)), 1),
    (MessageFilter(tenant_id="", statuses=(Status.QUEUED, Status.PROCESSING, Status.CANCELLED)), 3),
    (MessageFilter(tenant_id="", sends_by=datetime(2000, 1, 1, tzinfo=UTC)), 3),
    (MessageFilter(tenant_id="", sends_after=datetime(2000, 1, 1, tzinfo=UTC)), 0),
]


@pytest.mark.parametrize(("filter", "expected"), FILTERS)
async def test_the_list_filters(journal: Journal, filter: MessageFilter, expected: int) -> None:
    tenant = await a_tenant(journal)
    messages = [a_message(), a_message(), a_message("bob@example.org")]
    await journal.intake.accept([a_request(tenant, *messages)])
    await journal.commands.cancel(tenant, messages[2].id)
    page = await journal.messages.page(replace(filter, tenant_id=tenant), 25, 0)
    assert (len(page.messages), page.total, page.total_is_exact) == (expected, expected, True)


SPELLINGS = ["é.Ada@bücher.example", "é.ada@BÜCHER.example", "é.ADA@xn--bcher-kva.example"]


@pytest.mark.parametrize("spelling", SPELLINGS)
async def test_an_address_is_found_however_its_domain_is_spelled(journal: Journal, spelling: str) -> None:
    """Also in what was accepted by versions that kept the domain as it was written."""
    tenant = await a_tenant(journal)
    messages = [a_message("x@example.org", email) for email in (*SPELLINGS[::2], "é.Ada@Bücher.example")]
    messages = [replace(message, from_email=message.to_emails[1]) for message in messages]
    await journal.intake.accept([a_request(tenant, a_message(), *messages)])
    for asked in (
        MessageFilter(tenant_id=tenant, to_email=spelling),
        MessageFilter(tenant_id=tenant, from_email=spelling),
    ):
        page = await journal.messages.page(asked, 25, 0)
        assert {row.id for row in page.messages} == {message.id for message in messages}


async def test_the_list_is_newest_first_and_pages_by_key(journal: Journal) -> None:
    tenant = await a_tenant(journal)
    messages = [a_message() for _ in range(5)]
    await journal.intake.accept([a_request(tenant, *messages)])
    newest_first = [m.id for m in reversed(messages)]
    filter = MessageFilter(tenant_id=tenant)
    assert [m.id for m in (await journal.messages.page(filter, 2, 1)).messages] == newest_first[1:3]
    after = replace(filter, after=newest_first[2])
    assert [m.id for m in (await journal.messages.page(after, 25, 0)).messages] == newest_first[3:]


async def test_the_log_is_read_once_in_order_and_never_past_a_running_transaction(
    journal: Journal, journal_dsn: str
) -> None:
    tenant = await a_tenant(journal)
    async with await psycopg.AsyncConnection.connect(journal_dsn) as slow:
        # An older transaction, still running, may yet append: nothing after it may be read.
        await slow.execute("INSERT INTO event_log (events) VALUES ('slow')")
        request = a_request(tenant)
        await journal.intake.accept([request])
        assert await journal.event_log.after("recorder", 10) == []
        await slow.commit()
    page = await journal.event_log.after("recorder", 10)
    assert [row.events for row in page[:-1]] == [b"slow"]
    assert [event.message_id for event in decode_batch(page[-1].events)] == request.message_ids
    await journal.event_log.move_cursor("recorder", page[0].tx, page[0].id)
    assert await journal.event_log.after("recorder", 10) == page[1:]
    await journal.event_log.move_cursor("recorder", 0, 0)
    assert await journal.event_log.after("recorder", 10) == page[1:]
    assert await journal.event_log.trim() == 1


@pytest.mark.parametrize(
    ("limit", "most_bytes", "read"),
    [(10, 100, 4), (3, 100, 3), (10, 12, 3), (10, 11, 2), (10, 1, 1), (10, 10, 1)],
)
async def test_a_page_of_the_log_ends_with_the_row_that_makes_it_large_enough(
    journal: Journal, journal_dsn: str, limit: int, most_bytes: int, read: int
) -> None:
    rows = [b"x" * 10, b"y", b"z" * 5, b"w"]
    async with await psycopg.AsyncConnection.connect(journal_dsn, autocommit=True) as connection:
        for row in rows:
            await connection.execute("INSERT INTO event_log (events) VALUES (%s)", [row])
    page = await journal.event_log.after("recorder", limit, most_bytes)
    assert [row.events for row in page] == rows[:read]


async def test_a_domain_and_its_key(journal: Journal) -> None:
    tenant = await a_tenant(journal)
    key = {"selector": "s1", "public_key": "MIIB", "sealed_private_key": b"sealed"}
    await a_domain(journal, tenant, "mail.example.com", verified=True, **key)  # type: ignore[arg-type]
    assert await journal.sender_domains.signing(tenant, "example.com") is None
    stored = await journal.sender_domains.signing(tenant, "mail.example.com")
    assert stored is not None and [key.sealed_private_key for key in stored.keys] == [b"sealed"]
    with pytest.raises(Held):
        await a_domain(journal, tenant, "mail.example.com", verified=True, **key)  # type: ignore[arg-type]


async def test_migrating_twice_and_at_once_runs_each_script_once(journal_dsn: str) -> None:
    ran = await asyncio.gather(migrate(journal_dsn), migrate(journal_dsn))
    assert list(ran) == [[], []]


async def test_an_unreachable_postgres_is_unavailable() -> None:
    journal = Journal("host=/nonexistent", application="test", max_wait_s=0.2)
    with pytest.raises(Unavailable):
        await journal.open()
    await journal.close()


async def test_the_enum_in_sql_is_in_the_order_of_the_fold(journal_dsn: str) -> None:
    async with await psycopg.AsyncConnection.connect(journal_dsn) as connection:
        cursor = await connection.execute("SELECT unnest(enum_range(NULL::delivery_status))::text")
        in_sql = [Status(label) for (label,) in await cursor.fetchall()]
    assert set(in_sql) == set(Status) == {*UNFINISHED, *FINISHED}
    for i, status in enumerate(in_sql):
        assert all(fold([status, other]) is status for other in in_sql[i:])


async def test_every_statement_can_be_prepared(journal_dsn: str) -> None:
    """A typing error in a statement that no other test runs would show here."""
    async with await psycopg.AsyncConnection.connect(journal_dsn, autocommit=True) as connection:
        for name, query in QUERIES.items():
            parameters = dict.fromkeys(_parameters(query))
            query = query.replace("{where}", "true")
            async with connection.transaction(force_rollback=True):
                try:
                    await connection.execute(query.encode(), parameters)
                except psycopg.errors.IntegrityError:
                    pass
                except psycopg.Error as error:
                    raise AssertionError(name) from error


def _parameters(query: str) -> set[str]:
    import re

    return set(re.findall(r"%\((\w+)\)s", query))


async def test_a_list_has_what_it_shows_of_long_messages_and_no_more(journal: Journal) -> None:
    tenant = await a_tenant(journal)
    address = Address("hello@mail.example.com", "Acme")
    content = Content(
        from_=address, subject="Hi -a-", parts=(BodyPart("text/plain", "x" * WHOLE_BYTES),), categories=("news",)
    )
    personalization = PreparedPersonalization(
        to=(Address("ada@example.com"),),
        substitutions={"-a-": "Ada"},
        template_data=b'{"b":"%b"}' % (b"y" * WHOLE_BYTES),
    )
    request = replace(
        a_request(tenant, a_message(personalization=personalization), a_message()), content=encode(content)
    )
    await journal.intake.accept([request])
    page = await journal.messages.page(MessageFilter(tenant_id=tenant), 25, 0)
    assert [row.id for row in page.messages] == [message.id for message in reversed(request.messages)]
    for row in page.messages:
        assert len(row.content) + len(row.personalization) < 1000
        assert decode_content(row.content) == Content(from_=address, subject="Hi -a-", categories=("news",))
    assert decode_personalization(page.messages[1].personalization) == replace(personalization, template_data=b"")
    whole = await journal.messages.find(tenant, request.messages[0].id)
    assert whole is not None
    assert (whole.content, whole.personalization) == (request.content, request.messages[0].personalization)


async def test_a_search_that_takes_too_long_is_ended(
    journal: Journal, journal_dsn: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(database, "LONGEST_SEARCH_S", 0.05)
    tenant = await a_tenant(journal)
    async with await psycopg.AsyncConnection.connect(journal_dsn) as other:
        await other.execute("LOCK TABLE outcomes")
        with pytest.raises(TookTooLong):
            await journal.messages.page(MessageFilter(tenant_id=tenant), 25, 0)
    assert (await journal.messages.page(MessageFilter(tenant_id=tenant), 25, 0)).total == 0
