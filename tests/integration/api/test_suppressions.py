"""Suppression lists and unsubscribe groups over HTTP and a real journal."""

import asyncio
from collections.abc import AsyncIterator
from datetime import UTC, datetime
from typing import Any
from urllib.parse import quote

import httpx
import psycopg
import pytest

from cluster.journal.database import rows
from cluster.journal.suppressions import new_entries, suppress
from cluster.keys import new_key
from cluster.suppression.lists import SuppressionList
from tests.integration.api.conftest import Site

LISTS = ("bounces", "blocks", "invalid_emails", "spam_reports", "unsubscribes")
FIELDS = {
    "bounces": {"created", "email", "reason", "status"},
    "blocks": {"created", "email", "reason", "status"},
    "invalid_emails": {"created", "email", "reason"},
    "spam_reports": {"created", "email", "ip"},
    "unsubscribes": {"created", "email"},
}


async def client_of(site: Site, tenant_id: str) -> httpx.AsyncClient:
    secret, prefix, hash = new_key(sandbox=False)
    scopes = ("suppressions.read", "suppressions.write")
    await site.journal.api_keys.create(tenant_id, name="k", prefix=prefix, hash=hash, scopes=scopes, sandbox=False)
    return httpx.AsyncClient(base_url=site.url, headers={"Authorization": f"Bearer {secret}"})


@pytest.fixture
async def http(site: Site) -> AsyncIterator[httpx.AsyncClient]:
    async with await client_of(site, site.tenant_id) as client:
        yield client


async def remove(http: httpx.AsyncClient, path: str, body: Any) -> int:
    return (await http.request("DELETE", path, json=body)).status_code


def emails(response: httpx.Response) -> list[str]:
    assert response.status_code == 200, response.text
    return [entry["email"] for entry in response.json()]


@pytest.mark.parametrize("name", LISTS)
async def test_a_list(http: httpx.AsyncClient, name: str) -> None:
    path = f"/v3/suppression/{name}"
    added = await http.post(path, json={"emails": ["Ada@Example.com", " bob@bücher.example ", "eve@example.com"]})
    assert added.status_code == 201
    assert added.json() == {"emails": ["Ada@Example.com", "bob@bücher.example", "eve@example.com"]}
    [entry] = (await http.get(f"{path}/ada@EXAMPLE.com")).json()
    assert set(entry) == FIELDS[name] and entry["email"] == "Ada@Example.com"
    assert (await http.get(f"{path}/unlisted@example.com")).json() == []
    assert len(emails(await http.get(path))) == 3
    assert emails(await http.get(path, params={"email": "ADA@"})) == ["Ada@Example.com"]
    assert emails(await http.get(path, params={"email": "%@xn--bcher-kva.example"})) == ["bob@bücher.example"]
    assert emails(await http.get(path, params={"email": "a_a"})) == []
    assert emails(await http.get(path, params={"start_time": entry["created"] + 60})) == []
    assert (
        len(emails(await http.get(path, params={"start_time": entry["created"], "end_time": entry["created"] + 5})))
        == 3
    )
    assert (await http.delete(f"{path}/ada@example.com")).status_code == 204
    assert (await http.delete(f"{path}/ada@example.com")).status_code == 404
    assert await remove(http, path, {"emails": ["EVE@example.com", "unlisted@example.com"]}) == 204
    assert emails(await http.get(path)) == ["bob@bücher.example"]
    assert await remove(http, path, {"delete_all": True}) == 204
    assert emails(await http.get(path)) == []


async def test_the_pages_of_a_group_follow_each_other_while_entries_go(http: httpx.AsyncClient) -> None:
    made = (await http.post("/v3/asm/groups", json={"name": "News", "description": "d"})).json()
    path = f"/v3/asm/groups/{made['id']}/suppressions"
    given = [f"r{number}@example.com" for number in range(7)]
    await http.post(path, json={"recipient_emails": given})
    first = await http.get(path, params={"limit": 3})
    assert (await http.delete(f"{path}/{first.json()[0]}")).status_code == 204
    second = await http.get(first.links["next"]["url"])
    third = await http.get(second.links["next"]["url"])
    assert sorted(first.json() + second.json() + third.json()) == given
    assert "next" not in third.links
    refused = await http.get(path, params={"after": "x"})
    assert (refused.status_code, refused.json()["errors"][0]["field"]) == (400, "after")


