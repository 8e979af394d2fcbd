"""What the routes of images answer without a journal, and what they do not read."""

from typing import Any, cast

import pytest

from api.http.examples import IMAGE_ID
from cluster.journal.journal import Unavailable
from tests.images import png
from tests.unit.api.conftest import World

FORM = "multipart/form-data; boundary=x"


@pytest.mark.parametrize("method", ["GET", "HEAD"])
async def test_while_the_journal_is_away(world: World, method: str) -> None:
    world.journal.broken = Unavailable("away")
    response = await world.client.request(method, f"/i/{IMAGE_ID}")
    assert (response.status_code, response.headers["retry-after"]) == (503, "5")


async def test_an_upload_is_not_kept_while_the_journal_is_away(world: World) -> None:
    key = world.journal.issue_key("images.write")
    response = await world.request("GET", "/v3/scopes", key=key)
    assert response.json() == {"scopes": ["images.write"]}
    world.journal.broken = Unavailable("away")
    files = {"file": ("a.png", png(), "image/png")}
    response = await world.client.post("/v3/images", files=files, headers={"Authorization": f"Bearer {key}"})
    assert (response.status_code, response.headers["retry-after"]) == (503, "5")


@pytest.mark.parametrize(
    ("headers", "status"),
    [
        ({"content-length": "11000000", "content-type": FORM}, 413),
        ({"content-length": "10", "content-type": "application/json"}, 415),
        ({"content-length": "10", "content-type": "multipart/form-data"}, 400),
        ({"content-length": "10", "content-type": FORM, "content-encoding": "gzip"}, 415),
    ],
)
async def test_what_its_head_refuses_is_not_read(world: World, headers: dict[str, str], status: int) -> None:
    key = world.journal.issue_key("images.write")
    sent: list[Any] = []

    async def receive() -> Any:
        raise AssertionError("nothing is to be read")

    async def send(message: Any) -> None:
        sent.append(message)

    fields = {**headers, "authorization": f"Bearer {key}", "host": "postray.test"}
    scope = {
        "type": "http",
        "method": "POST",
        "path": "/v3/images",
        "raw_path": b"/v3/images",
        "scheme": "http",
        "query_string": b"",
        "root_path": "",
        "http_version": "1.1",
        "server": ("postray.test", 80),
        "client": ("127.0.0.1", 1),
        "headers": [(name.encode(), value.encode()) for name, value in fields.items()],
        "state": {},
    }
    await cast(Any, world.app)(scope, receive, send)
    assert sent[0]["status"] == status
