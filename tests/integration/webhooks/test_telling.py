"""Owners of disabled endpoints are told by mail."""

import asyncio
import logging
from datetime import UTC, datetime

import pytest
from msgspec.structs import replace

from actors.webhooks.telling import Telling
from cluster.intake.notices import Notices
from cluster.journal.journal import Journal
from cluster.settings import WebhookSettings
from cluster.webhooks.endpoints import Endpoint, origin
from tests.domains import a_domain
from tests.integration.journal.builders import a_tenant
from tests.integration.webhooks.world import Hook, an_endpoint, answering, posting, query, served, some_events

SENDER = "notices@mail.operator.example"


def telling(journal: Journal) -> Telling:
    return Telling(journal, Notices(journal, SENDER, now=lambda: datetime.now(UTC)), keep_h=72)


async def disabled(journal: Journal, tenant: str, notify_email: str, notices_from: str = SENDER) -> Endpoint:
    hook = Hook()
    hook.answer = answering(410)
    async with served(hook), posting(journal, WebhookSettings(notices_from=notices_from)) as world:
        endpoint = replace(an_endpoint(tenant, hook.url), name="Orders", notify_email=notify_email)
        await journal.webhooks.add(endpoint, 10)
        await world.known.refresh()
        await world.tell(endpoint, some_events(tenant, 1))
        await world.until(lambda standing: standing.disabled_at is not None, endpoint)
    return endpoint


async def mail(journal: Journal) -> list[tuple[str, str, str, list[str]]]:
    """Tenant, sender, subject and recipients of each message."""
    return [
        (str(tenant_id), str(sender), str(subject), list(to))
        for tenant_id, sender, subject, to in await query(
            journal, "SELECT tenant_id, from_email, subject, to_emails FROM messages ORDER BY id"
        )
    ]


@pytest.mark.parametrize("domain", ["mail.operator.example", "operator.example"])
async def test_the_owner_is_told_once(journal: Journal, domain: str) -> None:
    operator, tenant = await a_tenant(journal, "operator"), await a_tenant(journal)
    id = await a_domain(journal, operator, domain)
    await journal.sender_domains.change(id, operator, is_default=None, include_subdomains=True)
    endpoint = await disabled(journal, tenant, "ops@Customer.Example")
    for _ in range(2):
        await telling(journal).round()
    assert await mail(journal) == [(operator, SENDER, "Webhook disabled: Orders", ["ops@customer.example"])]
    ((content,),) = await query(journal, "SELECT content FROM requests")
    assert origin(endpoint.url).encode() in bytes(content)
    assert endpoint.url.encode() not in bytes(content), "it is a message of the operator"
    assert b"answered 410 Gone" in bytes(content)


async def test_without_a_verified_domain_the_log_says_so(journal: Journal, caplog: pytest.LogCaptureFixture) -> None:
    operator, tenant = await a_tenant(journal, "operator"), await a_tenant(journal)
    await a_domain(journal, operator, "mail.operator.example", verified=False)
    await a_domain(journal, operator, "operator.example")
    await disabled(journal, tenant, "ops@customer.example")
    with caplog.at_level(logging.WARNING):
        await telling(journal).round()
    assert "the domain of its sender is not verified" in caplog.text
    assert await mail(journal) == []
    assert await journal.webhook_posting.untold(1) == []


@pytest.mark.parametrize(("email", "notices_from"), [("", SENDER), ("ops@customer.example", "")])
async def test_nobody_is_told_who_did_not_ask_or_where_it_is_not_configured(
    journal: Journal, email: str, notices_from: str
) -> None:
    await disabled(journal, await a_tenant(journal), email, notices_from)
    assert await journal.webhook_posting.untold(1) == []


async def test_a_notice_that_fails_does_not_keep_others_back(
    journal: Journal, caplog: pytest.LogCaptureFixture, monkeypatch: pytest.MonkeyPatch
) -> None:
    operator, tenant = await a_tenant(journal, "operator"), await a_tenant(journal)
    await a_domain(journal, operator, "mail.operator.example")
    await disabled(journal, tenant, "one@customer.example")
    await disabled(journal, tenant, "two@customer.example")
    part = telling(journal)
    send = part._notices.send

    async def defect(to: str, subject: str, text: str) -> bool:
        if to.startswith("one"):
            raise RuntimeError("a defect")
        return await send(to, subject, text)

    monkeypatch.setattr(part._notices, "send", defect)
    with caplog.at_level(logging.ERROR):
        await part.round()
    assert "a defect" in caplog.text
    assert [to for _, _, _, to in await mail(journal)] == [["two@customer.example"]]
    assert await journal.webhook_posting.untold(10) == []


async def test_a_defect_does_not_end_later_rounds(
    journal: Journal, monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture
) -> None:
    monkeypatch.setattr("actors.webhooks.telling.LOOK_S", 0.01)
    part, rounds = telling(journal), 0

    async def broken() -> None:
        nonlocal rounds
        rounds += 1
        raise RuntimeError("a defect")

    monkeypatch.setattr(part, "round", broken)
    part.start()
    async with asyncio.timeout(5):
        while rounds < 3:
            await asyncio.sleep(0.01)
    await part.stop()
    assert "a defect" in caplog.text


async def test_the_log_says_the_host_and_not_the_rest_of_a_url(
    journal: Journal, caplog: pytest.LogCaptureFixture
) -> None:
    with caplog.at_level(logging.WARNING):
        endpoint = await disabled(journal, await a_tenant(journal), "")
    line = next(one.getMessage() for one in caplog.records if "webhook disabled" in one.getMessage())
    assert f"url={origin(endpoint.url)} " in line
