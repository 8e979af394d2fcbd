"""Posts to strangers: how connections are used, and what of an answer is read."""

import asyncio
import socket
import ssl
import threading
import time
from collections.abc import Iterator
from contextlib import contextmanager
from datetime import UTC, datetime, timedelta
from email.utils import format_datetime
from pathlib import Path

import psutil
import pytest
from aiohttp import web
from dnslib import A

from cluster.lookup.trust import trust
from tests.certificates import Authority
from tests.integration.dns_server import DnsServer
from tests.integration.webhooks.client_world import NAME, TIMEOUT_S, a_client, raw, request_of
from tests.integration.webhooks.world import Hook, answering, served


@contextmanager
def flooding(data: bytes) -> Iterator[int]:
    """A server in a thread, which sends the data again and again to its only client; yields its port."""

    def flood() -> None:
        connection, _ = listener.accept()
        with connection:
            try:
                connection.recv(65536)
                while True:
                    connection.sendall(data)
            except OSError:
                pass  # the client closed the connection

    with socket.create_server(("127.0.0.1", 0)) as listener:
        thread = threading.Thread(target=flood)
        thread.start()
        yield listener.getsockname()[1]
        thread.join()


async def longest_turn(ended: asyncio.Event) -> float:
    """The longest turn of the event loop until the end, in seconds."""
    longest, last = 0.0, time.monotonic()
    while not ended.is_set():
        await asyncio.sleep(0)
        longest, last = max(longest, time.monotonic() - last), time.monotonic()
    return longest


async def test_redirects_are_not_followed() -> None:
    first, second = Hook(), Hook()
    async with served(first, second), a_client("127.0.0.0/8") as world:
        first.answer = answering(307, Location=second.url)
        answer = await world.post(first.url)
    assert answer.result.status == 307
    assert not answer.result.is_taken
    assert answer.result.error == "answered 307, and redirects are not followed"
    assert second.posts == []


async def test_header_fields_and_the_body_come_as_they_are() -> None:
    hook = Hook()
    async with served(hook), a_client("127.0.0.0/8") as world:
        answer = await world.post(hook.url)
    assert answer.result.is_taken
    assert hook.posts == [{"event_id": "evt_1"}]
    fields = hook.headers[0]
    assert {"X-Name": "value", "User-Agent": "postray", "Content-Type": "application/json"}.items() <= fields.items()


