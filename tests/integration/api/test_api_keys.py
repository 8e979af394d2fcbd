"""/v3/api_keys over a real journal, by SendGrid's client and by hand: what each call does to the keys."""

import asyncio
from collections.abc import AsyncIterator, Callable
from datetime import UTC, datetime, timedelta
from typing import Any

import httpx
import psycopg
import pytest
import sendgrid

from cluster.access.scopes import SCOPES
from cluster.demo import ensure_demo
from cluster.journal.journal import Journal, Rejected
from cluster.keys import key_hash
from cluster.tenancy.directory import TenantDirectory
from cluster.tenancy.granting import add_key
from cluster.vault import Vault, secret_key
from tests.integration.api.conftest import Site

OWN = ("mail.send", "stats.read", "admin.api_keys")


class Keys:
    """A client of /v3/api_keys with a key of its own."""

    def __init__(self, site: Site, journal: Journal, http: httpx.AsyncClient) -> None:
        self.site = site
        self.journal = journal
        self.http = http
        self.key = ""
        self.id = ""

    async def call(self, method: str, path: str = "", body: Any = None, key: str | None = None) -> httpx.Response:
        headers = {"Authorization": f"Bearer {key or self.key}"}
        return await self.http.request(method, f"/v3/api_keys{path}", json=body, headers=headers)

    async def made(self, key: str | None = None, **fields: Any) -> Any:
        response = await self.call("POST", body={"name": "k", **fields}, key=key)
        assert response.status_code == 201, response.text
        return response.json()

    async def works(self, key: str, url: str | None = None) -> int:
        """The status of a call that any key may make."""
        response = await self.http.get(f"{url or ''}/v3/scopes", headers={"Authorization": f"Bearer {key}"})
        return response.status_code


@pytest.fixture
async def keys(site: Site, journal: Journal) -> AsyncIterator[Keys]:
    async with await psycopg.AsyncConnection.connect(site.dsn, autocommit=True) as connection:
        await connection.execute(b"""UPDATE tenants SET limits = '{"creations_per_min": 0}'""")  # no limit
    async with httpx.AsyncClient(base_url=site.url) as http:
        keys = Keys(site, journal, http)
        new = await add_key(journal, site.tenant_id, "own", OWN)
        keys.key, keys.id = new.secret, new.record.id
        yield keys


async def test_sendgrids_client(keys: Keys) -> None:
    client = sendgrid.SendGridAPIClient(keys.key, host=keys.site.url).client.api_keys

    async def called(call: Callable[..., Any], *arguments: Any) -> Any:
        return await asyncio.to_thread(call, *arguments)

    made = (await called(lambda: client.post(request_body={"name": "a", "scopes": ["mail.send"]}))).to_dict
    assert made["api_key"].startswith("sg_live_") and made["scopes"] == ["mail.send"]
    one = client._(made["api_key_id"])
    shown = (await called(one.get)).to_dict
    assert shown["result"] == [{name: value for name, value in shown.items() if name != "result"}]
    assert (shown["name"], shown["scopes"], "api_key" in shown) == ("a", ["mail.send"], False)
    assert (await called(lambda: one.patch(request_body={"name": "b"}))).to_dict["name"] == "b"
    put = {"name": "c", "scopes": ["stats.read"]}
    assert (await called(lambda: one.put(request_body=put))).to_dict["scopes"] == ["stats.read"]
    listed = (await called(lambda: client.get(query_params={"limit": 100}))).to_dict
    assert [key["name"] for key in listed["result"]] == ["all", "own", "c"] and listed["result"] == listed["api_keys"]
    assert "api_key" not in listed["result"][0]
    assert (await called(one.delete)).status_code == 204
    assert (await keys.call("GET", f"/{made['api_key_id']}")).status_code == 404


async def test_a_new_key_works_with_the_scopes_of_its_maker(keys: Keys) -> None:
    made = await keys.made()
    assert made["scopes"] == sorted(OWN)
    headers = {"Authorization": f"Bearer {made['api_key']}"}
    assert (await keys.http.get("/v3/scopes", headers=headers)).json() == {"scopes": sorted(OWN)}
    response = await keys.call("POST", body={"name": "x", "scopes": ["mail.send", "images.read"]})
    assert response.status_code == 400
    (fault,) = response.json()["errors"]
    assert (fault["field"], "images.read" in fault["message"]) == ("scopes", True)
    response = await keys.call("PUT", f"/{made['api_key_id']}", {"name": "x", "scopes": ["images.read"]})
    assert response.status_code == 400
    assert (await keys.call("PUT", f"/{made['api_key_id']}", {"name": "only a name"})).json()["scopes"] == sorted(OWN)


