"""/api/admin over a journal and delivery actors in memory: access, calls and answers."""

import asyncio
import json
from datetime import UTC, datetime, timedelta
from typing import Any

import pytest

from cluster.journal.journal import Unavailable
from cluster.journal.queue_control import QueueFilter, QueueMark, QueuePart
from cluster.journal.site_actions import SiteAction
from cluster.keys import operator_token
from cluster.mail_in.report import Kind as KindOfMail
from cluster.policies import BadPolicies
from cluster.policy.lifecycle import Status
from cluster.routing.site_state import TraceLine
from tests.unit.api.admin_facts import MESSAGE, NOW, a_fate, a_held, a_standing, a_state, a_suspension
from tests.unit.api.operating import TOKEN, Operating, queued

ROUTES = [
    ("GET", "/api/admin/sites"),
    ("GET", "/api/admin/actions"),
    ("GET", "/api/admin/history"),
    ("GET", "/api/admin/queue/ages"),
    ("GET", "/api/admin/inbound"),
    ("GET", "/api/admin/tls-reports?day=2026-03-01"),
    ("POST", "/api/admin/tls-reports"),
    ("GET", "/api/admin/tenants/acme/export/messages"),
    ("POST", "/api/admin/clickhouse-backup"),
    ("GET", "/api/admin/nodes"),
    ("GET", "/api/admin/storage"),
    ("GET", "/api/admin/storage/prune?before=2026-03-01"),
    ("POST", "/api/admin/storage/prune"),
    ("GET", "/api/admin/suspensions"),
    ("POST", "/api/admin/suspensions"),
    ("DELETE", "/api/admin/suspensions"),
    ("POST", "/api/admin/bounce"),
    ("POST", "/api/admin/send-now"),
    ("POST", "/api/admin/reroute"),
    ("POST", "/api/admin/suppressions/purge"),
    ("GET", "/api/admin/trace?site=example.com"),
    ("GET", f"/api/admin/explain/{MESSAGE}"),
    ("GET", "/api/admin/route/example.com"),
    ("GET", "/api/admin/sources"),
    ("GET", "/api/admin/webhooks"),
    ("GET", "/api/admin/webhooks/wh_1"),
    ("POST", "/api/admin/webhooks/wh_1/enable"),
    ("POST", "/api/admin/webhooks/wh_1/disable"),
    ("POST", "/api/admin/webhooks/wh_1/pause"),
    ("POST", "/api/admin/webhooks/wh_1/resume"),
    ("POST", "/api/admin/policies"),
    ("POST", "/api/admin/tracking/rotate-key"),
    ("GET", "/api/admin/operator-tokens"),
    ("POST", "/api/admin/operator-tokens"),
    ("DELETE", "/api/admin/operator-tokens/opt_1"),
]


@pytest.mark.parametrize(("method", "path"), ROUTES)
async def test_only_the_operator_token_opens_it(operating: Operating, method: str, path: str) -> None:
    tenants = operating.journal.issue_key("mail.send")
    for shown in ("", "Bearer", "Bearer wrong", f"Bearer {tenants}", f"Basic {TOKEN}", f"Bearer {TOKEN}x"):
        response = await operating.client.request(method, path, headers={"Authorization": shown})
        assert response.status_code == 401, shown
        assert response.headers["www-authenticate"] == "Bearer"
        assert set(response.json()) == {"errors", "detail"}
    assert operating.asked == []


async def test_the_operator_token_is_no_api_key(operating: Operating) -> None:
    assert (await operating.client.get("/v3/scopes")).status_code == 401


def test_every_process_derives_the_same_token() -> None:
    assert operator_token("secret") == TOKEN != operator_token("other")
    assert "secret" not in TOKEN


