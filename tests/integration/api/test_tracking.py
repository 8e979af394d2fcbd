"""The pixel, the links and the images of tracked mail, and the events that they make."""

from collections.abc import AsyncIterator, Sequence
from datetime import UTC, datetime
from typing import Any, cast

import httpx
import psycopg
import pytest
from msgspec.structs import replace

from api.tracking.recording import MOST_BYTES, Engagements
from api.tracking.serving import PIXEL
from cluster.events import Clicked, Opened, decode_batch
from cluster.ids import new_id
from cluster.journal.journal import Journal, Rejected, Unavailable
from cluster.policy.lifecycle import Status
from cluster.settings import TrackingSettings
from cluster.tracking.clients import Client
from cluster.tracking.tokens import Recipient, Target
from tests.integration.api.conftest import Site
from tests.integration.api.library import Library
from tests.integration.journal.builders import a_message, a_request, an_outcome, waiting
from tests.tracking import click_token, open_token

BROWSER = {"Accept": "text/html,application/xhtml+xml;q=0.9,*/*;q=0.8", "Accept-Language": "de-AT,de;q=0.9"}
CSP = "content-security-policy"
CHROME = {"User-Agent": "Mozilla/5.0 (X11; Linux x86_64) AppleWebKit/537.36 (KHTML, like Gecko) Chrome/142.0"}
URL = "https://www.example.com/a?b=ü"


async def number_of(site: Site) -> int:
    tenant = await site.journal.tenants.find(site.tenant_id)
    assert tenant is not None
    return tenant.number


async def a_recipient(site: Site, *emails: str, delivered: bool = False, **request: Any) -> Recipient:
    """The last recipient of an accepted message."""
    message = a_message(*(emails or ("ada@example.com",)))
    await site.journal.intake.accept([replace(a_request(site.tenant_id, message), **request)])
    if delivered:
        (due,) = waiting(site.tenant_id, message)
        await site.journal.queue.claim([due], owner=1, lease_s=60)
        await site.journal.queue.commit([an_outcome(due, Status.DELIVERED)], owner=1)
    return Recipient(
        tenant_number=await number_of(site),
        message_id=message.id,
        recipient_no=len(message.to_emails) - 1,
        email=message.to_emails[-1],
    )


async def told(site: Site) -> list[Opened | Clicked]:
    """The events of recipients in the log, once all of them are written."""
    await site.server.engagements.write()
    async with await psycopg.AsyncConnection.connect(site.dsn) as connection:
        found = await (await connection.execute("SELECT events FROM event_log ORDER BY tx, id")).fetchall()
    events = [event for (row,) in found for event in decode_batch(bytes(row))]
    return [event for event in events if isinstance(event, Opened | Clicked)]


@pytest.fixture
async def anybody(site: Site) -> AsyncIterator[httpx.AsyncClient]:
    async with httpx.AsyncClient(base_url=site.url, headers=CHROME) as http:
        yield http


async def test_the_pixel(site: Site, anybody: httpx.AsyncClient) -> None:
    who = await a_recipient(site, categories=("news", "weekly"))
    token = open_token(site.token_keys, who)
    answer = await anybody.get(f"/t/o/{token}.gif")
    assert (answer.status_code, answer.content, len(PIXEL)) == (200, PIXEL, 42)
    assert (answer.headers["content-type"], answer.headers["cache-control"]) == ("image/gif", "no-store")
    head = await anybody.head(f"/t/o/{token}.gif")
    assert (head.status_code, head.content, head.headers["content-length"]) == (200, b"", "42")
    person, machine = await told(site)
    assert person == Opened(
        id=person.id,
        at=person.at,
        tenant_id=site.tenant_id,
        message_id=who.message_id,
        recipient="ada@example.com",
        categories=("news", "weekly"),
        ip="127.0.0.1",
        user_agent=CHROME["User-Agent"],
    )
    assert (type(machine), machine.machine) == (Opened, "head")


