"""The limits of a request's head: its size, its time, its form."""

import asyncio
import logging
import re

import pytest
from hypothesis import given
from hypothesis import strategies as st

from cluster.http.heads import HEAD_BYTES
from cluster.http.protocol import HttpProtocol
from tests.integration.http.conftest import LARGEST_READ, Calls, Client, Site, get, post, serving

MB = 1024 * 1024


async def flood(client: Client, start: bytes, bytes_: int) -> int:
    """Send until all is sent or the server closes the connection; returns the number of bytes sent."""
    sent = 0
    try:
        client.send(start)
        while sent < bytes_:
            client.send(b"a" * 65536)
            await client.writer.drain()
            sent += 65536
    except ConnectionError:
        pass
    return sent


@pytest.mark.parametrize("bytes_", [28 * MB, 197 * MB])
@pytest.mark.parametrize(
    ("start", "status"),
    [
        (b"GET / HTTP/1.1\r\nHost: x\r\nX-Long: ", 431),
        (b"GET / HTTP/1.1\r\nHost: x\r\n", 431),
        (b"GET /", 414),
    ],
    ids=["value", "name", "target"],
)
async def test_an_endless_head_is_cut_off(site: Site, start: bytes, status: int, bytes_: int) -> None:
    client = await site.client()
    sent = 0

    async def attack() -> None:
        nonlocal sent
        sent = await flood(client, start, bytes_)

    attacking = asyncio.create_task(attack())
    answer = await client.answer()
    assert answer.status == status
    assert answer.headers["connection"] == "close" and answer.headers["content-type"] == "application/json"
    assert answer.json()["errors"][0]["message"] == answer.json()["detail"]
    await attacking
    assert sent < 16 * MB  # the server stopped reading: the rest filled the sockets' buffers
    await site.healthy()


async def test_of_a_long_header_only_the_beginning_is_parsed(site: Site, monkeypatch: pytest.MonkeyPatch) -> None:
    """The parser copies all that it has of a field with each further part of it: 28 MB took 2 s."""
    pieces = Calls(monkeypatch, HttpProtocol, "_parse")
    client = await site.client()
    await flood(client, b"GET / HTTP/1.1\r\nHost: x\r\nX-Long: ", 28 * MB)
    assert pieces.octets <= HEAD_BYTES + LARGEST_READ


async def test_a_head_of_64_kb_and_100_fields_is_taken(site: Site) -> None:
    assert (await site.ask(get("/", *[f"X-{n}: {n}" for n in range(99)]))).status == 200
    assert (await site.ask(get("/", *[f"X-{n}: {n}" for n in range(100)]))).status == 431
    assert (await site.ask(get("/", *["a:"] * 20_000))).status == 431
    assert (await site.ask(get("/", "X: " + "v" * 65_400))).status == 200
    assert (await site.ask(get("/", "X: " + "v" * 65_600))).status == 431
    assert (await site.ask(get("/" + "p" * 65_000))).status == 200
    assert (await site.ask(get("/" + "p" * 65_600))).status == 414
    assert (await site.ask(get("/" + "p" * MB))).status == 414


@pytest.mark.parametrize("before", [b"", get()], ids=["at first", "later"])
@pytest.mark.parametrize("blank", [b"\r\n" * 50_000, b"\n" * 100_000, b"\r" * 100_000], ids=["CRLF", "LF", "CR"])
async def test_blank_lines_without_end_are_a_head_that_is_too_large(
    site: Site, caplog: pytest.LogCaptureFixture, before: bytes, blank: bytes
) -> None:
    client = await site.client()
    client.send(before + blank)
    if before:
        assert (await client.answer()).status == 200
    assert (await client.answer()).status == 431
    await client.ended()
    assert [record for record in caplog.records if record.levelno >= logging.WARNING] == []