async def test_sites_are_gathered_from_all_actors_and_the_journal(operating: Operating) -> None:
    operating.states = {
        "delivery-0-0": [a_state("a.example", waiting=2)],
        "delivery-0-1": [a_state("b.example", waiting=1, actor="delivery-0-1")],
    }
    operating.journal.parked_in = {"b.example": 10}
    operating.journal.standing_suspensions = [a_suspension("a.example")]
    answer = (await operating.client.get("/api/admin/sites", params={"pattern": "example", "limit": 7})).json()
    assert [(site["site"], site["depth"], site["parked"]) for site in answer["sites"]] == [
        ("b.example", 11, 10),
        ("a.example", 2, 0),
    ]
    assert answer["sites"][1]["suspended"] and answer["silent"] == []
    assert operating.asked == [(name, "sites", "example", 7) for name in operating.journal.members]


async def test_an_actor_that_is_gone_is_named(operating: Operating) -> None:
    operating.gone = {"delivery-0-1"}
    operating.states = {"delivery-0-0": [a_state("a.example")]}
    answer = (await operating.client.get("/api/admin/sites")).json()
    assert answer["silent"] == ["delivery-0-1"]
    assert [site["site"] for site in answer["sites"]] == ["a.example"]


async def test_a_journal_that_is_away_is_a_503(operating: Operating) -> None:
    operating.journal.broken = Unavailable("away")
    for path in ("/api/admin/sites", "/api/admin/trace?site=a.example"):
        response = await operating.client.get(path)
        assert (response.status_code, "retry-after" in response.headers) == (503, True)


async def test_actions(operating: Operating) -> None:
    operating.journal.actions = [
        SiteAction(at=NOW, site="a.example", action="slowed", made_by="automation"),
        SiteAction(at=NOW, site="b.example", action="suspended", made_by="operator"),
    ]
    assert len((await operating.client.get("/api/admin/actions")).json()["actions"]) == 2
    (action,) = (await operating.client.get("/api/admin/actions", params={"site": "a.example"})).json()["actions"]
    assert (action["action"], action["at"]) == ("slowed", "2026-04-23T10:00:00Z")


async def test_suspending_tells_the_actors(operating: Operating) -> None:
    began = datetime.now(UTC)
    operating.states = {"delivery-0-0": [a_state("a.example")]}
    body = {"site": "A.Example", "tenant_id": "tnt_1", "for_s": 60, "reason": "complaints"}
    response = await operating.client.post("/api/admin/suspensions", json=body)
    assert response.status_code == 201
    assert (response.json()["site"], response.json()["made_by"]) == ("a.example", "operator")
    (made,) = operating.journal.standing_suspensions
    assert (made.site, made.tenant_id, made.reason) == ("a.example", "tnt_1", "complaints")
    assert timedelta(seconds=60) <= made.until - began < timedelta(seconds=90)
    assert operating.asked[-2:] == [(name, "follow") for name in operating.journal.members]
    assert len((await operating.client.get("/api/admin/suspensions")).json()["suspensions"]) == 1


@pytest.mark.parametrize(
    ("body", "fields"),
    [
        ({}, ["site"]),
        ({"site": "a.example", "for_s": 0}, ["for_s"]),
        ({"site": "a.example", "for_s": 1e12}, ["for_s"]),
        ({"site": "a\0.example"}, ["site"]),
        ({"tenant_id": "tnt_1", "reason": "x" * 1001}, ["reason"]),
    ],
)
async def test_what_cannot_be_suspended(operating: Operating, body: dict[str, Any], fields: list[str]) -> None:
    response = await operating.client.post("/api/admin/suspensions", json=body)
    assert await operating.faults(response) == fields
    assert operating.asked == []


async def test_resuming(operating: Operating) -> None:
    operating.journal.standing_suspensions = [a_suspension("a.example")]
    response = await operating.client.delete("/api/admin/suspensions", params={"site": "A.example"})
    assert [one["site"] for one in response.json()["suspensions"]] == ["a.example"]
    await operating.client.delete("/api/admin/suspensions", params={"tenant_id": "tnt_1"})
    assert operating.journal.resumed == [("a.example", None), (None, "tnt_1")]
    assert await operating.faults(await operating.client.delete("/api/admin/suspensions")) == ["site"]


