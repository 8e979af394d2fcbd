"""The names that operators type: what each is taken for, and how an unknown one is refused."""

from typing import Any

import pytest

from tests.unit.api.admin_facts import a_state, a_suspension
from tests.unit.api.operating import Operating


@pytest.fixture
def known(operating: Operating) -> Operating:
    operating.states = {"delivery-0-0": [a_state("mx0.ok.test"), a_state("mx1.ok.test"), a_state("alone.example")]}
    operating.journal.queued_for = ["ok.test", "example.com"]
    return operating


async def suspended(operating: Operating, **body: object) -> str:
    response = await operating.client.post("/api/admin/suspensions", json=body)
    if response.status_code == 201:
        return str(response.json()["site"])
    assert response.status_code == 400, response.text
    assert operating.journal.standing_suspensions == []
    return str(response.json()["errors"][0]["message"])


@pytest.mark.parametrize(
    ("body", "site"),
    [
        ({"site": "alone.example"}, "alone.example"),
        ({"site": "ALONE"}, "alone.example"),
        ({"site": "mx1"}, "mx1.ok.test"),
        ({"site": "capture"}, "capture"),  # routes name it
        ({"site": "yahoodns"}, "yahoodns.net"),  # a family of hosts
        ({"site": "google"}, "google"),  # of a domain of the queue
        ({"domain": "example.com"}, "google"),
        ({"domain": "exam"}, "google"),  # the beginning of a domain of the queue
        ({"all": True}, ""),
    ],
)
async def test_what_is_suspended(known: Operating, body: dict[str, object], site: str) -> None:
    assert await suspended(known, **body) == site


@pytest.mark.parametrize(
    ("body", "message"),
    [
        ({"site": "*"}, "No site is known as *"),
        ({"site": "mx"}, "mx is the beginning of several: mx0.ok.test, mx1.ok.test"),
        (
            {"site": "mx2.ok.test"},
            "No site is known as mx2.ok.test; the nearest: mx1.ok.test, mx0.ok.test, ok.test"
            ". Mail for the domain mx2.ok.test goes to the site mx2.ok.test",
        ),
        ({"domain": "exampel.invalid"}, "No domain is known as exampel.invalid; the nearest: example.com"),
        ({"domain": "*"}, "No domain is known as *"),
        ({"tenant_id": "tnt_acne"}, "No tenant is known as tnt_acne; the nearest: tnt_acme, tnt_1"),
        ({"tenant_id": "tnt_"}, "tnt_ is the beginning of several: tnt_1, tnt_acme"),
        ({"site": "alone.example", "all": True}, "Only one of site, domain and all"),
        ({"site": "alone.example", "domain": "example.com"}, "Only one of site, domain and all"),
    ],
)
async def test_what_is_not_known_suspends_nothing(known: Operating, body: dict[str, object], message: str) -> None:
    assert await suspended(known, **body) == message


async def test_the_site_of_a_recent_delivery_is_known(known: Operating) -> None:
    known.lately = ["mx.lately.example"]
    assert await suspended(known, site="mx.lately") == "mx.lately.example"
    (shown,) = [(await known.client.get("/api/admin/sites", params={"pattern": text})).json() for text in ("lately",)]
    # It is suspended, which shows.
    assert [site["site"] for site in shown["sites"]] == ["mx.lately.example"]
    known.journal.standing_suspensions = []
    shown = (await known.client.get("/api/admin/sites", params={"pattern": "lately"})).json()
    assert (shown["sites"], shown["idle"], shown["near"]) == ([], ["mx.lately.example"], [])


async def test_a_site_that_may_be_one_without_mail_of_late_is_told_how_to_name(known: Operating) -> None:
    assert await suspended(known, site="mx.never.invalid") == (
        "No site is known as mx.never.invalid. A site without mail of late is named by a domain whose mail goes there, "
        "as the domain (--domain)"
    )