async def test_blank_lines_between_requests_are_skipped(site: Site) -> None:
    client = await site.client()
    client.send((b"\r\n" * 5000 + get()) * 20)
    for _ in range(20):
        assert (await client.answer()).status == 200


async def test_a_small_head_before_a_long_body_is_no_long_head(site: Site) -> None:
    body = b"b" * 3 * MB
    answer = await site.ask(post("/", body, f"Content-Length: {len(body)}"))
    assert answer.json()["body"] == body.decode()


async def test_a_head_has_its_time_however_it_trickles() -> None:
    async with serving(head_timeout_s=0.3) as site:
        client = await site.client(says=b"GET / HTTP/1.1\r\nX: ")

        async def trickle() -> None:
            while True:
                client.send(b"a")
                await asyncio.sleep(0.02)

        trickling = asyncio.create_task(trickle())
        answer = await client.answer()
        trickling.cancel()
        assert (answer.status, answer.headers["connection"]) == (408, "close")
        assert await client.ended() == b""


@pytest.mark.parametrize("start", [b"\r\n", b"G", b"GET / HTTP/1.1\r\nHost: x\r\n"])
async def test_half_a_head_is_answered_in_time(start: bytes) -> None:
    async with serving(head_timeout_s=0.2) as site:
        first = await site.client(says=start)
        assert (await first.answer()).status == 408
        second = await site.client(says=get())
        assert (await second.answer()).status == 200
        assert (await second.ask(start)).status == 408  # also for a later request of a connection
        assert await second.ended() == b""


async def test_the_rest_of_a_body_that_nothing_waits_for_has_its_time() -> None:
    async with serving(head_timeout_s=0.2) as site:
        client = await site.client(says=post("/early", b"abc", "Content-Length: 1000000"))
        assert (await client.answer()).status == 200
        assert await client.ended() == b""


@pytest.mark.parametrize(
    "request_",
    [
        get(version="1.0").replace(b"Host: x\r\n", b""),
        get("http://other.example:8080/?a=b"),
        get("http://other.example").replace(b"GET ", b"OPTIONS "),
        get("*").replace(b"GET ", b"OPTIONS "),
        get().replace(b"Host: x", b"Host: [::1]:80"),
        get().replace(b"Host: x", b"Host:"),
        b"\r\n" + get(),
    ],
)
async def test_what_http_allows(site: Site, request_: bytes) -> None:
    assert (await site.ask(request_)).status == 200


async def test_of_an_absolute_target_path_and_query_count(site: Site) -> None:
    told = (await site.ask(get("http://other.example:8080/a%20b?c=d"))).json()
    assert (told["path"], told["query"]) == ("/a b", "c=d")
    assert (await site.ask(get("http://other.example"))).json()["path"] == "/"