async def test_sites_and_domains_are_known_in_every_spelling(operating: Operating) -> None:
    site = "mx.xn--bcher-kva.example"
    typed = {"site": "MX.Bücher.example"}
    operating.states = {"delivery-0-0": [a_state(site)]}
    made = await operating.client.post("/api/admin/suspensions", json=typed)
    assert made.json()["site"] == site
    await operating.client.delete("/api/admin/suspensions", params=typed)
    assert operating.journal.resumed == [(site, None)]
    operating.journal.actions = [SiteAction(at=NOW, site=site, action="slowed", made_by="automation")]
    assert len((await operating.client.get("/api/admin/actions", params=typed)).json()["actions"]) == 1
    operating.states = {name: [a_state(site)] for name in operating.journal.members}
    listed = await operating.client.get("/api/admin/sites", params={"pattern": "*.Bücher.example"})
    assert {one["site"] for one in listed.json()["sites"]} == {site}
    shown = await operating.client.get("/api/admin/route/Bücher.example")
    assert shown.json()["domain"] == "xn--bcher-kva.example"
    operating.journal.parts = [QueuePart([], None)]
    await operating.client.post("/api/admin/bounce", json={"domain": "BÜCHER.example"})
    ((filter, _),) = operating.journal.searched
    assert filter.domain == "xn--bcher-kva.example"


async def test_bouncing_goes_part_by_part(operating: Operating) -> None:
    operating.journal.parts = [
        QueuePart([queued(1), queued(2, status=Status.SENDING)], QueueMark("msg_2", 7)),
        QueuePart([queued(3)], None),
    ]
    body = {"domain": "Example.COM", "tenant_id": "tnt_acme", "reason": "a mistake"}
    first = (await operating.client.post("/api/admin/bounce", json=body)).json()
    names = {"domain": "example.com", "site": None, "tenant_id": "tnt_acme"}
    assert first == {"matched": 2, "ended": 1, "being_sent": 1, "names": names, "next": "msg_2.7"}
    second = (await operating.client.post("/api/admin/bounce", json=body | names | {"after": first["next"]})).json()
    assert second == {"matched": 1, "ended": 1, "being_sent": 0, "names": names, "next": None}
    filter = QueueFilter(domain="example.com", tenant_id="tnt_acme")
    assert operating.journal.searched == [(filter, QueueMark()), (filter, QueueMark("msg_2", 7))]
    assert operating.journal.reasons == ["bounced by the operator: a mistake"] * 2
    noted = operating.journal.actions[0]
    assert (noted.tenant_id, noted.action, noted.made_by) == ("tnt_acme", "bounced", "operator")
    assert noted.detail == "1 ended, domain example.com: a mistake"


async def test_a_dry_run_ends_nothing(operating: Operating) -> None:
    operating.journal.parts = [QueuePart([queued(1)], None)]
    answer = (await operating.client.post("/api/admin/bounce", json={"pool": "forgotten", "dry_run": True})).json()
    assert (answer["matched"], answer["ended"]) == (1, 0)
    assert operating.journal.given_up == []


async def test_bouncing_a_site_asks_for_the_sites_of_domains(operating: Operating) -> None:
    operating.journal.parts = [QueuePart([queued(1), queued(2, "example.org"), queued(3)], None)]
    operating.journal.queued_for = ["example.com", "example.org"]
    answer = (await operating.client.post("/api/admin/bounce", json={"site": "Google"})).json()
    assert (answer["matched"], answer["ended"]) == (2, 2)
    assert [q.message_id for q in operating.journal.given_up[0]] == ["msg_1", "msg_3"]


async def test_bouncing_what_is_old(operating: Operating) -> None:
    operating.journal.parts = [QueuePart([], None)]
    began = datetime.now(UTC)
    await operating.client.post("/api/admin/bounce", json={"older_than_s": 3600})
    ((filter, _),) = operating.journal.searched
    assert filter.accepted_before is not None
    assert timedelta() <= filter.accepted_before - (began - timedelta(hours=1)) < timedelta(seconds=30)