async def test_a_revoked_key_is_refused_here_at_once_and_elsewhere_within_five_seconds(keys: Keys) -> None:
    made = await keys.made()
    directory = TenantDirectory(keys.journal)
    other = keys.site.another(directory=directory)
    url = await other.start()
    assert [await keys.works(made["api_key"], node) for node in (None, url)] == [200, 200]
    assert (await keys.call("DELETE", f"/{made['api_key_id']}")).status_code == 204
    assert await keys.works(made["api_key"]) == 401
    await directory.refresh()  # as every process does each second
    assert await keys.works(made["api_key"], url) == 401
    for method, body in (("DELETE", None), ("PATCH", {"name": "x"}), ("PUT", {"name": "x"}), ("GET", None)):
        assert (await keys.call(method, f"/{made['api_key_id']}", body)).status_code == 404
    await other.stop()


async def test_fewer_scopes_hold_here_at_once(keys: Keys) -> None:
    made = await keys.made()
    assert (await keys.call("GET", key=made["api_key"])).status_code == 200
    await keys.call("PUT", f"/{made['api_key_id']}", {"name": "less", "scopes": ["mail.send"]})
    assert (await keys.call("GET", key=made["api_key"])).status_code == 403


async def test_another_tenants_key_does_not_exist(keys: Keys) -> None:
    other = await add_key(keys.journal, await keys.journal.tenants.create("other"), "theirs", OWN)
    for id in (other.record.id, "key_x", "key_%00", "x" * 300, "..%2f"):
        for method, body in (("GET", None), ("PATCH", {"name": "x"}), ("PUT", {"name": "x"}), ("DELETE", None)):
            response = await keys.call(method, f"/{id}", body)
            assert response.status_code == 404, (method, id, response.text)
    names = [key["name"] for key in (await keys.call("GET", key=other.secret)).json()["result"]]
    assert names == ["theirs"]


async def test_the_last_key_that_may_manage_keys_stays(keys: Keys) -> None:
    for fields in ({"sandbox": True}, {"kind": "piisend"}, {"scopes": ["mail.send"]}):
        await keys.made(**fields)
    soon = datetime.now(UTC) + timedelta(milliseconds=300)
    await keys.made(expires_at=soon.isoformat())
    await asyncio.sleep((soon - datetime.now(UTC)).total_seconds() + 0.05)  # until it has expired
    response = await keys.call("DELETE", f"/{keys.id}")
    assert response.status_code == 403
    assert "last key" in response.json()["detail"] and response.json()["errors"][0]["help"]
    response = await keys.call("PUT", f"/{keys.id}", {"name": "x", "scopes": ["mail.send"]})
    assert (response.status_code, response.json()["errors"][0]["field"]) == (403, "scopes")
    assert (await keys.call("PUT", f"/{keys.id}", {"name": "x", "scopes": ["admin.api_keys"]})).status_code == 200
    await keys.made()
    assert (await keys.call("DELETE", f"/{keys.id}")).status_code == 204
    assert await keys.works(keys.key) == 401


async def test_two_keys_that_revoke_each_other_do_not_both_end(keys: Keys) -> None:
    other = await keys.made()
    statuses = await asyncio.gather(
        keys.call("DELETE", f"/{other['api_key_id']}"), keys.call("DELETE", f"/{keys.id}", key=other["api_key"])
    )
    assert sorted(response.status_code for response in statuses) in ([204, 401], [204, 403])
    left = [key for key in await keys.journal.api_keys.of_tenant(keys.site.tenant_id) if key.name != "all"]
    assert len(left) == 1


