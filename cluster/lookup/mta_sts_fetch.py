"""Fetching an MTA-STS policy over HTTPS (RFC 8461 §3.3): one GET, bounded in time and size, no redirects.

It uses h11 over asyncio's streams, because the address must come from our own resolver, and because HTTP clients have
features that must be off here: redirects, caches, and proxies from the environment. ``mta_sts`` caches the policies.
"""

import asyncio
import ssl

import h11
from msgspec import Struct

from cluster.lookup.resolver import Resolver
from cluster.policy.routes import mx
from cluster.policy.tls.failure import TlsFailure, TlsFault
from cluster.policy.tls.mta_sts import MAX_POLICY_BYTES, InvalidPolicy, StsPolicy, parse_policy

_MAX_HEAD_BYTES = 16 * 1024
_READ_BYTES = 16 * 1024
_ADDRESSES_TRIED = 3


class _NotAPolicy(Exception):
    def __init__(self, reason: str) -> None:
        super().__init__(reason)
        self.reason = reason


class PolicyServers(Struct, frozen=True, kw_only=True):
    """Fetches policies from the policy servers of domains."""

    resolver: Resolver
    port: int
    trusted: ssl.SSLContext
    """Verifies the server's name and certificate authority."""
    timeout_s: float

    async def fetch(self, domain: str) -> StsPolicy | TlsFault:
        """The policy that the domain publishes now, or the fault. Expected failures are values; none is raised."""
        host = f"mta-sts.{domain}"
        try:
            async with asyncio.timeout(self.timeout_s):
                text = await self._get(host)
        except ssl.SSLCertVerificationError as error:
            return TlsFault(TlsFailure.STS_WEBPKI_INVALID, f"{host}: {error.verify_message}")
        except TimeoutError:
            return _unfetched(host, "timed out")
        except _NotAPolicy as error:
            return _unfetched(host, error.reason)
        except h11.RemoteProtocolError as error:
            return _unfetched(host, f"not HTTP: {error}")
        except (OSError, ValueError) as error:
            return _unfetched(host, str(error))
        policy = parse_policy(text)
        if isinstance(policy, InvalidPolicy):
            return TlsFault(TlsFailure.STS_POLICY_INVALID, f"{host}: {policy.reason}")
        return policy

    async def _get(self, host: str) -> str:
        # The domain's owner chooses the address, so mx_addresses excludes our own network.
        found = await self.resolver.mx_addresses(host)
        if not isinstance(found, mx.Addresses):
            detail = found.detail if isinstance(found, mx.Unroutable) else ""
            raise _NotAPolicy(detail or "has no address")
        reader, writer = await self._connect(found.addresses[:_ADDRESSES_TRIED], host)
        try:
            client = h11.Connection(h11.CLIENT, max_incomplete_event_size=_MAX_HEAD_BYTES)
            headers = [("Host", host), ("Accept", "text/plain"), ("User-Agent", "postray"), ("Connection", "close")]
            request = h11.Request(method="GET", target="/.well-known/mta-sts.txt", headers=headers)
            writer.write((client.send(request) or b"") + (client.send(h11.EndOfMessage()) or b""))
            return await _read_text(client, reader)
        finally:
            writer.transport.abort()

    async def _connect(
        self, addresses: tuple[str, ...], host: str
    ) -> tuple[asyncio.StreamReader, asyncio.StreamWriter]:
        failure: OSError | None = None
        for address in addresses:
            try:
                return await asyncio.open_connection(address, self.port, ssl=self.trusted, server_hostname=host)
            except ssl.SSLError:
                raise
            except OSError as error:
                failure = error
        assert failure is not None, "a host that was found has an address"
        raise failure


async def _read_text(client: h11.Connection, reader: asyncio.StreamReader) -> str:
    body = bytearray()
    while True:
        event = client.next_event()
        if event is h11.NEED_DATA:
            client.receive_data(await reader.read(_READ_BYTES))
        elif isinstance(event, h11.Response):
            _check_head(event)
        elif isinstance(event, h11.Data):
            body += event.data
            if len(body) > MAX_POLICY_BYTES:
                raise _NotAPolicy(f"more than {MAX_POLICY_BYTES} bytes")
        elif isinstance(event, h11.EndOfMessage):
            return body.decode("utf-8")
        elif isinstance(event, h11.ConnectionClosed):
            raise _NotAPolicy("closed by the peer")


def _check_head(response: h11.Response) -> None:
    """RFC 8461 §3.3: only 200 carries a policy, and redirects must not be followed."""
    if response.status_code != 200:
        raise _NotAPolicy(f"answers {response.status_code}")
    media_types = [value for name, value in response.headers if name == b"content-type"]
    if [value.split(b";")[0].strip().lower() for value in media_types] != [b"text/plain"]:
        raise _NotAPolicy("is not text/plain")


def _unfetched(host: str, reason: str) -> TlsFault:
    return TlsFault(TlsFailure.STS_POLICY_FETCH_ERROR, f"{host}: {reason}")