async def test_the_pages_of_all_groups_follow_each_other_while_entries_go(http: httpx.AsyncClient) -> None:
    path, given = "/v3/asm/suppressions", []
    for name in ("News", "Offers", "Alerts"):
        group = (await http.post("/v3/asm/groups", json={"name": name, "description": "d"})).json()
        left = [f"r{number}@example.com" for number in range(4)]
        await http.post(f"/v3/asm/groups/{group['id']}/suppressions", json={"recipient_emails": left})
        given += [(group["id"], email) for email in left]
    whole = [(one["group_id"], one["email"]) for one in (await http.get(path)).json()]
    assert sorted(whole) == sorted(given)
    first = await http.get(path, params={"limit": 5})
    found = [(one["group_id"], one["email"]) for one in first.json()]
    gone = found[-1]
    assert (await http.delete(f"/v3/asm/groups/{gone[0]}/suppressions/{gone[1]}")).status_code == 204
    page = first
    while (link := page.links.get("next")) is not None:
        page = await http.get(link["url"])
        found += [(one["group_id"], one["email"]) for one in page.json()]
    assert found == whole
    at_five = await http.get(path, params={"limit": 5, "offset": 5})
    assert [(one["group_id"], one["email"]) for one in at_five.json()] == [one for one in whole if one != gone][5:10]
    assert (await http.get(path, params={"offset": 2**63 - 1})).json() == []
    refused = await http.get(path, params={"after": "x"})
    assert (refused.status_code, refused.json()["errors"][0]["field"]) == (400, "after")


async def test_the_pages_of_addresses_that_left_several_groups_at_one_moment(
    site: Site, http: httpx.AsyncClient
) -> None:
    emails, at = ["ada@example.com", "bob@example.com"], datetime.now(UTC)
    for name in ("News", "Offers", "Alerts"):
        group = await site.journal.suppression_groups.create(site.tenant_id, name, "d", is_default=False)
        assert group is not None
        await site.journal.suppression_groups.suppress(site.tenant_id, group.id, emails, at)
    found, url = [], "/v3/asm/suppressions?limit=1"
    for _ in range(7):
        page = await http.get(url)
        found += [(one["email"], one["group_name"]) for one in page.json()]
        if (link := page.links.get("next")) is None:
            break
        url = link["url"]
    assert sorted(found) == sorted((email, name) for email in emails for name in ("News", "Offers", "Alerts"))


async def test_pages_follow_each_other(http: httpx.AsyncClient) -> None:
    given = [f"r{number}@example.com" for number in range(7)]
    await http.post("/v3/suppression/bounces", json={"emails": given})  # all at one moment
    found, url = [], "/v3/suppression/bounces?limit=3"
    for _ in range(4):
        page = await http.get(url)
        found += emails(page)
        if (link := page.links.get("next")) is None:
            break
        url = link["url"]
    assert sorted(found) == given
    assert emails(await http.get("/v3/suppression/bounces", params={"limit": 3, "offset": 3})) == found[3:6]