async def test_a_link_leads_to_its_target_alone(site: Site, anybody: httpx.AsyncClient) -> None:
    who = await a_recipient(site, delivered=True)
    token = click_token(site.token_keys, who, URL, 3)
    answer = await anybody.get(f"/t/c/{token}", params={"url": "https://evil.example", "to": "x"})
    assert (answer.status_code, answer.headers["location"]) == (302, "https://www.example.com/a?b=%C3%BC")
    assert answer.headers["cache-control"] == "no-store" and not answer.content
    (click,) = await told(site)
    assert isinstance(click, Clicked)
    assert (click.url, click.link_index, click.recipient, click.machine) == (URL, 3, who.email, "at_delivery")


async def test_when_a_click_is_a_scanners(site: Site) -> None:
    now = datetime.now(UTC).timestamp()
    engagements = Engagements(site.journal, clock=lambda: now)  # the test may take any time
    alone, delivered = await a_recipient(site), await a_recipient(site, delivered=True)
    many = await a_recipient(site, "ada@example.com", "bob@example.com")
    gone = replace(alone, message_id=new_id("msg_"))
    person = Client("", CHROME["User-Agent"])
    (facts,) = await site.journal.engagement.messages([delivered])
    assert facts is not None and facts.delivered_at is not None
    at = facts.delivered_at
    cases = [(alone, now), (many, now), (delivered, at + 0.9), (delivered, at + 5.0), (gone, now)]
    for recipient, clicked_at in cases:
        now = clicked_at
        engagements.clicked(recipient, person, Target("https://example.com", 0))
        await engagements.write()
    assert [click.machine for click in await told(site)] == ["at_delivery", "at_delivery", "at_delivery", "", ""]


@pytest.mark.parametrize("path", ["/t/o/{}.gif", "/t/c/{}"])
async def test_what_is_no_token(site: Site, anybody: httpx.AsyncClient, path: str) -> None:
    who = await a_recipient(site)
    opens, clicks = open_token(site.token_keys, who), click_token(site.token_keys, who, URL)
    own, other = (opens, clicks) if ".gif" in path else (clicks, opens)
    changed = own[:30] + ("A" if own[30] != "A" else "B") + own[31:]
    for token in (other, own[:-4], own[:-1], changed, own + "AAAA", "x", "%00", "é", "A" * 9000):
        answer = await anybody.get(path.format(token))
        assert answer.status_code == 404, token
        body = answer.json()
        assert body["errors"][0]["help"] and body["detail"] and answer.headers["cache-control"] == "no-store"
    assert (await anybody.get(f"/t/o/{opens}")).status_code == 404
    assert (await anybody.post(path.format(own))).status_code == 405
    assert not await told(site)


async def test_an_image_is_an_open_once_for_each_recipient(library: Library) -> None:
    site = library.site
    image = await library.added()
    ada, bob = await a_recipient(site), await a_recipient(site, "bob@example.com")
    opens = [open_token(site.token_keys, who) for who in (ada, bob)]
    for query in (f"?m={opens[0]}", f"?m={opens[0]}", f"?variant=thumbnail&m={opens[1]}", "", "?m=x"):
        assert (await library.fetch(image, query=query, **CHROME)).status_code == 200
    assert (await library.fetch(image, "HEAD", query=f"?m={opens[1]}")).status_code == 200
    await told(site)
    assert (await library.fetch(image, query=f"?m={opens[1]}")).status_code == 200
    assert [(event.recipient, getattr(event, "image", None)) for event in await told(site)] == [
        ("ada@example.com", image["id"]),
        ("bob@example.com", image["id"]),
    ]


