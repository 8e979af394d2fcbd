"""Templates and versions over HTTP and a real journal, as their authors' clients see them."""

import asyncio
from typing import Any

import httpx
import pytest

from api.templates import paging, versions
from cluster.ids import new_id
from cluster.journal import templates
from cluster.keys import new_key
from tests.integration.api.author import TEMPLATES, Author
from tests.integration.api.conftest import Site


async def test_a_template_and_its_version(author: Author) -> None:
    made = await author.call("POST", "", 201, {"name": "welcome"})
    assert made["id"].startswith("d-") and (made["name"], made["generation"], made["versions"]) == (
        "welcome",
        "dynamic",
        [],
    )
    assert made["updated_at"].endswith("Z")
    path = f"/{made['id']}"
    version = await author.version(made["id"], preheader="For {{name}}", test_data='{"name": "Ada"}', editor="design")
    assert version["id"].startswith("v_") and version["template_id"] == made["id"]
    assert version["plain_content"] == "Hello {{name}}" and version["generate_plain_content"] is True
    assert (version["active"], version["editor"], version["warnings"]) == (1, "design", [])
    assert await author.call("GET", f"{path}/versions/{version['id']}", 200) == version
    shown = await author.call("GET", path, 200)
    assert shown["versions"] == [version] and shown["updated_at"] >= version["updated_at"]
    renamed = await author.call("PATCH", path, 200, {"name": "hello"})
    assert (renamed["name"], renamed["versions"]) == ("hello", [version])
    assert await author.call("PATCH", path, 200, {}) == renamed
    lean = {name: version[name] for name in version if name not in ("warnings", "test_data", "preheader")}
    del lean["html_content"], lean["plain_content"]
    assert (await author.call("GET", "", 200))["result"][0]["versions"] == [lean]
    assert await author.call("GET", f"{path}/versions", 200) == {"result": [lean]}
    await author.call("DELETE", path, 204)
    await author.call("GET", path, 404)
    await author.call("GET", f"{path}/versions/{version['id']}", 404)


async def test_which_version_is_active(author: Author) -> None:
    id = await author.template()
    first = await author.version(id, subject="one")
    second = await author.version(id, subject="two", active=0)
    assert (first["active"], second["active"]) == (1, 0)
    path = f"/{id}/versions/{second['id']}"
    assert (await author.call("POST", f"{path}/activate", 200))["active"] == 1
    assert await author.active_subject(id) == "two"
    fault = await author.faults("DELETE", path, None)
    assert fault == {"id": versions.IN_USE}
    assert (await author.call("POST", f"{path}/deactivate", 200))["active"] == 0
    assert await author.active_subject(id) is None
    await author.call("DELETE", path, 204)
    await author.call("DELETE", path, 404)
    third = await author.version(id, subject="three", active=1)
    assert third["active"] == 1 and await author.active_subject(id) == "three"
    changed = await author.call("PATCH", f"/{id}/versions/{first['id']}", 200, {"active": 1, "subject": "four"})
    assert changed["active"] == 1 and await author.active_subject(id) == "four"
    await author.call("PATCH", f"/{id}/versions/{first['id']}", 200, {"active": 0})
    assert await author.active_subject(id) is None


async def test_copies(author: Author) -> None:
    id = await author.template("welcome")
    version = await author.version(id, preheader="p", test_data="{}")
    copy = await author.call("POST", f"/{id}", 201)
    assert copy["name"] == "welcome (copy)" and copy["id"] != id
    (copied,) = copy["versions"]
    of_time = ("id", "template_id", "created_at", "updated_at")
    assert {name: copied[name] for name in copied if name not in of_time} == {
        name: version[name] for name in version if name not in of_time
    }
    assert (await author.call("POST", f"/{id}", 201, {"name": "again"}))["name"] == "again"
    path = f"/{id}/versions/{version['id']}/duplicate"
    second = await author.call("POST", path, 201)
    assert (second["name"], second["active"], second["html_content"]) == ("one (copy)", 0, version["html_content"])
    assert (await author.call("POST", path, 201, {"name": "again"}))["name"] == "again"
    long = await author.call("PATCH", f"/{id}", 200, {"name": "n" * 255})
    assert len((await author.call("POST", f"/{long['id']}", 201))["name"]) == 255
    assert set(await author.faults("POST", f"/{id}", {"name": " "})) == {"name"}