async def test_an_address_with_a_slash_is_named_in_paths(http: httpx.AsyncClient) -> None:
    given = ["a/b%2f+c@example.com", "//x@example.com"]
    group = (await http.post("/v3/asm/groups", json={"name": "News", "description": "d"})).json()
    left = f"/v3/asm/groups/{group['id']}/suppressions"
    await http.post("/v3/suppression/bounces", json={"emails": given})
    await http.post("/v3/asm/suppressions/global", json={"recipient_emails": given})
    await http.post(left, json={"recipient_emails": given})
    for email in given:
        named = quote(email, safe="")
        assert emails(await http.get(f"/v3/suppression/bounces/{named}")) == [email]
        assert (await http.get(f"/v3/suppression/bounces/{named}x")).json() == []
        assert (await http.get(f"/v3/asm/suppressions/global/{named}")).json() == {"recipient_email": email}
        [suppressed] = (await http.get(f"/v3/asm/suppressions/{named}")).json()["suppressions"]
        assert suppressed["suppressed"]
        for path in (f"/v3/suppression/bounces/{named}", f"/v3/asm/suppressions/global/{named}", f"{left}/{named}"):
            assert (await http.delete(path)).status_code == 204
    assert emails(await http.get("/v3/suppression/bounces")) == []
    assert (await http.get("/v3/asm/suppressions")).json() == []
    assert (await http.get("/v3/suppression/bounces/a%2Fb@example.com%2F")).json() == []
    assert (await http.get("/v3/suppression/bounces/a/b@example.com")).status_code == 404


@pytest.mark.parametrize(
    ("part", "found"),
    [
        ("sales", {"sales@example.com", "salesdept@example.com"}),
        ("%market", {"ada@market.example", "market1tree@bücher.example"}),
        ("%MARKET%tree", {"market1tree@bücher.example"}),
        ("sales@example.com", {"sales@example.com"}),
        ("%@bücher.example", {"market1tree@bücher.example"}),
        ("market1tree@BÜCHER.example", {"market1tree@bücher.example"}),
        ("a_a", set()),
        ("\\", set()),
    ],
)
async def test_email_is_what_addresses_begin_with(http: httpx.AsyncClient, part: str, found: set[str]) -> None:
    given = ["sales@example.com", "salesdept@example.com", "presales@example.com", "ada@market.example"]
    await http.post("/v3/suppression/bounces", json={"emails": [*given, "market1tree@bücher.example"]})
    assert set(emails(await http.get("/v3/suppression/bounces", params={"email": part}))) == found


@pytest.mark.parametrize(
    ("query", "field"),
    [
        ({"limit": 501}, "limit"),
        ({"limit": 0}, "limit"),
        ({"offset": -1}, "offset"),
        ({"offset": 2**63}, "offset"),
        ({"after": "x"}, "after"),
        ({"after": "eA=="}, "after"),
        ({"start_time": 10**12}, "start_time"),
        ({"start": 1}, "start"),
    ],
)
async def test_a_faulty_query_names_its_field(http: httpx.AsyncClient, query: dict[str, Any], field: str) -> None:
    refused = await http.get("/v3/suppression/blocks", params=query)
    assert (refused.status_code, refused.json()["errors"][0]["field"]) == (400, field), refused.text


@pytest.mark.parametrize(
    ("body", "status", "field"),
    [
        ({}, 400, "emails"),
        ({"emails": []}, 400, "emails"),
        ({"emails": ["ada@example.com", "no address", "a@b\r\nc.example"]}, 400, "emails[1]"),
        ({"emails": "ada@example.com"}, 422, "emails"),
        ({"emails": ["a@example.com"] * 10_001}, 400, "emails"),
        ({"emails": ["\0@example.com"]}, 400, "emails[0]"),
    ],
)
async def test_a_faulty_body_names_its_field(http: httpx.AsyncClient, body: Any, status: int, field: str) -> None:
    refused = await http.post("/v3/suppression/bounces", json=body)
    assert (refused.status_code, refused.json()["errors"][0]["field"]) == (status, field), refused.text


async def test_removing_needs_to_say_what(http: httpx.AsyncClient) -> None:
    for body in ({}, {"delete_all": False}, {"delete_all": True, "emails": ["a@example.com"]}):
        assert await remove(http, "/v3/suppression/bounces", body) == 400