async def test_while_the_journal_is_away(site: Site) -> None:
    class Away:
        """The journal's part, which fails before or after it has done its work."""

        fails_before = fails_after = False

        async def messages(self, recipients: Sequence[Recipient]) -> Any:
            if self.fails_before:
                raise Unavailable("away")
            return await site.journal.engagement.messages(recipients)

        async def write(self, events: Any) -> int:
            written = await site.journal.engagement.write(events)
            if self.fails_after:
                raise Unavailable("the connection broke after the commit")
            return written

    away = Away()
    engagements = Engagements(cast(Journal, type("Journal", (), {"engagement": away})()), "none")
    who, person = await a_recipient(site), Client("", CHROME["User-Agent"])
    away.fails_before = True
    engagements.opened(who, person)
    await engagements.write()
    away.fails_before, away.fails_after = False, True
    engagements.clicked(who, person, Target(URL, 0))
    await engagements.write()
    away.fails_after = False
    await engagements.write()
    events = await told(site)
    assert {event.ip for event in events} == {""}
    assert len(events) == 4 and len({event.id for event in events}) == 2, "a repeated event has the same id"
    away.fails_before = True
    target = Target("https://example.com/" + "a" * 3000, 0)
    for _ in range(MOST_BYTES // 13_000):
        engagements.clicked(who, person, target)
    assert engagements.lost > 0
    assert engagements.clicks == 1 + MOST_BYTES // 13_000


@pytest.mark.parametrize("refused", ["messages", "write"])
async def test_what_the_journal_refuses_is_lost_alone(
    site: Site, refused: str, monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture
) -> None:
    who, person = await a_recipient(site), Client("", CHROME["User-Agent"])

    async def refuse(*_: object) -> None:
        raise Rejected("it does not fit")

    with monkeypatch.context() as patch:
        patch.setattr(site.journal.engagement, refused, refuse)
        site.server.engagements.opened(who, person)
        await site.server.engagements.write()
    assert site.server.engagements.lost == 1 and "it does not fit" in caplog.text
    site.server.engagements.opened(who, person)
    assert len(await told(site)) == 1


async def test_recipients_are_answered_without_the_journal(site: Site, anybody: httpx.AsyncClient) -> None:
    who = await a_recipient(site)
    await site.journal.close()
    for path, status in ((f"/t/o/{open_token(site.token_keys, who)}.gif", 200), ("/t/o/AAAA.gif", 404)):
        assert (await anybody.get(path)).status_code == status
    token = click_token(site.token_keys, who, URL)
    assert (await anybody.get(f"/t/c/{token}")).status_code == 302
    unknown = await anybody.get(f"/t/c/_{token[1:]}")  # another process may have made its key
    assert (unknown.status_code, unknown.headers["retry-after"]) == (503, "5")
    await site.server.engagements.write()
    assert site.server.engagements.lost == 0


async def test_a_server_of_their_own(site: Site) -> None:
    server = site.another(tracking=TrackingSettings(bind="127.0.0.1:0", ip="network"))
    url = await server.start()
    try:
        who = await a_recipient(site)
        async with httpx.AsyncClient(headers={**CHROME, "Authorization": f"Bearer {site.key}"}) as http:
            for base in (url, server.public_url):
                assert (await http.get(f"{base}/t/o/{open_token(site.token_keys, who)}.gif")).status_code == 200
                assert (await http.get(f"{base}/i/img_x")).status_code == 404
            for path in ("/v3/messages", "/healthz", "/t", "/i", "/schema", "/t/../v3/messages", "/api/admin/sites"):
                answer = await http.get(f"{server.public_url}{path}")
                assert (answer.status_code, answer.json()["detail"]) == (404, "Not Found")
            assert (await http.get(f"{url}/v3/messages")).status_code == 200
        assert await server.health()
    finally:
        await server.stop()
    await server.engagements.write()
    assert {event.ip for event in await told(site)} == {"127.0.0.0"}


async def test_a_person_who_follows_a_cut_link_gets_a_page(site: Site, anybody: httpx.AsyncClient) -> None:
    token = click_token(site.token_keys, await a_recipient(site), URL)
    for path in (f"/t/c/{token[:-3]}", f"/t/c/{token[:-4]}", "/t/c/x", f"/t/u/{token}", "/t/u/x"):
        page = await anybody.get(path, headers=BROWSER)
        assert (page.status_code, page.headers["content-type"]) == (404, "text/html; charset=utf-8"), path
        assert '<html lang="de">' in page.text and "<h1>Dieser Link funktioniert nicht</h1>" in page.text
        assert page.headers["cache-control"] == "no-store" and "default-src 'none'" in page.headers[CSP]
        assert (await anybody.head(path, headers=BROWSER)).status_code == 404
    program = await anybody.get("/t/c/x", headers={"Accept": "*/*"})
    assert (program.status_code, program.headers["content-type"]) == (404, "application/json")
    assert (await anybody.get(f"/t/c/{token}", headers=BROWSER)).status_code == 302
