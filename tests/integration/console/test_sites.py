"""A site in the console: what it waits for, its limits, what hosts said, and holding it back."""

from datetime import UTC, datetime, timedelta
from pathlib import Path

import pytest

from cluster.journal.operator_audit import NEWEST
from tests.browser import a_page, needs_chromium
from tests.histories import a_point
from tests.integration.console.conftest import Console
from tests.integration.console.looking import WIDTHS, forbidden, look, past_hour

SITE = "/site?name=site.example"


async def test_a_site_with_its_limits_and_replies(console: Console) -> None:
    page = (await console.http.get(SITE)).text
    assert "the message rate" in page and "message rate halved" in page
    assert "too fast [red]" in page and "\x1b" not in page
    assert "Limits in force" in page and "connections" in page and "default" in page
    assert "site.example" in (await console.http.get("/sites?pattern=site")).text
    nothing = (await console.http.get("/sites?pattern=sitee.example")).text
    assert "No such site" in nothing and "site.example" in nothing


async def test_a_site_is_suspended_and_resumed(console: Console) -> None:
    answer = await console.send(SITE, "/site/suspend", name="site.example", hours="4", reason="<b>they asked</b>")
    page = (await console.http.get(answer.headers["location"])).text
    assert "suspended for 4 h" in page and "&lt;b&gt;they asked&lt;/b&gt;" in page
    (standing,) = await console.postray.journal.suspensions.active()
    assert (standing.site, standing.tenant_id) == ("site.example", "")
    assert "/site/resume" in page
    await console.postray.journal.suspensions.suspend("", "", datetime.now(UTC) + timedelta(hours=1), "all", "operator")
    answer = await console.send(SITE, "/site/resume", name="site.example")
    page = (await console.http.get(answer.headers["location"])).text
    assert "Ended 1 suspensions; 1 wider" in page and "/site/resume" not in page and "postray resume --all" in page
    await console.postray.journal.suspensions.resume("", "", "operator")
    await console.send(SITE, "/site/suspend", name="site.example", hours="4", reason="")
    answer = await console.send(SITE, "/site/resume", name="site.example")
    assert "Ended 1 suspensions" in (await console.http.get(answer.headers["location"])).text
    assert await console.postray.journal.suspensions.active() == []
    found = await console.postray.journal.operator_audit.latest(NEWEST, 2)
    assert [(one.command, one.subject) for one in found] == [
        ("resume site", "site.example"),
        ("suspend site", "site.example"),
    ]


@pytest.mark.parametrize(
    "fields", [{"hours": "5"}, {"hours": ""}, {"hours": "4", "name": ""}, {"hours": "4", "name": "\0"}]
)
async def test_what_the_form_does_not_offer_is_refused(console: Console, fields: dict[str, str]) -> None:
    answer = await console.send(SITE, "/site/suspend", **{"name": "site.example", **fields})
    assert answer.status_code == 400
    assert await console.postray.journal.suspensions.active() == []


async def test_a_site_that_is_not_known_is_said_with_the_nearest(console: Console) -> None:
    answer = await console.http.get("/site?name=sitx.example")
    assert answer.status_code == 400 and "site.example" in answer.text
    assert (await console.http.get("/site")).status_code == 400


async def test_dialogues_are_told_live(console: Console) -> None:
    async with console.http.stream("GET", "/live/trace?name=site.example", timeout=20) as live:
        lines = live.aiter_lines()
        while "EHLO" not in (line := await anext(lines)):
            pass
        assert line.endswith("C EHLO mail.example.com") and line.startswith("data: ")
        await console.postray.server.stop()  # it does not wait for who listens


@needs_chromium
@pytest.mark.parametrize("width", WIDTHS)
async def test_they_are_read_at_every_width(console: Console, tmp_path: Path, width: int) -> None:
    await console.send(SITE, "/site/suspend", name="site.example", hours="4", reason="They asked for a pause")
    console.postray.samples = past_hour(a_point)
    texts = await look(console, tmp_path, width, {"sites": "/sites", "site": SITE})
    assert "They asked for a pause" in texts[1] and "its connections are all in use" in texts[1]


@needs_chromium
async def test_dialogues_in_a_browser(console: Console, tmp_path: Path) -> None:
    async with a_page(tmp_path / "profile", 1200) as page:
        await page.go(f"{console.postray.server.console_url}/login")
        await page.write("token", console.token)
        await page.press("Log in")
        await page.go(f"{console.postray.server.console_url}{SITE}")
        await page.wait_for("[...document.querySelectorAll('button')].some((one) => one.textContent === 'Listen')")
        await page.run("[...document.querySelectorAll('button')].find((one) => one.textContent === 'Listen').click()")
        await page.wait_for("document.body.innerText.includes('250 hello [bold]')")
        assert forbidden(page) == []
