"""Fanning out: from the event log to what each endpoint is owed."""

import asyncio
from collections.abc import AsyncIterator
from pathlib import Path

import psycopg
import pytest
from msgspec.structs import replace

from actors.webhooks.fanning_out import CONSUMER, FanningOut
from cluster.event_consumer import CannotHandle
from cluster.events import Event, WebhookDisabled, encode_batch, name_of
from cluster.ids import new_id
from cluster.journal.journal import Journal
from cluster.journal.records import NewRequest, Outcome, PreparedPersonalization
from cluster.policy.lifecycle import Status
from cluster.webhooks.bundles import MOST_EVENTS
from cluster.webhooks.endpoints import Dialect
from cluster.webhooks.known import KnownEndpoints
from cluster.webhooks.told import encode_told
from tests.integration.journal.builders import a_message, a_request, a_tenant, with_event
from tests.integration.webhooks.builders import an_endpoint, owed


@pytest.fixture
async def fanning_out(journal: Journal, tmp_path: Path) -> AsyncIterator[FanningOut]:
    yield FanningOut(journal, KnownEndpoints(journal), tmp_path, lambda _: None)


async def caught_up(fanning_out: FanningOut) -> None:
    """Run until the log that there is now is fanned out."""
    await fanning_out.start()
    await fanning_out.stop()
    assert fanning_out.consumer.last_error is None


async def logged(dsn: str, *events: Event | WebhookDisabled) -> None:
    async with await psycopg.AsyncConnection.connect(dsn, autocommit=True) as connection:
        await connection.execute("INSERT INTO event_log (events) VALUES (%s)", [encode_batch(events)])


def ended(request: NewRequest, status: Status = Status.DELIVERED) -> Event:
    outcome = Outcome(tenant_id=request.tenant_id, message_id=request.message_ids[0], recipient_no=0, status=status)
    return replace(with_event(outcome)[1], categories=request.categories)


def a_told_request(tenant_id: str) -> NewRequest:
    request = a_request(
        tenant_id,
        replace(
            a_message("ada@example.com", personalization=PreparedPersonalization(to=())),
            told=encode_told({"order": "17"}, {"message-ID": "<mine@example.com>"}),
        ),
    )
    return replace(request, key_id="key_1", group_id=12, told=encode_told({"order": "0", "shop": "books"}, {}))


async def test_each_event_in_order_with_what_its_message_says(
    journal: Journal, journal_dsn: str, fanning_out: FanningOut
) -> None:
    tenant_id = await a_tenant(journal)
    webhook_id = await an_endpoint(journal, tenant_id)
    request = a_told_request(tenant_id)
    await journal.intake.accept([request])
    await logged(journal_dsn, ended(request))
    await caught_up(fanning_out)
    first, second = await owed(journal_dsn, webhook_id)
    assert [name_of(first.event), name_of(second.event)] == ["processed", "delivered"]
    assert 0 < first.sequence < second.sequence
    assert second.smtp_id == "<mine@example.com>"
    assert second.custom_args == {"order": "17", "shop": "books"}
    assert second.asm_group_id == 12


async def test_a_message_without_anything_to_say(journal: Journal, journal_dsn: str, fanning_out: FanningOut) -> None:
    tenant_id = await a_tenant(journal)
    webhook_id = await an_endpoint(journal, tenant_id)
    request = a_request(tenant_id)
    await journal.intake.accept([request])
    await caught_up(fanning_out)
    (event,) = await owed(journal_dsn, webhook_id)
    assert event.smtp_id == f"<{request.message_ids[0]}@mail.example.com>"
    assert event.custom_args == {}


async def test_a_message_that_is_gone(journal: Journal, journal_dsn: str, fanning_out: FanningOut) -> None:
    tenant_id = await a_tenant(journal)
    webhook_id = await an_endpoint(journal, tenant_id)
    event = ended(a_request(tenant_id))
    await logged(journal_dsn, event)
    await caught_up(fanning_out)
    (found,) = await owed(journal_dsn, webhook_id)
    assert (found.event, found.custom_args, found.smtp_id) == (event, {}, "")


