"""The operators' commands, by the command line, over a real API and a real journal."""

import asyncio
import json
from datetime import UTC, datetime, timedelta

import click
import pytest
from msgspec.structs import replace

from cluster.commands.suppressions import SinceType
from cluster.ids import new_id
from cluster.installation import running
from cluster.journal.records import DueDelivery, NewMessage, Outcome
from cluster.journal.suppressions import NewSuppression
from cluster.policy.lifecycle import Status
from cluster.suppression.lists import SuppressionList
from tests.integration.journal.builders import a_message, a_request, a_tenant, with_event
from tests.integration.operating.conftest import MAIL_IN, SUBMISSION, TRACKING, Postray
from tests.integration.operating.facts import ACTOR


@pytest.mark.parametrize(
    "arguments",
    [
        ("sites",),
        ("actions",),
        ("suspend",),
        ("resume", "--site", "a.example"),
        ("bounce", "--domain", "a.example"),
        ("trace", "a.example"),
        ("explain", "msg_x"),
        ("history",),
        ("top", "--once"),
        ("queue",),
        ("route", "a.example"),
        ("sources",),
        ("shaping", "reload"),
    ],
)
async def test_what_does_not_run_is_said(postray: Postray, arguments: tuple[str, ...]) -> None:
    running.forget_run(postray.data_dir)
    assert "postray is not running on" in await postray.refused(*arguments)


async def test_a_wrong_token_is_said(postray: Postray) -> None:
    (postray.data_dir / "secret.key").write_text("x" * 43 + "=", encoding="ascii")
    assert "revoked" in await postray.refused("sites")


async def test_where_it_runs_is_told_with_all_addresses(postray: Postray) -> None:
    said = await postray.said("status")
    assert f"tracking {TRACKING} smtp {SUBMISSION} bounces {MAIL_IN} pid 1" in said
    state = await postray.json("status")
    assert (state["tracking"], state["submission"], state["mail_in"]) == (TRACKING, SUBMISSION, MAIL_IN)


async def test_sites(postray: Postray) -> None:
    said = await postray.said("sites")
    for words in ("site.example from mta1", "2/20", "40/3/1", "waits: the message rate", "message rate halved"):
        assert words in said
    assert "\x1b" not in said, "a reply must not steer the terminal"
    assert "too fast" in said and "[red]" in said
    (site,) = (await postray.json("sites", "site", "--source", "mta1"))["sites"]
    assert (site["site"], site["depth"], site["waits_for"]) == ("site.example", 12, "the message rate")
    assert "no site is known that is like [b]" in await postray.refused("sites", "[b]")
    assert "no site holds anything; known, and empty: mx.lately.example" in await postray.said("sites", "lately")


async def test_suspending_resuming_and_what_was_done(postray: Postray) -> None:
    assert await postray.said("suspend") == "nothing is suspended"
    said = await postray.said("suspend", "--site", "site.example", "--for", "30m", "--reason", "complaints [x]")
    assert "site.example" in said and "all tenants" in said and "complaints [x]" in said
    assert postray.followed == 1
    assert "suspended: all tenants until" in await postray.said("sites")
    assert len((await postray.json("suspend"))["suspensions"]) == 1
    (ended,) = (await postray.json("resume", "--site", "site.example"))["suspensions"]
    assert ended["reason"] == "complaints [x]"
    assert await postray.said("resume", "--site", "site.example") == "nothing of it was suspended"
    actions = (await postray.json("actions", "site.example"))["actions"]
    assert [action["action"] for action in actions] == ["resumed", "suspended"]
    assert "suspended" in await postray.said("sites", "site.example", "--actions")
    assert "No site is known as other.example" in await postray.refused("actions", "other.example")
    assert "Name a site or a domain, a tenant, or both" in await postray.refused("resume")


