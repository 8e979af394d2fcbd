"""Connections to addresses that tenants name: resolved by our own resolver, and checked when they are connected to.

A name may resolve to a public address when it is looked at and to a private one a moment later (DNS rebinding). So the
check is on the very address that the socket is then connected to, whether it came from the DNS or stood in the URL.
"""

import errno
import ipaddress
import socket
from typing import Any

from aiohttp.abc import AbstractResolver, ResolveResult

from cluster.lookup.resolver import Resolver
from cluster.policy.routes import mx
from cluster.policy.routes.networks import Networks

LOOPBACK = ("127.0.0.1", "::1")
RECEIVED_BYTES = 16 * 1024
"""What the kernel holds of an answer. It is read at once, so this bounds what a stranger has parsed in one turn."""


class RefusedAddress(OSError):
    """The address may not be connected to; the message says why."""


class GuardedSockets:
    """Makes the sockets of aiohttp's connections: its ``socket_factory``."""

    def __init__(self, networks: Networks) -> None:
        self._networks = networks

    def __call__(self, info: tuple[Any, Any, int, str, tuple[Any, ...]]) -> socket.socket:
        """A socket for an entry of getaddrinfo's form. Raises RefusedAddress when its address may not be connected
        to."""
        family, kind, protocol, _, address = info
        try:
            # An address in digits: nothing that connecting would look up, or read otherwise than we do.
            refusal = self._networks.refusal(ipaddress.ip_address(address[0]))
        except ValueError:
            refusal = f"{address[0]!r} is no IP address"
        if refusal is not None:
            raise RefusedAddress(errno.EACCES, refusal)
        made = socket.socket(family, kind, protocol)
        made.setsockopt(socket.SOL_SOCKET, socket.SO_RCVBUF, RECEIVED_BYTES)
        return made


class OwnResolver(AbstractResolver):
    """aiohttp's interface to the resolver of this process, which waits for no thread and keeps answers."""

    def __init__(self, resolver: Resolver) -> None:
        self._resolver = resolver

    async def resolve(
        self, host: str, port: int = 0, family: socket.AddressFamily = socket.AF_INET
    ) -> list[ResolveResult]:
        """The addresses of a name in the DNS. Raises OSError when it has none."""
        return [
            ResolveResult(
                hostname=host,
                host=address,
                port=port,
                family=socket.AF_INET6 if ":" in address else socket.AF_INET,
                proto=0,
                flags=socket.AI_NUMERICHOST,
            )
            for address in await self._addresses(host)
        ]

    async def close(self) -> None:
        await self._resolver.close()

    async def _addresses(self, host: str) -> tuple[str, ...]:
        if host == "localhost" or host.endswith(".localhost"):
            return LOOPBACK  # RFC 6761 §6.3; the DNS is not asked
        match await self._resolver.addresses(host):
            case mx.Addresses(addresses=addresses):
                return addresses
            case mx.UnresolvedHosts(reason=reason):
                raise OSError(f"the DNS does not answer for {host}: {reason}")
            case _:
                raise OSError(f"{host} has no address in the DNS")
