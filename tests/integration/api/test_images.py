"""The image library over HTTP and a real journal, as its clients and the readers of mail see it."""

import asyncio
from collections.abc import AsyncIterator
from hashlib import sha256
from io import BytesIO
from typing import Any

import httpx
import psutil
import pytest
from PIL import Image

from api.images import form
from cluster.keys import new_key
from tests.images import HOSTILE, animated, encoded, photo, picture, png
from tests.integration.api.conftest import Site
from tests.integration.api.library import Library

MB = 1024 * 1024


async def another_tenant(site: Site) -> dict[str, str]:
    tenant_id = await site.journal.tenants.create("other")
    secret, prefix, hash = new_key(sandbox=False)
    scopes = ("images.read", "images.write")
    await site.journal.api_keys.create(tenant_id, name="k", prefix=prefix, hash=hash, scopes=scopes, sandbox=False)
    return {"Authorization": f"Bearer {secret}"}


async def test_from_upload_to_delete(library: Library) -> None:
    content = png(600, 200)
    made = await library.added(content, alt_text="Acme logo", folder="brand")
    id = made["id"]
    assert made == {
        "id": id,
        "filename": "logo.png",
        "original_filename": "logo.png",
        "content_type": "image/png",
        "size": len(content),
        "width": 600,
        "height": 200,
        "url": f"https://mail.postray.example/i/{id}",
        "thumbnail_url": f"https://mail.postray.example/i/{id}?variant=thumbnail",
        "alt_text": "Acme logo",
        "folder": "brand",
        "views": 0,
        "created_at": made["created_at"],
        "updated_at": made["created_at"],
    }
    assert (await library.http.get(f"/v3/images/{id}")).json() == made
    change = {"alt_text": "Acme corporate logo", "folder": "brand-2026"}
    changed = await library.http.patch(f"/v3/images/{id}", json=change)
    assert changed.status_code == 200
    assert changed.json() == {**made, **change, "updated_at": changed.json()["updated_at"]}
    unchanged = await library.http.patch(f"/v3/images/{id}", json={"alt_text": None})
    assert unchanged.json()["alt_text"] == "Acme corporate logo"
    assert (await library.http.get("/v3/images/folders")).json() == {"folders": ["brand-2026"]}
    assert (await library.fetch(made)).content == content
    assert (await library.http.delete(f"/v3/images/{id}")).status_code == 204
    for method in ("GET", "DELETE"):
        assert (await library.http.request(method, f"/v3/images/{id}")).status_code == 404
    assert (await library.http.patch(f"/v3/images/{id}", json=change)).status_code == 404
    assert (await library.http.get("/v3/images")).json()["total"] == 0


async def test_pages_folders_and_search(library: Library) -> None:
    for number in range(5):
        await library.added(png(20 + number), f"Photo-{number}.png", folder="even" if number % 2 == 0 else "")
    await library.added(png(), "other.png", alt_text="100 % a_b")

    async def found(**query: Any) -> tuple[list[str], int]:
        page = (await library.http.get("/v3/images", params=query)).json()
        return [image["filename"] for image in page["result"]], page["total"]

    assert await found(page_size=2) == (["other.png", "Photo-4.png"], 6)
    assert await found(page_size=2, page=3) == (["Photo-1.png", "Photo-0.png"], 6)
    assert await found(page=9) == ([], 6)
    assert await found(folder="even") == (["Photo-4.png", "Photo-2.png", "Photo-0.png"], 3)
    assert await found(folder="") == (["other.png", "Photo-3.png", "Photo-1.png"], 3)
    assert await found(search="photo-3") == (["Photo-3.png"], 1)
    assert await found(search="% A_") == (["other.png"], 1)
    assert await found(search="x%") == ([], 0)
    for query in ({"page_size": 101}, {"page": 0}, {"page": "a"}, {"search": "x" * 256}, {"q": "x"}):
        assert (await library.http.get("/v3/images", params=query)).status_code == 400, query


async def test_no_image_of_another_tenant_is_seen_or_changed(library: Library) -> None:
    made = await library.added(folder="brand")
    other = await another_tenant(library.site)
    async with httpx.AsyncClient(base_url=library.site.url, headers=other) as http:
        assert (await http.get("/v3/images")).json()["total"] == 0
        assert (await http.get("/v3/images/folders")).json() == {"folders": []}
        for method, body in (("GET", None), ("PATCH", {"folder": "mine"}), ("DELETE", None)):
            assert (await http.request(method, f"/v3/images/{made['id']}", json=body)).status_code == 404
        # The same content in two libraries is two files.
        mine = (await http.post("/v3/images", files={"file": ("a.png", png(), "image/png")})).json()
        assert (await http.delete(f"/v3/images/{mine['id']}")).status_code == 204
    assert (await library.fetch(made)).status_code == 200


