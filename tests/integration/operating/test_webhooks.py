"""Operators see the endpoints of all tenants, and switch them; URLs and secrets are not shown unasked."""

from datetime import UTC, datetime, timedelta

import pytest

from cluster.events import WebhookAttempt
from cluster.ids import new_id
from cluster.webhooks.endpoints import Dialect
from tests.integration.journal.builders import a_tenant
from tests.integration.journal.stored import sql
from tests.integration.operating.conftest import Postray
from tests.integration.webhooks.builders import an_endpoint

SECRET_URL = "https://hooks.example.com:8443/in/T0KEN?key=K3Y"
CUT_URL = "https://hooks.example.com:8443"


@pytest.fixture
async def acme(postray: Postray) -> str:
    return await a_tenant(postray.journal, "acme")


async def test_endpoints_of_all_tenants_are_listed(postray: Postray, acme: str) -> None:
    assert await postray.said("webhooks", "list") == "there is no endpoint"
    other = await a_tenant(postray.journal, "other")
    first = await an_endpoint(postray.journal, acme, SECRET_URL)
    second = await an_endpoint(postray.journal, other, is_paused=True, dialect=Dialect.SENDGRID)
    found = (await postray.json("webhooks", "list"))["webhooks"]
    assert [(one["id"], one["tenant_id"], one["status"]) for one in found] == [
        (first, acme, "active"),
        (second, other, "paused"),
    ]
    assert [one["id"] for one in (await postray.json("webhooks", "list", "--tenant", "other"))["webhooks"]] == [second]
    assert [one["id"] for one in (await postray.json("webhooks", "list", "--state", "active"))["webhooks"]] == [first]
    assert await postray.said("webhooks", "list", "--state", "failing") == "there is no such endpoint"
    assert "nobody" in await postray.refused("webhooks", "list", "--tenant", "nobody")


async def test_a_list_has_as_many_as_there_are(postray: Postray, acme: str, monkeypatch: pytest.MonkeyPatch) -> None:
    made = [await an_endpoint(postray.journal, acme, is_paused=number < 2) for number in range(5)]
    monkeypatch.setattr("cluster.commands.webhooks.PAGE", 2)
    found = (await postray.json("webhooks", "list"))["webhooks"]
    assert [one["id"] for one in found] == sorted(made)
    active = (await postray.json("webhooks", "list", "--state", "active"))["webhooks"]
    assert sorted(one["id"] for one in active) == sorted(made[2:]), "after a page without one"


async def test_what_an_url_may_hold_is_shown_to_who_asks_for_it(postray: Postray, acme: str) -> None:
    id = await an_endpoint(postray.journal, acme, SECRET_URL, sealed_secret=b"sealed")
    for command in (("list",), ("show", id), ("pause", id), ("resume", id), ("disable", id), ("enable", id)):
        for form in ((), ("--json",)):
            said = await postray.said("webhooks", *command, *form)
            assert CUT_URL in said and "T0KEN" not in said and "K3Y" not in said and "sealed" not in said
    for command in (("list",), ("show", id)):
        assert SECRET_URL in await postray.said("webhooks", *command, "--urls")


async def test_how_one_answers_is_shown(postray: Postray, acme: str, journal_dsn: str) -> None:
    id = await an_endpoint(postray.journal, acme, SECRET_URL, name="ours")
    at = datetime(2026, 5, 1, 9, 0, tzinfo=UTC)
    await sql(
        journal_dsn,
        f"UPDATE webhook_states SET failures = 4, last_at = '{at}', last_status = 503, last_ms = 12, posted = 1200 "
        f"WHERE webhook_id = '{id}'",
    )
    postray.webhooks.attempts = [
        WebhookAttempt(
            id=new_id("att_"),
            at=(at - timedelta(minutes=number)).timestamp(),
            tenant_id=acme,
            webhook_id=id,
            url=SECRET_URL,
            attempt=3 - number,
            event_ids=("evt_1", "evt_2"),
            request_headers="",
            request_body="",
            request_bytes=2,
            status=status,
            answer_headers="",
            answer_body="",
            error=error,
            duration_ms=12,
        )
        for number, (status, error) in enumerate([(503, ""), (0, "no answer within 30 s")])
    ]
    said = await postray.said("webhooks", "show", id)
    for words in ("state failing", "1,200 events", "4 in a row", "503 at 2026-05-01 09:00:00", "no answer within 30 s"):
        assert words in said, said
    shown = await postray.json("webhooks", "show", id)
    assert [(one["status"], one["events"], one["attempt"]) for one in shown["attempts"]] == [(503, 2, 3), (None, 2, 2)]
    postray.webhooks.attempts = None
    assert (await postray.json("webhooks", "show", id))["attempts"] is None
    assert "the event store is away" in await postray.said("webhooks", "show", id)


async def test_endpoints_are_switched(postray: Postray, acme: str, journal_dsn: str) -> None:
    id = await an_endpoint(postray.journal, acme)
    assert (await postray.json("webhooks", "pause", id))["status"] == "paused"
    assert (await postray.json("webhooks", "resume", id))["status"] == "active"
    assert (await postray.json("webhooks", "disable", id))["status"] == "off"
    assert (await postray.json("webhooks", "enable", id))["status"] == "active"
    await sql(
        journal_dsn,
        "UPDATE webhook_states SET failures = 10, disabled_at = now(), disabled_reason = 'ten failures' "
        f"WHERE webhook_id = '{id}'",
    )
    assert "disabled: ten failures" in await postray.said("webhooks", "show", id)
    enabled = await postray.json("webhooks", "enable", id)
    assert (enabled["failures"], enabled["disabled_reason"], enabled["enabled"]) == (0, "", True)


@pytest.mark.parametrize("command", ["show", "enable", "disable", "pause", "resume"])
async def test_an_unknown_endpoint_is_refused_with_the_way_out(postray: Postray, command: str) -> None:
    for id in (new_id("wh_"), "hooks"):
        refused = await postray.refused("webhooks", command, id)
        assert "The webhook does not exist" in refused and "postray webhooks list" in refused
