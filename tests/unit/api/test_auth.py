"""Keys: refusals, scopes, and how long a revoked key is accepted."""

import pytest

from cluster.keys import is_key, key_hash, new_key
from cluster.tenancy.directory import FRESH_S
from tests.unit.api.bodies import mail
from tests.unit.api.conftest import ALL_SCOPES, World

ROUTES = [
    ("POST", "/v3/mail/send"),
    ("POST", "/v3/mail/batch"),
    ("GET", "/v3/mail/batch/bat_x"),
    ("GET", "/v3/messages"),
    ("GET", "/v3/messages/msg_x"),
    ("POST", "/v3/messages/msg_x/cancel"),
    ("GET", "/v3/whitelabel/domains"),
    ("GET", "/v3/whitelabel/domains/1"),
    ("GET", "/v3/scopes"),
]


@pytest.mark.parametrize(
    ("authorization", "detail"),
    [
        (None, "Missing Authorization header"),
        ("", "Invalid API key"),
        ("Bearer", "Invalid API key"),
        ("Bearer sg_live_short", "Invalid API key"),
        ("Bearer sg_live_00000000000000000000000000000000", "Invalid API key"),
        ("Basic sg_live_00000000000000000000000000000000", "Invalid API key"),
    ],
)
async def test_401(world: World, authorization: str | None, detail: str) -> None:
    headers = {} if authorization is None else {"Authorization": authorization}
    for method, path in ROUTES:
        response = await world.client.request(method, path, headers=headers)
        assert response.status_code == 401, path
        answer = response.json()
        assert answer["detail"] == detail
        assert "authorization grant is invalid" in answer["errors"][0]["message"]
        assert response.headers["www-authenticate"] == "Bearer"


async def test_any_key_reads_its_scopes(world: World) -> None:
    assert (await world.request("GET", "/v3/scopes", world.journal.issue_key())).json() == {"scopes": []}
    assert (await world.request("GET", "/v3/scopes")).json() == {"scopes": sorted(ALL_SCOPES)}


async def test_the_scheme_is_bearer_in_any_case(world: World) -> None:
    response = await world.client.get("/v3/scopes", headers={"Authorization": f"bearer  {world.key}"})
    assert response.status_code == 200


async def test_a_revoked_key_is_refused_within_five_seconds(world: World) -> None:
    assert FRESH_S < 5
    assert (await world.send(mail())).status_code == 202
    world.journal.keys.clear()
    world.journal.changed_tenants = {"tnt_acme"}
    world.now += FRESH_S - 0.1
    assert (await world.send(mail())).status_code == 202  # from the cache
    assert world.journal.lookups == 1
    world.now += 0.2
    assert (await world.send(mail())).status_code == 401


async def test_only_what_looks_like_a_key_is_looked_up(world: World) -> None:
    for secret in ("x", "sg_live_" + "g" * 32, "sg_live_" + "a" * 33, "SG_LIVE_" + "a" * 32, "sg_prod_" + "a" * 32):
        assert (await world.request("GET", "/v3/scopes", secret)).status_code == 401
    assert world.journal.lookups == 0


@pytest.mark.parametrize("sandbox", [False, True])
def test_a_new_key(sandbox: bool) -> None:
    secret, prefix, hash = new_key(sandbox)
    assert is_key(secret)
    assert secret.startswith("sg_test_" if sandbox else "sg_live_")
    assert secret.startswith(prefix) and len(prefix) == 16
    assert hash == key_hash(secret) and len(hash) == 32
    assert new_key(sandbox)[0] != secret
