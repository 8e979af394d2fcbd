"""From a captured mail to its accepted message and back: the message's state, its timeline, its host's reply."""

import asyncio
from collections.abc import AsyncIterator
from datetime import UTC, datetime
from pathlib import Path
from typing import Any, cast

import aiosmtplib
import httpx
import pytest

from actors.capture.accepted import AcceptedMessages
from actors.capture.page import create_app
from actors.capture.sink import CaptureAddresses, CaptureSink
from actors.capture.store import MessageStore
from analytics.client import ClickHouseUnavailable
from analytics.queries import MessageEvents, TimelineEvent
from cluster.ids import new_id
from cluster.journal.journal import Journal, Unavailable
from cluster.message.return_address import beginning
from cluster.settings import CaptureSettings
from cluster.smtpd.envelope import ReceivedMessage
from cluster.tracking.tokens import Recipient
from cluster.vault import Vault
from tests.domains import SECRET
from tests.integration.journal.builders import a_message, a_request, a_tenant
from tests.tracking import click_token, token_keys

pytestmark = pytest.mark.asyncio(loop_factories=["uvloop"])


class Recorder:
    """The timelines by (tenant id, message id), or what is wrong."""

    def __init__(self) -> None:
        self.events: dict[tuple[str, str], list[TimelineEvent]] = {}
        self.wrong: Exception | None = None

    async def timeline(self, tenant_id: str, message_id: str) -> MessageEvents:
        if self.wrong is not None:
            raise self.wrong
        return MessageEvents(self.events.get((tenant_id, message_id), []))


@pytest.fixture
def recorder() -> Recorder:
    return Recorder()


@pytest.fixture
async def sink(tmp_path: Path, journal_dsn: str, recorder: Recorder) -> AsyncIterator[CaptureSink]:
    async def open_journal() -> Journal:
        journal = Journal(journal_dsn, application="capture", connections=1)
        await journal.open()
        return journal

    accepted = AcceptedMessages(open_journal, recorder.timeline, Vault(SECRET))
    sink = CaptureSink(CaptureSettings(smtp_bind="127.0.0.1:0", http_bind="127.0.0.1:0"), tmp_path, accepted)
    await sink.start()
    yield sink
    await sink.stop()


async def accepted(journal: Journal, name: str = "acme") -> tuple[str, str]:
    """A tenant's id and the id of its message to two recipients."""
    tenant_id = await a_tenant(journal, name)
    message = a_message("ada@example.org", "<b>@example.org")
    await journal.intake.accept([a_request(tenant_id, message)])
    return tenant_id, message.id


async def deliver(addresses: CaptureAddresses, message_id: str, to: str) -> None:
    host, _, port = addresses.smtp.rpartition(":")
    async with aiosmtplib.SMTP(hostname=host, port=int(port), start_tls=False) as client:
        await client.sendmail(f"{beginning(message_id)}@bounces.example.com", [to], b"Subject: Hi\r\n\r\nx\r\n")


async def test_from_mail_to_message_and_back(
    journal: Journal, recorder: Recorder, addresses: CaptureAddresses, http: httpx.AsyncClient
) -> None:
    await accepted(journal, "other")
    tenant_id, message_id = await accepted(journal)
    for to in ("ada@example.org", "bob@example.org"):
        await deliver(addresses, message_id, to)
    await deliver(addresses, new_id("msg_"), "eve@example.org")
    recorder.events[tenant_id, message_id] = [
        TimelineEvent(event_type="processed", recipient_email="ada@example.org", timestamp="2026-11-28T10:00:00.000Z"),
        TimelineEvent(
            event_type="bounce",
            recipient_email="ada@example.org",
            timestamp="2026-11-28T10:00:01.000Z",
            smtp_response="550 5.1.1 <script>alert(1)</script>",
            bounce_reason="no such user",
            metadata={"attempt": 2, "mx_host": "mx.example.org"},
        ),
        TimelineEvent(
            event_type="click",
            recipient_email="ada@example.org",
            timestamp="2026-11-28T10:00:02.000Z",
            url="https://example.com/<a>",
            user_agent="Mozilla/5.0",
            ip_address="203.0.113.42",
        ),
    ]
    mail = (await http.get("/messages/1")).text
    assert f'<a href="/accepted/{message_id}">{message_id}</a>' in mail
    response = await http.get(f"/accepted/{message_id}")
    page = response.text
    assert response.status_code == 200
    assert ">queued</span>" in page and tenant_id in page and "&lt;ada@example.org&gt;" in page
    assert "550 5.1.1 &lt;script&gt;alert(1)&lt;/script&gt;" in page and "<script>alert" not in page
    assert "https://example.com/&lt;a&gt;" in page and ">203.0.113.42, Mozilla/5.0<" in page
    assert "no such user" in page and "attempt 2, mx host mx.example.org" in page
    assert [f'<a href="/messages/{number}">' in page for number in (1, 2, 3)] == [True, True, False]
    assert "unsafe-inline" not in response.headers["content-security-policy"]
    listed = (await http.get("/api/messages")).json()["messages"]
    assert [message["message_id"] for message in listed][1:] == [message_id, message_id]