@pytest.mark.parametrize(
    ("request_", "status"),
    [
        (get().replace(b"Host: x\r\n", b""), 400),
        (get("/", "Host: y"), 400),
        *[
            (get().replace(b"Host: x", b"Host: " + host), 400)
            for host in (b"127.0.0.1:99999", b"a:b", b"[::1", b"[::::]", b"[1]:1", b"a/b", b"a@b", b"a b", b"\xe4")
        ],
        (get("http://x:99999/"), 400),
        (get("/a#b"), 400),
        (get("nonsense"), 400),
        (get("x:1").replace(b"GET ", b"CONNECT "), 501),
        (get("/", "Transfer-Encoding: chunked", "Content-Length: 3"), 400),
        (get("/", "Content-Length: 3", "Transfer-Encoding: chunked"), 400),
        (get("/", "Content-Length: 3", "Content-Length: 3"), 400),
        (get("/", "Content-Length: 3", "Content-Length: 4"), 400),
        (get("/", "Content-Length: +3"), 400),
        (get("/", "Content-Length: " + "9" * 400), 400),
        (get("/", "Transfer-Encoding: chunked, identity"), 400),
        (get("/", "Transfer-Encoding: gzip"), 501),
        (get("/", "Transfer-Encoding: gzip, chunked"), 501),
        (get("/", "Transfer-Encoding: chunked", "Transfer-Encoding: chunked"), 400),
        (get("/", "X y: 1"), 400),
        (get("/", "X : 1"), 400),
        (get("/", "X: 1", " folded"), 400),
        (get("/", "X: \0"), 400),
        (get("/\xe4"), 400),
        (get(version="3.7"), 400),
        (b"PRI * HTTP/2.0\r\n\r\nSM\r\n\r\n", 400),
        (b"GET /\r\n\r\n", 400),
        (b"\x16\x03\x01\x02\x00\x01\x00\x01\xfc\x03\x03", 400),
        (b"EHLO x\r\n", 400),
    ],
)
async def test_what_cannot_be_read_is_refused_in_our_form(site: Site, request_: bytes, status: int) -> None:
    client = await site.client()
    answer = await client.ask(request_)
    assert answer.status == status
    assert answer.headers["content-type"] == "application/json" and "date" in answer.headers
    assert answer.json() == {
        "errors": [{"message": answer.json()["detail"], "field": None, "help": None}],
        "detail": answer.json()["detail"],
    }
    assert await client.ended() == b""
    assert site.app.seen == []


VALID = post("/a%20b?c=d", b"hello", "Content-Length: 5", "X: 1", "Y:  2") + get("/last", "Connection: close")


@given(cuts=st.sets(st.integers(1, len(VALID) - 1), max_size=8))
async def test_a_request_in_pieces_is_the_same_request(site: Site, cuts: set[int]) -> None:
    await _same_in_pieces(site, sorted(cuts))


async def test_a_request_cut_at_every_byte(site: Site) -> None:
    for cut in range(1, len(VALID)):
        await _same_in_pieces(site, [cut])
    await _same_in_pieces(site, list(range(1, len(VALID))))


async def _same_in_pieces(site: Site, cuts: list[int]) -> None:
    client = await site.client()
    for start, end in zip([0, *cuts], [*cuts, len(VALID)], strict=True):
        client.send(VALID[start:end])
        await asyncio.sleep(0)  # asyncio writes at once when it can
    first, last = (await client.answer()).json(), (await client.answer()).json()
    assert (first["path"], first["query"], first["body"]) == ("/a b", "c=d", "hello")
    assert first["headers"] == [["host", "x"], ["content-length", "5"], ["x", "1"], ["y", "2"]]
    assert last["path"] == "/last"
    assert await client.ended() == b""
    client.close()


PIECES = st.one_of(
    st.binary(max_size=40),
    st.sampled_from(
        [
            *(get(), VALID, b"\r\n", b"GET ", b"/", b" HTTP/1.1\r\n", b"Host: x\r\n", b"Host: x:99999\r\n"),
            *(b"0\r\n\r\n", b"5;x=y\r\nhello\r\n", b"Transfer-Encoding: chunked\r\n", b"Content-Length: 3\r\n"),
            *(b"Expect: 100-continue\r\n", b"Upgrade: h2c\r\nConnection: upgrade\r\n", b"CONNECT a:1 HTTP/1.1\r\n"),
            *(b"http://", b"[::1", b"%", b"#"),
        ]
    ),
)


@given(pieces=st.lists(PIECES, min_size=1, max_size=12))
async def test_no_octets_are_a_500(site: Site, caplog: pytest.LogCaptureFixture, pieces: list[bytes]) -> None:
    caplog.clear()
    client = await site.client()
    client.send(b"".join(pieces))
    client.writer.write_eof()
    answered = await client.ended()
    client.close()
    statuses = {int(status) for status in re.findall(rb"HTTP/1\.1 ([0-9]{3}) ", answered)}
    assert statuses <= {100, 200, 400, 414, 431, 501}
    assert [record for record in caplog.records if record.levelno >= logging.WARNING] == []
