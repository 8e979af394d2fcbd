"""How much of a body is read, in which forms, and what happens to the connection when it is not read."""

import gzip
import json
import zlib
from collections.abc import Iterator
from typing import Any

import pytest

from api.http import body as body_module
from api.http.body import BodyBudget
from api.http.inflating import Gunzip
from api.http.refusals import TooLarge
from api.http.unread import UnreadBodies
from tests.unit.api.bodies import mail
from tests.unit.api.conftest import World

LIMIT = 20 * 1024 * 1024
TOO_LARGE = "Request body exceeds maximum size of 20 MB"


@pytest.fixture(autouse=True)
def no_holding(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("api.http.unread.HOLD_S", 0)


class Wire:
    """A client at the ASGI border, that sends chunk after chunk for as long as it is read from."""

    def __init__(self, world: World, chunks: Iterator[bytes], **headers: str) -> None:
        self.world = world
        self.chunks = chunks
        self.read = 0
        self.status = 0
        self.headers: dict[str, str] = {}
        self.body = b""
        self.ended = False
        self.read_for_answer: int | None = None
        """How much had been read when the answer went out."""
        sent = {"authorization": f"Bearer {world.key}", "content-type": "application/json"} | headers
        self.scope = {
            "type": "http",
            "asgi": {"version": "3.0", "spec_version": "2.3"},
            "http_version": "1.1",
            "method": "POST",
            "scheme": "http",
            "path": "/v3/mail/send",
            "raw_path": b"/v3/mail/send",
            "query_string": b"",
            "root_path": "",
            "headers": [(name.replace("_", "-").encode(), value.encode()) for name, value in sent.items()],
            "client": ("127.0.0.1", 1),
            "server": ("127.0.0.1", 80),
            "state": {},
        }

    async def receive(self) -> Any:
        chunk = next(self.chunks, None)
        self.read += len(chunk or b"")
        return {"type": "http.request", "body": chunk or b"", "more_body": chunk is not None}

    async def send(self, message: Any) -> None:
        if message["type"] == "http.response.start":
            self.status = message["status"]
            self.headers = {name.decode().lower(): value.decode() for name, value in message["headers"]}
        else:
            self.body += message["body"]
            self.ended = not message["more_body"]
            self.read_for_answer = self.read if self.read_for_answer is None else self.read_for_answer

    async def run(self) -> dict[str, Any]:
        app = UnreadBodies(self.world.app, LIMIT)
        await app(self.scope, self.receive, self.send)  # type: ignore[arg-type]
        answer: dict[str, Any] = json.loads(self.body)
        return answer


def endless(chunk: bytes) -> Iterator[bytes]:
    while True:
        yield chunk


async def test_a_body_that_announces_its_length_is_refused_unread(world: World) -> None:
    wire = Wire(world, endless(b" " * 65536), content_length=str(LIMIT + 1))
    answer = await wire.run()
    assert (wire.status, answer["detail"], wire.read_for_answer) == (413, TOO_LARGE, 0)
    assert (wire.headers["connection"], wire.ended) == ("close", True)
    # Dropped, so that a client that is still sending gets to read the answer; but not past the limit either.
    assert wire.read == LIMIT


@pytest.mark.parametrize("length", [None, "10"])
async def test_a_body_without_a_length_or_with_a_lie_is_read_no_further_than_the_limit(
    world: World, length: str | None
) -> None:
    headers = {"transfer_encoding": "chunked"} if length is None else {"content_length": length}
    wire = Wire(world, endless(b" " * 65536), **headers)
    answer = await wire.run()
    assert (wire.status, answer["detail"]) == (413, TOO_LARGE)
    assert LIMIT < wire.read <= LIMIT + 65536
    assert wire.headers.get("connection") == ("close" if length is None else None)


async def test_a_gzip_bomb_is_inflated_no_further_than_the_limit(world: World) -> None:
    packer = zlib.compressobj(9, zlib.DEFLATED, 31)
    bomb = packer.compress(bytes(200 * 1024 * 1024)) + packer.flush()
    assert len(bomb) < 250_000
    wire = Wire(world, iter([bomb[i : i + 1000] for i in range(0, len(bomb), 1000)]), content_encoding="gzip")
    answer = await wire.run()
    assert (wire.status, answer["detail"]) == (413, TOO_LARGE)
    assert len(world.large.bodies) == 1  # a megabyte is inflated here, and no more
    gunzip = Gunzip(LIMIT)
    with pytest.raises(TooLarge):
        for i in range(0, len(bomb), 1000):
            gunzip.feed(bomb[i : i + 1000])
    assert i < 30_000  # a tenth of it holds the 20 MB


async def test_a_body_at_the_limit_is_read(world: World) -> None:
    filler = b'{"x":"' + b"a" * (LIMIT - 8) + b'"}'
    wire = Wire(world, iter([filler]))
    answer = await wire.run()
    assert wire.status == 400  # it is read, and says nothing
    assert {error["field"] for error in answer["errors"]} >= {"from", "personalizations"}


async def test_gzip(world: World) -> None:
    body = json.dumps(mail()).encode()
    assert (await world.send(gzip.compress(body), **{"Content-Encoding": "gzip"})).status_code == 202
    half = len(body) // 2
    members = gzip.compress(body[:half]) + gzip.compress(body[half:])
    assert (await world.send(members, **{"Content-Encoding": "x-gzip"})).status_code == 202
    for broken in (body, gzip.compress(body)[:-9], gzip.compress(body) + b"x"):
        response = await world.send(broken, **{"Content-Encoding": "gzip"})
        assert (response.status_code, "gzip" in response.json()["detail"]) == (400, True)


async def test_an_unauthenticated_body_is_not_read(world: World) -> None:
    wire = Wire(world, iter([b" " * 65536] * 15), authorization="Bearer nonsense", content_length="1000000")
    await wire.run()
    assert (wire.status, wire.read_for_answer, wire.headers["connection"]) == (401, 0, "close")


async def test_a_connection_is_kept_after_a_short_unread_body_and_after_a_read_one(world: World) -> None:
    wire = Wire(world, endless(b" "), authorization="Bearer nonsense", content_length="100")
    await wire.run()
    assert (wire.status, "connection" in wire.headers) == (401, False)
    body = json.dumps(mail(subject=" " * 100_000 + "x")).encode()
    wire = Wire(world, iter([body]), content_length=str(len(body)))
    await wire.run()
    assert (wire.status, "connection" in wire.headers) == (202, False)


@pytest.mark.parametrize(
    "headers",
    [
        {"Content-Type": "application/x-www-form-urlencoded"},
        {"Content-Type": "multipart/form-data; boundary=x"},
        {"Content-Type": "text/plain"},
        {"Content-Type": ""},
        {"Content-Type": "application/json; charset=utf-16"},
        {"Content-Encoding": "br"},
        {"Content-Encoding": "gzip, gzip"},
    ],
)
async def test_415(world: World, headers: dict[str, str]) -> None:
    response = await world.send(mail(), **headers)
    assert response.status_code == (415 if any(headers.values()) else 202)


@pytest.mark.parametrize(
    "kind",
    ["application/json", "Application/JSON; charset=UTF-8", 'application/json;charset="utf-8"', "application/x+json"],
)
async def test_json_by_its_other_names(world: World, kind: str) -> None:
    assert (await world.send(mail(), **{"Content-Type": kind})).status_code == 202


async def test_a_body_that_stops_arriving_is_given_up(world: World, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(body_module, "CHUNK_PATIENCE_S", 0)
    wire = Wire(world, endless(b" "))

    async def never() -> Any:
        import asyncio

        await asyncio.Event().wait()

    wire.receive = never  # type: ignore[method-assign]
    await wire.run()
    assert wire.status == 408


async def test_bodies_together_have_a_budget(world: World) -> None:
    world.app.state.body_budget = BodyBudget(100_000)
    wire = Wire(world, endless(b" " * 65536), transfer_encoding="chunked")
    await wire.run()
    assert (wire.status, wire.read_for_answer, "retry-after" in wire.headers) == (503, 2 * 65536, True)
    assert (await world.send(mail())).status_code == 202  # what was taken is given back


@pytest.mark.parametrize(
    ("body", "loc", "field"),
    [
        (b"", ["body"], None),
        (b"{", ["body"], None),
        (b"[]", ["body"], None),
        (b'{"personalizations": {}}', ["body", "personalizations"], "personalizations"),
        (
            b'{"personalizations": [{"to": [{"email": 7}]}]}',
            ["body", "personalizations", 0, "to", 0, "email"],
            "personalizations[0].to[0].email",
        ),
        (b'{"headers": {"X": 1}}', ["body", "headers", "X"], "headers.X"),
        (b'{"headers": {"X": "1", "X.Y[0]": 7}}', ["body", "headers", "X.Y[0]"], "headers.X.Y[0]"),
        (
            b'{"personalizations": [{}, {"substitutions": {"a": "b", "c": {}}}]}',
            ["body", "personalizations", 1, "substitutions", "c"],
            "personalizations[1].substitutions.c",
        ),
        # What comes behind the fault need not be JSON; of two values with one name, the last is found.
        (b'{"headers": {"X": 1', ["body", "headers", "..."], "headers[...]"),
        (b'{"headers": {"X": 1, "X": "1"}}', ["body", "headers", "..."], "headers[...]"),
        (b'{"send_at": "soon"}', ["body", "send_at"], "send_at"),
        (b'{"send_at": true}', ["body", "send_at"], "send_at"),
    ],
)
async def test_422(world: World, body: bytes, loc: list[str | int], field: str | None) -> None:
    response = await world.send(body)
    assert response.status_code == 422
    answer = response.json()
    (mismatch,) = answer["detail"]
    assert set(mismatch) == {"loc", "msg", "type"} and mismatch["msg"]
    assert mismatch["loc"] == loc
    assert [error["field"] for error in answer["errors"]] == [field]


@pytest.mark.parametrize(
    ("body", "message"),
    [
        (b'{"send_at": "soon"}', "Must be an integer or null, not a string"),
        (b'{"send_at": true}', "Must be an integer or null, not a boolean"),
        (b'{"headers": {"X": null}}', "Must be a string, not null"),
        (b"[]", "Must be an object, not an array"),
    ],
)
async def test_a_wrong_type_is_said_in_the_words_of_json(world: World, body: bytes, message: str) -> None:
    response = await world.send(body)
    assert response.status_code == 422
    assert [error["message"] for error in response.json()["errors"]] == [message]