@pytest.mark.parametrize(
    ("body", "fields"),
    [
        ({}, [None]),
        ({"dry_run": True, "reason": "x"}, [None]),
        ({"domain": "not a domain"}, ["domain"]),
        ({"older_than_s": -1}, ["older_than_s"]),
        ({"pool": "p", "after": "msg_1"}, ["after"]),
        ({"pool": "a\0"}, ["pool"]),
        ({"pool": "none"}, ["pool"]),
        ({"site": "*"}, ["site"]),
        ({"site": ""}, ["site"]),
        ({"site": " "}, ["site"]),
        ({"pool": ""}, ["pool"]),
        ({"domain": "example.invalid"}, ["domain"]),
        ({"tenant_id": "tnt_other"}, ["tenant_id"]),
        ({"tenant_id": "tnt_"}, ["tenant_id"]),
        ({"batch_id": "bat_other"}, ["batch_id"]),
        ({"message_id": "msg_x"}, ["message_id"]),
        ({"message_id": MESSAGE}, ["message_id"]),
    ],
)
async def test_what_is_no_query(operating: Operating, body: dict[str, Any], fields: list[str | None]) -> None:
    assert await operating.faults(await operating.client.post("/api/admin/bounce", json=body)) == fields


def a_line(number: int, at: float, text: str = "EHLO x", direction: str = "C") -> TraceLine:
    return TraceLine(number=number, at=at, connection="mx1 [192.0.2.1] #1", direction=direction, text=text)


async def test_a_trace_is_in_the_order_of_time_and_repeats_nothing(operating: Operating) -> None:
    operating.lines = {
        "delivery-0-0": [a_line(1, 10.0), a_line(3, 12.0, "250 ok", "S")],
        "delivery-0-1": [a_line(1, 11.0)],
    }
    operating.states = {"delivery-0-0": [a_state("example.com")]}
    async with asyncio.timeout(30):
        response = await operating.client.get("/api/admin/trace", params={"site": "Example.com", "seconds": 0.3})
    assert response.headers["content-type"].startswith("application/x-ndjson")
    told, *lines = [json.loads(line) for line in response.text.splitlines()]
    assert (told["actor"], told["text"]) == ("", "listening to example.com on delivery-0-0, delivery-0-1")
    assert [(line["actor"], line["number"], line["direction"]) for line in lines] == [
        ("delivery-0-0", 1, "C"),
        ("delivery-0-1", 1, "C"),
        ("delivery-0-0", 3, "S"),
    ]
    assert lines[0]["at"] == "1970-01-01T00:00:10Z"
    assert ("delivery-0-0", "trace", "example.com", 0) in [asked[:4] for asked in operating.asked]
    assert operating.asked[-2][3] == 3


async def test_a_trace_goes_on_without_an_actor_that_is_gone(operating: Operating) -> None:
    operating.gone = {"delivery-0-0"}
    operating.lines = {"delivery-0-1": [a_line(1, 11.0)]}
    response = await operating.client.get("/api/admin/trace", params={"site": "example.com", "seconds": 0.01})
    assert len(response.text.splitlines()) == 1


