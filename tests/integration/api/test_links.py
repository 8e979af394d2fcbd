"""Branded links: created, looked up, used once they are valid, and no other tenant's."""

from collections.abc import AsyncIterator
from typing import Any

import httpx
import pytest

from api.links import MOST_LINKS
from cluster.access.scopes import SCOPES
from cluster.tenancy.directory import TenantDirectory
from cluster.tenancy.granting import add_key
from tests.integration.api.conftest import Site

LINKS = "/v3/whitelabel/links"
TARGET = "mail.postray.example"


@pytest.fixture
async def client(site: Site) -> AsyncIterator[httpx.AsyncClient]:
    async with httpx.AsyncClient(base_url=site.url, headers=site.headers) as client:
        yield client


async def a_link(client: httpx.AsyncClient, **body: Any) -> dict[str, Any]:
    response = await client.post(LINKS, json={"domain": "Example.com", **body})
    assert response.status_code == 201, response.text
    link: dict[str, Any] = response.json()
    return link


async def test_a_new_link_names_the_records_to_publish(site: Site, client: httpx.AsyncClient) -> None:
    link = await a_link(client)
    owner = f"{site.tenant_id.removeprefix('tnt_').lower()}.example.com"

    def record(host: str) -> dict[str, object]:
        return {"valid": False, "type": "cname", "host": host, "data": TARGET}

    assert link == {
        "id": link["id"],
        "domain": "example.com",
        "subdomain": "links",
        "username": "",
        "user_id": 0,
        "default": False,
        "valid": False,
        "legacy": False,
        "dns": {"domain_cname": record("links.example.com"), "owner_cname": record(owner)},
    }
    assert (await client.get(f"{LINKS}/{link['id']}")).json() == link
    assert (await client.get(LINKS)).json() == [link]


async def test_it_is_used_once_both_records_are_valid(site: Site, client: httpx.AsyncClient) -> None:
    link = await a_link(client)
    validate = f"{LINKS}/{link['id']}/validate"
    records = link["dns"]
    directory = TenantDirectory(site.journal)

    async def looked() -> tuple[Any, ...]:
        answer = (await client.post(validate)).json()
        results = answer["validation_results"]
        await directory.refresh()
        tenant = await directory.tenant(site.tenant_id)
        assert tenant is not None
        return answer["valid"], results["domain_cname"]["reason"], results["owner_cname"]["reason"], tenant.link_host

    owner = records["owner_cname"]["host"]
    nothing = f"There is no CNAME record at {owner}; expected: {TARGET}"
    site.aliases = {"links.example.com": ("elsewhere.example",)}
    assert await looked() == (
        False,
        f"links.example.com leads to elsewhere.example; expected: {TARGET}",
        nothing,
        "",
    )
    site.aliases = {"links.example.com": ("cdn.example", TARGET)}
    assert await looked() == (False, None, nothing, "")
    site.aliases[owner] = (TARGET,)
    assert await looked() == (True, None, None, "links.example.com")
    site.aliases[owner] = None
    assert (await looked())[::3] == (True, "links.example.com")  # the DNS did not answer: that changes nothing
    site.aliases[owner] = ()
    assert (await looked())[::3] == (False, "")


async def test_one_link_is_the_default_one(client: httpx.AsyncClient) -> None:
    first = await a_link(client, default=True)
    second = await a_link(client, domain="example.net", default=True)

    async def default(**query: str) -> int | None:
        response = await client.get(f"{LINKS}/default", params=query)
        return response.json()["id"] if response.status_code == 200 else None

    assert await default() == second["id"]
    assert await default(domain="example.com") == first["id"]
    assert await default(domain="other.example") == second["id"]
    changed = await client.patch(f"{LINKS}/{first['id']}", json={"default": True})
    assert changed.status_code == 200 and changed.json()["default"]
    assert [link["default"] for link in (await client.get(LINKS)).json()] == [True, False]
    assert (await client.patch(f"{LINKS}/{first['id']}", json={})).json()["default"]
    assert (await client.delete(f"{LINKS}/{first['id']}")).status_code == 204
    assert (await client.get(f"{LINKS}/{first['id']}")).status_code == 404
    assert await default() is None


@pytest.mark.parametrize(
    ("body", "field"),
    [
        ({}, "domain"),
        ({"domain": "not a domain"}, "domain"),
        ({"domain": "example.com", "subdomain": "a b"}, "subdomain"),
        ({"domain": "example.com", "subdomain": "-a"}, "subdomain"),
        ({"domain": "example.com", "subdomain": "a" * 64}, "subdomain"),
        ({"domain": "example.com", "subdomain": "a\r\nb"}, "subdomain"),
        ({"domain": "example.com", "region": "eu"}, "region"),
    ],
)
async def test_what_cannot_be_a_link(client: httpx.AsyncClient, body: dict[str, Any], field: str) -> None:
    response = await client.post(LINKS, json=body)
    assert (response.status_code, response.json()["errors"][0]["field"]) == (400, field)


async def test_no_two_have_one_host_and_a_tenant_has_not_too_many(
    client: httpx.AsyncClient, monkeypatch: pytest.MonkeyPatch
) -> None:
    await a_link(client)
    response = await client.post(LINKS, json={"domain": "example.com", "subdomain": "LINKS"})
    assert (response.status_code, response.json()["errors"][0]["field"]) == (409, "subdomain")
    monkeypatch.setattr("api.links.MOST_LINKS", 1)
    assert (await client.post(LINKS, json={"domain": "example.net"})).status_code == 409
    assert MOST_LINKS == 100


async def test_another_tenant_has_none_of_it(site: Site, client: httpx.AsyncClient) -> None:
    link = await a_link(client, default=True)
    other = await site.journal.tenants.create("other")
    headers = {"Authorization": f"Bearer {(await add_key(site.journal, other, 'all', SCOPES)).secret}"}
    path = f"{LINKS}/{link['id']}"
    for method, at, body in (
        ("GET", path, None),
        ("PATCH", path, {"default": False}),
        ("DELETE", path, None),
        ("POST", f"{path}/validate", None),
        ("GET", f"{LINKS}/default", None),
        *(("GET", f"{LINKS}/{id}", None) for id in ("0", "-1", "x", "9" * 30, str(2**63), "1.0")),
    ):
        assert (await client.request(method, at, json=body, headers=headers)).status_code == 404, (method, at)
    assert (await client.get(LINKS, headers=headers)).json() == []
    assert (await client.get(path)).json() == link
