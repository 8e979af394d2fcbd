"""Unsubscribe pages over HTTP and a real journal, as recipients and their mail programs use them."""

import asyncio
from collections.abc import AsyncIterator
from pathlib import Path

import httpx
import psycopg
import pytest

from cluster.ids import new_id
from cluster.journal.time_limit import PUBLIC_ANSWER_S
from cluster.tenancy.settings import SubscriptionTracking, TenantSettings
from cluster.tracking.tokens import Preferences, Recipient
from tests.browser import a_page, needs_chromium
from tests.integration.api.conftest import Site
from tests.standing_still import standing_still
from tests.tracking import ALL_MAIL, click_token, unsubscribe_token

ONE_CLICK = {"List-Unsubscribe": "One-Click"}


class Reader:
    """A recipient of the site's tenant."""

    def __init__(self, site: Site, http: httpx.AsyncClient, recipient: Recipient) -> None:
        self.site = site
        self.http = http
        self.recipient = recipient

    def path(self, preferences: Preferences = ALL_MAIL) -> str:
        return f"/t/u/{unsubscribe_token(self.site.token_keys, self.recipient, preferences)}"

    async def suppressed(self) -> list[tuple[str, int]]:
        async with await psycopg.AsyncConnection.connect(self.site.dsn) as connection:
            cursor = await connection.execute("SELECT list::text, group_id FROM suppressions ORDER BY 1")
            return await cursor.fetchall()


@pytest.fixture
async def reader(site: Site) -> AsyncIterator[Reader]:
    tenant = await site.journal.tenants.find(site.tenant_id)
    assert tenant is not None
    recipient = Recipient(
        tenant_number=tenant.number, message_id=new_id("msg_"), recipient_no=0, email="ada@example.com"
    )
    async with httpx.AsyncClient(base_url=site.url) as http:
        yield Reader(site, http, recipient)


async def test_looking_changes_nothing(reader: Reader) -> None:
    for method in ("GET", "HEAD"):
        answer = await reader.http.request(method, reader.path())
        assert answer.status_code == 200 and answer.headers["content-type"] == "text/html; charset=utf-8"
        assert answer.headers["cache-control"] == "no-store" and answer.headers["referrer-policy"] == "no-referrer"
    assert await reader.suppressed() == []


@pytest.mark.parametrize("as_form", ["urlencoded", "multipart"])
async def test_one_click_as_mail_programs_send_it(reader: Reader, as_form: str) -> None:
    forms = {"urlencoded": {"data": ONE_CLICK}, "multipart": {"files": {"List-Unsubscribe": (None, "One-Click")}}}
    for _ in range(2):
        answer = await reader.http.request("POST", reader.path(), **forms[as_form])  # type: ignore[arg-type]
        assert answer.status_code == 200, answer.text
    assert await reader.suppressed() == [("unsubscribes", 0)]


async def test_one_click_leaves_the_group_of_the_message(reader: Reader) -> None:
    group = await reader.site.journal.suppression_groups.create(reader.site.tenant_id, "News", "d", is_default=False)
    assert group is not None
    path = reader.path(Preferences(group.id))
    assert (await reader.http.post(path, data=ONE_CLICK)).status_code == 200
    assert await reader.suppressed() == [("group", group.id)]
    page = await reader.http.post(path, data={"action": "resubscribe_group", "group_id": str(group.id)})
    assert page.status_code == 200 and "subscribed to “News” again" in page.text
    assert await reader.suppressed() == []


async def test_a_click_on_the_page(reader: Reader) -> None:
    german = {"Accept-Language": "de-AT,de;q=0.9"}
    page = await reader.http.post(reader.path(), data={"action": "unsubscribe_all"}, headers=german)
    assert page.status_code == 200 and '<html lang="de">' in page.text and "abgemeldet" in page.text
    assert await reader.suppressed() == [("unsubscribes", 0)]


async def test_a_tenants_own_page(reader: Reader) -> None:
    own = TenantSettings(subscription=SubscriptionTracking(url="https://acme.example/bye"))
    await reader.site.journal.tenants.change_settings(reader.site.tenant_id, lambda _: own)
    answer = await reader.http.post(reader.path(), data={"action": "unsubscribe_all"})
    assert (answer.status_code, answer.headers["location"]) == (303, "https://acme.example/bye")
    assert (await reader.http.post(reader.path(), data=ONE_CLICK)).status_code == 200  # RFC 8058 §3.1: no redirect


