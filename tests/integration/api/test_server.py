"""The API on a real port: sizes, connections, start and stop; and a request's whole path into the journal."""

import asyncio
import signal
import socket
from collections.abc import AsyncIterator
from functools import partial
from pathlib import Path

import httpx
import pytest

from api.server import ApiServer
from api.submission.server import SubmissionParts
from cluster.http.ending import Ending
from cluster.journal.journal import Journal
from cluster.settings import HttpSettings, SubmissionSettings, TrackingSettings
from cluster.smtpd.certificate import certificate_of
from cluster.tenancy.directory import TenantDirectory
from tests.domains import a_manager
from tests.integration.api.conftest import Site
from tests.integration.large import large_requests
from tests.limiting import a_limiter
from tests.policies import a_policy, no_aliases
from tests.tracking import token_keys
from tests.unit.api.bodies import mail, to
from tests.webhooks import webhook_parts

MB = 1024 * 1024


async def test_a_message_from_its_request_to_its_cancel(site: Site) -> None:
    async with httpx.AsyncClient(base_url=site.url, headers=site.headers) as client:
        batch_id = (await client.post("/v3/mail/batch")).json()["batch_id"]
        sent = await client.post(
            "/v3/mail/send",
            json=mail(
                personalizations=[
                    to(f"user{n}@bücher.example", custom_args={"n": n}, send_at=4_102_444_800) for n in range(30)
                ],
                batch_id=batch_id,
                categories=["welcome"],
            ),
        )
        assert sent.status_code == 202, sent.text
        ids = sent.json()["message_ids"]
        shown = (await client.get(f"/v3/messages/{ids[7]}")).json()
        assert (shown["status"], shown["custom_args"], shown["send_at"]) == ("queued", {"n": 7}, "2100-01-01T00:00:00Z")
        assert shown["plain_content"] == "Welcome, Ada!"
        listed = (await client.get("/v3/messages", params={"batch_id": batch_id, "status": "QUEUED"})).json()
        assert [message["id"] for message in listed["messages"]] == ids[:4:-1]
        assert (listed["total"], listed["total_pages"]) == (30, 2)
        rest = (await client.get("/v3/messages", params={"after": ids[5], "category": "welcome"})).json()
        assert [message["id"] for message in rest["messages"]] == ids[4::-1]
        found = (await client.get("/v3/messages", params={"to_email": "user3@bücher.example"})).json()
        assert [message["id"] for message in found["messages"]] == [ids[3]]
        refused = await client.get("/v3/messages", params={"subject": "a\0b"})
        assert refused.status_code == 400
        cancelled = await client.post(f"/v3/messages/{ids[0]}/cancel")
        assert (cancelled.status_code, cancelled.json()["status"]) == (200, "cancelled")
        again = await client.post(f"/v3/messages/{ids[0]}/cancel")
        assert (again.status_code, again.json()["status"]) == (409, "cancelled")
        batch = (await client.get(f"/v3/mail/batch/{batch_id}")).json()
        assert batch["total_messages"] == 30 == sum(batch["status_counts"].values())
        assert batch["status_counts"]["cancelled"] == 1
        domain = (await client.get("/v3/whitelabel/domains")).json()[0]
        assert domain["dns"]["dkim1"]["host"] == "s1._domainkey.mail.example.com"


async def test_head_has_the_head_of_get_and_no_body(site: Site) -> None:
    async with httpx.AsyncClient(base_url=site.url, headers=site.headers) as client:
        for path in ("/healthz", "/readyz", "/v3/messages", "/v3/scopes", "/schema/openapi.json", "/v3/messages/x"):
            get, head = await client.get(path), await client.head(path)
            assert (head.status_code, head.content) == (get.status_code, b"")
            assert head.headers["content-length"] == get.headers["content-length"] != "0"
            assert head.headers["content-type"] == get.headers["content-type"]


async def test_a_thousand_personalizations(site: Site) -> None:
    async with httpx.AsyncClient(base_url=site.url, headers=site.headers, timeout=30) as client:
        body = mail(personalizations=[to(f"user{n}@example{n % 50}.com", custom_args={"n": n}) for n in range(1000)])
        ids = (await client.post("/v3/mail/send", json=body)).json()["message_ids"]
        assert len(set(ids)) == 1000
        assert (await client.get("/v3/messages")).json()["total"] == 1000


