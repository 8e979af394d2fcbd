"""JWTs and networks over real sockets: an issuer's key server, a client behind a proxy."""

import asyncio
import json
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from typing import Any

import httpx
import pytest

from api.build import signed_tokens
from cluster.access import key_set
from cluster.access.key_set import MOST_BYTES, fetching
from cluster.journal.journal import Journal
from cluster.lookup.web_address import web_address
from cluster.settings import AuthSettings, Settings
from cluster.tenancy.directory import TenantDirectory
from cluster.tenancy.granting import add_key
from tests.integration.api.conftest import Site
from tests.unit.access.issuer import Issuer, public_jwk
from tests.unit.api.bodies import mail

HEAD = b"HTTP/1.1 200 OK\r\nContent-Type: application/json\r\nConnection: close\r\n"


class KeyServer:
    """Answers each request with what a test sets."""

    def __init__(self) -> None:
        self.answer = b""
        self.pieces: list[bytes] = []
        self.asked: list[bytes] = []
        self.url = ""

    def publish(self, *keys: dict[str, Any]) -> None:
        body = json.dumps({"keys": keys}).encode()
        self.answer = HEAD + b"Content-Length: %d\r\n\r\n%s" % (len(body), body)

    async def serve(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        self.asked.append(await reader.readuntil(b"\r\n\r\n"))
        writer.write(self.answer)
        await writer.drain()
        if self.pieces:  # a slow answer: it never ends
            writer.write(self.pieces.pop())
            await reader.read()
        writer.close()


@asynccontextmanager
async def serving() -> AsyncIterator[KeyServer]:
    keys = KeyServer()
    server = await asyncio.start_server(keys.serve, "127.0.0.1", 0)
    keys.url = f"http://127.0.0.1:{server.sockets[0].getsockname()[1]}/keys?v=1"
    async with server:
        yield keys


async def test_a_jwt_sends_and_its_scopes_hold(site: Site, journal: Journal) -> None:
    async with serving() as keys:
        keys.publish(public_jwk("ES256", "e"))
        directory = TenantDirectory(journal)
        auth = AuthSettings(jwks_url=keys.url, jwt_issuer="https://issuer.example/", jwt_audience="postray")
        server = site.another(directory=directory, tokens=signed_tokens(Settings(auth=auth), directory))
        url = await server.start()
        claims = {"exp": 4_000_000_000, "tenant": site.tenant_id, "iss": "https://issuer.example/", "aud": "postray"}
        issuer = Issuer()
        token = issuer.token("ES256", kid="e", **claims)
        async with httpx.AsyncClient(base_url=url, headers={"Authorization": f"Bearer {token}"}) as http:
            for _ in range(2):
                response = await http.post("/v3/mail/send", json=mail())
                assert response.status_code == 202, response.text
            large = mail(content=[{"type": "text/plain", "value": "x" * 1_200_000}])  # the worker's process
            assert (await http.post("/v3/mail/send", json=large)).status_code == 202
            response = await http.get("/v3/api_keys")
            assert (response.status_code, response.json()["detail"]) == (403, "Missing required scope: admin.api_keys")
            assert (await http.get("/v3/scopes")).json() == {"scopes": ["mail.send"]}
            wrong = issuer.token("ES256", kid="e", **{**claims, "aud": "other"})
            response = await http.get("/v3/scopes", headers={"Authorization": f"Bearer {wrong}"})
            assert (response.status_code, response.json()["detail"]) == (401, "Invalid API key")
            assert "audience" in response.json()["errors"][0]["help"]
            assert "authorization grant is invalid" in response.json()["errors"][0]["message"]
        await server.stop()
        assert len(keys.asked) == 1
        assert keys.asked[0].startswith(b"GET /keys?v=1 HTTP/1.1\r\nHost: 127.0.0.1:")


async def test_what_a_key_server_may_not_do(monkeypatch: pytest.MonkeyPatch) -> None:
    async with serving() as keys:
        fetch = fetching(web_address(keys.url), "")
        keys.publish()
        assert await fetch() == b'{"keys": []}'
        for answer, reason in (
            (b"HTTP/1.1 302 Found\r\nLocation: https://elsewhere.example/\r\nContent-Length: 0\r\n\r\n", "answers 302"),
            (b"HTTP/1.1 500 Oops\r\nContent-Length: 0\r\n\r\n", "answers 500"),
            (HEAD + b"\r\n" + b"x" * (MOST_BYTES + 1), "more than"),
            (HEAD + b"X: " + b"x" * 70_000 + b"\r\n\r\n", "not HTTP"),
            (b"SSH-2.0-x\r\n", "not HTTP"),
            (HEAD + b"Content-Length: 10\r\n\r\n{}", "not HTTP"),
            (b"", "not HTTP"),
        ):
            keys.answer = answer
            with pytest.raises(ValueError, match=reason):
                await fetch()
        monkeypatch.setattr(key_set, "FETCH_S", 0.05)
        keys.answer, keys.pieces = HEAD, [b"Content-Length: 10\r\n\r\n{"]
        with pytest.raises(OSError):
            await fetch()
    with pytest.raises(OSError):
        await fetch()


async def test_a_key_with_networks_behind_a_proxy(site: Site, journal: Journal) -> None:
    new = await add_key(journal, site.tenant_id, "office", ["mail.send"], allowed_networks=["198.51.100.0/24"])
    server = site.another(trusted_proxies=("127.0.0.0/8",))
    url = await server.start()
    async with httpx.AsyncClient(headers={"Authorization": f"Bearer {new.secret}"}) as http:
        for base, forwarded, status in (
            (site.url, ["198.51.100.7"], 403),
            (url, ["198.51.100.7"], 200),
            (url, ["203.0.113.9, 198.51.100.7"], 200),
            (url, ["198.51.100.7, 203.0.113.9"], 403),
            (url, ["198.51.100.7", "203.0.113.9"], 403),
            (url, [], 403),
        ):
            headers = [("X-Forwarded-For", value) for value in forwarded]
            response = await http.get(f"{base}/v3/scopes", headers=headers)
            assert response.status_code == status, (forwarded, response.text)
        response = await http.get(f"{url}/v3/scopes", headers={"X-Forwarded-For": "203.0.113.9"})
        assert response.json()["detail"] == "This key may not be used from 203.0.113.9"
        large = mail(content=[{"type": "text/plain", "value": "x" * 1_200_000}])  # its terms go to the worker's process
        response = await http.post(f"{url}/v3/mail/send", json=large, headers={"X-Forwarded-For": "198.51.100.7"})
        assert response.status_code == 202, response.text
    await server.stop()


def test_an_address_of_a_key_server() -> None:
    assert web_address("https://a.example/k").authority == "a.example"
    assert web_address("https://a.example:8443").target == "/"
    assert web_address("http://[::1]:80/k").authority == "[::1]"
    assert web_address("http://localhost:8000/k?a=b").authority == "localhost:8000"
    for url in (
        *("", "a.example", "ftp://a.example/", "https:///k", "https://", "http://a.example/k", "http://192.0.2.1/k"),
        *("https://user@a.example/", "https://a.example/a b", "https://a.example:99999/", "https://ä.example/", "//x"),
    ):
        with pytest.raises(ValueError):
            web_address(url)