async def test_names_that_are_not_known_are_refused_with_the_nearest(postray: Postray) -> None:
    tenant = await a_tenant(postray.journal)
    await postray.journal.intake.accept([a_request(tenant, a_message("ada@example.com"))])
    for command in (("suspend",), ("resume",), ("bounce", "--dry-run")):
        assert "No site is known as *" in await postray.refused(*command, "--site", "*")
        said = await postray.refused(*command, "--site", "side.example")
        assert "No site is known as side.example; the nearest: site.example" in said
        assert "No domain is known as exam.invalid" in await postray.refused(*command, "--domain", "exam.invalid")
        assert "No tenant is known as nobody" in await postray.refused(*command, "--tenant", "nobody")
    assert "nearest: site.example" in await postray.refused("trace", "side.example")
    assert "the nearest names: site.example" in await postray.refused("sites", "side.example")
    assert (await postray.run("sites", "side.example", "--json")).exit_code == 1
    assert (await postray.json("suspend"))["suspensions"] == []


@pytest.mark.parametrize(
    "arguments",
    [
        ("suspend", "--site", "site.example", "--tenant", ""),
        ("resume", "--site", "site.example", "--tenant", ""),
        ("bounce", "--all", "--pool", " "),
        ("send-now", "--all", "--site", ""),
        ("reroute", "--all", "--to-pool", "bulk", "--batch", ""),
        ("sites", ""),
        ("actions", ""),
        ("trace", ""),
        ("explain", ""),
        ("route", ""),
        ("route", "example.com", "--tenant", ""),
        ("shaping", "check", ""),
        ("shaping", "check", "example.com", "--tenant", ""),
        ("drain", ""),
    ],
)
async def test_an_empty_name_as_a_variable_without_a_value_leaves_it_is_refused(
    postray: Postray, arguments: tuple[str, ...]
) -> None:
    result = await postray.run(*arguments)
    assert result.exit_code == 2, result.output
    assert "An empty name names nothing" in result.output
    assert (await postray.json("suspend"))["suspensions"] == []


async def test_domains_beginnings_and_all(postray: Postray) -> None:
    tenant = await a_tenant(postray.journal)
    await postray.journal.intake.accept([a_request(tenant, a_message("ada@example.com"))])
    for names in (("--domain", "example.com"), ("--domain", "exam"), ("--site", "si")):
        (made,) = (await postray.json("suspend", *names))["suspensions"]
        assert made["site"] == "site.example"
        (ended,) = (await postray.json("resume", *names))["suspensions"]
        assert ended["site"] == "site.example"
        assert len((await postray.json("actions", "si"))["actions"]) >= 2
    assert [site["site"] for site in (await postray.json("sites", "--domain", "exam"))["sites"]] == ["site.example"]
    await postray.json("suspend", "--all", "--reason", "the line is down")
    assert "every site" in await postray.said("suspend")
    said = await postray.said("resume", "--site", "site.example")
    assert "nothing of it was suspended" in said and "still suspended" in said and "the line is down" in said
    assert len((await postray.json("resume", "--all"))["suspensions"]) == 1
    assert (await postray.json("bounce", "--tenant", tenant[:-1], "--dry-run"))["matched"] == 1
    assert (await postray.json("bounce", "--all"))["ended"] == 1


async def test_bouncing(postray: Postray, monkeypatch: pytest.MonkeyPatch) -> None:
    # Several parts, as of a large queue.
    monkeypatch.setattr("api.admin.searching.PART", 2)
    monkeypatch.setattr("api.admin.searching.PART_BY_SITE", 2)
    tenant = await a_tenant(postray.journal)
    messages = [a_message(f"{n}@{domain}") for n in range(3) for domain in ("example.com", "example.org")]
    await postray.journal.intake.accept([a_request(tenant, *messages)])
    assert (await postray.json("bounce", "--site", "site.example", "--dry-run"))["matched"] == 3
    assert await postray.said("bounce", "--domain", "example.org") == "3 matched, 3 ended, 0 are being sent"
    totals = await postray.json("bounce", "--site", "site.example", "--tenant", tenant, "--reason", "a mistake")
    assert totals == {"matched": 3, "ended": 3, "being_sent": 0}
    row = await postray.journal.messages.find(tenant, messages[0].id)
    assert row is not None
    assert (row.status.value, row.error_message) == ("failed", "bounced by the operator: a mistake")
    assert (await postray.json("bounce", "--older-than", "1s"))["matched"] == 0
    assert "At least one filter is required" in await postray.refused("bounce", "--dry-run")


