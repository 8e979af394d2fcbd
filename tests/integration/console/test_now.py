"""The first page, and how it looks in a browser."""

import asyncio
from pathlib import Path

import pytest
from msgspec import structs

from analytics.client import ClickHouseUnavailable
from cluster.routing.site_state import LastReply, SiteState
from tests.browser import a_page, needs_chromium
from tests.histories import a_whole
from tests.integration.console.conftest import Console
from tests.integration.console.looking import WIDTHS, forbidden, look, past_hour
from tests.integration.operating import conftest as operating
from tests.integration.operating import facts


async def test_it_says_what_is_wrong_first(console: Console) -> None:
    console.postray.parts = {"journal": None, "recorder": "degraded: events wait", "scheduler": "<b>gone</b>"}
    text = (await console.http.get("/")).text
    assert "events wait" in text and "&lt;b&gt;gone&lt;/b&gt;" in text and "<b>gone" not in text
    assert text.index("gone") < text.index("events wait") < text.index("Sites with mail")
    assert "12 waiting: the message rate" in text


async def test_what_hosts_and_tenants_write_is_text(console: Console, monkeypatch: pytest.MonkeyPatch) -> None:
    evil = "</td><script>alert(1)</script>\x1b[31m\u202e"
    state = structs.replace(
        facts.a_site(),
        site="evil<img src=x>.example",
        waits_for=evil,
        adjustments=(evil,),
        last_replies=(LastReply(at=1.0, host=evil, text=evil, kind="deferred"),),
    )

    def a_site() -> SiteState:
        return state

    monkeypatch.setattr(operating, "a_site", a_site)
    text = (await console.http.get("/")).text
    assert "<script>alert" not in text and "<img" not in text and "\x1b" not in text and "\u202e" not in text
    assert "&lt;script&gt;" in text


async def test_what_does_not_answer_is_said_and_the_rest_is_shown(console: Console) -> None:
    await console.postray.journal.membership.register("delivery-0-9", "node")
    text = (await console.http.get("/")).text
    assert "site.example" in text and "delivery-0-9" in text


@needs_chromium
@pytest.mark.parametrize("width", WIDTHS)
async def test_it_is_read_at_every_width(console: Console, tmp_path: Path, width: int) -> None:
    console.postray.parts = {"journal": None, "recorder": "degraded: events wait"}
    console.postray.samples = past_hour(a_whole)
    (text,) = await look(console, tmp_path, width, {"now": "/"})
    assert "What to look at" in text and "taken from clients" in text


@needs_chromium
async def test_it_lives(console: Console, tmp_path: Path) -> None:
    async with a_page(tmp_path / "profile", 1200) as page:
        await page.go(f"{console.postray.server.console_url}/login")
        await page.write("token", console.token)
        await page.press("Log in")
        assert "events wait" not in await page.text()
        console.postray.parts = {"recorder": "degraded: events wait"}
        await page.wait_for("document.body.innerText.includes('events wait')")
        assert forbidden(page) == []
        await page.press("Log out")
        assert "Operator token" in await page.text()
        await page.wait_for("document.readyState === 'complete'")


async def test_ten_consoles_ask_the_actors_as_often_as_one(console: Console) -> None:
    await console.http.get("/")
    before = console.postray.asked["sites"]
    await asyncio.gather(*(console.http.get("/") for _ in range(10)))
    assert console.postray.asked["sites"] <= before + 1


async def test_the_past_is_left_out_when_it_is_not_known(console: Console) -> None:
    console.postray.samples = ClickHouseUnavailable("away")
    text = (await console.http.get("/")).text
    assert "the past hour: The samples cannot be read now" in text and "site.example" in text
    site = await console.http.get("/site?name=site.example")
    assert site.status_code == 200 and "The samples cannot be read now" in site.text
