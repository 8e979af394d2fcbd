"""A tenant's defaults over HTTP: SendGrid's shapes, what a change keeps, what it refuses, and what it names."""

from typing import Any

import httpx
import pytest

from api.http.setting_rules import LONGEST_TEXT, MOST_WHITELISTED
from api.settings.sections import MAIL, TRACKING, Section, in_vain
from cluster.journal.journal import Unavailable
from tests.unit.api.conftest import World

OPEN = "/v3/tracking_settings/open"
FOOTER = "/v3/mail_settings/footer"
WHITELIST = "/v3/mail_settings/address_whitelist"
PURGE = "/v3/mail_settings/bounce_purge"
TLS = "/v3/user/settings/enforced_tls"
FORWARD = "/v3/mail_settings/forward_spam"


async def call(world: World, method: str, path: str, body: Any = None, *, sandbox: bool = False) -> httpx.Response:
    headers = {"Authorization": f"Bearer {world.journal.issue_key('admin.settings', sandbox=sandbox)}"}
    content = body if isinstance(body, bytes) else None
    json = None if content is not None or method == "GET" else body
    return await world.client.request(method, path, headers=headers, content=content, json=json)


async def changed(world: World, path: str, body: Any) -> Any:
    response = await call(world, "PATCH", path, body)
    assert response.status_code == 200, response.text
    assert (await call(world, "GET", path)).json() == response.json()
    return response.json()


async def fields(world: World, path: str, body: Any) -> list[str]:
    before = dict(world.journal.settings)
    response = await call(world, "PATCH", path, body)
    assert response.status_code == 400, response.text
    assert world.journal.settings == before
    return [error["field"] for error in response.json()["errors"]]


async def test_the_defaults(world: World) -> None:
    expected = {
        "/v3/tracking_settings/click": {"enabled": True, "enable_text": False},
        OPEN: {"enabled": True},
        "/v3/tracking_settings/subscription": {
            "enabled": False,
            "html_content": "",
            "plain_content": "",
            "landing": "",
            "replace": "",
            "url": "",
        },
        "/v3/tracking_settings/google_analytics": {
            "enabled": False,
            "utm_source": "",
            "utm_medium": "",
            "utm_term": "",
            "utm_content": "",
            "utm_campaign": "",
        },
        FOOTER: {"enabled": False, "html_content": "", "plain_content": ""},
        WHITELIST: {"enabled": False, "list": []},
        PURGE: {"enabled": False, "soft_bounces": None, "hard_bounces": None},
        "/v3/mail_settings/forward_bounce": {"enabled": False, "email": ""},
        FORWARD: {"enabled": False, "email": ""},
        TLS: {"require_tls": False, "require_valid_cert": False, "version": 1.2},
    }
    for path, settings in expected.items():
        assert (await call(world, "GET", path)).json() == settings


async def test_the_lists(world: World) -> None:
    tracking = (await call(world, "GET", "/v3/tracking_settings")).json()["result"]
    assert {one["name"]: one["enabled"] for one in tracking} == {
        "click": True,
        "google_analytics": False,
        "open": True,
        "subscription": False,
    }
    assert all(set(one) == {"name", "title", "description", "enabled"} for one in tracking)
    await changed(world, FOOTER, {"enabled": True, "plain_content": "Acme"})
    mail = (await call(world, "GET", "/v3/mail_settings")).json()["result"]
    assert [(one["name"], one["enabled"]) for one in mail] == [(one.name, one.name == "footer") for one in MAIL]
    page = (await call(world, "GET", "/v3/mail_settings?limit=2&offset=4")).json()["result"]
    assert [one["name"] for one in page] == ["forward_spam"]
    assert (await call(world, "GET", "/v3/mail_settings?offset=-1")).status_code == 400


async def test_a_change_keeps_what_it_does_not_name(world: World) -> None:
    await changed(world, FOOTER, {"enabled": True, "plain_content": "Acme"})
    footer = await changed(world, FOOTER, {"html_content": "<p>Acme</p>", "enabled": None})
    assert footer == {"enabled": True, "html_content": "<p>Acme</p>", "plain_content": "Acme"}
    await changed(world, OPEN, {"enabled": False})
    assert (await call(world, "GET", FOOTER)).json() == footer
    assert world.journal.settings["tnt_acme"].open.enabled is False
    assert (await changed(world, FOOTER, {})) == footer
    await changed(world, PURGE, {"enabled": True, "soft_bounces": 3, "hard_bounces": 30})
    purge = await changed(world, PURGE, {"soft_bounces": None})
    assert purge == {"enabled": True, "soft_bounces": None, "hard_bounces": 30}


async def test_every_section_takes_its_example(world: World) -> None:
    for kind, sections in (("tracking_settings", TRACKING), ("mail_settings", MAIL)):
        for section in sections:
            answer = await changed(world, f"/v3/{kind}/{section.name}", dict(section.example))
            assert answer.items() >= section.example.items()