async def test_connections_are_used_again_and_one_that_was_closed_meanwhile_is_no_failure() -> None:
    connections, posts = 0, 0

    async def two_then_close(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        nonlocal connections, posts
        connections += 1
        for _ in range(2):
            await request_of(reader)
            posts += 1
            writer.write(b"HTTP/1.1 200 OK\r\nContent-Length: 2\r\n\r\nok")
        # The third finds the connection closed only after it was sent.
        await request_of(reader)

    async with raw(two_then_close) as port, a_client("127.0.0.0/8") as world:
        for _ in range(3):
            answer = await world.post(f"http://127.0.0.1:{port}/")
            assert answer.result.is_taken, answer.result.error
            assert answer.body == "ok"
    assert (connections, posts) == (2, 3)


async def test_a_new_connection_that_is_closed_without_an_answer_is_a_failure() -> None:
    posts = 0

    async def close(reader: asyncio.StreamReader, _: asyncio.StreamWriter) -> None:
        nonlocal posts
        await request_of(reader)
        posts += 1

    async with raw(close) as port, a_client("127.0.0.0/8") as world:
        assert await world.error(f"http://127.0.0.1:{port}/") == "the connection was closed without an answer"
    assert posts == 1


async def endless(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
    await request_of(reader)
    writer.write(b"HTTP/1.1 200 OK\r\nContent-Type: text/plain\r\n\r\n")
    while True:
        writer.write(b"a" * 65536)
        await writer.drain()


async def test_of_an_endless_answer_4_kb_are_read() -> None:
    process = psutil.Process()
    async with raw(endless) as port, a_client("127.0.0.0/8") as world:
        await world.post(f"http://127.0.0.1:{port}/")
        before = process.memory_info().rss
        for _ in range(20):
            answer = await world.post(f"http://127.0.0.1:{port}/")
            assert answer.result.is_taken
            assert answer.body == "a" * 4096
            assert answer.duration_ms < 1000
        assert process.memory_info().rss - before < 8 * 1024**2


async def test_an_answer_of_a_byte_a_second_is_a_success_when_its_head_came() -> None:
    async def slow(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        await request_of(reader)
        writer.write(b"HTTP/1.1 202 Accepted\r\nContent-Length: 100\r\n\r\n")
        while True:
            writer.write(b"x")
            await writer.drain()
            await asyncio.sleep(0.3)

    async with raw(slow) as port, a_client("127.0.0.0/8") as world:
        answer = await world.post(f"http://127.0.0.1:{port}/")
    assert answer.result.status == 202
    assert answer.result.is_taken
    assert set(answer.body) == {"x"}
    assert 1900 < answer.duration_ms < 3000


@pytest.mark.parametrize(
    ("first", "again"),
    [(b"", b""), (b"HTTP/1.1 200 OK\r\nX-Name: ", b"x"), (b"", b"HTTP/1.1 100 Continue\r\n\r\n")],
    ids=["nothing", "byte by byte", "endless interim answers"],
)
async def test_a_head_that_does_not_come_in_time_is_a_failure(first: bytes, again: bytes) -> None:
    async def slow(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        await request_of(reader)
        writer.write(first)
        while True:
            writer.write(again)
            await writer.drain()
            await asyncio.sleep(0.1)

    async with raw(slow) as port, a_client("127.0.0.0/8") as world:
        began = time.monotonic()
        assert await world.error(f"http://127.0.0.1:{port}/") == "no answer within 1 s"
        assert time.monotonic() - began < TIMEOUT_S + 0.5


async def test_an_endless_head_is_a_failure() -> None:
    async def heads(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        await request_of(reader)
        writer.write(b"HTTP/1.1 200 OK\r\n")
        while True:
            writer.write(b"X-Name: " + b"a" * 4000 + b"\r\n")
            await writer.drain()

    async with raw(heads) as port, a_client("127.0.0.0/8") as world:
        assert "not HTTP" in await world.error(f"http://127.0.0.1:{port}/")


@pytest.mark.parametrize(
    "interim", [b"HTTP/1.1 100 Continue\r\n\r\n", b"HTTP/1.1 103 Early Hints\r\nLink: <a>\r\n\r\n"]
)
async def test_interim_answers_without_end_cost_others_no_time(interim: bytes) -> None:
    """The endpoint floods from a thread of its own, as a stranger's machine does."""
    with flooding(interim * 5000) as port:
        async with a_client("127.0.0.0/8") as world:
            ended = asyncio.Event()
            longest = asyncio.create_task(longest_turn(ended))
            error = await world.error(f"http://127.0.0.1:{port}/")
            ended.set()
            assert error == "the answer is not HTTP: more than 16 interim answers"
            assert await longest < 0.3


async def test_a_few_interim_answers_are_passed_over() -> None:
    async def early(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        for _ in range(3):
            await request_of(reader)
            writer.write(b"HTTP/1.1 103 Early Hints\r\n\r\n" * 16 + b"HTTP/1.1 200 OK\r\nContent-Length: 0\r\n\r\n")

    async with raw(early) as port, a_client("127.0.0.0/8") as world:
        for _ in range(3):
            answer = await world.post(f"http://127.0.0.1:{port}/")
            assert answer.result.is_taken, answer.result.error


async def test_what_is_not_http_is_a_failure() -> None:
    async def smtp(_: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        writer.write(b"220 mail.example.com ESMTP\r\n")
        await writer.drain()
        await asyncio.sleep(0.2)

    async with raw(smtp) as port, a_client("127.0.0.0/8") as world:
        assert "not HTTP" in await world.error(f"http://127.0.0.1:{port}/")


async def test_a_compressed_answer_is_kept_as_it_came() -> None:
    async def bomb(_: web.Request) -> web.Response:
        return web.Response(body=b"\x1f\x8b" + b"\0" * 100, headers={"Content-Encoding": "gzip"})

    hook = Hook()
    hook.answer = bomb
    async with served(hook), a_client("127.0.0.0/8") as world:
        answer = await world.post(hook.url)
    assert answer.result.is_taken
    assert len(answer.body) == 102


@pytest.mark.parametrize("is_date", [False, True])
async def test_retry_after(is_date: bool) -> None:
    hook = Hook()
    at = datetime.now(UTC) + timedelta(seconds=100)
    text = format_datetime(at, usegmt=True) if is_date else "100"
    hook.answer = answering(503, Retry_After=text)
    async with served(hook), a_client("127.0.0.0/8") as world:
        answer = await world.post(hook.url)
        assert answer.result.retry_after_s == pytest.approx(100, abs=2)
        hook.answer = answering(200, Retry_After=text)
        assert (await world.post(hook.url)).result.retry_after_s is None


async def test_certificates_are_verified(tmp_path: Path, dns: DnsServer) -> None:
    root = Authority.root()
    trusted = ssl.SSLContext(ssl.PROTOCOL_TLS_CLIENT)
    trust(trusted, str(root.save(tmp_path)))
    dns.zone[NAME, "A"] = [A("127.0.0.1")]
    dns.zone["other.example.test", "A"] = [A("127.0.0.1")]
    hook = Hook()
    async with served(hook, tls=root.issue(NAME).server(tmp_path)):
        url = hook.url.replace("127.0.0.1", NAME)
        async with a_client("127.0.0.0/8", dns_port=dns.port, trusted=trusted) as world:
            assert (await world.post(url)).result.is_taken
            error = await world.error(url.replace(NAME, "other.example.test"))
            assert error.startswith("the certificate cannot be trusted: Hostname mismatch")
        async with a_client("127.0.0.0/8", dns_port=dns.port) as world:
            error = await world.error(url)
            assert error == "the certificate cannot be trusted: self-signed certificate in certificate chain"
    async with (
        served(hook, tls=root.issue(NAME, expired=True).server(tmp_path)),
        a_client("127.0.0.0/8", dns_port=dns.port, trusted=trusted) as world,
    ):
        error = await world.error(hook.url.replace("127.0.0.1", NAME))
        assert error == "the certificate cannot be trusted: certificate has expired"
    assert len(hook.posts) == 1


async def test_plain_http_where_tls_is_expected(dns: DnsServer) -> None:
    hook = Hook()
    dns.zone[NAME, "A"] = [A("127.0.0.1")]
    async with served(hook), a_client("127.0.0.0/8", dns_port=dns.port) as world:
        assert "TLS failed" in await world.error(hook.url.replace("http://127.0.0.1", f"https://{NAME}"))
