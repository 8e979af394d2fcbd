"""Posts to endpoints over HTTP: a pool of connections for each, bounded in time and size, no redirects.

An endpoint is a stranger. It may be slow, send without end, or name an address of our own network (``guarded``).
"""

import asyncio
import ssl
from collections.abc import Mapping
from datetime import UTC, datetime
from itertools import count
from types import SimpleNamespace

import aiohttp
from aiohttp import ClientSession, ClientTimeout, DummyCookieJar, TraceConfig

from actors.webhooks.bounded import BoundedConnector
from actors.webhooks.guarded import GuardedSockets, OwnResolver
from cluster.lookup.resolver import Resolver
from cluster.policy.routes.networks import Networks
from cluster.policy.webhooks.failing import PostResult
from cluster.policy.webhooks.retry_after import retry_after_s
from cluster.webhooks.answer import Answer, storable

MOST_CONNECTIONS = 32
"""To one endpoint."""
IDLE_S = 4.0
"""How long a connection is kept for the next post. Many servers close theirs after five seconds."""
MOST_ANSWER_BYTES = 4096
"""Of a body, and of header fields."""
ANSWER_MAX_WAIT_S = 2.0
"""How long an answer's body is read. Whether it is a success was known before."""
USER_AGENT = "postray"
# All limits of time are our own.
_UNLIMITED = ClientTimeout(total=None, connect=None, sock_connect=None, sock_read=None)


class _Use:
    """Whether a post's connection was used before."""

    __slots__ = ("is_reused",)

    def __init__(self) -> None:
        self.is_reused = False


class Client:
    """Made and closed in one running event loop."""

    def __init__(self, resolver: Resolver, networks: Networks, trusted: ssl.SSLContext, *, timeout_s: float) -> None:
        """``resolver`` is closed with it. ``networks`` says what may be connected to. ``trusted`` verifies the servers'
        certificates. ``timeout_s``: from the first packet to the head of the answer."""
        self._resolver = OwnResolver(resolver)
        self._sockets = GuardedSockets(networks)
        self._trusted = trusted
        self._timeout_s = timeout_s
        self._sessions: dict[str, ClientSession] = {}
        self._once = count()
        self._traces = TraceConfig()
        self._traces.on_connection_reuseconn.append(_reused)

    async def post(
        self,
        pool: str,
        url: str,
        headers: Mapping[str, str],
        body: bytes,
        *,
        most_bytes: int = MOST_ANSWER_BYTES,
    ) -> Answer:
        """Post once; what fails is in the answer. ``pool`` names the pool of connections. ``most_bytes``: of the
        answer's body."""
        began = datetime.now(UTC)
        use = _Use()
        try:
            try:
                return await self._post(pool, url, headers, body, most_bytes, began, use)
            except (aiohttp.ClientOSError, aiohttp.ServerDisconnectedError):
                if not use.is_reused:
                    raise
                # The server closed the connection while it was idle (RFC 9112 §9.3.1): a new one. Events have ids, so
                # it may even have taken the post.
                return await self._post(pool, url, headers, body, most_bytes, began, use)
        except TimeoutError:
            reason = f"no answer within {self._timeout_s:g} s"
        except (aiohttp.ClientError, OSError, ValueError) as error:
            reason = _reason(error)
        return unanswered(began, reason)

    async def post_once(
        self, url: str, headers: Mapping[str, str], body: bytes, *, most_bytes: int = MOST_ANSWER_BYTES
    ) -> Answer:
        """Like ``post``, over a connection that is made for it and closed: it waits for no other."""
        pool = f"once {next(self._once)}"
        try:
            return await self.post(pool, url, headers, body, most_bytes=most_bytes)
        finally:
            await self.forget(pool)

    async def forget(self, pool: str) -> None:
        """Close the connections of a pool, which is not in use."""
        session = self._sessions.pop(pool, None)
        if session is not None:
            await session.close()

    def pools(self) -> list[str]:
        """The pools that have connections, or had."""
        return list(self._sessions)

    async def close(self) -> None:
        for pool in self.pools():
            await self.forget(pool)
        await self._resolver.close()

    async def _post(
        self,
        pool: str,
        url: str,
        headers: Mapping[str, str],
        body: bytes,
        most_bytes: int,
        began: datetime,
        use: _Use,
    ) -> Answer:
        session = self._sessions.get(pool) or self._open(pool)
        async with asyncio.timeout(self._timeout_s):
            response = await session.post(url, data=body, headers=headers, allow_redirects=False, trace_request_ctx=use)
        try:
            text = await _read(response, most_bytes)
        finally:
            # Closes a connection that has the rest of an answer in it. Otherwise it is in the pool again already.
            response.close()
        ended = datetime.now(UTC)
        asked = response.headers.get("Retry-After")
        error = ""
        if not 200 <= response.status < 300:
            error = f"answered {response.status}"
            if 300 <= response.status < 400:
                error += ", and redirects are not followed"
        result = PostResult(
            began=began,
            ended=ended,
            status=response.status,
            error=error,
            retry_after_s=retry_after_s(asked, ended) if asked is not None and error else None,
        )
        lines = "".join([f"{name}: {value}\n" for name, value in response.headers.items()])
        return Answer(result=result, headers=storable(lines)[:MOST_ANSWER_BYTES], body=storable(text))

    def _open(self, pool: str) -> ClientSession:
        connector = BoundedConnector(
            resolver=self._resolver,
            use_dns_cache=False,  # the resolver has one, for the lifetimes of the answers
            socket_factory=self._sockets,
            ssl=self._trusted,
            limit=MOST_CONNECTIONS,
            keepalive_timeout=IDLE_S,
        )
        session = self._sessions[pool] = ClientSession(
            connector=connector,
            cookie_jar=DummyCookieJar(),
            headers={"User-Agent": USER_AGENT, "Content-Type": "application/json", "Accept-Encoding": "identity"},
            timeout=_UNLIMITED,
            auto_decompress=False,  # what is kept is bounded before it grows
            read_bufsize=MOST_ANSWER_BYTES,
            trust_env=False,
            trace_configs=[self._traces],
        )
        return session


