"""Tenants, keys, domains, lists, endpoints, sources, storage and the audit, as the console shows them."""

from datetime import UTC, datetime, timedelta
from pathlib import Path

import pytest

from cluster.events import WebhookAttempt
from cluster.ids import new_id
from cluster.journal.operator_audit import NEWEST
from cluster.journal.suppressions import new_entries
from cluster.keys import new_key
from cluster.suppression.lists import SuppressionList
from tests.browser import needs_chromium
from tests.domains import a_domain
from tests.integration.console.conftest import Console
from tests.integration.console.looking import WIDTHS, look
from tests.integration.journal.builders import a_tenant
from tests.integration.webhooks.builders import an_endpoint

EVIL = "<script>alert(1)</script>"


async def suppress(console: Console, tenant: str, *emails: str) -> None:
    entries = new_entries(tenant, SuppressionList("bounces"), emails, datetime.now(UTC))
    await console.postray.journal.suppressions.add(entries)


async def test_a_tenant_with_its_keys_and_domains_is_suspended_and_resumed(console: Console) -> None:
    journal = console.postray.journal
    tenant = await a_tenant(journal, "acme")
    secret, prefix, hash = new_key(sandbox=False)
    await journal.api_keys.create(
        tenant, name=f"first {EVIL}", prefix=prefix, hash=hash, scopes=("mail.send",), sandbox=False
    )
    await a_domain(journal, tenant, "mail.acme.example", verified=False)
    assert "acme" in (await console.http.get("/tenants")).text
    assert "active" in (await console.http.get("/tenants")).text
    page = (await console.http.get(f"/tenant?id={tenant}")).text
    assert prefix in page and secret not in page and EVIL not in page
    assert "mail.acme.example" in page and "pending" in page
    answer = await console.send("/", "/tenant/suspend", id=tenant)
    page = (await console.http.get(answer.headers["location"])).text
    assert "acme is suspended" in page and "/tenant/resume" in page
    record = await journal.tenants.record(tenant)
    assert record is not None and record.suspended_at is not None
    await console.send("/", "/tenant/resume", id=tenant)
    record = await journal.tenants.record(tenant)
    assert record is not None and record.suspended_at is None
    until = datetime.now(UTC) + timedelta(hours=1)
    await journal.suspensions.suspend("site.example", tenant, until, "one", "operator")
    assert "suspended at 1 sites" in (await console.http.get("/tenants")).text
    await journal.suspensions.suspend("", tenant, until, "all", "operator")
    assert "suspended until" in (await console.http.get("/tenants")).text
    page = (await console.http.get(f"/tenant?id={tenant}")).text
    assert "every site" in page and "site.example" in page and "/tenant/resume" in page
    site = (await console.http.get("/site?name=site.example")).text
    assert f'tenant <a href="/tenant?id={tenant}">acme</a>' in site and "ends on the tenant" in site
    await console.send("/", "/tenant/resume", id=tenant)
    assert await journal.suspensions.active() == []
    for id in ("", "x", new_id("tnt_")):
        assert (await console.http.get("/tenant", params={"id": id})).status_code == 404
        assert (await console.send("/", "/tenant/suspend", id=id)).status_code == 404