@pytest.mark.parametrize("announced", [True, False])
async def test_21_mb_are_refused(site: Site, announced: bool) -> None:
    async def in_chunks() -> AsyncIterator[bytes]:
        for _ in range(21):
            yield b" " * MB

    async with httpx.AsyncClient(base_url=site.url, headers=site.headers, timeout=30) as client:
        response = await client.post("/v3/mail/send", content=b" " * 21 * MB if announced else in_chunks())
        assert response.status_code == 413
        assert response.json()["detail"] == "Request body exceeds maximum size of 20 MB"
        assert response.headers["connection"] == "close"


async def test_an_endless_body_is_cut_off_at_the_limit(site: Site) -> None:
    reader, writer = await asyncio.open_connection(*_address(site.url))
    writer.write(
        b"POST /v3/mail/send HTTP/1.1\r\nHost: x\r\nContent-Type: application/json\r\n"
        b"Transfer-Encoding: chunked\r\nAuthorization: Bearer " + site.key.encode() + b"\r\n\r\n"
    )
    status_line = asyncio.create_task(reader.readline())
    sent = 0
    with pytest.raises(ConnectionError):  # the server has had enough
        while True:
            writer.write(b"10000\r\n" + b" " * 0x10000 + b"\r\n")
            await writer.drain()
            sent += 0x10000
    # What was sent beyond the limit was never read: it filled the sockets' buffers.
    assert 20 * MB <= sent < 40 * MB
    assert b" 413 " in await status_line  # it came before the connection went
    writer.close()