async def test_a_file_goes_with_the_last_image_that_has_it(library: Library) -> None:
    content = png(500, 400)
    first, second = await library.added(content), await library.added(content)
    await library.http.delete(f"/v3/images/{first['id']}")
    sha = sha256(content).digest()
    images = library.site.journal.images
    assert await images.content(library.site.tenant_id, sha) == content
    assert (await library.fetch(second)).content == content
    await library.http.delete(f"/v3/images/{second['id']}")
    assert await images.content(library.site.tenant_id, sha) is None


async def test_adding_and_deleting_one_content_at_once_never_loses_it(library: Library) -> None:
    content = png(100, 90)
    kept = await library.added(content)
    for _ in range(10):
        added, _ = await asyncio.gather(library.added(content), library.http.delete(f"/v3/images/{kept['id']}"))
        kept = added
        assert (await library.fetch(kept)).content == content


async def test_the_name_follows_the_proven_format(library: Library) -> None:
    for filename, format, expected in (
        ("photo.JPEG", "JPEG", "photo.JPEG"),
        ("photo.png", "JPEG", "photo.jpg"),
        ("v1.2", "WEBP", "v1.2.webp"),
        ("C:\\pictures\\a.gif", "GIF", "a.gif"),
        ("../../etc/passwd", "PNG", "passwd.png"),
        ("größe ❤.png", "PNG", "größe ❤.png"),
    ):
        made = await library.added(encoded(picture(), format), filename)
        assert (made["filename"], made["content_type"]) == (expected, f"image/{format.lower()}")


async def test_what_is_no_image_is_refused_in_bounded_memory(library: Library) -> None:
    process = psutil.Process()
    await library.faults(b"warm")
    before = process.memory_info().rss
    for name, content in HOSTILE.items():
        ((field, message),) = await library.faults(content, "picture.png")
        assert field == "file" and message, name
        assert process.memory_info().rss - before < 50 * MB, name
    assert (await library.http.get("/v3/images")).json()["total"] == 0


async def test_an_animation_is_kept_whole_and_its_thumbnail_stands_still(library: Library) -> None:
    for format in ("GIF", "WEBP"):
        content = animated(format)
        made = await library.added(content, f"a.{format.lower()}")
        assert (await library.fetch(made)).content == content
        thumbnail = Image.open(BytesIO((await library.fetch(made, query="?variant=thumbnail")).content))
        assert getattr(thumbnail, "n_frames", 1) == 1
        assert max(thumbnail.size) == 200


async def test_a_photo_is_measured_as_it_is_shown_and_keeps_its_data_unless_asked(library: Library) -> None:
    content = photo(orientation=6)
    made = await library.added(content, "photo.jpg")
    assert (made["width"], made["height"]) == (300, 400)
    assert (await library.fetch(made)).content == content
    thumbnail = Image.open(BytesIO((await library.fetch(made, query="?variant=thumbnail")).content))
    assert thumbnail.size == (150, 200)
    without = await library.added(content, "photo.jpg", remove_location="true")
    shown_id = without["id"]
    shown = Image.open(BytesIO((await library.fetch(without)).content))
    assert dict(shown.getexif()) == {0x0112: 6}
    assert (without["width"], without["height"]) == (300, 400)
    padded = content[:20] + bytes(4) + content[20:]  # readers pass over what is between segments
    assert (await library.added(padded, "photo.jpg"))["size"] == len(padded)
    without = await library.added(padded, "photo.jpg", remove_location="true")
    assert (await library.fetch(without)).content == (await library.fetch({"id": shown_id})).content
    for wrong in ("banana", "maybe", "1", "true" * 1000):
        assert await library.faults(content, remove_location=wrong) == [("remove_location", "Must be true or false")]


