"""Which addresses may be connected to when an outsider has chosen them.

A domain's owner chooses the addresses of its mail exchangers and of its policy server, and a tenant those of its
webhooks. They could name those of the operator's own network. So addresses outside the public internet are rejected
unless the settings allow them. Pure. The check is on the exact address that is then connected to, since a name could
resolve differently a moment later. Servers that the operator names (a smarthost, a database) are not checked.
"""

import ipaddress
from collections.abc import Iterable
from ipaddress import IPv4Address, IPv4Network, IPv6Address, IPv6Network

from msgspec import Struct

Address = IPv4Address | IPv6Address
Network = IPv4Network | IPv6Network

# The IANA special-purpose address registries (RFC 6890 and its updates): networks that are not globally reachable, and
# reachable ones without hosts that an outsider may name. The words explain a rejection to the operator.
_SPECIAL: tuple[tuple[Network, str], ...] = tuple(
    (ipaddress.ip_network(network), words)
    for network, words in (
        ("0.0.0.0/8", "this host"),  # RFC 1122 §3.2.1.3; Linux connects 0.0.0.0 and :: to the machine itself
        ("10.0.0.0/8", "private"),  # RFC 1918
        ("100.64.0.0/10", "shared by carriers"),  # RFC 6598
        ("127.0.0.0/8", "loopback"),
        ("169.254.0.0/16", "link-local"),  # RFC 3927; metadata services of clouds
        ("172.16.0.0/12", "private"),
        ("192.0.0.0/24", "reserved"),  # RFC 6890
        ("192.0.2.0/24", "documentation"),  # RFC 5737
        ("192.88.99.0/24", "reserved"),  # RFC 7526: once 6to4 relays
        ("192.168.0.0/16", "private"),
        ("198.18.0.0/15", "benchmarking"),  # RFC 2544
        ("198.51.100.0/24", "documentation"),
        ("203.0.113.0/24", "documentation"),
        ("224.0.0.0/4", "multicast"),
        ("240.0.0.0/4", "reserved"),  # RFC 1112 §4; the limited broadcast among them
        ("::/128", "this host"),
        ("::1/128", "loopback"),
        ("fc00::/7", "private"),  # RFC 4193
        ("fe80::/10", "link-local"),
        ("fec0::/10", "private"),  # RFC 3879
        ("ff00::/8", "multicast"),
        ("2001::/23", "reserved"),  # RFC 2928: Teredo, benchmarking, ORCHID and other protocols
        ("2001:db8::/32", "documentation"),  # RFC 3849
        ("3fff::/20", "documentation"),  # RFC 9637
    )
)
_GLOBAL_UNICAST = IPv6Network("2000::/3")
"""All unicast space that IANA has assigned (RFC 4291 §2.5.4): there are no hosts outside it, except through NAT64."""
_NAT64 = IPv6Network("64:ff9b::/96")
"""RFC 6052: a translator connects to the IPv4 address in the last 32 bits. DNS64 creates such answers."""
_6TO4 = IPv6Network("2002::/16")
"""RFC 3056: the IPv4 address of the router follows the prefix."""


class Networks(Struct, frozen=True):
    """The networks of the settings. ``prohibited`` overrides ``allowed``, which overrides the check for public ones."""

    allowed: tuple[Network, ...] = ()
    prohibited: tuple[Network, ...] = ()
    setting: str = "smtp.allowed_networks"
    """The setting that names the allowed ones, for the words of a refusal."""

    def refusal(self, address: str | Address) -> str | None:
        """Why the address may not be connected to; None when it may. Raises ValueError when it is not an address."""
        forms = _forms(plain(address))
        for form in forms:
            if _within(form, self.prohibited):
                return f"{address} is in smtp.prohibited_networks"
        if any(_within(form, self.allowed) for form in forms):
            return None
        for form in forms:
            words = _not_public(form)
            if words is not None:
                return f"{address} is not public ({words}), and not in {self.setting}"
        return None


EVERYWHERE = Networks(allowed=(IPv4Network("0.0.0.0/0"), IPv6Network("::/0")))


def networks(
    *, allowed: Iterable[str] = (), prohibited: Iterable[str] = (), setting: str = "smtp.allowed_networks"
) -> Networks:
    """Parse networks such as "10.0.0.0/8". ``setting`` names the allowed ones. Raises ValueError."""
    may, must_not = (tuple(map(ipaddress.ip_network, texts)) for texts in (allowed, prohibited))
    return Networks(may, must_not, setting)


def plain(address: str | Address) -> Address:
    """The address that a connection would go to: an IPv4 address may be written as IPv6 (RFC 4291 §2.5.5.2). Raises
    ValueError."""
    read = ipaddress.ip_address(address)
    return (isinstance(read, IPv6Address) and read.ipv4_mapped) or read


def _forms(address: Address) -> tuple[Address, ...]:
    """The address, and the IPv4 address that a translator or a tunnel would make of it."""
    if isinstance(address, IPv6Address):
        if address in _NAT64:
            return (address, IPv4Address(int(address) & 0xFFFF_FFFF))
        if address in _6TO4:
            return (address, IPv4Address(int(address) >> 80 & 0xFFFF_FFFF))
    return (address,)


def _not_public(address: Address) -> str | None:
    """The reason why no host of the public internet has this address; None when one may."""
    for network, words in _SPECIAL:
        if address in network:
            return words
    if isinstance(address, IPv6Address) and address not in _GLOBAL_UNICAST and address not in _NAT64:
        return "reserved"
    return None


def _within(address: Address, networks: Iterable[Network]) -> bool:
    return any(address in network for network in networks)
