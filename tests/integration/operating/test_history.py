"""The commands that tell how it was and how it is: history, top, queue, and explain of a past moment."""

import asyncio
from datetime import UTC, datetime, timedelta

from analytics.client import ClickHouseUnavailable
from tests.histories import a_point, a_whole
from tests.integration.journal.builders import a_message, a_request, a_tenant
from tests.integration.operating.conftest import Postray


async def test_how_a_site_was(postray: Postray) -> None:
    now = datetime.now(UTC)
    postray.samples = [a_point(now - timedelta(minutes=50)), a_point(now - timedelta(minutes=5), binds={}, queued=0.0)]
    said = await postray.said("history", "site.example", "--since", "2h")
    assert "site.example, a line for 2m" in said
    for words in ("1,300", "20/20", "12.5", "its connections are all in use 90%", "too fast [red]", "█"):
        assert words in said
    assert "\x1b" not in said, "a reply must not steer the terminal"
    asked = postray.histories[-1]
    assert (asked.site, asked.step_s) == ("site.example", 120)
    assert asked.until - asked.since >= 7200
    answer = await postray.json("history", "site.example", "--since", "30m", "--step", "1m", "--source", "mta1")
    assert [point["queued"] for point in answer["sites"]] == [0.0]
    assert (postray.histories[-1].source, postray.histories[-1].step_s) == ("mta1", 60)


async def test_the_history_of_a_domain_is_that_of_its_site(postray: Postray) -> None:
    postray.samples = [a_point(datetime.now(UTC) - timedelta(minutes=5))]
    assert "site.example, a line for" in await postray.said("history", "example.com")
    assert [one.site for one in postray.histories] == ["example.com", "site.example"]
    assert "no sample of nowhere" in await postray.said("history", "nowhere")


async def test_how_the_whole_was(postray: Postray) -> None:
    assert "no sample of postray as a whole" in await postray.said("history")
    now = datetime.now(UTC)
    away = a_whole(now - timedelta(minutes=3), journal_ms=None, journal_away=1, silent=("api-0",))
    postray.samples = [a_whole(now - timedelta(minutes=5)), away]
    said = await postray.said("history")
    for words in ("postray as a whole", "1,234", "3m", "journal, api-0"):
        assert words in said
    postray.samples = ClickHouseUnavailable("away")
    assert "The samples cannot be read now" in await postray.refused("history")


async def test_too_many_steps_are_refused(postray: Postray) -> None:
    assert "more than 1000 steps" in await postray.refused("history", "--since", "30d", "--step", "10s")


async def test_top_names_what_binds(postray: Postray) -> None:
    said = await postray.said("top", "--once")
    for words in ("site.example from mta1", "2/20", "the message rate", "too fast [red]"):
        assert words in said
    postray.samples = [a_whole(datetime.now(UTC) - timedelta(seconds=20))]
    assert "1,234 unfinished, the oldest 3m; 20 connections to 3 sites; journal 2.5 ms" in await postray.said(
        "top", "--once"
    )


async def test_how_old_what_waits_is(postray: Postray) -> None:
    assert await postray.said("queue") == "nothing waits"
    tenant, other = await a_tenant(postray.journal), await a_tenant(postray.journal, "other")
    for who, emails in ((tenant, ("ada@a.example", "bob@a.example", "cyd@b.example")), (other, ("eve@a.example",))):
        await postray.journal.intake.accept([a_request(who, *map(a_message, emails))])
    answer = await postray.json("queue")
    assert answer["ages_min"][:3] == [5, 10, 20]
    assert [(one["domain"], one["total"], one["tried"], one["by_age"][0]) for one in answer["domains"]] == [
        ("a.example", 3, 0, 3),
        ("b.example", 1, 0, 1),
    ]
    assert [one["total"] for one in (await postray.json("queue", "--tenant", tenant))["domains"]] == [2, 1]
    said = await postray.said("queue", "--limit", "1")
    assert "a.example" in said and "b.example" not in said and "and 1 more domains" in said
    assert "No tenant is known as acme-nine" in await postray.refused("queue", "--tenant", "acme-nine")


async def test_how_a_message_and_its_site_were_then(postray: Postray) -> None:
    tenant = await a_tenant(postray.journal)
    message = a_message("ada@example.com")
    await postray.journal.intake.accept([a_request(tenant, message)])
    now = datetime.now(UTC)
    postray.samples = [a_point(now), a_whole(now, silent=("webhooks",))]
    at = (now + timedelta(seconds=1)).isoformat()
    said = await postray.said("explain", message.id, "--at", at)
    assert "That moment is yet to come" in said
    await asyncio.sleep(1.1)  # a moment that has passed since the message was accepted
    then = (await postray.json("explain", message.id, "--at", at))["then"]
    assert any(words.startswith("ada@example.com was put off 10:00:00: 450") for words in then)
    assert "What held it back: its connections are all in use." in then
    assert any(words.startswith("Its site site.example had 300 waiting and 1,000 parked") for words in then)
    assert "Did not answer: webhooks." in then
    before = (now - timedelta(hours=1)).isoformat()
    assert "It was accepted only" in await postray.said("explain", message.id, "--at", before)
