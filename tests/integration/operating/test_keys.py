"""postray keys: the first key of a tenant, and what operators do with any key."""

import httpx

from cluster.access.scopes import SCOPES
from tests.integration.operating.conftest import Postray


async def status(postray: Postray, secret: str) -> int:
    async with httpx.AsyncClient(base_url=postray.url) as http:
        return (await http.get("/v3/scopes", headers={"Authorization": f"Bearer {secret}"})).status_code


async def test_a_key_from_its_making_to_its_end(postray: Postray) -> None:
    tenant = await postray.journal.tenants.create("acme")
    said = await postray.said("keys", "add", "acme")
    secret = said.partition("secret ")[2].rpartition("secret ")[2].split()[0]
    assert "It is not shown again" in said and secret.startswith("sg_live_")
    assert await status(postray, secret) == 200
    made = await postray.json(
        *("keys", "add", tenant, "--name", "n [b]", "--scope", "mail.send", "--scope", "stats.read"),
        *("--expires-in", "90d", "--network", "192.0.2.0/24", "--sandbox"),
    )
    assert (made["tenant_id"], made["scopes"], made["sandbox"]) == (tenant, ["mail.send", "stats.read"], True)
    assert await status(postray, made["api_key"]) == 403
    listed = (await postray.json("keys", "list", "acme"))["api_keys"]
    assert [key["name"] for key in listed] == ["key", "n [b]"]
    assert listed[0]["scopes"] == sorted(SCOPES) and "api_key" not in listed[0]
    said = await postray.said("keys", "list", tenant)
    assert "n [b]" in said and secret not in said and secret[:16] in said
    shown = await postray.said("keys", "show", made["api_key_id"])
    assert "192.0.2.0/24" in shown and made["api_key"] not in shown
    assert (await postray.json("keys", "revoke", listed[0]["api_key_id"]))["api_key_id"] == listed[0]["api_key_id"]
    assert await status(postray, secret) == 401  # also the last one that may manage keys
    assert f"revoked {made['api_key_id']}" in await postray.said("keys", "revoke", made["api_key_id"])
    assert await postray.said("keys", "list", "acme") == "the tenant has no keys"


async def test_what_cannot_be_is_refused(postray: Postray) -> None:
    await postray.journal.tenants.create("acme")
    assert "No tenant is known as acne; the nearest: acme" in await postray.refused("keys", "list", "acne")
    assert "does not exist" in await postray.refused("keys", "show", "key_x")
    assert "does not exist" in await postray.refused("keys", "revoke", "key_\0")
    assert "allowed_networks[0]" in await postray.refused("keys", "add", "acme", "--network", "192.0.2.1/24")
    for options in (("--scope", "mail.sned"), ("--kind", "x"), ("--expires-in", "9999d"), ("--name", "")):
        assert (await postray.run("keys", "add", "acme", *options)).exit_code == 2
    assert (await postray.json("keys", "list", "acme"))["api_keys"] == []