async def test_a_tenant_has_a_bounded_number_of_keys(keys: Keys, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("cluster.journal.api_keys.MOST_KEYS", 4)
    responses = await asyncio.gather(*[keys.call("POST", body={"name": "k"}) for _ in range(6)])
    assert sorted(response.status_code for response in responses) == [201, 201, 403, 403, 403, 403]


async def test_sandbox_keys_keep_to_themselves(keys: Keys) -> None:
    sandbox = await keys.made(sandbox=True)
    assert sandbox["api_key"].startswith("sg_test_")
    key = sandbox["api_key"]
    assert (await keys.call("GET", f"/{keys.id}", key=key)).status_code == 404
    assert (await keys.call("DELETE", f"/{keys.id}", key=key)).status_code == 404
    assert [k["api_key_id"] for k in (await keys.call("GET", key=key)).json()["result"]] == [sandbox["api_key_id"]]
    assert (await keys.made(key=key))["api_key"].startswith("sg_test_")
    assert (await keys.call("POST", body={"name": "x", "sandbox": False}, key=key)).status_code == 400


async def test_a_key_for_the_other_api_is_refused(keys: Keys) -> None:
    made = await keys.made(kind="piisend")
    assert made["api_key"].startswith("pii_") and len(made["api_key"]) == 36
    response = await keys.call("GET", key=made["api_key"])
    assert (response.status_code, response.json()["detail"]) == (403, "This key is for /api/v1 only")
    assert await keys.works("pii_" + "0" * 32) == 401


BODIES = [
    (b"", 422),
    (b"null", 422),
    (b"[]", 422),
    (b'{"name": 7}', 422),
    (b'{"name": "x", "scopes": "mail.send"}', 422),
    (b'{"name": "x", "scopes": [null]}', 422),
    (b'{"name": "x", "sandbox": "yes"}', 422),
    (b'{"name": "x", "expires_at": []}', 422),
    (b'{"name": "x", "allowed_networks": "::/0"}', 422),
    (b'{"name": "x", "name": "\\u0000"}', 400),
    (b'{"name": "\\ud800"}', 400),
    (b"{}", 400),
    (b'{"name": null}', 400),
    (b'{"name": "x", "scopes": null, "sandbox": null, "kind": null, "expires_at": null}', 201),
    (b'{"name": "\xc3\xa4 \xf0\x9f\x8e\x88", "typo": 1, "allowed_networks": null}', 201),
]


async def test_bodies(keys: Keys) -> None:
    headers = {"Authorization": f"Bearer {keys.key}", "Content-Type": "application/json"}
    for body, status in BODIES:
        response = await keys.http.post("/v3/api_keys", content=body, headers=headers)
        assert response.status_code == status, (body, response.text)
        assert response.headers.get("x-postray-ignored") == ("typo" if b"typo" in body else None)
        for error in response.json().get("errors", ()):
            assert set(error) == {"message", "field", "help"}


async def test_a_wrong_limit_is_refused(keys: Keys) -> None:
    for limit in ("0", "-1", "x", "1001", "1e9"):
        response = await keys.call("GET", f"?limit={limit}")
        assert (response.status_code, response.json()["errors"][0]["field"]) == (400, "limit")
    assert len((await keys.call("GET", "?limit=1")).json()["result"]) == 1


async def test_the_last_use_is_recorded_to_the_minute_and_changes_no_tenant(keys: Keys) -> None:
    cursor, _ = await keys.journal.tenants.changed(None)
    cursor, _ = await keys.journal.tenants.changed(cursor)
    began = datetime.now(UTC).replace(second=0, microsecond=0)
    assert await keys.works(keys.key) == 200
    await keys.site.server.stop()  # it writes what it has collected
    found = await keys.journal.api_keys.find(keys.id)
    assert found is not None and found.last_used_at is not None
    assert began <= found.last_used_at <= datetime.now(UTC) and found.last_used_at.second == 0
    await keys.journal.api_keys.used({keys.id: began - timedelta(hours=1), "key_gone": began})
    assert await keys.journal.api_keys.find(keys.id) == found
    assert (await keys.journal.tenants.changed(cursor))[1] == frozenset()


async def test_keys_of_a_deleted_tenant_are_no_more(keys: Keys, journal_dsn: str) -> None:
    async with await psycopg.AsyncConnection.connect(journal_dsn, autocommit=True) as connection:
        await connection.execute(b"UPDATE tenants SET deleted_at = now()")
    assert await keys.works(keys.key) == 401
    with pytest.raises(Rejected):
        await add_key(keys.journal, keys.site.tenant_id, "late", OWN)


async def test_the_demos_key_of_before_gets_every_scope(journal: Journal, tmp_path: Any) -> None:
    vault = Vault(secret_key("", tmp_path))
    secret = await ensure_demo(journal, vault, tmp_path)
    found = await journal.api_keys.by_hash(key_hash(secret))
    assert found is not None and found.scopes == SCOPES.keys()
    record = await journal.api_keys.find(found.id)
    assert record is not None
    await journal.api_keys.change(record, name="demo", scopes={"mail.send"})
    assert await ensure_demo(journal, vault, tmp_path) == secret
    found = await journal.api_keys.by_hash(key_hash(secret))
    assert found is not None and found.scopes == SCOPES.keys()