async def test_the_plain_text_follows_the_html_unless_it_is_given(author: Author) -> None:
    id = await author.template()
    made = await author.version(id, plain_content="My {{own}}")
    path = f"/{id}/versions/{made['id']}"
    assert (made["plain_content"], made["generate_plain_content"]) == ("My {{own}}", False)

    async def change(**fields: Any) -> tuple[str, bool]:
        changed = await author.call("PATCH", path, 200, fields)
        return changed["plain_content"], changed["generate_plain_content"]

    assert await change(html_content="<p>New</p>") == ("My {{own}}", False)
    assert await change(plain_content="") == ("New", True)
    assert await change(html_content="<h1>Newer</h1>", plain_content=None) == ("Newer", True)
    assert await change(name="renamed") == ("Newer", True)
    assert await change(generate_plain_content=False) == ("Newer", False)
    assert await change(html_content="<p>x</p>") == ("Newer", False)
    assert await change(generate_plain_content=True) == ("x", True)
    assert await change(plain_content="Mine") == ("Mine", False)
    response = await author.http.patch(
        f"{TEMPLATES}{path}", json={"plain_content": "Mine", "generate_plain_content": True}
    )
    assert response.json()["plain_content"] == "x"
    assert response.headers["X-Postray-Ignored"] == "plain_content"
    none = await author.version(id, generate_plain_content=False)
    assert none["plain_content"] == ""
    assert (await author.call("PATCH", f"/{id}/versions/{none['id']}", 200, {"generate_plain_content": True}))[
        "plain_content"
    ] == "Hello {{name}}"


async def test_a_template_that_cannot_be_compiled_is_refused_with_its_places(author: Author) -> None:
    id = await author.template()
    broken = {
        "name": "one",
        "subject": "{{",
        "html_content": "<p>\n  {{#if x}}</p>",
        "plain_content": "{{> part}}",
        "preheader": "{{nope 1}}",
    }
    faults = await author.faults("POST", f"/{id}/versions", broken)
    assert set(faults) == {"subject", "html_content", "plain_content", "preheader"}
    assert all("line 1, column " in faults[name] for name in ("subject", "plain_content", "preheader"))
    assert "line 2, column " in faults["html_content"]
    made = await author.version(id)
    path = f"/{id}/versions/{made['id']}"
    assert set(await author.faults("PATCH", path, {"html_content": "{{#each a}}", "name": "x"})) == {"html_content"}
    assert await author.call("GET", path, 200) == made
    legacy = await author.template(generation="legacy")
    kept = await author.version(legacy, html_content="<p>-name- {{#if}}</p>", preheader="{{")
    assert kept["plain_content"] == "-name- {{#if}}"


MEGABYTE = 1024 * 1024


