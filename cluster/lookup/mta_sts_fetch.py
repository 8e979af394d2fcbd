"""Fetching an MTA-STS policy over HTTPS (RFC 8461 §3.3): one GET, bounded in time and size, no redirects.

The address comes from our own resolver. ``mta_sts`` caches the policies.
"""

import asyncio
import ssl

import h11
from msgspec import Struct

from cluster.lookup.bounded_get import BadAnswer, ask
from cluster.lookup.resolver import Resolver
from cluster.policy.routes import mx
from cluster.policy.tls.failure import TlsFailure, TlsFault
from cluster.policy.tls.mta_sts import MAX_POLICY_BYTES, InvalidPolicy, StsPolicy, parse_policy

_PATH = "/.well-known/mta-sts.txt"
_ADDRESSES_TRIED = 3


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
        except BadAnswer as error:
            return _unfetched(host, error.reason)
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
            raise BadAnswer(detail or "has no address")
        reader, writer = await self._connect(found.addresses[:_ADDRESSES_TRIED], host)
        try:
            text = await ask(
                reader, writer, host, _PATH, accept="text/plain", most_bytes=MAX_POLICY_BYTES, check=_check_head
            )
            return text.decode("utf-8")
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


def _check_head(response: h11.Response) -> None:
    """RFC 8461 §3.3: only 200 carries a policy, and redirects must not be followed."""
    if response.status_code != 200:
        raise BadAnswer(f"answers {response.status_code}")
    media_types = [value for name, value in response.headers if name == b"content-type"]
    if [value.split(b";")[0].strip().lower() for value in media_types] != [b"text/plain"]:
        raise BadAnswer("is not text/plain")


def _unfetched(host: str, reason: str) -> TlsFault:
    return TlsFault(TlsFailure.STS_POLICY_FETCH_ERROR, f"{host}: {reason}")