async def test_tenants_do_not_see_each_other(site: Site, http: httpx.AsyncClient) -> None:
    other = await client_of(site, await site.journal.tenants.create("other"))
    async with other:
        made = (await http.post("/v3/asm/groups", json={"name": "News", "description": "d"})).json()
        await http.post("/v3/suppression/bounces", json={"emails": ["a@example.com"]})
        assert emails(await other.get("/v3/suppression/bounces")) == []
        assert await remove(other, "/v3/suppression/bounces", {"delete_all": True}) == 204
        path = f"/v3/asm/groups/{made['id']}"
        assert (await other.get("/v3/asm/groups")).json() == []
        for method, url, body in (
            ("GET", path, None),
            ("PATCH", path, {"name": "x"}),
            ("DELETE", path, None),
            ("POST", f"{path}/suppressions", {"recipient_emails": ["a@example.com"]}),
            ("GET", f"{path}/suppressions", None),
            ("POST", f"{path}/suppressions/search", {"recipient_emails": ["a@example.com"]}),
            ("DELETE", f"{path}/suppressions/a@example.com", None),
        ):
            assert (await other.request(method, url, json=body)).status_code == 404, (method, url)
    assert emails(await http.get("/v3/suppression/bounces")) == ["a@example.com"]
    assert (await http.get(path)).status_code == 200


async def test_a_group(http: httpx.AsyncClient) -> None:
    made = await http.post("/v3/asm/groups", json={"name": "News", "description": "Each week", "is_default": True})
    assert made.status_code == 201
    group = made.json()
    assert group == {
        "id": group["id"],
        "name": "News",
        "description": "Each week",
        "is_default": True,
        "unsubscribes": 0,
    }
    assert isinstance(group["id"], int)
    second = (await http.post("/v3/asm/groups", json={"name": "Offers", "description": "d", "is_default": True})).json()
    assert [one["is_default"] for one in (await http.get("/v3/asm/groups")).json()] == [False, True]
    assert [one["id"] for one in (await http.get(f"/v3/asm/groups?id={second['id']}&id=99999999999")).json()] == [
        second["id"]
    ]
    path = f"/v3/asm/groups/{group['id']}"
    assert (await http.patch(path, json={"name": "Offers"})).status_code == 409
    changed = await http.patch(path, json={"name": "Weekly"})
    assert (changed.status_code, changed.json()["name"], changed.json()["description"]) == (201, "Weekly", "Each week")

    left = {"recipient_emails": ["Ada@example.com", "bob@example.com"]}
    for _ in range(2):
        answer = await http.post(f"{path}/suppressions", json=left)
        assert (answer.status_code, answer.json()) == (201, left)
    assert sorted((await http.get(f"{path}/suppressions")).json()) == ["Ada@example.com", "bob@example.com"]
    asked = {"recipient_emails": ["ADA@example.com", "eve@example.com"]}
    assert (await http.post(f"{path}/suppressions/search", json=asked)).json() == ["ADA@example.com"]
    assert (await http.get(path)).json()["unsubscribes"] == 2
    entries = (await http.get("/v3/asm/suppressions")).json()
    assert {(one["email"], one["group_id"], one["group_name"]) for one in entries} == {
        ("Ada@example.com", group["id"], "Weekly"),
        ("bob@example.com", group["id"], "Weekly"),
    }
    groups = (await http.get("/v3/asm/suppressions/ada@example.com")).json()["suppressions"]
    assert [(one["id"], one["suppressed"]) for one in groups] == [(group["id"], True), (second["id"], False)]
    assert (await http.delete(f"{path}/suppressions/ada@example.com")).status_code == 204
    assert (await http.get(f"{path}/suppressions")).json() == ["bob@example.com"]
    assert (await http.delete(path)).status_code == 204
    assert (await http.get(path)).status_code == 404
    assert (await http.get("/v3/asm/suppressions")).json() == []


async def test_a_group_that_is_deleted_while_addresses_leave_it_keeps_none(site: Site, http: httpx.AsyncClient) -> None:
    made = (await http.post("/v3/asm/groups", json={"name": "News", "description": "d"})).json()
    given = {"recipient_emails": ["ada@example.com"]}
    waiting = "SELECT FROM pg_stat_activity WHERE datname = current_database() AND wait_event_type = 'Lock'"
    async with (
        await psycopg.AsyncConnection.connect(site.dsn) as deleting,
        await psycopg.AsyncConnection.connect(site.dsn, autocommit=True) as watching,
    ):
        await deleting.execute("DELETE FROM suppression_groups WHERE id = %s", [made["id"]])
        adding = asyncio.create_task(http.post(f"/v3/asm/groups/{made['id']}/suppressions", json=given))
        while not adding.done() and not await (await watching.execute(waiting)).fetchall():
            await asyncio.sleep(0.01)
        await deleting.commit()
        assert (await adding).status_code == 404
        entries = await watching.execute("SELECT email FROM suppressions")
        assert await entries.fetchall() == []


