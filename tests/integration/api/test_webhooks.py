"""Endpoints over HTTP, in both shapes; the feed, posts and replays; and that tenants are apart."""

import base64
from typing import Any

import httpx
import pytest
from sendgrid import SendGridAPIClient

from cluster.ids import new_id
from cluster.keys import new_key
from cluster.webhooks.endpoints import EVENT_NAMES
from cluster.webhooks.signing import signed
from tests.integration.api.conftest import Site
from tests.webhooks import VAULT

URL = "https://hooks.example.com/events"
OURS = {"url": URL, "enabled_events": ["delivered", "bounce"]}
SENDGRIDS = "/v3/user/webhooks/event/settings"


class Owner:
    """A client of the API."""

    def __init__(self, http: httpx.AsyncClient, site: Site) -> None:
        self.http = http
        self.site = site

    async def ask(self, method: str, path: str, body: Any = None, *, status: int = 200) -> Any:
        answer = await self.http.request(method, path, json=body)
        assert answer.status_code == status, answer.text
        return answer.json() if answer.content else None

    async def faults(self, method: str, path: str, body: Any) -> dict[str, str]:
        """The faults of a 400, by field."""
        answer = await self.ask(method, path, body, status=400)
        return {error["field"]: error["message"] for error in answer["errors"]}


@pytest.fixture
async def owner(site: Site) -> Any:
    async with httpx.AsyncClient(base_url=site.url, headers=site.headers, timeout=30) as http:
        yield Owner(http, site)


async def test_an_endpoint_from_its_making_to_its_end(owner: Owner) -> None:
    made = await owner.ask("POST", "/v3/user/webhooks", OURS | {"batch": True, "name": "ours"}, status=201)
    secret = made.pop("signing_secret")
    assert secret.startswith("whsec_")
    path = f"/v3/user/webhooks/{made['id']}"
    assert await owner.ask("GET", path) == made
    assert await owner.ask("GET", "/v3/user/webhooks") == {"webhooks": [made]}
    assert (made["status"], made["enabled_events"], made["batch"]) == ("active", ["bounce", "delivered"], True)
    changed = await owner.ask("PATCH", path, {"enabled_events": ["*"], "standard": True})
    assert (changed["enabled_events"], changed["standard"], changed["url"]) == (["*"], True, URL)
    assert (await owner.ask("POST", f"{path}/pause"))["status"] == "paused"
    assert (await owner.ask("POST", f"{path}/resume"))["status"] == "active"
    assert (await owner.ask("PATCH", path, {"enabled": False}))["status"] == "off"
    await owner.ask("DELETE", path, status=204)
    await owner.ask("GET", path, status=404)


async def test_after_a_rotation_both_secrets_sign_for_a_while(owner: Owner) -> None:
    made = await owner.ask("POST", "/v3/user/webhooks", OURS, status=201)
    path = f"/v3/user/webhooks/{made['id']}/rotate"
    rotated = await owner.ask("POST", path, {"keep_former_s": 60})
    assert rotated["signing_secret"] != made["signing_secret"]
    endpoint = await owner.site.journal.webhooks.of(owner.site.tenant_id, made["id"])
    assert endpoint is not None and endpoint.former_until is not None
    fields = signed(endpoint, VAULT, b"{}", at=int(endpoint.former_until.timestamp()) - 1, post_id="x")
    assert fields["X-ScaiSend-Signature"].count("v1=") == 2
    later = signed(endpoint, VAULT, b"{}", at=int(endpoint.former_until.timestamp()) + 1, post_id="x")
    assert later["X-ScaiSend-Signature"].count("v1=") == 1
    await owner.ask("POST", path, {"keep_former_s": 0})
    endpoint = await owner.site.journal.webhooks.of(owner.site.tenant_id, made["id"])
    assert endpoint is not None and endpoint.sealed_former is None
    assert await owner.faults("POST", path, {"keep_former_s": 10**9}) == {"keep_former_s": "0 to 604800 seconds"}