async def deferred(postray: Postray, tenant: str, *messages: NewMessage) -> None:
    """Messages after a first attempt, to be retried in an hour."""
    ready = [DueDelivery(m.id, n, tenant, to.domain) for m in messages for n, to in enumerate(m.recipients)]
    await postray.journal.queue.claim(ready, owner=1, lease_s=60)
    later = datetime.now(UTC) + timedelta(hours=1)
    outcomes = [
        Outcome(
            tenant_id=tenant,
            message_id=one.message_id,
            recipient_no=one.recipient_no,
            status=Status.QUEUED,
            sole_recipient=True,
            due_at=later,
            error_message="450 try later",
        )
        for one in ready
    ]
    await postray.journal.queue.commit(list(map(with_event, outcomes)), owner=1)


async def test_sending_now(postray: Postray, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("api.admin.searching.PART", 2)
    monkeypatch.setattr("api.admin.searching.PART_BY_SITE", 1)
    tenant = await a_tenant(postray.journal)
    later = datetime.now(UTC) + timedelta(hours=1)
    messages = [a_message(f"{n}@{domain}") for n in range(3) for domain in ("example.com", "example.org")]
    scheduled = a_message("4@example.com", send_at=later)
    await postray.journal.intake.accept([a_request(tenant, *messages, scheduled)])
    await deferred(postray, tenant, *messages)
    nothing = dict.fromkeys(("due", "paused", "being_sent", "suspended"), 0)
    said = await postray.json("send-now", "--site", "site.example", "--dry-run")
    assert said == nothing | {"matched": 4, "deferred": 3, "made_due": 0, "scheduled": 1}
    assert await postray.journal.scheduling.due_in_s() > 0 and postray.tried == []
    assert await postray.said("send-now", "--message", messages[0].id) == "1 matched, 1 made due"
    assert await postray.journal.scheduling.due_in_s() <= 0
    assert postray.tried == [("example.com", tenant)]
    said = await postray.said("send-now", "--domain", "example.com")
    assert said == "4 matched, 2 made due, 1 due already, 1 left for their send time"
    await postray.json("suspend", "--domain", "example.org")
    said = await postray.said("send-now", "--all")
    assert said.startswith("7 matched, 3 made due, 3 due already, 1 left for their send time 3 of them wait")
    assert (await postray.json("send-now", "--all"))["made_due"] == 0
    assert "No site is known as *" in await postray.refused("send-now", "--site", "*")
    assert "Nothing of the message" not in await postray.said("send-now", "--message", scheduled.id)
    assert "There is no message" in await postray.refused("send-now", "--message", new_id("msg_"))
    assert "nothing sends the whole queue by mistake" in " ".join((await postray.refused("send-now")).split())
    actions = (await postray.json("actions"))["actions"]
    assert [action["action"] for action in actions if action["action"] == "made due"]


async def test_rerouting(postray: Postray, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("api.admin.searching.PART", 2)
    tenant = await a_tenant(postray.journal)
    messages = [a_message(f"{n}@example.com") for n in range(5)]
    await postray.journal.intake.accept([a_request(tenant, *messages)])
    await postray.journal.queue.claim([DueDelivery(messages[0].id, 0, tenant, "example.com")], owner=1, lease_s=60)
    everything = ("reroute", "--domain", "example.com", "--to-pool", "bulk")
    assert await postray.said(*everything, "--dry-run") == (
        "5 matched, nothing was moved (--dry-run), 1 are being sent"
    )
    assert postray.moved == []
    assert await postray.json(*everything) == {"matched": 5, "moved": 4, "being_sent": 1}
    assert postray.moved
    assert (await postray.json(*everything))["moved"] == 0, "again is no other"
    assert (await postray.json("reroute", "--pool", "bulk", "--to-route", "relay.example:25"))["moved"] == 4
    said = await postray.said("explain", messages[1].id)
    assert "An operator has moved it from the default pool to the pool bulk." in said
    assert "An operator has moved it to the route relay.example:25." in said
    assert (await postray.json("explain", messages[1].id))["recipients"][0]["site"] == "relay.example:25"
    assert (await postray.json("reroute", "--message", messages[1].id, "--to-route", "default"))["moved"] == 1
    assert "the nearest: bulk" in await postray.refused("reroute", "--all", "--to-pool", "bulky")
    assert "the nearest: relay.example:25" in await postray.refused("reroute", "--all", "--to-route", "relay.example")
    assert "Name a pool, a route, or both" in await postray.refused("reroute", "--all")
    assert "nothing moves the whole queue" in await postray.refused("reroute", "--to-pool", "bulk")
    assert (await postray.json("actions"))["actions"][0]["action"] == "rerouted"


async def test_explaining(postray: Postray) -> None:
    tenant = await a_tenant(postray.journal)
    message = a_message()
    await postray.journal.intake.accept([a_request(tenant, message)])
    said = await postray.said("explain", message.id)
    assert f"{message.id} is queued." in said
    assert "the scheduler hands it to the owner of its destination next" in said
    assert "Its site site.example has 12 waiting" in said
    assert "greylisted" in said and "\x1b" not in said
    assert "click" in said and "https://shop.example/a" in said
    assert (await postray.json("explain", message.id))["recipients"][0]["site"] == "site.example"
    for at in ("1900-01-01", "1969-12-31 23:59", "0001-01-01 00:00"):
        assert "It was accepted only" in await postray.said("explain", message.id, "--at", at)
    assert "yet to come" in await postray.said("explain", message.id, "--at", "9999-12-31 23:59:59")
    assert "The message does not exist" in await postray.refused("explain", "msg_none")
    await postray.journal.suppressions.add(
        [
            NewSuppression(
                tenant_id=tenant, email=email, list=SuppressionList.UNSUBSCRIBES, created_at=datetime.now(UTC)
            )
            for email in message.to_emails
        ]
    )
    assert f"{message.to_emails[0]} is suppressed by unsubscribes since" in await postray.said("explain", message.id)


async def test_tracing(postray: Postray) -> None:
    async with asyncio.timeout(20):
        said = await postray.said("trace", "site.example", "--seconds", "0.1")
        result = await postray.run("trace", "site.example", "--seconds", "0.1", "--json")
    assert "EHLO mail.example.com" in said and "250 hello [bold]" in said
    assert f"2 lines of {ACTOR} were dropped" in said
    told, *lines = [json.loads(line) for line in result.stdout.splitlines()]
    assert [line["direction"] for line in lines] == ["C", "S", "*"]
    assert told["text"] == f"listening to site.example on {ACTOR}" and told["text"] in said


async def test_a_route(postray: Postray) -> None:
    said = await postray.said("route", "example.com", "--pool", "bulk")
    for words in ("10 mx1.example.com 192.0.2.1", "mta1>site.example", ACTOR, "MTA-STS enforce", "connections 20"):
        assert words in said
    assert (await postray.json("route", "example.com"))["site"] == "site.example"


async def test_sources(postray: Postray) -> None:
    said = await postray.said("sources")
    for words in ("mta1", "192.0.2.9", "bulk (2)", ACTOR, "day 3"):
        assert words in said
    assert (await postray.json("sources"))["sources"][0]["warm_up"] == [
        {"site": "site.example", "granted": 50, "cap": 200}
    ]


SHAPING = '[[rule]]\nname = "slow"\nsite = "site.example"\nconnections = 3\n'


async def test_shaping_is_checked_and_put_in_force(postray: Postray) -> None:
    assert await postray.said("shaping", "reload") == "nothing has changed"
    (postray.config.parent / "shaping.toml").write_text(SHAPING, encoding="utf-8")
    assert await postray.said("shaping", "reload") == "version 1 is in force"
    assert postray.followed == 1
    assert await postray.json("shaping", "reload") == {"version": 1, "changed": False}
    policies = await postray.journal.policies.active()
    assert policies is not None
    assert policies.shaping == SHAPING
    assert postray.vault.open(policies.routing) == b""
    (postray.config.parent / "shaping.toml").write_text("[[rule]]\n", encoding="utf-8")
    assert "shaping: rule 1" in await postray.refused("shaping", "reload")
    assert await postray.journal.policies.version() == 1


RELAYED = '[[routes]]\ndomain = ["gmail.com"]\nvia = "relay"\nrelay = "smtp.example.com:25"\n'


async def test_a_check_agrees_with_the_route(postray: Postray) -> None:
    (checked,) = (await postray.json("shaping", "check", "example.com"))["explained"]
    assert checked["site"] == (await postray.json("route", "example.com"))["site"] == "site.example"


async def test_a_check_explains_which_rule_gave_which_value(postray: Postray) -> None:
    running.forget_run(postray.data_dir)  # nothing needs to run
    assert await postray.said("shaping", "check") == "the files are valid"
    other = postray.config.parent / "other.toml"
    other.write_text(SHAPING, encoding="utf-8")
    said = await postray.said("shaping", "check", "--file", str(other), "--site", "site.example", "example.com")
    assert "connections 3 slow shaping.toml" in said
    checked = await postray.json("shaping", "check", "example.com", "example.org")
    assert [one["domain"] for one in checked["explained"]] == ["example.com", "example.org"]
    limits = {limit["key"]: limit for limit in checked["explained"][0]["limits"]}
    assert limits["connections"]["value"] == "20"
    for name in ("gmail.com", "google.com", "googlemail.com"):
        (checked_one,) = (await postray.json("shaping", "check", name))["explained"]
        limits = {limit["key"]: limit for limit in checked_one["limits"]}
        assert (checked_one["site"], limits["messages_per_connection"]["rule"]) == ("google.com", "google")
    other.write_text('[[rule]]\nname = "own"\ndomain = "gmail.com"\nconnections = 3\n', encoding="utf-8")
    said = await postray.said("shaping", "check", "--file", str(other), "gmail.com")
    assert "connections 3 own shaping.toml" in said and "messages_per_connection 100 google shipped" in said
    (postray.config.parent / "routing.toml").write_text(RELAYED, encoding="utf-8")
    (checked_one,) = (await postray.json("shaping", "check", "gmail.com"))["explained"]
    limits = {limit["key"]: limit for limit in checked_one["limits"]}
    assert checked_one["site"] == "google.com"  # in capture mode, as it would be once mail leaves
    other.write_text("rule = 1", encoding="utf-8")
    assert "shaping: rule" in await postray.refused("shaping", "check", "--file", str(other))
    for name in ("*", "ünknown..", "gmail", "a@gmail.com"):
        for command in (("shaping", "check"), ("route",)):
            result = await postray.run(*command, name)
            assert (result.exit_code, f"{name!r} is not a domain name" in result.output) == (2, True), result.output
    assert "'*' is not the name of a site" in await postray.refused("shaping", "check", "--site", "*")
    (postray.config.parent / "routing.toml").write_text("nonsense", encoding="utf-8")
    assert "routing: not TOML" in await postray.refused("shaping", "check")


async def test_what_a_wrong_rule_has_put_on_lists_is_deleted(postray: Postray) -> None:
    tenant = await a_tenant(postray.journal)
    now = datetime.now(UTC)
    made = NewSuppression(
        tenant_id=tenant, email="", list=SuppressionList.BOUNCES, created_at=now - timedelta(hours=3), rule="wrong"
    )
    await postray.journal.suppressions.add([replace(made, email=f"u{number}@example.com") for number in range(3)])
    await postray.journal.suppressions.add([replace(made, email="u@example.com", list=SuppressionList.BLOCKS)])
    purge = ("suppressions", "purge", "--rule", "wrong", "--since")
    said = await postray.said(*purge, "2h")
    assert said.startswith("0 matched, 0 deleted") and "No bounce rule has the name wrong" in said
    said = await postray.said(*purge, "4h", "--dry-run")
    assert said == "4 matched, 0 deleted (1 of blocks, 3 of bounces)"
    at = f"{now - timedelta(hours=4):%Y-%m-%dT%H:%M}"
    assert await postray.json(*purge, at, "--list", "bounces") == {
        "matched": 3,
        "deleted": 3,
        "by_list": {"bounces": 3},
    }
    assert await postray.json(*purge, "4h") == {"matched": 1, "deleted": 1, "by_list": {"blocks": 1}}
    with pytest.raises(click.BadParameter, match="neither a time such as"):
        SinceType().convert("lately", None, None)
