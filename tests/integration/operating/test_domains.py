"""Sender domains over HTTP and by command, over a real API, a real journal and a DNS server of the tests' own."""

import json
from collections.abc import AsyncIterator
from dataclasses import dataclass
from datetime import UTC, datetime
from typing import Any

import httpx
import pytest
from dnslib import MX, RCODE

from cluster.tenancy.granting import add_key
from tests.domains import PUBLISHING, a_domain
from tests.integration.domains.conftest import Domains, domains, text  # noqa: F401  # a fixture
from tests.integration.journal.builders import a_tenant
from tests.integration.journal.test_sender_domains import execute
from tests.integration.operating.conftest import Postray

PATH = "/v3/whitelabel/domains"
REQUIRED = (
    *("automatic_security", "custom_spf", "default", "dns", "domain", "id", "ips", "legacy", "subdomain", "user_id"),
    *("username", "valid"),
)
"""The fields that SendGrid's clients rely on."""


@dataclass
class Client:
    """Two tenants of a running API, and the DNS that it asks."""

    postray: Postray
    domains: Domains
    http: httpx.AsyncClient
    keys: dict[str, str]

    async def call(self, method: str, path: str = "", body: Any = None, *, tenant: str = "acme") -> httpx.Response:
        headers = {"Authorization": f"Bearer {self.keys[tenant]}"}
        return await self.http.request(method, f"{PATH}{path}", json=body, headers=headers)

    async def add(self, domain: str = "acme.example", *, tenant: str = "acme", **fields: Any) -> Any:
        answer = await self.call("POST", body={"domain": domain, **fields}, tenant=tenant)
        assert answer.status_code == 201, answer.text
        return answer.json()

    async def publish(self, made: Any, *but: str) -> None:
        stored = await self.postray.journal.sender_domains.find(made["id"], None)
        assert stored is not None
        self.domains.publish(stored, *but)


@pytest.fixture
async def client(postray: Postray, domains: Domains) -> AsyncIterator[Client]:  # noqa: F811
    domains.now = datetime.now(UTC)
    domains.verifier._vault = postray.vault
    postray.look = domains.verifier.verify
    tenants = {"acme": domains.tenant_id, "other": await a_tenant(postray.journal, "other")}
    scopes = ("domains.read", "domains.write")
    keys = {name: (await add_key(postray.journal, id, name, scopes)).secret for name, id in tenants.items()}
    keys["reader"] = (await add_key(postray.journal, tenants["acme"], "reader", ["domains.read"])).secret
    async with httpx.AsyncClient(base_url=postray.url) as http:
        yield Client(postray, domains, http, keys)


async def test_from_nothing_to_verified(client: Client) -> None:
    made = await client.add(default=True)
    assert set(REQUIRED) <= set(made) and "last_validation_attempt_at" not in made
    assert (made["valid"], made["state"], made["default"], made["legacy"]) == (False, "pending", True, False)
    dns = made["dns"]
    assert {name: (dns[name]["type"], dns[name]["host"], dns[name]["valid"]) for name in dns} == {
        "mail_cname": ("mx", "bounces.acme.example", False),
        "dkim1": ("txt", "postray._domainkey.acme.example", False),
        "dkim2": ("txt", "postray2._domainkey.acme.example", False),
        "subdomain_spf": ("txt", "bounces.acme.example", False),
        "dmarc": ("txt", "_dmarc.acme.example", False),
    }
    assert dns["dkim1"]["data"].startswith("v=DKIM1; k=rsa; p=") and dns["dkim2"]["data"].count("k=ed25519") == 1
    assert dns["mail_cname"]["data"] == PUBLISHING.bounce_host and dns["subdomain_spf"]["data"] == PUBLISHING.spf
    assert len(made["zone"]) == 5
    looked = (await client.call("POST", f"/{made['id']}/validate")).json()
    assert looked["valid"] is False and looked["id"] == made["id"]
    assert {name: one["status"] for name, one in looked["validation_results"].items()} == dict.fromkeys(
        ("mail_cname", "dkim1", "dkim2", "spf", "dmarc"), "missing"
    )
    await client.publish(made)
    looked = (await client.call("POST", f"/{made['id']}/validate")).json()
    assert looked["valid"] is True
    assert all(one["valid"] and one["reason"] is None for one in looked["validation_results"].values())
    shown = (await client.call("GET", f"/{made['id']}")).json()
    assert shown["valid"] and shown["state"] == "verified" and all(one["valid"] for one in shown["dns"].values())
    assert abs(shown["last_validation_attempt_at"] - datetime.now(UTC).timestamp()) < 60
    assert (await client.call("GET", "/default")).json() == shown == (await client.call("GET")).json()[0]
    assert (await client.call("GET", "?domain=nothing")).json() == []

    client.domains.dns.zone["bounces.acme.example", "MX"] = [MX("elsewhere.example", 10)]
    looked = (await client.call("POST", f"/{made['id']}/validate")).json()
    assert looked["valid"] is False and looked["state"] == "verified" and looked["wrong_since"]
    result = looked["validation_results"]["mail_cname"]
    assert (result["valid"], result["found"], result["expected"]) == (
        *(False, ["10 elsewhere.example."], PUBLISHING.bounce_host),
    )
    assert (await client.call("GET", f"/{made['id']}")).json()["valid"] is True, "it is never silently unverified"

    client.domains.dns.rcodes["bounces.acme.example"] = RCODE.SERVFAIL
    result = (await client.call("POST", f"/{made['id']}/validate")).json()["validation_results"]["spf"]
    assert (result["status"], result["reason"]) == ("not_looked_up", "it could not be looked up: SERVFAIL")

    assert (await client.call("DELETE", f"/{made['id']}")).status_code == 204
    for method, path in (("GET", ""), ("DELETE", ""), ("PATCH", ""), ("POST", "/validate")):
        body: Any = {} if method == "PATCH" else None
        assert (await client.call(method, f"/{made['id']}{path}", body)).status_code == 404
    assert (await client.call("GET", "/default")).status_code == 404