FAULTY: list[tuple[dict[str, Any], set[str]]] = [
    ({"name": None}, {"name"}),
    ({"name": ""}, {"name"}),
    ({"name": "n" * 256}, {"name"}),
    ({"name": "a\nb"}, {"name"}),
    ({"subject": "s" * 1001}, {"subject"}),
    ({"subject": "a\r\nBcc: b"}, {"subject"}),
    ({"subject": "a\0"}, {"subject"}),
    ({"preheader": "p" * 501}, {"preheader"}),
    ({"html_content": "x" * (MEGABYTE + 1)}, {"html_content"}),
    ({"html_content": "ü" * (MEGABYTE // 2 + 1)}, {"html_content"}),
    ({"html_content": "\0"}, {"html_content"}),
    ({"html_content": "x" * (MEGABYTE // 2 + 1)}, {"html_content"}),  # with its plain text
    ({"plain_content": "x" * (MEGABYTE + 1)}, {"plain_content"}),
    ({"plain_content": "\0", "generate_plain_content": True}, {"plain_content"}),
    ({"editor": "word"}, {"editor"}),
    ({"active": 2}, {"active"}),
    ({"test_data": "["}, {"test_data"}),
    ({"test_data": "[]"}, {"test_data"}),
    ({"test_data": '{"a": ' + "[" * 70 + "]" * 70 + "}"}, {"test_data"}),
    ({"test_data": "x" * (MEGABYTE + 1)}, {"test_data"}),
    ({"name": "", "subject": "\n", "editor": ""}, {"name", "subject", "editor"}),
]
"""What a version may not have, and the fields of the faults."""


async def test_each_fault_names_its_field(author: Author) -> None:
    id = await author.template()
    for fields, faulty in FAULTY:
        body = {"name": "one", "subject": "s", "html_content": "x"} | fields
        assert set(await author.faults("POST", f"/{id}/versions", body)) == faulty
    assert await author.call("GET", f"/{id}/versions", 200) == {"result": []}


async def test_what_is_allowed_at_the_edges(author: Author) -> None:
    id = await author.template("n" * 255)
    longest = await author.version(
        id,
        name="n" * 255,
        subject="s" * 1000,
        preheader="p" * 500,
        html_content="x" * 900_000,
        generate_plain_content=False,
        test_data='{"n": 123456789012345678901234567890}',
    )
    assert len(longest["html_content"]) == 900_000
    bare = await author.call("POST", f"/{id}/versions", 201, {"name": "bare"})
    assert [one["message"].split(":")[0] for one in bare["warnings"]] == [
        "The version has no subject",
        "The version has neither html_content nor plain_content",
    ]
    wrong = await author.call("POST", f"/{id}/versions", 422, {"name": 1})
    assert wrong["detail"][0]["loc"][-1] == "name"
    response = await author.http.post(
        f"{TEMPLATES}/{id}/versions", json={"name": "a", "template_id": id, "subjct": "b"}
    )
    assert response.headers["X-Postray-Ignored"] == "template_id,subjct"
    await author.call("POST", f"/{id}/versions", 413, {"name": "x" * versions.LARGEST_BODY})
    assert set(await author.faults("POST", "", {"name": None, "generation": "modern"})) == {"name", "generation"}


async def test_pages(author: Author, monkeypatch: pytest.MonkeyPatch) -> None:
    ids = [await author.template(name) for name in "abcde"]
    legacy = await author.template("f", generation="legacy")
    everything = await author.call("GET", "", 200)
    assert [one["id"] for one in everything["result"]] == [*ids, legacy]
    assert set(everything["_metadata"]) == {"self", "count"} and everything["_metadata"]["count"] == 6
    only = await author.call("GET", "?generations=legacy", 200)
    assert [one["id"] for one in only["result"]] == [legacy] and only["_metadata"]["count"] == 1

    async def follow(url: str, link: str) -> tuple[list[list[str]], str]:
        pages = []
        while True:
            response = await author.http.get(TEMPLATES + url.partition(TEMPLATES)[2])
            page = response.json()
            pages.append([one["name"] for one in page["result"]])
            if link not in page["_metadata"]:
                return pages, page["_metadata"]["self"]
            url = page["_metadata"][link]

    start = f"{TEMPLATES}?generations=dynamic&page_size=2"
    pages, last = await follow(start, "next")
    assert pages == [["a", "b"], ["c", "d"], ["e"]]
    assert last.startswith("https://127.0.0.1:") and "generations=dynamic&page_size=2&page_token=after." in last
    assert await follow(last, "prev") == ([["e"], ["c", "d"], ["a", "b"]], (await follow(last, "prev"))[1])
    assert (await follow((await follow(last, "prev"))[1], "next"))[0] == [["a", "b"], ["c", "d"], ["e"]]
    monkeypatch.setattr(paging, "MOST_VERSIONS_LISTED", 3)
    for id in ids[:4]:
        for _ in range(2):
            await author.version(id)
    assert (await follow(TEMPLATES, "next"))[0] == [["a"], ["b"], ["c"], ["d", "e", "f"]]
    for query in ("page_size=0", "page_size=201", "page_size=x", "page_token=x", "generations=old", "page=1"):
        assert len(await author.faults("GET", f"?{query}", None)) == 1
    assert set(await author.faults("GET", f"?page_token=after.{new_id('v_')}", None)) == {"page_token"}


async def test_limits(author: Author, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(templates, "MOST_TEMPLATES", 1)
    monkeypatch.setattr(templates, "MOST_VERSIONS", 1)
    id = await author.template()
    version = await author.version(id)
    for path, body in (
        ("", {"name": "more"}),
        (f"/{id}", None),
        (f"/{id}/versions", {"name": "more"}),
        (f"/{id}/versions/{version['id']}/duplicate", None),
    ):
        refused = await author.call("POST", path, 409, body)
        assert "at most" in refused["detail"] and refused["errors"][0]["help"]


async def test_edits_at_once_are_both_made(author: Author) -> None:
    id = await author.template()
    version = await author.version(id)
    path = f"/{id}/versions/{version['id']}"
    await asyncio.gather(
        author.call("PATCH", path, 200, {"subject": "s"}),
        author.call("PATCH", path, 200, {"preheader": "p"}),
        author.call("PATCH", path, 200, {"html_content": "h"}),
    )
    changed = await author.call("GET", path, 200)
    assert [changed[name] for name in ("subject", "preheader", "html_content", "plain_content")] == ["s", "p", "h", "h"]


async def test_no_other_tenant_sees_or_changes_a_template(author: Author, site: Site) -> None:
    id = await author.template()
    version = await author.version(id)
    stranger_id = await site.journal.tenants.create("other")
    secret, prefix, hash = new_key(sandbox=False)
    scopes = ("templates.read", "templates.write", "templates.delete")
    await site.journal.api_keys.create(stranger_id, name="k", prefix=prefix, hash=hash, scopes=scopes, sandbox=False)
    one = f"/{id}/versions/{version['id']}"
    body = {"name": "mine", "subject": "mine"}
    calls = [("GET", f"/{id}", None), ("PATCH", f"/{id}", body), ("POST", f"/{id}", body), ("DELETE", f"/{id}", None)]
    calls += [("GET", f"/{id}/versions", None), ("POST", f"/{id}/versions", body), ("POST", f"/{id}/preview", {})]
    calls += [("GET", one, None), ("PATCH", one, body), ("DELETE", one, None)]
    calls += [("POST", f"{one}/{action}", None) for action in ("activate", "deactivate", "duplicate")]
    async with httpx.AsyncClient(base_url=site.url, headers={"Authorization": f"Bearer {secret}"}) as http:
        stranger = Author(site, http)
        for method, path, sent in calls:
            await stranger.call(method, path, 404, sent)
        own = await stranger.template()
        for action in ("activate", "deactivate", "duplicate"):
            await stranger.call("POST", f"/{own}/versions/{version['id']}/{action}", 404)
        await stranger.faults("POST", f"/{own}/preview", {"version_id": version["id"]})
        assert [one["id"] for one in (await stranger.call("GET", "", 200))["result"]] == [own]
    for method, path, sent in calls:
        for wrong in ("d-x", "%00", "d-" + "é" * 26, new_id("d-")):
            await author.call(method, path.replace(id, wrong), 404, sent)
    assert await author.call("GET", one, 200) == version


async def test_a_full_system_takes_no_versions(author: Author) -> None:
    id = await author.template()
    version = await author.version(id)
    full = author.site.another(why_full=lambda: "the disk is full")
    url = await full.start()
    try:
        async with httpx.AsyncClient(base_url=url, headers=author.site.headers) as http:
            other = Author(author.site, http)
            await other.call("POST", f"/{id}/versions", 503, {"name": "more"})
            await other.call("PATCH", f"/{id}/versions/{version['id']}", 503, {"name": "more"})
            await other.call("GET", f"/{id}", 200)
    finally:
        await full.stop()