async def test_a_group_that_is_deleted_while_an_addition_is_not_committed_keeps_no_entries(
    site: Site, http: httpx.AsyncClient
) -> None:
    """As from the API (``SuppressionGroups.suppress``) and from unsubscribe pages: both lock the group first."""
    made = (await http.post("/v3/asm/groups", json={"name": "News", "description": "d"})).json()
    waiting = "SELECT FROM pg_stat_activity WHERE datname = current_database() AND wait_event_type = 'Lock'"
    of_group = {"tenant_id": site.tenant_id, "group_id": made["id"]}
    async with (
        await psycopg.AsyncConnection.connect(site.dsn) as adding,
        await psycopg.AsyncConnection.connect(site.dsn, autocommit=True) as watching,
    ):
        assert await rows(adding, "lock_group", **of_group)
        left = new_entries(site.tenant_id, SuppressionList.GROUP, ["ada@example.com"], datetime.now(UTC), made["id"])
        assert await suppress(adding, left)
        deleting = asyncio.create_task(http.delete(f"/v3/asm/groups/{made['id']}"))
        while not deleting.done() and not await (await watching.execute(waiting)).fetchall():
            await asyncio.sleep(0.01)
        await adding.commit()
        assert (await deleting).status_code == 204
        entries = await watching.execute("SELECT email FROM suppressions")
        assert await entries.fetchall() == []


@pytest.mark.parametrize(
    ("body", "status", "fields"),
    [
        ({}, 400, ["name", "description"]),
        ({"name": " ", "description": "d"}, 400, ["name"]),
        ({"name": "n" * 31, "description": "d" * 101}, 400, ["name", "description"]),
        ({"name": "a\0b", "description": "d"}, 400, ["name"]),
        ({"name": 1, "description": "d"}, 422, ["name"]),
    ],
)
async def test_a_faulty_group(http: httpx.AsyncClient, body: Any, status: int, fields: list[str]) -> None:
    refused = await http.post("/v3/asm/groups", json=body)
    assert (refused.status_code, [fault["field"] for fault in refused.json()["errors"]]) == (status, fields)


@pytest.mark.parametrize("id", ["0", "x", "99999999999999999999", "-1", "1e3"])
async def test_what_is_no_group_is_404(http: httpx.AsyncClient, id: str) -> None:
    assert (await http.get(f"/v3/asm/groups/{id}")).status_code == 404
    assert (await http.delete(f"/v3/asm/groups/{id}")).status_code == 404


async def test_a_tenant_has_a_bounded_number_of_groups(
    http: httpx.AsyncClient, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("cluster.journal.suppression_groups.MOST_GROUPS", 1)
    first, second = [
        await http.post("/v3/asm/groups", json={"name": name, "description": "d"}) for name in ("one", "two")
    ]
    assert (first.status_code, second.status_code) == (201, 400)


async def test_the_global_list_is_one_with_unsubscribes(http: httpx.AsyncClient) -> None:
    given = {"recipient_emails": ["Ada@example.com"]}
    answer = await http.post("/v3/asm/suppressions/global", json=given)
    assert (answer.status_code, answer.json()) == (201, given)
    found = await http.get("/v3/asm/suppressions/global/ada@example.com")
    assert (found.status_code, found.json()) == (200, {"recipient_email": "Ada@example.com"})
    assert emails(await http.get("/v3/suppression/unsubscribes")) == ["Ada@example.com"]
    assert (await http.delete("/v3/asm/suppressions/global/ADA@example.com")).status_code == 204
    assert (await http.get("/v3/asm/suppressions/global/ada@example.com")).json() == {}