@pytest.mark.parametrize(
    ("body", "field"),
    [
        ({}, "domain"),
        ({"domain": "co.uk"}, "domain"),
        ({"domain": "localhost"}, "domain"),
        ({"domain": "a.example\r\nX: y"}, "domain"),
        ({"domain": "a.example\0"}, "domain"),
        ({"domain": "a" * 100_000 + ".example"}, "domain"),
        ({"domain": "a.example", "subdomain": "-"}, "subdomain"),
        ({"domain": "a.example", "subdomain": ""}, "subdomain"),
        ({"domain": "a.example", "custom_dkim_selector": "a.b"}, "custom_dkim_selector"),
        ({"domain": "a.example", "username": "x"}, "username"),
        ({"domain": "a.example", "ips": ["192.0.2.1"]}, "ips"),
        ({"domain": "a.example", "custom_spf": True}, "custom_spf"),
        ({"domain": "a.example", "region": "eu"}, "region"),
        ({"domain": "a.example", "automatic_security": True}, "automatic_security"),
    ],
)
async def test_what_is_not_possible_is_refused_with_its_field(client: Client, body: Any, field: str) -> None:
    answer = await client.call("POST", body=body)
    assert answer.status_code == 400, answer.text
    (error,) = answer.json()["errors"]
    assert error["field"] == field and error["help"]


async def test_wrong_types_and_ids(client: Client) -> None:
    wrong: Any = ([], {"domain": 7}, {"domain": "a.example", "default": "yes"}, {"domain": "a.example", "ips": "x"})
    for body in wrong:
        assert (await client.call("POST", body=body)).status_code == 422, body
    for id in ("0", "-1", "x", "9" * 19, "9" * 400, "1.0", "%00", "٣"):
        assert (await client.call("GET", f"/{id}")).status_code == 404, id
    made = await client.add(username=None, ips=[], custom_spf=False, region="global", automatic_security=False)
    assert (await client.call("PATCH", f"/{made['id']}", {"custom_spf": True})).status_code == 400
    changed = await client.call("PATCH", f"/{made['id']}", {"default": True, "include_subdomains": True})
    assert (changed.json()["default"], changed.json()["include_subdomains"]) == (True, True)
    second = await client.add("second.example", default=True)
    assert second["default"] and not (await client.call("GET", f"/{made['id']}")).json()["default"]
    for method, path in (("POST", ""), ("DELETE", f"/{made['id']}"), ("POST", f"/{made['id']}/validate")):
        answer = await client.call(method, path, {"domain": "b.example"}, tenant="reader")
        assert (answer.status_code, answer.json()["detail"]) == (403, "Missing required scope: domains.write")