@pytest.mark.parametrize(
    ("path", "body", "named"),
    [
        (OPEN, {"enabled": True}, None),
        (OPEN, {"enabled": False}, None),
        ("/v3/tracking_settings/click", {"enable_text": True}, None),
        ("/v3/tracking_settings/click", {"enable_text": False}, None),
        ("/v3/tracking_settings/google_analytics", {"enabled": True, "utm_term": "x"}, None),
        ("/v3/tracking_settings/subscription", {"enabled": False, "landing": "x"}, None),
        (WHITELIST, {"enabled": True, "list": ["example.com"]}, None),
        (FORWARD, {"enabled": True, "email": "a@example.com", "emial": "x"}, "emial,enabled,email"),
        (FOOTER, {"enabled": True, "plain_content": "x"}, None),
        (FOOTER, {"enabled": True, "text": "x"}, "text"),
        (TLS, {"require_tls": True, "version": 1.3}, None),
    ],
)
async def test_what_does_nothing_is_named(world: World, path: str, body: Any, named: str | None) -> None:
    response = await call(world, "PATCH", path, body)
    assert (response.status_code, response.headers.get("x-postray-ignored")) == (200, named)


@pytest.mark.parametrize("section", [one for one in MAIL if one.name.startswith("forward_")], ids=lambda one: one.name)
def test_forwarding_acts_where_reports_are_sent_on(section: Section) -> None:
    given = {"enabled": True, "email": "a@example.com"}
    assert in_vain(section, given, True, forwards_reports=True) == []
    assert in_vain(section, given, False, forwards_reports=False) == []
    assert in_vain(section, given, True, forwards_reports=False) == ["enabled", "email"]


@pytest.mark.parametrize(
    ("path", "body", "field"),
    [
        (FOOTER, {"plain_content": "x" * (LONGEST_TEXT + 1)}, "plain_content"),
        (FOOTER, {"html_content": "a\0b"}, "html_content"),
        ("/v3/tracking_settings/google_analytics", {"utm_source": "x" * 256}, "utm_source"),
        ("/v3/tracking_settings/google_analytics", {"utm_source": "a\r\nb"}, "utm_source"),
        ("/v3/tracking_settings/google_analytics", {"utm_term": "a\x85"}, "utm_term"),
        ("/v3/tracking_settings/subscription", {"url": "javascript:alert(1)"}, "url"),
        ("/v3/tracking_settings/subscription", {"url": "https://[1"}, "url"),
        ("/v3/tracking_settings/subscription", {"url": "https://a.example/\r\nX: y"}, "url"),
        (WHITELIST, {"list": ["ok.example", "no domain"]}, "list[1]"),
        (WHITELIST, {"list": ["a\0@example.com"]}, "list[0]"),
        (WHITELIST, {"list": ["a@example.com"] * (MOST_WHITELISTED + 1)}, "list"),
        (PURGE, {"soft_bounces": 0}, "soft_bounces"),
        (PURGE, {"hard_bounces": 10**30}, "hard_bounces"),
        (FORWARD, {"enabled": True}, "email"),
        (FORWARD, {"email": "not an address"}, "email"),
        (FORWARD, {"email": "a@example.com,"}, "email"),
        (FORWARD, {"email": ",".join(f"a{index}@example.com" for index in range(11))}, "email"),
        (TLS, {"version": 1.4}, "version"),
        (TLS, {"version": -1}, "version"),
    ],
)
async def test_what_is_refused(world: World, path: str, body: Any, field: str) -> None:
    assert await fields(world, path, body) == [field]


@pytest.mark.parametrize(
    ("path", "body"),
    [
        (OPEN, {"enabled": "yes"}),
        (OPEN, []),
        (OPEN, b"{"),
        (PURGE, {"soft_bounces": 1.5}),
        (PURGE, {"soft_bounces": "5"}),
        (WHITELIST, {"list": "example.com"}),
        (TLS, {"version": "1.3"}),
    ],
)
async def test_wrong_types(world: World, path: str, body: Any) -> None:
    assert (await call(world, "PATCH", path, body)).status_code == 422


async def test_addresses_are_kept_in_one_spelling(world: World) -> None:
    listed = ["Ada@EXAMPLE.com", "ada@example.com", " Ada@example.com ", "B\u00dcCHER.example"]
    answer = await changed(world, WHITELIST, {"list": listed})
    assert answer["list"] == ["Ada@example.com", "ada@example.com", "xn--bcher-kva.example"]
    answer = await changed(world, FORWARD, {"email": "a@EXAMPLE.com, b@example.com,a@example.com", "enabled": True})
    assert answer["email"] == "a@example.com,b@example.com"
    assert (await changed(world, FORWARD, {"enabled": False, "email": ""}))["email"] == ""


@pytest.mark.parametrize(("version", "answered"), [(1, 1.2), (1.1, 1.2), (1.2, 1.2), (1.3, 1.3), (None, 1.2)])
async def test_versions_of_tls(world: World, version: float | None, answered: float) -> None:
    answer = await changed(world, TLS, {"version": version, "require_valid_cert": True})
    assert answer == {"require_tls": False, "require_valid_cert": True, "version": answered}


async def test_they_take_a_live_key_with_the_scope(world: World) -> None:
    response = await world.request("GET", OPEN)
    assert (response.status_code, response.json()["detail"]) == (403, "Missing required scope: admin.settings")
    assert (await call(world, "PATCH", OPEN, {"enabled": False}, sandbox=True)).status_code == 403
    assert (await call(world, "GET", OPEN, sandbox=True)).status_code == 200


async def test_without_the_journal(world: World) -> None:
    world.journal.broken = Unavailable("down")
    response = await call(world, "PATCH", OPEN, {"enabled": False})
    assert response.status_code == 503 and response.headers["retry-after"]