def unanswered(began: datetime, reason: str, *, is_unwritten: bool = False) -> Answer:
    """What stands for the answer where there was none."""
    return Answer(
        result=PostResult(began=began, ended=datetime.now(UTC), error=storable(reason), is_unwritten=is_unwritten)
    )


async def _read(response: aiohttp.ClientResponse, most_bytes: int) -> str:
    """The begin of the body, as far as it comes in time."""
    data = bytearray()
    try:
        async with asyncio.timeout(ANSWER_MAX_WAIT_S):
            while len(data) < most_bytes and (more := await response.content.read(most_bytes - len(data))):
                data += more
    except (TimeoutError, aiohttp.ClientError, OSError):
        pass  # the status is known, and what came of the body is kept
    return data.decode("utf-8", "replace")


async def _reused(_: ClientSession, context: SimpleNamespace, __: aiohttp.TraceConnectionReuseconnParams) -> None:
    context.trace_request_ctx.is_reused = True


def _reason(error: Exception) -> str:
    match error:
        case aiohttp.ClientConnectorCertificateError():
            certificate = error.certificate_error
            words = getattr(certificate, "verify_message", "") or str(certificate)
            return f"the certificate cannot be trusted: {words}"
        case aiohttp.ClientConnectorSSLError():
            return f"TLS failed: {error.os_error.strerror or error.os_error}"
        case aiohttp.ClientConnectorError():
            return f"cannot connect: {error.os_error.strerror or error.os_error}"
        case aiohttp.ServerDisconnectedError():
            return "the connection was closed without an answer"
        case aiohttp.InvalidURL():
            return "the URL cannot be used"  # which may be a secret
        case aiohttp.ClientResponseError():
            return f"the answer is not HTTP: {error.message}"
    return str(error) or type(error).__name__