async def test_other_tokens_and_forms_are_refused(reader: Reader) -> None:
    path = reader.path()
    click = click_token(reader.site.token_keys, reader.recipient, "https://example.com/")
    for wrong in (path[:-1], f"{path[:-1]}{'A' if path[-1] != 'A' else 'B'}", f"/t/u/{click}", "/t/u/x"):
        assert (await reader.http.get(wrong)).status_code == 404
        assert (await reader.http.post(wrong, data=ONE_CLICK)).status_code == 404
    for form in ({}, {"action": "erase"}, {"action": "unsubscribe_group"}, {"a": "b" * 20_000}):
        assert (await reader.http.post(path, data=form)).status_code == 400
    assert await reader.suppressed() == []


async def test_the_journal_away(reader: Reader) -> None:
    path = reader.path()
    await reader.site.journal.close()
    answer = await reader.http.post(path, data=ONE_CLICK)
    assert answer.status_code == 503 and int(answer.headers["retry-after"]) > 0
    assert "try again" in answer.text
    assert (await reader.http.get(path)).status_code == 503


@needs_chromium
@pytest.mark.parametrize("width", [360, 1200])
async def test_the_buttons_in_a_browser(reader: Reader, tmp_path: Path, width: int) -> None:
    """On a phone they are touched, elsewhere clicked: each does what it says, and the next page undoes it."""
    group = await reader.site.journal.suppression_groups.create(reader.site.tenant_id, "News", "d", is_default=False)
    assert group is not None
    async with a_page(tmp_path / "profile", width) as page:
        await page.go(reader.site.url + reader.path(Preferences(group.id)))
        assert await page.width() == (width, width)
        buttons = await page.buttons()
        assert [one.name for one in buttons] == ["Unsubscribe from all", "Unsubscribe: News"]
        for one in buttons:
            assert one.in_front and one.height >= 44, "a finger finds it (WCAG 2.2, 2.5.5)"
        for button, said, suppressed in (
            ("Unsubscribe: News", "unsubscribed from “News”", [("group", group.id)]),
            ("Subscribe again: News", "subscribed to “News” again", []),
            ("Unsubscribe from all", "You will receive no more email", [("unsubscribes", 0)]),
            ("Subscribe again", "You are subscribed again", []),
        ):
            await page.press(button)
            assert said in await page.text()
            assert await reader.suppressed() == suppressed, button
        assert await page.width() == (width, width)


async def test_the_journal_stands_still(reader: Reader) -> None:
    """Each answer that anybody may ask for comes in time, and what was answered 503 does not undo what came later."""
    group = await reader.site.journal.suppression_groups.create(reader.site.tenant_id, "News", "d", is_default=False)
    assert group is not None
    path = reader.path(Preferences(group.id))
    of_group = {"group_id": str(group.id)}
    assert (await reader.http.post(path, data=ONE_CLICK)).status_code == 200
    # The first character has the number of the key: this one may be new.
    of_new_key = f"x{click_token(reader.site.token_keys, reader.recipient, 'https://example.com/')[1:]}"
    async with httpx.AsyncClient(base_url=reader.site.url, timeout=30) as http:
        with standing_still(reader.site.dsn):
            asked = [
                http.get(path),
                http.post(path, data={"action": "resubscribe_group", **of_group}),
                http.post(path, data=ONE_CLICK),
                http.get(f"/t/c/{of_new_key}"),
                http.get(f"/t/o/{of_new_key}.gif"),
                *[http.get(f"/i/{new_id('img_')}") for _ in range(6)],
            ]
            began = asyncio.get_running_loop().time()
            answers = await asyncio.gather(*asked)
            took_s = asyncio.get_running_loop().time() - began
        assert [(one.status_code, int(one.headers["retry-after"]) > 0) for one in answers] == [(503, True)] * len(asked)
        assert took_s < 1.5 * PUBLIC_ANSWER_S
        answer = await http.post(path, data={"action": "unsubscribe_group", **of_group})
        while answer.status_code == 503:  # until the connections that stood still are given up
            answer = await http.post(path, data={"action": "unsubscribe_group", **of_group})
        assert answer.status_code == 200
    assert await reader.suppressed() == [("group", group.id)]