async def test_two_tenants_cannot_have_one_domain(client: Client, journal_dsn: str) -> None:
    made = await client.add()
    for tenant, words in (("acme", "The tenant has acme.example already"), ("other", "Another tenant has")):
        answer = await client.call("POST", body={"domain": "ACME.example"}, tenant=tenant)
        assert answer.status_code == 409 and words in answer.json()["detail"] and answer.json()["errors"][0]["help"]
    for method, path in (("GET", ""), ("PATCH", ""), ("DELETE", ""), ("POST", "/validate")):
        answer = await client.call(method, f"/{made['id']}{path}", {}, tenant="other")
        assert answer.status_code == 404, method
    # It was never verified: after a week it gives way.
    await execute(journal_dsn, "UPDATE sender_domains SET created_at = created_at - interval '7 days'")
    taken = await client.add(tenant="other")
    assert (await client.call("GET", f"/{made['id']}")).status_code == 404
    # A verified one does not, however old it is.
    await client.publish(taken)
    await client.call("POST", f"/{taken['id']}/validate", tenant="other")
    await execute(journal_dsn, "UPDATE sender_domains SET created_at = created_at - interval '70 days'")
    answer = await client.call("POST", body={"domain": "acme.example"})
    assert answer.status_code == 409 and "free from" not in answer.json()["detail"]
    # Who has verified a domain need not wait for an entry below it.
    await client.add("news.acme.example")
    await client.add("news.acme.example", tenant="other")


async def test_by_command(client: Client) -> None:
    run = client.postray
    printed = await run.run("domains", "add", "Acme.example", "--tenant", "acme", "--selector", "em", "--default")
    assert printed.exit_code == 0, printed.output
    lines = printed.output.splitlines()
    assert lines[0].startswith('em._domainkey.acme.example. IN TXT "v=DKIM1; k=rsa; p=')
    assert lines[1].startswith('em2._domainkey.acme.example. IN TXT "v=DKIM1; k=ed25519; p=')
    assert lines[2] == "bounces.acme.example. IN MX 10 mx.postray.example."
    refused = await run.run("domains", "verify", "acme.example")
    assert refused.exit_code == 1 and "missing" in refused.output and "acme.example is pending" in refused.output
    (listed,) = await run.json("domains", "list", "--tenant", "acme")
    await client.publish(listed)
    said = await run.said("domains", "verify", "acme.example")
    assert "DKIM rsa, active" in said and "acme.example is verified" in said and "missing" not in said
    rotated = await run.json("domains", "rotate", str(listed["id"]))
    assert rotated["rotating"] and rotated["dns"]["dkim3"]["host"] == "em3._domainkey.acme.example"
    assert "new keys wait" in await run.said("domains", "list")
    await client.publish(rotated)
    verified = await run.json("domains", "verify", "acme.example")
    assert [record["key_state"] for record in verified["records"]][:4] == ["retired", "retired", "active", "active"]
    assert "keep until" in await run.said("domains", "show", "acme.example")
    client.domains.dns.zone.clear()
    wrong = await run.run("domains", "verify", "acme.example", "--json")
    assert wrong.exit_code == 1 and json.loads(wrong.stdout)["wrong_since"]
    assert "There is no tenant" in await run.refused("domains", "add", "b.example", "--tenant", "missing")
    assert "removed acme.example" in await run.said("domains", "remove", "acme.example")
    assert "does not exist" in await run.refused("domains", "show", "acme.example")
    assert await run.said("domains", "list") == "there is no such domain"


async def test_what_a_domain_of_an_older_version_shows(client: Client) -> None:
    id = await a_domain(client.postray.journal, client.domains.tenant_id, "old.example")
    shown = (await client.call("GET", f"/{id}")).json()
    assert (shown["valid"], shown["legacy"], shown["return_path"]) == (True, True, "old.example")
    assert shown["dns"]["dkim1"]["valid"] and shown["dns"]["mail_cname"]["host"] == "old.example"
    assert shown["dns"]["dkim2"] == {"valid": False, "type": "txt", "host": "", "data": ""}


async def test_a_text_of_the_dns_cannot_steer_a_terminal(client: Client) -> None:
    made = await client.add()
    await client.publish(made)
    client.domains.dns.zone["postray._domainkey.acme.example", "TXT"] = [text("\x1b[31m[red]\0")]
    printed = await client.postray.run("domains", "verify", "acme.example")
    assert printed.exit_code == 1 and "\x1b" not in printed.output and "[red]" in printed.output