async def test_filters(journal: Journal, journal_dsn: str, fanning_out: FanningOut) -> None:
    tenant_id, other = await a_tenant(journal), await a_tenant(journal, "other")
    by_event = await an_endpoint(journal, tenant_id, events=frozenset(("delivered",)))
    by_category = await an_endpoint(journal, tenant_id, categories=frozenset(("news",)))
    by_key = await an_endpoint(journal, tenant_id, key_ids=frozenset(("key_1",)))
    by_other_key = await an_endpoint(journal, tenant_id, key_ids=frozenset(("key_2",)))
    off = await an_endpoint(journal, tenant_id, is_enabled=False)
    paused = await an_endpoint(journal, tenant_id, is_paused=True)
    of_other = await an_endpoint(journal, other)
    request = a_told_request(tenant_id)
    await journal.intake.accept([request])
    await logged(journal_dsn, ended(request), replace(ended(request, Status.BOUNCED), categories=("news",)))
    await caught_up(fanning_out)
    names = {
        id: [name_of(one.event) for one in await owed(journal_dsn, id)]
        for id in (by_event, by_category, by_key, by_other_key, off, paused, of_other)
    }
    every = ["processed", "delivered", "bounce"]
    assert names == {
        by_event: ["delivered"],
        by_category: ["bounce"],
        by_key: every,
        by_other_key: [],
        off: [],
        paused: every,
        of_other: [],
    }


async def test_what_happens_before_an_endpoint_is_added_is_not_owed(
    journal: Journal, journal_dsn: str, fanning_out: FanningOut
) -> None:
    tenant_id = await a_tenant(journal)
    await journal.intake.accept([a_request(tenant_id)])
    await caught_up(fanning_out)
    webhook_id = await an_endpoint(journal, tenant_id)
    request = a_request(tenant_id)
    await journal.intake.accept([request])
    again = FanningOut(journal, KnownEndpoints(journal), Path("/nowhere"), lambda _: None)
    await caught_up(again)
    (event,) = await owed(journal_dsn, webhook_id)
    assert getattr(event.event, "message_id") == request.message_ids[0]  # noqa: B009 -- of one kind of event only


async def test_a_page_that_is_handled_again_adds_nothing(
    journal: Journal, journal_dsn: str, fanning_out: FanningOut
) -> None:
    tenant_id = await a_tenant(journal)
    webhook_id = await an_endpoint(journal, tenant_id)
    await journal.intake.accept([a_request(tenant_id)])
    await journal.event_log.add_consumer(CONSUMER)
    await fanning_out._prepare()
    await fanning_out._handle(await journal.event_log.after(CONSUMER, 10))
    assert await journal.event_log.after(CONSUMER, 10) == []
    await caught_up(fanning_out)
    assert len(await owed(journal_dsn, webhook_id)) == 1


async def test_of_two_processes_only_the_first_owes_a_page(
    journal: Journal, journal_dsn: str, fanning_out: FanningOut
) -> None:
    tenant_id = await a_tenant(journal)
    webhook_id = await an_endpoint(journal, tenant_id)
    requests = [a_request(tenant_id) for _ in range(3)]
    for request in requests:
        await journal.intake.accept([request])
    await journal.event_log.add_consumer(CONSUMER)
    await fanning_out._prepare()
    part, page = await journal.event_log.after(CONSUMER, 1), await journal.event_log.after(CONSUMER, 10)
    await fanning_out._handle(part)
    for late in (part, page):  # the same rows, and some more
        with pytest.raises(CannotHandle):
            await fanning_out._handle(late)
    assert len(await owed(journal_dsn, webhook_id)) == 1
    await caught_up(fanning_out)
    assert [getattr(one.event, "message_id", "") for one in await owed(journal_dsn, webhook_id)] == [
        request.message_ids[0] for request in requests
    ]


