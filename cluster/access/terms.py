"""The terms of an API key: for which API it is, until when, and from which networks. Pure.

Most keys have none, so a request pays one comparison for them.
"""

import ipaddress
import math
from collections.abc import Iterable, Sequence
from datetime import datetime
from functools import lru_cache
from typing import Literal

from msgspec import Struct

from cluster.policy.routes.networks import Address, Network

KeyKind = Literal["api", "piisend"]
"""The API that a key is for: /v3, or /api/v1."""

_MAPPED = ipaddress.IPv6Network("::ffff:0:0/96")
"""RFC 4291 §2.5.5.2: IPv4 addresses written as IPv6."""


class KeyTerms(Struct, frozen=True, kw_only=True):
    """Terms under which a key is accepted. It travels to the worker of large requests, so it holds plain values."""

    kind: KeyKind = "api"
    expires_at: float = math.inf
    """Unix time in seconds: from then on the key is refused."""
    networks: tuple[str, ...] = ()
    """CIDR; empty means any."""

    def allows(self, address: Address | None) -> bool:
        """Whether the key may be used from this address; None stands for one that is not known."""
        if not self.networks:
            return True
        return address is not None and within(address, map(_parsed, self.networks))


def terms_of(kind: KeyKind, expires_at: datetime | None, networks: Sequence[str]) -> KeyTerms | None:
    """The terms of a key; None when it has none."""
    if kind == "api" and expires_at is None and not networks:
        return None
    return KeyTerms(
        kind=kind,
        expires_at=expires_at.timestamp() if expires_at is not None else math.inf,
        networks=tuple(networks),
    )


def network(text: str) -> Network:
    """A network such as "192.0.2.0/24", "2001:db8::/32" or a single address. An IPv4 network in its IPv6 form
    (``::ffff:192.0.2.0/120``) becomes the IPv4 network. Raises ValueError with the reason in words."""
    try:
        read = ipaddress.ip_network(text, strict=False)
        begins = ipaddress.ip_interface(text).ip
    except ValueError:
        raise ValueError(f"{text[:50]!r} is no network, such as 192.0.2.0/24 or 2001:db8::/32") from None
    if begins != read.network_address:
        raise ValueError(f"{text[:50]!r} is an address in the network {read}: write {read} or {begins}")
    if isinstance(read, ipaddress.IPv6Network) and read.subnet_of(_MAPPED):
        address = read.network_address.ipv4_mapped
        return ipaddress.IPv4Network((int(address or 0), read.prefixlen - _MAPPED.prefixlen))
    return read


def within(address: Address, networks: Iterable[Network]) -> bool:
    return any(address in one for one in networks)


@lru_cache(maxsize=4096)
def _parsed(text: str) -> Network:
    return network(text)