async def test_a_route_without_a_body_answers_before_one_has_come(site: Site) -> None:
    for size, closes in ((len(b"rubbish"), False), (1_100_000, True)):
        reader, writer = await asyncio.open_connection(*_address(site.url))
        writer.write(
            b"POST /v3/mail/batch HTTP/1.1\r\nHost: x\r\nContent-Type: text/plain\r\n"
            b"Authorization: Bearer %s\r\nContent-Length: %d\r\n\r\n" % (site.key.encode(), size)
        )
        head = await reader.readuntil(b"\r\n\r\n")
        assert head.startswith(b"HTTP/1.1 201 ")
        assert (b"connection: close" in head) is closes
        writer.write(b"rubbish" * (size // 7 + 1))
        writer.close()


async def test_a_connection_is_kept_and_closed_politely(site: Site) -> None:
    reader, writer = await asyncio.open_connection(*_address(site.url))
    for _ in range(2):
        writer.write(b"GET /healthz HTTP/1.1\r\nHost: x\r\n\r\n")
        head = await reader.readuntil(b"\r\n\r\n")
        assert b" 200 " in head.splitlines()[0]
        await reader.readexactly(len(b'{"status":"ok"}'))
    await site.server.stop()
    assert await reader.read() == b""
    writer.close()
    await writer.wait_closed()
    assert not await site.server.health()


async def test_start_leaves_signals_alone_and_stop_frees_the_port(site: Site) -> None:
    assert await site.server.health()
    before = [signal.getsignal(number) for number in (signal.SIGINT, signal.SIGTERM)]
    host, port = _address(site.url)
    await site.server.stop()
    assert [signal.getsignal(number) for number in (signal.SIGINT, signal.SIGTERM)] == before
    with pytest.raises(OSError):
        await asyncio.open_connection(host, port)
    await site.server.stop()  # a second call does no harm


async def test_all_servers_refuse_together_while_one_of_them_finishes_a_request(site: Site, tmp_path: Path) -> None:
    server = site.another(
        tracking=TrackingSettings(bind="127.0.0.1:0"),
        submission=SubmissionParts(
            SubmissionSettings(bind="127.0.0.1:0"), "mx.postray.example", partial(certificate_of, "localhost", tmp_path)
        ),
    )
    host, port = _address(await server.start())
    assert server.submission is not None
    reader, writer = await asyncio.open_connection(*_address(server.public_url))
    writer.write(b"POST /t/u/x HTTP/1.1\r\nHost: x\r\nContent-Length: 5\r\n\r\nfour")
    stopping = asyncio.create_task(server.stop(Ending(listens_s=0.1, quiet_s=0.5, grace_s=30.0, leaving_s=5.0)))
    async with asyncio.timeout(10.0):
        for refusing in (port, server.submission.port):
            while await _is_listening(host, refusing):
                await asyncio.sleep(0.05)
    assert not stopping.done()
    writer.write(b"!")
    async with asyncio.timeout(10.0):
        assert b" 404 " in await reader.readline()
        await stopping
    writer.close()


async def _is_listening(host: str, port: int) -> bool:
    try:
        _, writer = await asyncio.open_connection(host, port)
    except OSError:
        return False
    writer.close()
    return True


async def test_a_port_that_is_taken(journal: Journal, journal_dsn: str) -> None:
    async def nothing(*_: object) -> dict[str, str | None]:
        return {}

    with socket.create_server(("127.0.0.1", 0)) as taken:
        settings = HttpSettings(bind=f"127.0.0.1:{taken.getsockname()[1]}")
        directory = TenantDirectory(journal)
        limiter = a_limiter(journal, directory)
        server = ApiServer(
            settings,
            journal=journal,
            directory=directory,
            limiter=limiter,
            active_policy=a_policy(journal),
            domains=a_manager(journal),
            aliases=no_aliases,
            token_keys=token_keys(journal),
            lifetime_s=1,
            offers=lambda _: None,
            large=large_requests(journal_dsn, limiter),
            timeline=nothing,  # type: ignore[arg-type]
            ask_recorder=nothing,
            webhooks=webhook_parts(journal),
            readiness=nothing,
        )
        with pytest.raises(OSError):
            await server.start()
        assert not await server.health()


async def test_a_head_of_28_mb_is_refused_and_holds_nobody_up(site: Site) -> None:
    reader, writer = await asyncio.open_connection(*_address(site.url))
    status_line = asyncio.create_task(reader.readline())
    writer.write(b"GET /v3/scopes HTTP/1.1\r\nHost: x\r\nAuthorization: Bearer ")

    async def attack() -> None:
        with pytest.raises(ConnectionError):
            for _ in range(28 * MB // 65536):
                writer.write(b"x" * 65536)
                await writer.drain()

    attacking = asyncio.create_task(attack())
    async with asyncio.timeout(30):
        async with httpx.AsyncClient(base_url=site.url, timeout=20) as client:
            assert (await client.get("/healthz")).status_code == 200
        assert b" 431 " in await status_line
        await attacking
    writer.close()


@pytest.mark.parametrize(
    ("target", "status"),
    [
        ("/v3/scopes", 200),
        ("//v3/scopes", 404),
        ("/v3//scopes", 404),
        ("/v3/scopes/", 404),
        ("/v3/scopes%2f", 404),
        ("/v3/s%63opes", 404),
        ("/v3/ips?ip=//%2f", 200),
        ("/v3/messages/a%40b.example", 404),
        ("/healthz/", 404),
        ("//healthz", 404),
        ("/schema//openapi.json", 404),
    ],
)
async def test_one_spelling_of_a_path_routes(site: Site, target: str, status: int) -> None:
    async with httpx.AsyncClient(headers=site.headers) as client:
        response = await client.get(site.url + target)
        assert response.request.url.raw_path.decode() == target
    assert response.status_code == status, response.text
    if status == 404:
        assert response.json()["errors"] and response.json()["detail"]


@pytest.mark.parametrize("host", ["127.0.0.1:99999", "[::1", "a b", "a@b"])
async def test_an_impossible_host_is_refused(site: Site, host: str) -> None:
    async with httpx.AsyncClient(base_url=site.url) as client:
        response = await client.get("/healthz", headers={"Host": host})
    assert response.status_code == 400 and response.json()["detail"] == "The Host header is no host"


def _address(url: str) -> tuple[str, int]:
    host, _, port = url.removeprefix("http://").partition(":")
    return host, int(port)