async def test_an_endpoint_that_was_removed_meanwhile(
    journal: Journal, journal_dsn: str, fanning_out: FanningOut
) -> None:
    tenant_id = await a_tenant(journal)
    gone, there = await an_endpoint(journal, tenant_id), await an_endpoint(journal, tenant_id)
    await journal.intake.accept([a_request(tenant_id)])
    await journal.event_log.add_consumer(CONSUMER)
    await fanning_out._prepare()
    assert await journal.webhooks.remove(tenant_id, gone)
    await fanning_out._handle(await journal.event_log.after(CONSUMER, 10))
    assert len(await owed(journal_dsn, there)) == 1


async def test_a_disabled_endpoint_is_told_to_the_others(
    journal: Journal, journal_dsn: str, fanning_out: FanningOut
) -> None:
    tenant_id = await a_tenant(journal)
    disabled = await an_endpoint(journal, tenant_id)
    other = await an_endpoint(journal, tenant_id, events=frozenset(("open",)))
    in_sendgrids = await an_endpoint(journal, tenant_id, dialect=Dialect.SENDGRID)
    event = WebhookDisabled(
        id=new_id("evt_"), at=1.0, tenant_id=tenant_id, webhook_id=disabled, url="https://x.example/", reason="410"
    )
    await logged(journal_dsn, event)
    await caught_up(fanning_out)
    assert [one.event for one in await owed(journal_dsn, other)] == [event]
    assert await owed(journal_dsn, disabled) == await owed(journal_dsn, in_sendgrids) == []


async def test_many_events_come_in_bundles_within_bounds(
    journal: Journal, journal_dsn: str, fanning_out: FanningOut
) -> None:
    tenant_id = await a_tenant(journal)
    webhook_id = await an_endpoint(journal, tenant_id)
    messages = [a_message(f"u{number}@example.com") for number in range(2500)]
    for start in range(0, 2500, 500):
        await journal.intake.accept([a_request(tenant_id, *messages[start : start + 500])])
    await caught_up(fanning_out)
    async with await psycopg.AsyncConnection.connect(journal_dsn) as connection:
        counts = [
            count for (count,) in await (await connection.execute("SELECT count FROM webhook_bundles")).fetchall()
        ]
    assert max(counts) <= MOST_EVENTS
    assert sum(counts) == 2500
    assert len({one.sequence for one in await owed(journal_dsn, webhook_id)}) == 2500


async def test_a_row_that_cannot_be_read_is_put_aside(
    journal: Journal, journal_dsn: str, fanning_out: FanningOut, tmp_path: Path
) -> None:
    tenant_id = await a_tenant(journal)
    webhook_id = await an_endpoint(journal, tenant_id)
    async with await psycopg.AsyncConnection.connect(journal_dsn, autocommit=True) as connection:
        await connection.execute("INSERT INTO event_log (events) VALUES ('\\x91c1')")
    await journal.intake.accept([a_request(tenant_id)])
    await caught_up(fanning_out)
    assert len(await owed(journal_dsn, webhook_id)) == 1
    assert len(await asyncio.to_thread(list, (tmp_path / "rejected" / CONSUMER).iterdir())) == 1


async def test_many_endpoints_that_want_the_same_get_it_in_several_statements(
    journal: Journal, journal_dsn: str, fanning_out: FanningOut, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("cluster.journal.webhook_owing.MOST_INSERTED_BYTES", 2000)
    tenant_id = await a_tenant(journal)
    everything = [await an_endpoint(journal, tenant_id) for _ in range(20)]
    delivered = await an_endpoint(journal, tenant_id, events=frozenset({"delivered"}))
    request = a_request(tenant_id)
    await journal.intake.accept([request])
    await logged(journal_dsn, ended(request))
    await caught_up(fanning_out)
    for webhook_id in everything:
        assert [name_of(one.event) for one in await owed(journal_dsn, webhook_id)] == ["processed", "delivered"]
    assert [name_of(one.event) for one in await owed(journal_dsn, delivered)] == ["delivered"]