async def test_tenants_are_listed_a_page_at_a_time(console: Console, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("api.console.owning.PAGE_SIZE", 2)
    ids = sorted([await a_tenant(console.postray.journal, f"tenant{i}") for i in range(3)])
    first = (await console.http.get("/tenants")).text
    assert [id in first for id in ids] == [True, True, False] and f"/tenants?after={ids[1]}" in first
    assert ids[2] in (await console.http.get(f"/tenants?after={ids[1]}")).text


async def test_a_domain_says_what_is_wrong_with_each_record(console: Console) -> None:
    tenant = await a_tenant(console.postray.journal)
    id = await a_domain(console.postray.journal, tenant, "mail.acme.example", verified=False)
    assert "mail.acme.example" in (await console.http.get("/domains?domain=acme")).text
    page = (await console.http.get(f"/domain?id={id}")).text
    assert "s1._domainkey.mail.acme.example" in page and "TXT" in page.upper()
    answer = await console.send("/", "/domain/verify", id=str(id))
    assert "were looked up" in (await console.http.get(answer.headers["location"])).text
    assert (await console.http.get("/domain?id=999")).status_code == 404


async def test_a_list_of_a_tenant(console: Console) -> None:
    tenant = await a_tenant(console.postray.journal, "acme")
    await suppress(console, tenant, "ada@example.com", "bob@example.com")
    assert "Name a tenant" in (await console.http.get("/suppressions")).text
    page = (await console.http.get("/suppressions?tenant=acme&list=bounces&email=ada")).text
    assert "ada@example.com" in page and "bob@example.com" not in page
    assert (await console.http.get("/suppressions?tenant=acme&list=friends")).status_code == 404
    assert (await console.http.get("/suppressions?tenant=acme-nine")).status_code == 404


async def test_an_endpoint_with_its_posts_is_switched(console: Console) -> None:
    journal = console.postray.journal
    tenant = await a_tenant(journal)
    id = await an_endpoint(journal, tenant, "https://hooks.example.com/in/T0KEN", name=EVIL)
    console.postray.webhooks.attempts = [
        WebhookAttempt(
            id="1",
            webhook_id=id,
            tenant_id=tenant,
            at=1.0,
            url="https://hooks.example.com/in/T0KEN",
            attempt=2,
            event_ids=("a", "b"),
            request_headers="",
            request_body="",
            request_bytes=0,
            error=f"refused {EVIL}",
            duration_ms=12,
        )
    ]
    assert id in (await console.http.get("/webhooks?status=active")).text
    assert id not in (await console.http.get("/webhooks?status=failing")).text
    page = (await console.http.get(f"/webhook?id={id}")).text
    assert "hooks.example.com" in page and "T0KEN" not in page and EVIL not in page and "refused" in page
    for to, stands in (("pause", "paused"), ("resume", "active"), ("disable", "off"), ("enable", "active")):
        answer = await console.send("/", "/webhook/switch", id=id, to=to)
        page = (await console.http.get(answer.headers["location"])).text
        assert f"The endpoint is {stands}" in page, to
    assert (await console.send("/", "/webhook/switch", id=id, to="erase")).status_code == 400
    console.postray.webhooks.attempts = None
    assert "does not answer" in (await console.http.get(f"/webhook?id={id}")).text


async def test_sources_storage_and_what_was_done(console: Console, monkeypatch: pytest.MonkeyPatch) -> None:
    sources = (await console.http.get("/sources")).text
    assert "mta1.example.com" in sources and "day 3" in sources and "mta1 to site.example" in sources
    storage = (await console.http.get("/storage")).text
    assert "deliveries" in storage and "Free" in storage
    monkeypatch.setattr("api.console.auditing.PAGE_SIZE", 1)
    tenant = await a_tenant(console.postray.journal)
    await console.send("/", "/tenant/suspend", id=tenant)
    newest = (await console.http.get("/audit")).text
    assert "suspend tenant" in newest and tenant in newest and "log in" not in newest
    older = newest.partition('href="/audit?before=')[2].partition('"')[0]
    assert "log in" in (await console.http.get(f"/audit?before={older}")).text
    assert (await console.http.get("/audit?before=x")).status_code == 200
    note = newest.partition('href="/audited?id=')[2].partition('"')[0]
    assert "suspend tenant" in (await console.http.get(f"/audited?id={note}")).text
    note = (await console.http.get(f"/audit?before={older}")).text.partition('href="/audited?id=')[2].partition('"')[0]
    assert "To what" not in (await console.http.get(f"/audited?id={note}")).text  # a login is done to nothing
    for id in ("", "x", "0", "9" * 30):
        assert (await console.http.get("/audited", params={"id": id})).status_code == 404


@needs_chromium
@pytest.mark.parametrize("width", WIDTHS)
async def test_they_are_read_at_every_width(console: Console, tmp_path: Path, width: int) -> None:
    journal = console.postray.journal
    tenant = await a_tenant(journal, "acme")
    domain = await a_domain(journal, tenant, "mail.acme.example", verified=False)
    webhook = await an_endpoint(journal, tenant, "https://hooks.example.com/in")
    await suppress(console, tenant, "ada@example.com")
    await console.send("/sql", "/sql", query=f"SELECT '{'long' * 60}' FROM events_once")
    (note,) = await journal.operator_audit.latest(NEWEST, 1)
    pages = {
        "tenants": "/tenants",
        "tenant": f"/tenant?id={tenant}",
        "domains": "/domains",
        "domain": f"/domain?id={domain}",
        "suppressions": f"/suppressions?tenant={tenant}",
        "webhooks": "/webhooks",
        "webhook": f"/webhook?id={webhook}",
        "sources": "/sources",
        "storage": "/storage",
        "audit": "/audit",
        "audited": f"/audited?id={note.id}",
    }
    texts = await look(console, tmp_path, width, pages)
    assert "Once more" in texts[-1]
