"""Images as the readers of mail get them, from /i/{id}."""

from hashlib import sha256

import httpx
import pytest

from tests.images import png
from tests.integration.api.library import Library


async def test_urls_lead_to_the_branded_link_once_it_is_valid(library: Library) -> None:
    journal, tenant_id = library.site.journal, library.site.tenant_id
    link = await journal.branded_links.create(tenant_id, "acme.example", "links", is_default=True, most=10)
    assert link is not None
    made = await library.added()
    assert made["url"].startswith("https://mail.postray.example/i/")
    await journal.branded_links.checked(tenant_id, link.id, True, {})
    shown = (await library.http.get(f"/v3/images/{made['id']}")).json()
    assert shown["url"] == f"https://links.acme.example/i/{made['id']}"


async def test_what_everybody_is_answered(library: Library) -> None:
    content = png()
    made = await library.added(content)
    response = await library.fetch(made)
    assert (response.status_code, response.content) == (200, content)
    etag = f'"{sha256(content).hexdigest()[:32]}"'
    assert {
        name: response.headers.get(name) for name in ("etag", "cache-control", "accept-ranges", "content-type")
    } == {
        "etag": etag,
        "cache-control": "public, max-age=31536000, immutable",
        "accept-ranges": "bytes",
        "content-type": "image/png",
    }
    assert response.headers["x-content-type-options"] == "nosniff"
    head = await library.fetch(made, "HEAD", Range="bytes=0-3")
    assert (head.status_code, head.content, head.headers["content-length"]) == (200, b"", str(len(content)))
    for tags in (etag, f'"x", W/{etag}', "*"):
        known = await library.fetch(made, **{"If-None-Match": tags})
        assert (known.status_code, known.content, known.headers["etag"]) == (304, b"", etag)
        assert "cache-control" in known.headers and "content-length" not in known.headers
    first = await library.fetch(made, Range="bytes=0-9")
    assert (first.status_code, first.content) == (206, content[:10])
    assert first.headers["content-range"] == f"bytes 0-9/{len(content)}"
    assert (await library.fetch(made, Range="bytes=-5")).content == content[-5:]
    beyond = await library.fetch(made, Range=f"bytes={len(content)}-")
    assert (beyond.status_code, beyond.headers["content-range"]) == (416, f"bytes */{len(content)}")
    assert (await library.fetch(made, **{"Range": "bytes=0-9", "If-Range": '"other"'})).status_code == 200
    assert (await library.fetch(made, query="?utm_source=x&tombstone=true")).status_code == 200
    small = await library.fetch(made, query="?variant=thumbnail")
    assert (small.status_code, small.content) == (200, content)  # it is small enough
    assert (await library.fetch(made, query="?variant=huge")).status_code == 400
    post = await library.fetch(made, "POST")
    assert (post.status_code, post.headers["allow"]) == (405, "GET, HEAD, OPTIONS")
    assert (await library.fetch(made, "OPTIONS")).headers["allow"] == "GET, HEAD, OPTIONS"


async def test_a_condition_that_does_not_hold(library: Library) -> None:
    made = await library.added()
    etag = (await library.fetch(made)).headers["etag"]
    for tags in ('"other"', f"W/{etag}", "", '"x", "y"'):
        for method in ("GET", "HEAD"):
            changed = await library.fetch(
                made, method, **{"If-Match": tags, "If-None-Match": etag, "Range": "bytes=1-"}
            )
            assert (changed.status_code, changed.headers["cache-control"]) == (412, "no-store")
    for tags in ("*", etag, f'"x", {etag}'):
        assert (await library.fetch(made, **{"If-Match": tags})).status_code == 200
        assert (await library.fetch(made, **{"If-Match": tags, "Range": "bytes=1-"})).status_code == 206
    both = await library.fetch(made, **{"If-Match": etag, "If-None-Match": etag})
    assert both.status_code == 304


async def test_what_is_gone_or_never_was(library: Library) -> None:
    made = await library.added()
    assert (await library.fetch(made)).status_code == 200
    await library.http.delete(f"/v3/images/{made['id']}")
    for query in ("", "?tombstone=true", "?variant=thumbnail"):
        for method in ("GET", "HEAD"):
            gone = await library.fetch(made, method, query)
            assert (gone.status_code, gone.headers["cache-control"]) == (410, "no-store")
    for id in ("img_01KQ7B2XWJ5T0E8M3N6R9VA4CJ", "x", "img_", "%00", "msg_01KQ7B2XWJ5T0E8M3N6R9VA4CJ"):
        missing = await library.fetch({"id": id})
        assert (missing.status_code, missing.headers["cache-control"]) == (404, "no-store")
        assert set(missing.json()) == {"errors", "detail"}


async def test_another_process_learns_of_a_deletion(library: Library, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("api.images.cache.FRESH_S", 0.0)
    made = await library.added()
    other = library.site.another()
    url = await other.start()
    try:
        async with httpx.AsyncClient(base_url=url) as anybody:
            assert (await anybody.get(f"/i/{made['id']}")).status_code == 200
            await library.http.delete(f"/v3/images/{made['id']}")
            assert (await anybody.get(f"/i/{made['id']}")).status_code == 410
    finally:
        await other.stop()


async def test_views_are_counted(library: Library) -> None:
    content = png(300, 300)
    made = await library.added(content)
    etag = (await library.fetch(made)).headers["etag"]
    await library.fetch(made)
    await library.fetch(made, **{"If-None-Match": etag})
    for method, query, headers in (
        ("HEAD", "", {}),
        ("GET", "?variant=thumbnail", {}),
        ("GET", "", {"Range": "bytes=5-"}),
        ("GET", "", {"Range": "bytes=-5"}),
        ("GET", "", {"If-Match": '"other"'}),
    ):
        await library.fetch(made, method, query, **headers)
    assert (await library.http.get(f"/v3/images/{made['id']}")).json()["views"] == 3
    # Of a client that asks in parts, the first part counts.
    for part in ("bytes=0-9", "bytes=10-19", "bytes=20-"):
        assert (await library.fetch(made, Range=part)).status_code == 206
    assert (await library.http.get(f"/v3/images/{made['id']}")).json()["views"] == 4
