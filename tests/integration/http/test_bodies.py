"""Framing of bodies, pipelined requests, and upgrade requests."""

import asyncio

import pytest

from cluster.http.protocol import FRAMING_BYTES, HttpProtocol
from tests.integration.http.conftest import LARGEST_READ, Calls, Client, Site, get, most_in_a_turn, post

CHUNKED = "Transfer-Encoding: chunked"


async def test_2000_pipelined_requests_are_answered_in_order(site: Site, monkeypatch: pytest.MonkeyPatch) -> None:
    heads = Calls(monkeypatch, HttpProtocol, "on_headers_complete")
    client = await site.client()
    requests = b"".join(get(f"/{n}") for n in range(2000))

    async def answered() -> None:
        client.send(requests)
        for n in range(2000):
            assert (await client.answer()).json()["path"] == f"/{n}"

    # One after the other: each is read when the one before it is answered.
    assert await most_in_a_turn(lambda: heads.count, answered()) <= 2
    assert heads.count == 2000


async def test_pipelined_requests_with_bodies(site: Site) -> None:
    client = await site.client()
    bodies = [b"x" * size for size in (0, 1, 100_000, 5, 70_000, 3)]
    client.send(b"".join(post(f"/{n}", body, f"Content-Length: {len(body)}") for n, body in enumerate(bodies)))
    for n, body in enumerate(bodies):
        told = (await client.answer()).json()
        assert (told["path"], told["body"]) == (f"/{n}", body.decode())


async def test_requests_that_wait_for_a_slow_one(site: Site) -> None:
    client = await site.client()
    await site.busy(client)
    for n in range(50):
        client.send(post(f"/{n}", b"y" * 30_000, "Content-Length: 30000"))
    await asyncio.sleep(0.05)
    assert len(site.app.seen) == 1
    site.app.gate.set()
    assert (await client.answer()).json()["path"] == "/slow"
    for n in range(50):
        assert (await client.answer()).json()["path"] == f"/{n}"


async def test_what_came_before_nonsense_is_answered_first(site: Site) -> None:
    client = await site.client()
    await site.busy(client)
    client.send(get("/second") + b"nonsense\r\n\r\n" + get("/never"))
    await asyncio.sleep(0.05)
    site.app.gate.set()
    assert [(await client.answer()).json()["path"] for _ in range(2)] == ["/slow", "/second"]
    assert (await client.answer()).status == 400
    assert await client.ended() == b""
    assert site.app.seen == ["/slow", "/second"]


async def test_what_came_before_a_broken_body_is_answered_first(site: Site) -> None:
    client = await site.client()
    client.send(get("/first") + post("/broken", b"nonsense\r\n", CHUNKED) + get("/never"))
    assert (await client.answer()).json()["path"] == "/first"
    assert (await client.answer()).status == 400
    assert await client.ended() == b""


@pytest.mark.parametrize(
    "rest", [b"nonsense\r\n", b"5\r\nhelloXX", b"-1\r\n", b"f" * 17 + b"\r\n", b"0\r\nbad\r\n\r\n"]
)
async def test_broken_chunks(site: Site, rest: bytes) -> None:
    client = await site.client()
    client.send(post("/", b"5\r\nhello\r\n", CHUNKED))
    await asyncio.sleep(0)
    client.send(rest)
    assert (await client.answer()).status == 400
    assert await client.ended() == b""
    await site.healthy()


async def test_a_body_in_chunks(site: Site) -> None:
    client = await site.client()
    body = b"5;name=value\r\nhello\r\n6\r\n world\r\n0\r\nAuthorization: Bearer x\r\nIdempotency-Key: y\r\n\r\n"
    for _ in range(2):
        told = (await client.ask(post("/", body, CHUNKED))).json()
        assert told["body"] == "hello world"
        assert told["headers"] == [["host", "x"], ["transfer-encoding", "chunked"]]  # trailers are not added


async def test_small_chunks_are_taken(site: Site) -> None:
    body = b"a\r\n0123456789\r\n" * 50_000 + b"0\r\n\r\n"
    assert len((await site.ask(post("/", body, CHUNKED))).json()["body"]) == 500_000


async def test_chunks_full_of_what_looks_like_ends_are_not_cut_into_tiny_pieces(
    site: Site, monkeypatch: pytest.MonkeyPatch
) -> None:
    pieces = Calls(monkeypatch, HttpProtocol, "_parse")
    body = b"3d0900\r\n" + b"0\r\n\r\n" * 800_000 + b"\r\n0\r\n\r\n"
    client = await site.client()

    client.send(post("/early", body, CHUNKED) + get("/a") + get("/b") + get("/c"))
    for _ in range(4):
        assert (await client.answer()).status == 200
    assert pieces.count <= len(body) // 50
    assert site.app.seen == ["/early", "/a", "/b", "/c"]


@pytest.mark.parametrize(
    ("start", "piece"),
    [
        (b"5;x=", b"e" * 65536),
        (b"0\r\nX: ", b"t" * 65536),
        (b"0\r\n", b"X: y\r\n" * 10_000),
        (b"", b"1\r\na\r\n" * 10_000),
    ],
    ids=["extension", "trailer", "trailers", "tiny chunks"],
)
async def test_framing_without_end(site: Site, start: bytes, piece: bytes, monkeypatch: pytest.MonkeyPatch) -> None:
    pieces = Calls(monkeypatch, HttpProtocol, "_parse")
    client = await site.client()
    answering = asyncio.create_task(client.answer())
    await _flood(client, post("/", start, CHUNKED), piece)
    assert (await answering).status == 400
    assert pieces.octets <= 2 * FRAMING_BYTES + LARGEST_READ  # of 130 MB and more


async def _flood(client: Client, start: bytes, piece: bytes) -> None:
    client.send(start)
    with pytest.raises(ConnectionError):
        for _ in range(2000):
            client.send(piece)
            await client.writer.drain()


@pytest.mark.parametrize("protocol", ["h2c", "websocket", "anything/1"])
async def test_another_protocol_is_not_changed_to(site: Site, protocol: str) -> None:
    client = await site.client()
    fields = ("Connection: Upgrade, HTTP2-Settings", f"Upgrade: {protocol}", "HTTP2-Settings: AAMAAABk")
    client.send(post("/a?b", b"hello", "Content-Length: 5", *fields) + get("/next", *fields))
    told = (await client.answer()).json()
    assert (told["path"], told["query"], told["body"]) == ("/a", "b", "hello")
    assert (await client.answer()).json()["path"] == "/next"
    assert (await client.ask(get("/last"))).json()["path"] == "/last"


async def test_a_body_in_chunks_with_a_wish_for_another_protocol(site: Site) -> None:
    fields = (CHUNKED, "Connection: Upgrade", "Upgrade: h2c")
    client = await site.client()
    head, _, _ = post("/", b"", *fields).partition(b"\r\n\r\n")
    client.send(head)
    client.send(b"\r\n\r\n5\r\nhel")
    client.send(b"lo\r\n0\r\n\r\n")
    assert (await client.answer()).json()["body"] == "hello"


async def test_a_body_is_asked_for(site: Site) -> None:
    client = await site.client()
    client.send(post("/", b"", "Content-Length: 5", "Expect: 100-continue"))
    assert (await client.answer()).status == 100
    assert (await client.ask(b"hello")).json()["body"] == "hello"


async def test_an_older_client(site: Site) -> None:
    client = await site.client()
    assert (await client.ask(get("/old", version="1.0"))).headers["connection"] == "close"
    assert await client.ended() == b""
