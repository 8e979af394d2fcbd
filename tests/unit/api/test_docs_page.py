"""The page on which the API is read and tried: complete without another site, and safe to type a key into."""

import re
from html.parser import HTMLParser

import pytest

from tests.unit.api.conftest import World

TYPES = {
    "docs": "text/html; charset=utf-8",
    "docs/page.css": "text/css; charset=utf-8",
    "docs/page.js": "text/javascript; charset=utf-8",
    "docs/swagger-ui.css": "text/css; charset=utf-8",
    "docs/swagger-ui-bundle.js": "text/javascript; charset=utf-8",
}
FILES = sorted(TYPES)


class Page(HTMLParser):
    """What a page loads, and what of it runs or submits."""

    def __init__(self, html: str) -> None:
        super().__init__()
        self.links: list[str] = []
        self.inline: list[str] = []
        self.attributes: list[str] = []
        self.feed(html)

    def handle_starttag(self, tag: str, attrs: list[tuple[str, str | None]]) -> None:
        named = dict(attrs)
        self.attributes += named
        self.links += [link for name in ("href", "src", "action") if (link := named.get(name))]
        if tag == "style" or (tag == "script" and "src" not in named):
            self.inline.append(tag)


async def test_the_root_leads_to_the_page_by_a_relative_link(world: World) -> None:
    response = await world.client.get("/")
    # Relative: behind a proxy that adds a prefix to the path, it leads to the page, too.
    assert (response.status_code, response.headers["location"]) == (302, "docs")


async def test_all_that_the_page_loads_is_served_here_by_relative_links(world: World) -> None:
    page = Page((await world.client.get("/docs")).text)
    links = [link for link in page.links if link != "data:,"]
    assert {"schema/openapi.json", *TYPES} - {"docs"} == set(links)
    for link in links:
        assert (await world.client.get(f"/{link}")).status_code == 200, link
    assert page.inline == []
    assert [name for name in page.attributes if name.startswith("on") or name == "style"] == []


@pytest.mark.parametrize("name", ["docs", "docs/page.js", "docs/page.css"])
async def test_our_files_name_no_other_site(world: World, name: str) -> None:
    assert not re.search(r"https?://|//[a-z]", (await world.client.get(f"/{name}")).text.replace("// ", ""))


@pytest.mark.parametrize("name", FILES)
async def test_each_file_has_its_type_and_may_not_be_framed(world: World, name: str) -> None:
    response = await world.client.get(f"/{name}")
    assert response.headers["content-type"] == TYPES[name]
    assert response.headers["x-content-type-options"] == "nosniff"
    assert response.headers["x-frame-options"] == "DENY"
    policy = dict(rule.strip().split(" ", 1) for rule in response.headers["content-security-policy"].split(";"))
    assert policy["script-src"] == policy["connect-src"] == "'self'"
    assert policy["default-src"] == policy["frame-ancestors"] == policy["form-action"] == "'none'"


@pytest.mark.parametrize("name", FILES)
async def test_a_file_that_has_not_changed_is_not_sent_again(world: World, name: str) -> None:
    first = await world.client.get(f"/{name}")
    etag = first.headers["etag"]
    assert first.headers["cache-control"] == "no-cache"
    for known in (etag, f"W/{etag}", f'"other", {etag}', "*"):
        again = await world.client.get(f"/{name}", headers={"If-None-Match": known})
        assert (again.status_code, again.content, again.headers["etag"]) == (304, b"", etag), known
    changed = await world.client.get(f"/{name}", headers={"If-None-Match": '"other"'})
    assert (changed.status_code, changed.content) == (200, first.content)


async def test_no_other_file_is_served(world: World) -> None:
    for name in ("page.html", "serving.py", "..%2Fapp.py", "%2Fetc%2Fpasswd", "LICENSE"):
        response = await world.client.get(f"/docs/{name}")
        assert response.status_code == 404, name
        assert set(response.json()) == {"errors", "detail"}


async def test_the_key_goes_to_every_kind_of_route(world: World) -> None:
    schemes = (await world.client.get("/schema/openapi.json")).json()["components"]["securitySchemes"]
    script = (await world.client.get("/docs/page.js")).text
    (listed,) = re.findall(r"const SCHEMES = \[(.*?)\]", script)
    assert sorted(re.findall(r'"(\w+)"', listed)) == sorted(schemes)


async def test_the_key_is_stored_nowhere(world: World) -> None:
    script = (await world.client.get("/docs/page.js")).text
    assert "persistAuthorization: false" in script
    assert not re.search(r"localStorage|sessionStorage|cookie", script)