@pytest.mark.parametrize(
    "url",
    [
        "",
        "ftp://hooks.example.com/",
        "https://",
        "https://user:pass@hooks.example.com/",
        "https://hooks.example.com/\r\nX: y",
        "https://hooks.example.com/a b",
        "https://hooks.example.com:99999/",
        "https://hooks.example.com/#part",
        "http://127.0.0.1/",
        "http://10.0.0.1/",
        "http://169.254.169.254/latest/meta-data",
        "http://[::1]/",
        "http://[::ffff:127.0.0.1]/",
        "http://[64:ff9b::7f00:1]/",
        "https://hooks.example.com/" + "a" * 3000,
    ],
)
async def test_urls_that_are_refused(owner: Owner, url: str) -> None:
    assert list(await owner.faults("POST", "/v3/user/webhooks", OURS | {"url": url})) == ["url"]
    assert list(await owner.faults("POST", SENDGRIDS, {"url": url})) == ["url"]


async def test_all_faults_at_once(owner: Owner) -> None:
    body = {
        "enabled_events": ["delivered", "exploded"],
        "url": "x",
        "name": "a\nb",
        "api_key_ids": [new_id("key_")],
        "notify_email": "no address",
    }
    fields = set(await owner.faults("POST", "/v3/user/webhooks", body))
    assert fields == {"enabled_events[1]", "url", "name", "api_key_ids[0]", "notify_email"}
    assert set(await owner.faults("POST", "/v3/user/webhooks", {"url": URL})) == {"enabled_events"}
    assert set(await owner.faults("POST", "/v3/user/webhooks", {"enabled_events": ["*"]})) == {"url"}


async def test_a_tenant_has_so_many_endpoints_and_no_more(owner: Owner) -> None:
    for number in range(20):
        answer = await owner.http.post("/v3/user/webhooks", json=OURS | {"name": str(number)})
        if answer.status_code == 429:  # creations are limited by the minute
            return
        assert answer.status_code == 201, answer.text
    answer = await owner.http.post("/v3/user/webhooks", json=OURS)
    assert answer.status_code in (400, 429)


async def test_another_tenant_sees_and_changes_nothing(owner: Owner) -> None:
    made = await owner.ask("POST", "/v3/user/webhooks", OURS, status=201)
    sendgrids = await owner.ask("POST", SENDGRIDS, {"url": URL}, status=201)
    journal = owner.site.journal
    other = await journal.tenants.create("other")
    secret, prefix, hash = new_key(sandbox=False)
    scopes = {"webhooks.read", "webhooks.write"}
    await journal.api_keys.create(other, name="k", prefix=prefix, hash=hash, scopes=scopes, sandbox=False)
    path = f"/v3/user/webhooks/{made['id']}"
    async with httpx.AsyncClient(base_url=owner.site.url, headers={"Authorization": f"Bearer {secret}"}) as http:
        them = Owner(http, owner.site)
        assert await them.ask("GET", "/v3/user/webhooks") == {"webhooks": []}
        assert (await them.ask("GET", f"{SENDGRIDS}/all"))["webhooks"] == []
        for method, where, body in (
            ("GET", path, None),
            ("PATCH", path, {"name": "mine"}),
            ("DELETE", path, None),
            ("POST", f"{path}/pause", None),
            ("POST", f"{path}/test", None),
            ("POST", f"{path}/rotate", {}),
            ("GET", f"{path}/deliveries", None),
            ("POST", f"{path}/replay", {"message_id": "m"}),
            ("GET", f"{SENDGRIDS}/{sendgrids['id']}", None),
            ("PATCH", f"{SENDGRIDS}/signed/{sendgrids['id']}", {"enabled": True}),
            ("DELETE", f"{SENDGRIDS}/{sendgrids['id']}", None),
            ("POST", "/v3/user/webhooks/event/test", {"url": URL, "id": sendgrids["id"]}),
        ):
            await them.ask(method, where, body, status=404)
    assert len((await owner.ask("GET", "/v3/user/webhooks"))["webhooks"]) == 2


async def test_the_test_of_an_endpoint_shows_its_answer(owner: Owner) -> None:
    made = await owner.ask("POST", "/v3/user/webhooks", OURS, status=201)
    answer = await owner.ask("POST", f"/v3/user/webhooks/{made['id']}/test")
    assert (answer["status"], answer["body"]) == (200, "ok")
    await owner.ask("POST", "/v3/user/webhooks/event/test", {"url": URL}, status=204)
    owner.site.actors.status = 500
    assert await owner.faults("POST", "/v3/user/webhooks/event/test", {"url": URL}) == {
        "url": "The endpoint answered 500"
    }