async def test_explaining_a_message_gathers_what_all_know(operating: Operating) -> None:
    operating.journal.known_fate = a_fate()
    operating.journal.known_standings = [
        a_standing(status=Status.PROCESSING, held=True, actor="delivery-0-1"),
        a_standing(recipient_no=1, recipient="bob@example.org", domain="example.org", lane="lane.example#0/2"),
        a_standing(recipient_no=2, recipient="eve@example.org", domain="example.org"),
        a_standing(recipient_no=3, status=Status.DELIVERED, due_at=None),
    ]
    operating.held = {"delivery-0-1": [a_held(ahead=2)]}
    operating.states = {"delivery-0-1": [a_state("yahoo", waiting=5), a_state("yahoo2")]}
    answer = (await operating.client.get(f"/api/admin/explain/{MESSAGE}")).json()
    assert (answer["message_id"], answer["status"], answer["tenant_id"]) == (MESSAGE, "queued", "tnt_acme")
    ada, bob, eve, done = answer["recipients"]
    assert (ada["site"], bob["site"], eve["site"], done["site"]) == ("example.com", "lane.example", "yahoo", "")
    assert "2 of its tenant before it" in ada["sentences"][0]
    assert "Its site yahoo has 5 waiting" in eve["sentences"][1]
    assert answer["events"][0]["event_type"] == "processed"


async def test_what_was_tried_ends_with_the_lifetime_that_shaping_gives_it(operating: Operating) -> None:
    operating.lifetime_s = 180.0
    operating.journal.known_fate = a_fate(created_at=NOW, send_at=NOW + timedelta(minutes=1))
    operating.journal.known_standings = [a_standing(attempts=1), a_standing(recipient_no=1)]
    answer = (await operating.client.get(f"/api/admin/explain/{MESSAGE}")).json()
    assert [one["expires_at"] for one in answer["recipients"]] == ["2026-04-23T10:04:00Z", "2026-04-26T10:00:00Z"]


async def test_explaining_a_finished_message_asks_no_actor(operating: Operating) -> None:
    operating.journal.known_fate = a_fate(status=Status.DELIVERED, finished_at=NOW)
    answer = (await operating.client.get(f"/api/admin/explain/{MESSAGE}")).json()
    assert answer["status"] == "delivered" and answer["recipients"] == []
    assert operating.asked == []


async def test_explaining_what_is_not_there(operating: Operating) -> None:
    for id in ("msg_x", MESSAGE):
        assert (await operating.client.get(f"/api/admin/explain/{id}")).status_code == 404


async def test_a_route_is_described(operating: Operating) -> None:
    params = {"tenant_id": "tnt_1", "pool": "bulk"}
    answer = (await operating.client.get("/api/admin/route/Bücher.example", params=params)).json()
    assert (answer["domain"], answer["site"]) == ("xn--bcher-kva.example", "google")
    assert operating.asked == [("xn--bcher-kva.example", "tnt_1", "bulk")]
    assert await operating.faults(await operating.client.get("/api/admin/route/nonsense")) == ["domain"]


async def test_sources(operating: Operating) -> None:
    (source,) = (await operating.client.get("/api/admin/sources")).json()["sources"]
    assert (source["name"], source["addresses"]) == ("mta1", ["192.0.2.1"])


async def test_policies_are_put_in_force_and_the_actors_told(operating: Operating) -> None:
    body = {"shaping": "a", "routing": "b"}
    assert (await operating.client.post("/api/admin/policies", json=body)).json() == {"version": 4, "changed": True}
    assert operating.put == [("a", "b")]
    assert operating.asked == [(name, "follow") for name in operating.journal.members]


async def test_the_same_policies_change_nothing(operating: Operating) -> None:
    operating.version = None
    assert (await operating.client.post("/api/admin/policies", json={})).json() == {"version": 3, "changed": False}
    assert operating.asked == []


async def test_bad_policies_are_named(operating: Operating) -> None:
    operating.bad = BadPolicies("shaping", "rule 1: sets nothing")
    response = await operating.client.post("/api/admin/policies", json={"shaping": "[[rule]]"})
    assert await operating.faults(response) == ["shaping"]
    assert "sets nothing" in response.text


async def test_a_kind_of_mail_that_there_is_not_is_a_400_that_names_the_kinds(operating: Operating) -> None:
    answer = await operating.client.get("/api/admin/inbound?kind=nonsense")
    assert answer.status_code == 400
    (error,) = answer.json()["errors"]
    assert error["field"] == "kind" and all(kind in error["message"] for kind in KindOfMail)