@pytest.mark.parametrize("empty", ["", " "])
@pytest.mark.parametrize(
    ("method", "path", "given", "name"),
    [
        *(("POST", "suspensions", {"site": "alone.example"}, name) for name in ("tenant_id",)),
        *(("POST", "suspensions", {"all": True}, name) for name in ("tenant_id",)),
        *(("POST", "suspensions", {"tenant_id": "tnt_1"}, name) for name in ("site", "domain")),
        *(("DELETE", "suspensions", {"tenant_id": "tnt_1"}, name) for name in ("site", "domain")),
        *(("DELETE", "suspensions", {"site": "alone.example"}, name) for name in ("tenant_id",)),
        *(("GET", "sites", {}, name) for name in ("pattern", "domain", "source")),
        *(("GET", "actions", {}, name) for name in ("site", "domain")),
        *(("GET", "route/example.com", {}, name) for name in ("tenant_id", "pool")),
        *(("GET", "trace", {}, name) for name in ("site", "domain")),
        *(
            ("POST", path, {"message_id": None, "domain": "example.com", **more}, name)
            for path, more in (("bounce", {}), ("send-now", {}), ("reroute", {"to_route": "direct"}))
            for name in ("site", "tenant_id", "batch_id", "pool")
        ),
        ("POST", "reroute", {"domain": "example.com"}, "to_pool"),
        ("POST", "reroute", {"domain": "example.com"}, "to_route"),
    ],
)
async def test_an_empty_name_names_nothing_wherever_it_is_given(
    known: Operating, method: str, path: str, given: dict[str, object], name: str, empty: str
) -> None:
    fields: Any = given | {name: empty}
    response = await known.client.request(
        method, f"/api/admin/{path}", **{"json" if method == "POST" else "params": fields}
    )
    assert response.status_code == 400, response.text
    assert ("An empty name names nothing", name) in [
        (error["message"], error["field"]) for error in response.json()["errors"]
    ]
    assert known.journal.standing_suspensions == [] == known.journal.resumed


async def test_the_site_that_a_domain_was_taken_for_is_named(operating: Operating) -> None:
    operating.states = {"delivery-0-0": [a_state("google")]}
    assert await suspended(operating, site="example.com") == (
        "No site is known as example.com. Mail for the domain example.com goes to the site google"
    )


async def test_a_tenant_has_a_name(operating: Operating) -> None:
    for typed in ("tnt_acme", "Acme", "Ac", "tnt_a"):
        await operating.client.post("/api/admin/suspensions", json={"tenant_id": typed})
    assert {made.tenant_id for made in operating.journal.standing_suspensions} == {"tnt_acme"}


async def test_resuming_takes_every_kind_of_name_and_tells_of_wider_suspensions(known: Operating) -> None:
    known.journal.standing_suspensions = [a_suspension("", "tnt_1"), a_suspension("other.example", "")]
    for query in ({"site": "mx0"}, {"domain": "example.com"}, {"all": True}):
        response = await known.client.delete("/api/admin/suspensions", params=query)
        assert response.status_code == 200, response.text
    assert known.journal.resumed == [("mx0.ok.test", None), ("google", None), (None, None)]
    answer = (await known.client.delete("/api/admin/suspensions", params={"site": "mx0"})).json()
    assert [(one["site"], one["tenant_id"]) for one in answer["still"]] == [("", "tnt_1")]
    refused = await known.client.delete("/api/admin/suspensions", params={"site": "mx7"})
    assert await known.faults(refused) == ["site"]


async def test_sites_and_actions_take_domains(known: Operating) -> None:
    known.states["delivery-0-0"].append(a_state("google"))
    shown = (await known.client.get("/api/admin/sites", params={"domain": "example.com"})).json()
    assert [site["site"] for site in shown["sites"]] == ["google"]
    nothing = (await known.client.get("/api/admin/sites", params={"pattern": "mx2.ok"})).json()
    assert (nothing["sites"], set(nothing["near"][:2])) == ([], {"mx1.ok.test", "mx0.ok.test"})
    assert (await known.client.get("/api/admin/actions", params={"domain": "example.com"})).status_code == 200
    assert await known.faults(await known.client.get("/api/admin/actions", params={"site": "mx2"})) == ["site"]


async def test_a_trace_of_what_is_silent_says_that_it_listens(known: Operating) -> None:
    query: dict[str, str | float] = {"domain": "example.com", "seconds": 0.01}
    response = await known.client.get("/api/admin/trace", params=query)
    said = [line.split('"text":"')[1].rstrip('"}') for line in response.text.splitlines()]
    assert said == ["listening to google on delivery-0-0, delivery-0-1", "nothing is said to or by google"]
    for wrong in ({"site": "mx"}, {"site": "*"}, {}, {"site": "mx0", "domain": "example.com"}):
        assert await known.faults(await known.client.get("/api/admin/trace", params=wrong)) == ["site"]