async def test_sendgrids_client(owner: Owner, site: Site) -> None:
    """As its users call it; the calls block, and the server is in a task of this loop, so they go to a thread."""
    import asyncio

    settings = SendGridAPIClient(site.key, host=site.url).client.user.webhooks.event.settings

    def walk() -> None:
        flags = dict.fromkeys(["delivered", "bounce", "open"], True)
        body = {"enabled": True, "url": URL, "friendly_name": "mine", "account_status_change": True} | flags
        made = settings.post(request_body=body).to_dict
        assert made["delivered"] and made["bounce"] and not made["click"] and made["friendly_name"] == "mine"
        key = settings.signed._(made["id"]).patch(request_body={"enabled": True}).to_dict["public_key"]
        assert base64.b64decode(key)
        assert settings.signed._(made["id"]).get().to_dict == {"id": made["id"], "public_key": key}
        changed = settings._(made["id"]).patch(request_body={"click": True, "open": False}).to_dict
        assert (changed["click"], changed["open"], changed["public_key"]) == (True, False, key)
        whole = settings.all.get().to_dict
        assert whole["webhooks"] == [changed]
        assert settings.get().to_dict == changed
        assert settings.signed._(made["id"]).patch(request_body={"enabled": False}).to_dict["public_key"] == ""
        assert settings._(made["id"]).delete().status_code == 204
        assert settings.get().to_dict["enabled"] is False
        assert settings.patch(request_body={"enabled": True, "url": URL}).to_dict["url"] == URL

    await asyncio.to_thread(walk)


async def test_oauth_credentials_are_kept_and_never_shown(owner: Owner) -> None:
    oauth = {"oauth_client_id": "me", "oauth_client_secret": "hush", "oauth_token_url": "https://auth.example.com/"}
    made = await owner.ask("POST", SENDGRIDS, {"url": URL} | oauth, status=201)
    assert "hush" not in str(made)
    assert (made["oauth_client_id"], made["oauth_token_url"]) == ("me", "https://auth.example.com/")
    path = f"{SENDGRIDS}/{made['id']}"
    changed = {"oauth_client_id": "you", "oauth_token_url": "https://auth.example.com/"}
    assert (await owner.ask("PATCH", path, changed))["oauth_client_id"] == "you"
    assert set(await owner.faults("PATCH", path, {"oauth_client_id": "you"})) == {"oauth_token_url"}
    assert (await owner.ask("PATCH", path, dict.fromkeys(oauth)))["oauth_client_id"] is None


async def test_the_feed(owner: Owner) -> None:
    page = await owner.ask("GET", "/v3/events?after=5-1-evt_1&limit=10&event_types=delivered&event_types=open")
    assert page == {"events": [], "next": "5-1-evt_1", "has_more": False}
    (actor, method, wanted, after, limit) = owner.site.actors.asked[-1]
    assert (actor, method, after, limit) == ("recorder", "feed", "5-1-evt_1", 10)
    assert (wanted.tenant_id, wanted.events) == (owner.site.tenant_id, ("delivered", "open"))
    assert set(await owner.faults("GET", "/v3/events?after=x&event_types=exploded", None)) == {
        "after",
        "event_types[0]",
    }


async def test_replays(owner: Owner) -> None:
    made = await owner.ask("POST", "/v3/user/webhooks", OURS, status=201)
    path = f"/v3/user/webhooks/{made['id']}/replay"
    body = {"from": "2026-05-01T00:00:00Z", "to": 1_777_680_000, "event_types": list(EVENT_NAMES)}
    begun = await owner.ask("POST", path, body, status=202)
    assert begun["status"] == "pending"
    assert await owner.ask("GET", f"{path}/{begun['id']}") == begun
    assert await owner.ask("GET", path) == {"replays": [begun]}
    assert set(await owner.faults("POST", path, {})) == {"from"}
    assert set(await owner.faults("POST", path, {"from": 2, "to": 1})) == {"to"}
    assert set(await owner.faults("POST", path, {"from": 1e300, "event_types": ["x"]})) == {"from", "event_types[0]"}
    for _ in range(9):
        await owner.ask("POST", path, {"message_id": "msg_1"}, status=202)
    await owner.ask("POST", path, {"message_id": "msg_1"}, status=409)
