"""Messages and batches in the console: found, shown, and told what to do."""

from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Any

import pytest
from msgspec import structs

from cluster.ids import new_id
from cluster.journal.operator_audit import NEWEST
from cluster.journal.records import Address, NewMessage, PreparedPersonalization
from cluster.policy.lifecycle import Status
from cluster.policy.limits.binding import Bound
from cluster.routing.views import BatchEstimate, SiteOutlook
from tests.browser import needs_chromium
from tests.integration.console.conftest import Console
from tests.integration.console.looking import WIDTHS, look
from tests.integration.journal.builders import a_message, a_request, a_tenant, some_messages, status

EVIL = "</title><script>alert(1)</script>"


async def accepted(console: Console, tenant: str, *messages: NewMessage, batch_id: str | None = None) -> None:
    await console.postray.journal.intake.accept([a_request(tenant, *messages, batch_id=batch_id)])


async def audited(console: Console) -> tuple[str, str, str]:
    (last,) = await console.postray.journal.operator_audit.latest(NEWEST, 1)
    return last.command, last.subject, last.outcome


async def test_a_list_goes_back_by_keys(console: Console, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("api.console.messages.PAGE_SIZE", 2)
    tenant = await a_tenant(console.postray.journal)
    messages = some_messages(3)
    await accepted(console, tenant, *messages)
    first = (await console.http.get("/messages")).text  # the only tenant need not be named
    assert [one.id in first for one in messages] == [False, True, True]
    older = await console.http.get(f"/messages?tenant={tenant}&after={messages[1].id}")
    assert [one.id in older.text for one in messages] == [True, False, False]
    assert f"after={messages[1].id}" in first


async def test_a_search_looks_at_a_part_and_goes_on(console: Console, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("api.console.messages.LOOKED_AT", 2)
    tenant = await a_tenant(console.postray.journal)
    messages = some_messages(5)
    await accepted(console, tenant, *messages)
    wanted = messages[1].to_emails[0]
    pages = [(await console.http.get(f"/messages?tenant={tenant}&to_email={wanted}")).text]
    while older := pages[-1].partition('href="/messages?')[2].partition('"')[0]:
        pages.append((await console.http.get(f"/messages?{older.replace('&amp;', '&')}")).text)
    assert [messages[1].id in page for page in pages] == [False, True, False]
    assert ["No such message so far" in page for page in pages] == [True, False, False]
    assert "No such message" in pages[-1]
    of_all = (await console.http.get(f"/messages?tenant={tenant}&status=failed")).text
    assert "No such message" in of_all and "so far" not in of_all


async def test_of_several_tenants_one_is_named(console: Console) -> None:
    for name in ("acme", "other"):
        tenant = await a_tenant(console.postray.journal, name)
        await accepted(console, tenant, a_message(f"ada@{name}.example"))
    assert "Name a tenant" in (await console.http.get("/messages")).text
    found = (await console.http.get("/messages?tenant=oth")).text
    assert "ada@other.example" in found and "ada@acme.example" not in found
    unknown = await console.http.get("/messages?tenant=acme-nine")
    assert unknown.status_code == 400 and "acme-nine" in unknown.text


@pytest.mark.parametrize(
    "query",
    ["status=lost", "after=x", "start_date=yesterday", "to_email=%00", f"subject={'x' * 5000}", "tenant=%00"],
)
async def test_what_cannot_be_searched_for_is_said(console: Console, query: str) -> None:
    await a_tenant(console.postray.journal)
    answer = await console.http.get(f"/messages?{query}")
    assert answer.status_code in (200, 400) and "Internal" not in answer.text


async def test_a_message_with_its_timeline_and_what_may_be_asked_of_it(console: Console) -> None:
    tenant = await a_tenant(console.postray.journal)
    message = a_message("ada@example.com")
    await accepted(console, tenant, message)
    page = (await console.http.get(f"/message?id={message.id}")).text
    assert "Accepted" in page and "ada@example.com" in page
    assert f'<a href="/tenant?id={tenant}">acme</a>' in page
    assert '<a href="/messages" aria-current="true">' in page
    assert "greylisted" in page and "\x1b" not in page
    assert "/message/retry" not in page, "what is queued is not retried"
    answer = await console.send("/", "/message/cancel", id=message.id)
    assert answer.status_code == 303
    page = (await console.http.get(answer.headers["location"])).text
    assert "Cancelled before delivery" in page and "/message/cancel" not in page
    assert "Cancelled before delivery" not in (await console.http.get(answer.headers["location"])).text
    assert await status(console.postray.journal, tenant, message) is Status.CANCELLED
    assert await audited(console) == ("cancel message", message.id, "done")


async def test_what_is_refused_is_said_and_noted(console: Console) -> None:
    tenant = await a_tenant(console.postray.journal)
    message = a_message("ada@example.com")
    await accepted(console, tenant, message)
    await console.send("/", "/message/fail", id=message.id, reason="the customer is gone")
    assert await status(console.postray.journal, tenant, message) is Status.FAILED
    answer = await console.send("/", "/message/cancel", id=message.id)
    assert answer.status_code == 409 and "ignored" in answer.text
    command, subject, outcome = await audited(console)
    assert (command, subject) == ("cancel message", message.id) and outcome.startswith("refused: ")
    for id in ("", "x", new_id("msg_"), "\0"):
        assert (await console.send("/", "/message/retry", id=id)).status_code in (400, 404)
        assert (await console.http.get("/message", params={"id": id})).status_code in (400, 404)


async def test_a_message_is_retried(console: Console) -> None:
    tenant = await a_tenant(console.postray.journal)
    message = a_message("ada@example.com")
    await accepted(console, tenant, message)
    await console.send("/", "/message/fail", id=message.id)
    page = (await console.http.get(f"/message?id={message.id}")).text
    assert "/message/retry" in page and "/message/cancel" not in page and "/message/fail" not in page
    answer = await console.send("/", "/message/retry", id=message.id)
    assert answer.status_code == 303
    assert await status(console.postray.journal, tenant, message) is Status.QUEUED


async def test_a_batch_stands_and_is_cancelled(console: Console) -> None:
    journal = console.postray.journal
    tenant = await a_tenant(journal)
    batch = await journal.batches.create(tenant)
    await accepted(console, tenant, a_message("ada@example.com"), a_message("bob@example.com"), batch_id=batch)
    assert batch in (await console.http.get("/batches")).text
    page = (await console.http.get(f"/batch?id={batch}")).text
    assert "Not complete" in page and f'<a href="/tenant?id={tenant}">acme</a>' in page
    answer = await console.send("/", "/batch/cancel", id=batch)
    page = (await console.http.get(answer.headers["location"])).text
    assert "Cancelled 2 messages" in page and "Complete since" in page
    assert (await console.http.get(f"/batch?id={new_id('bat_')}")).status_code == 404


def an_outlook(**more: Any) -> BatchEstimate:
    at = datetime(2026, 4, 23, 10, 12, tzinfo=UTC)
    site = SiteOutlook(
        site="site.example",
        source="mta1",
        recipients=2,
        binds=Bound.CONNECTIONS,
        earliest_at=at,
        latest_at=at + timedelta(minutes=5),
        wait_for_tomorrow=312,
        said=f"site.example: 20 connections: 12m to 17m {EVIL}",
    )
    whole = BatchEstimate(
        earliest_at=at, latest_at=at + timedelta(minutes=5), sites=(site,), not_estimated=0, from_sample=False
    )
    return structs.replace(whole, **more)


async def test_a_batch_says_when_it_will_be_done_and_what_decides(console: Console) -> None:
    journal, postray = console.postray.journal, console.postray
    tenant = await a_tenant(journal)
    batch = await journal.batches.create(tenant)
    await accepted(console, tenant, a_message("ada@example.com"), a_message("bob@example.com"), batch_id=batch)

    async def shown() -> str:
        return (await console.http.get(f"/batch?id={batch}")).text

    postray.outlook = "it is paused: nothing of it is sent until it is resumed"
    page = await shown()
    assert "Nothing can be said: it is paused" in page and "What decides" not in page
    postray.outlook = an_outlook()
    page = await shown()
    assert "Done between 2026-04-23 10:12:00 UTC and 2026-04-23 10:17:00 UTC" in page
    assert "20 connections: 12m to 17m" in page and EVIL not in page and "/site?name=site.example" in page
    postray.outlook = an_outlook(latest_at=None, not_estimated=7, from_sample=True)
    page = await shown()
    assert "at the latest cannot be told; of the mail of 7 recipients nothing can be said" in page
    assert "estimated from a part of the queue" in page
    await console.send("/", "/batch/cancel", id=batch)
    assert "When it will be done" not in await shown()


async def test_every_form_needs_its_token(console: Console) -> None:
    app = console.postray.server._console
    assert app is not None
    paths = [
        route.path
        for route in app.app.routes
        for handler in getattr(route, "route_handlers", ())
        if "POST" in handler.http_methods
    ]
    assert len(paths) > 5
    for path in paths:
        assert (await console.http.post(path, data={"csrf": "x"})).status_code == 403, path


@needs_chromium
@pytest.mark.parametrize("width", WIDTHS)
async def test_they_are_read_at_every_width(console: Console, tmp_path: Path, width: int) -> None:
    journal = console.postray.journal
    tenant = await a_tenant(journal)
    batch = await journal.batches.create(tenant)
    to = f"{'long' * 15}@example.com"
    message = a_message(to, personalization=PreparedPersonalization(to=(Address(to),), subject=EVIL))
    await accepted(console, tenant, message, a_message("bob@example.com"), batch_id=batch)
    console.postray.outlook = an_outlook()
    pages = {
        "messages": "/messages",
        "message": f"/message?id={message.id}",
        "batches": "/batches",
        "batch": f"/batch?id={batch}",
        "failure": "/message?id=x",
    }
    texts = await look(console, tmp_path, width, pages)
    assert EVIL in texts[0] and EVIL in texts[1]