async def test_the_targets_of_tracked_links(
    tmp_path: Path, journal: Journal, recorder: Recorder, caplog: pytest.LogCaptureFixture
) -> None:
    keys = token_keys(journal)
    await keys.load()
    who = Recipient(tenant_number=1, message_id=new_id("msg_"), recipient_no=0, email="ada@example.org")
    tracked = click_token(keys, who, "https://www.example.com/<a>?b=c")
    urls = [f"https://t.example/t/c/{token}" for token in (tracked, tracked[:-4] + "AAAA")] + ["https://example.net/"]
    html = "".join([f'<a href="{url}">x</a>' for url in urls])
    is_away = False

    async def open_journal() -> Journal:
        if is_away:
            raise Unavailable("connection refused")
        return journal

    store = MessageStore(tmp_path / "capture" / "messages.sqlite3", 10)
    await store.open()
    envelope = ReceivedMessage(
        mail_from="x@example.com",
        rcpt_to=("ada@example.org",),
        content=f"Content-Type: text/html\r\n\r\n{html}\r\n".encode(),
        helo="x",
        peer="127.0.0.1:1",
    )
    await store.add(envelope, datetime.now(UTC))
    for is_away in (False, True):
        app = create_app(store, accepted=AcceptedMessages(open_journal, recorder.timeline, Vault(SECRET)))
        async with httpx.AsyncClient(
            transport=httpx.ASGITransport(cast(Any, app)), base_url="http://localhost"
        ) as http:
            page = (await http.get("/messages/1?view=links")).text
            assert all(f'<a href="{url}"' in page for url in urls)
            assert (
                page.count("leads to https://www.example.com/&lt;a&gt;?b=c") == page.count("leads to") == (not is_away)
            )
    assert "connection refused" in caplog.text
    await store.close()


async def test_a_message_without_mail(journal: Journal, http: httpx.AsyncClient) -> None:
    _, message_id = await accepted(journal)
    page = (await http.get(f"/accepted/{message_id}")).text
    assert "No mail of this message is here" in page and "No events yet" in page


async def test_without_the_event_store_the_state_is_shown(
    journal: Journal, recorder: Recorder, http: httpx.AsyncClient, caplog: pytest.LogCaptureFixture
) -> None:
    _, message_id = await accepted(journal)
    recorder.wrong = ClickHouseUnavailable("away")
    page = (await http.get(f"/accepted/{message_id}")).text
    assert ">queued</span>" in page and "cannot be read now" in page
    assert "no timeline" in caplog.text


async def test_what_is_no_message(http: httpx.AsyncClient) -> None:
    for name in (new_id("msg_"), new_id("tnt_"), "x", "msg_", "%00", "'; --", "x" * 101):
        response = await http.get(f"/accepted/{name}")
        assert response.status_code in (400, 404), name
        assert "default-src 'none'" in response.headers["content-security-policy"]
    response = await http.get(f"/accepted/{new_id('msg_')}", headers={"Host": "rebound.evil.example"})
    assert response.status_code == 421


async def test_while_postgres_is_away(tmp_path: Path, journal: Journal, recorder: Recorder) -> None:
    answers: list[Journal | None] = [None, journal]

    async def open_journal() -> Journal:
        if (found := answers.pop(0)) is None:
            raise Unavailable("connection refused")
        return found

    _, message_id = await accepted(journal)
    store = MessageStore(tmp_path / "capture" / "messages.sqlite3", 10)
    await store.open()
    app = create_app(store, accepted=AcceptedMessages(open_journal, recorder.timeline, Vault(SECRET)))
    async with httpx.AsyncClient(transport=httpx.ASGITransport(cast(Any, app)), base_url="http://localhost") as http:
        away = await http.get(f"/accepted/{message_id}")
        assert (away.status_code, away.headers["retry-after"]) == (503, "5")
        assert "Postgres does not answer" in away.text and (await http.get("/")).status_code == 200
        there = await asyncio.gather(*(http.get(f"/accepted/{message_id}") for _ in range(3)))
        assert [response.status_code for response in there] == [200, 200, 200]
    await store.close()


async def test_only_on_loopback_and_in_capture_mode(tmp_path: Path, journal: Journal, recorder: Recorder) -> None:
    async def open_journal() -> Journal:
        return journal

    _, message_id = await accepted(journal)
    found = AcceptedMessages(open_journal, recorder.timeline, Vault(SECRET))
    store = MessageStore(tmp_path / "capture" / "messages.sqlite3", 10)
    await store.open()
    envelope = ReceivedMessage(
        mail_from=f"{beginning(message_id)}@bounces.example.com",
        rcpt_to=("ada@example.org",),
        content=b"Subject: x\r\n\r\nx\r\n",
        helo="x",
        peer="127.0.0.1:1",
    )
    await store.add(envelope, datetime.now(UTC))
    for app in (create_app(store, loopback_only=False, accepted=found), create_app(store, accepted=None)):
        async with httpx.AsyncClient(
            transport=httpx.ASGITransport(cast(Any, app)), base_url="http://localhost"
        ) as http:
            assert (await http.get(f"/accepted/{message_id}")).status_code == 404
            assert "/accepted/" not in (await http.get("/messages/1")).text
    await store.close()
