"""The address of a client, also behind proxies. Pure.

X-Forwarded-For is a list to which each proxy appends the address that it saw. Whatever stands left of the entry of the
first proxy that is not trusted, the client may have written itself. So the list is read from the right, and the first
address that is no trusted proxy is the client's.
"""

import ipaddress
import re
from collections.abc import Iterable, Mapping, Sequence
from typing import Any

from cluster.access.terms import within
from cluster.policy.routes.networks import Address, Network, plain

MOST_PROXIES = 20
"""The most trusted proxies in a row; behind more, the client's address is not known."""

_ENTRY = re.compile(r"(?:\[([0-9A-Fa-f:.]{2,45})\]|([0-9.]{7,15}))(?::[0-9]{1,5})?|([0-9A-Fa-f:.]{2,45})", re.ASCII)
"""An entry: "192.0.2.1", "2001:db8::1", and with a port "192.0.2.1:80", "[2001:db8::1]:80"."""


def client_address(peer: str, forwarded: Iterable[str], trusted: Sequence[Network]) -> Address | str:
    """The client's address, or the text in its place that is no address.

    ``peer`` is the address of the socket; ``forwarded`` are the values of the X-Forwarded-For headers, in order.
    IPv4-mapped IPv6 addresses are returned as IPv4.
    """
    address = _address(peer)
    if not trusted or isinstance(address, str) or not within(address, trusted):
        return address
    for entry in reversed(",".join(forwarded).rsplit(",", MOST_PROXIES)):
        if entry.strip():
            address = _address(entry.strip())
            if isinstance(address, str) or not within(address, trusted):
                return address
    return address  # the request began at the last of the proxies


def client_of(scope: Mapping[str, Any], trusted: Sequence[Network]) -> Address | str:
    """The same for an ASGI request."""
    peer = scope["client"]
    forwarded = [value.decode("latin-1") for name, value in scope["headers"] if name == b"x-forwarded-for"]
    return client_address(peer[0] if peer else "", forwarded, trusted)


def address_key(host: str) -> str:
    """What counts as one address: of IPv6 the first 64 bits, since a site has all of them (RFC 6177)."""
    if ":" not in host:
        return host
    address = ipaddress.IPv6Address(host.partition("%")[0])
    if address.ipv4_mapped is not None:
        return str(address.ipv4_mapped)
    return str(ipaddress.IPv6Network((int(address) >> 64 << 64, 64)))


def _address(text: str) -> Address | str:
    entry = _ENTRY.fullmatch(text)
    try:
        return plain(entry[1] or entry[2] or entry[3] if entry else text)
    except ValueError:
        return text