async def test_what_is_wrong_with_a_form(library: Library) -> None:
    http = library.http
    good = ("a.png", png(), "image/png")

    async def faults(**form: Any) -> list[tuple[str | None, str]]:
        response = await http.post("/v3/images", **form)
        assert response.status_code == 400, response.text
        return [(fault["field"], fault["message"]) for fault in response.json()["errors"]]

    assert await faults(files={"alt_text": (None, "x")}) == [("file", "The image is required")]
    assert await faults(files={"file": ("a.png", b"")}) == [("file", "The file is empty")]
    assert await faults(files=[("file", good), ("file", good)]) == [("file", "One image in an upload")]
    assert await faults(files=[("file", good), ("folder", (None, "a")), ("folder", (None, "b"))]) == [
        ("folder", "The field is given twice")
    ]
    assert await faults(files={"file": good, "folder": (None, "x" * 256), "alt_text": (None, "a\0b")}) == [
        ("folder", "At most 255 characters"),
        ("alt_text", "Text may not contain line breaks or other control characters"),
    ]
    assert await faults(files={"file": good, "alt_text": (None, b"\xff\xfe")}) == [
        ("alt_text", "The text is not UTF-8")
    ]
    ((field, _),) = await faults(files=[("file", good)] + [(f"f{n}", (None, "x")) for n in range(30)])
    assert field is None
    of_form = {"Content-Type": "multipart/form-data; boundary=x"}
    for body in (b"", b"x", b"--x\r\n", b"--x\r\nContent-Disposition: form-data; name=file\r\n\r\nabc", b"--x--\r\n"):
        await faults(content=body, headers=of_form)
    await faults(content=b"x", headers={"Content-Type": "multipart/form-data"})
    await faults(content=b"x", headers={"Content-Type": f"multipart/form-data; boundary={'x' * 71}"})
    for headers in ({"Content-Type": "application/json"}, {**of_form, "Content-Encoding": "gzip"}, {}):
        response = await http.post("/v3/images", content=b"{}", headers=headers)
        assert response.status_code == 415, headers
        assert "file=@" in response.json()["errors"][0]["help"]


async def test_an_unknown_field_is_named_and_ignored(library: Library) -> None:
    response = await library.upload(png(), colour="red", alt_text="")
    assert (response.status_code, response.headers["X-Postray-Ignored"]) == (201, "colour")
    assert response.json()["alt_text"] == ""


async def test_a_large_file_is_taken_and_a_larger_one_is_not_read_to_its_end(library: Library) -> None:
    most = form.MOST_BYTES
    padding = png() + b"\0" * (most - len(png()))
    assert (await library.upload(padding)).status_code == 201
    assert (await library.upload(padding + b"\0")).status_code == 413
    sent = 0

    async def endless() -> AsyncIterator[bytes]:
        nonlocal sent
        yield b'--x\r\nContent-Disposition: form-data; name="file"; filename="a.png"\r\n\r\n'
        while sent < 200 * MB:
            sent += 65_536
            yield bytes(65_536)
            await asyncio.sleep(0)

    headers = {"Content-Type": "multipart/form-data; boundary=x"}
    try:
        response = await library.http.post("/v3/images", content=endless(), headers=headers)
        assert response.status_code == 413
        assert response.json()["errors"][0]["field"] == "file"
    except (httpx.WriteError, httpx.ReadError):
        pass  # the server closed the connection while the client was still sending
    assert sent < 30 * MB


async def test_a_key_needs_the_scopes(library: Library) -> None:
    secret, prefix, hash = new_key(sandbox=False)
    site = library.site
    await site.journal.api_keys.create(
        site.tenant_id, name="k", prefix=prefix, hash=hash, scopes=("mail.send",), sandbox=False
    )
    headers = {"Authorization": f"Bearer {secret}"}
    made = await library.added()
    async with httpx.AsyncClient(base_url=site.url, headers=headers) as http:
        for method, path, scope in (
            ("GET", "", "read"),
            ("GET", "/folders", "read"),
            ("GET", f"/{made['id']}", "read"),
            ("POST", "", "write"),
            ("PATCH", f"/{made['id']}", "write"),
            ("DELETE", f"/{made['id']}", "write"),
        ):
            response = await http.request(method, f"/v3/images{path}")
            assert (response.status_code, response.json()["detail"]) == (
                403,
                f"Missing required scope: images.{scope}",
            )


async def test_limits_of_a_tenant(library: Library, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("cluster.journal.images.MOST_IMAGES", 1)
    await library.added()
    response = await library.upload(png(80))
    assert response.status_code == 409
    assert "DELETE /v3/images/{id}" in response.json()["errors"][0]["help"]
    monkeypatch.setattr("cluster.journal.images.MOST_IMAGES", 10)
    monkeypatch.setattr("cluster.journal.images.MOST_BYTES", 200)
    assert (await library.upload(png(80))).status_code == 409


async def test_a_full_system_takes_no_upload(library: Library) -> None:
    full = library.site.another(why_full=lambda: "The disk is full")
    url = await full.start()
    try:
        headers = {"Authorization": library.site.headers["Authorization"]}
        async with httpx.AsyncClient(base_url=url, headers=headers) as http:
            response = await http.post("/v3/images", files={"file": ("a.png", png(), "image/png")})
        assert (response.status_code, response.headers["Retry-After"]) == (503, "30")
    finally:
        await full.stop()
