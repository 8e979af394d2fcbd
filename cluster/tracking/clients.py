"""Who fetched a tracked URL: the client's address, as far as settings keep it, and its user agent. Pure."""

import ipaddress
from collections.abc import Iterable, Sequence
from typing import Literal

from msgspec import Struct

from cluster.access.client_address import client_address
from cluster.policy.routes.networks import Address, Network
from cluster.printable import printable

KeptAddress = Literal["full", "network", "none"]
"""What is kept of a client's address: all of it, its network, or nothing."""

LONGEST_USER_AGENT = 500
"""Characters; the rest is cut off."""
_NETWORK_BITS = {4: 24, 6: 48}
"""What one network of a provider's customer has at least: the rest of the address names the customer."""
_AHEAD = {b"purpose", b"sec-purpose", b"x-purpose", b"x-moz"}
"""Headers in which a browser says that it fetches ahead. https://wicg.github.io/nav-speculation/prefetch.html"""


class Client(Struct, frozen=True):
    """Who sent a request."""

    address: Address | str
    """A text that is no address where none is known."""
    user_agent: str = ""
    method: str = "GET"
    is_ahead: bool = False
    """It fetched what a reader might ask for next."""


def client_of(
    peer: str, method: str, headers: Iterable[tuple[bytes, bytes]], trusted: Sequence[Network] = ()
) -> Client:
    """``peer`` is the address of the socket, ``headers`` are those of ASGI, ``trusted`` the networks of proxies whose
    X-Forwarded-For is believed."""
    forwarded: list[str] = []
    user_agent = ""
    is_ahead = False
    for name, value in headers:
        if name == b"user-agent":
            user_agent = printable(value.decode(errors="replace")[:LONGEST_USER_AGENT])[:LONGEST_USER_AGENT]
        elif name == b"x-forwarded-for":
            forwarded.append(value.decode("latin-1"))
        elif name in _AHEAD:
            is_ahead = is_ahead or value.lower().startswith((b"prefetch", b"prerender", b"preview"))
    return Client(client_address(peer, forwarded, trusted), user_agent, method, is_ahead)


def kept(address: Address | str, how: KeptAddress) -> str:
    """The address as it is kept. A network is named by its first address: ``192.0.2.0`` of /24, ``2001:db8:7::`` of
    /48. "" for what is no address."""
    if how == "none" or isinstance(address, str):
        return ""
    if how == "network":
        network = ipaddress.ip_network((address.packed, _NETWORK_BITS[address.version]), strict=False)
        return str(network.network_address)
    return str(address)
