"""The header by which a proxy tells whose connection it passes on: the PROXY protocol, version 2, in binary. Pure.

Source: https://www.haproxy.org/download/2.9/doc/proxy-protocol.txt, §2.2. Version 1, a line of text, is refused: it has
no length, and a client could begin with such a line itself. Addresses are taken for TCP over IPv4 and IPv6; what else
the header may hold (type, length, value) is skipped.
"""

import struct
from ipaddress import IPv4Address, IPv6Address

from msgspec import Struct

from cluster.policy.routes.networks import plain

SIGNATURE = b"\r\n\r\n\0\r\nQUIT\n"
START_BYTES = 16
"""The signature, version and command, family, and the length of the rest."""
MAX_REST_BYTES = 2048
"""Proxies send at most some hundred; a certificate among the additions is what takes room."""

_LOCAL, _PROXY = 0x20, 0x21
_UNSPECIFIED = 0x00
_ADDRESSES: dict[int, struct.Struct] = {0x11: struct.Struct("!4s4sHH"), 0x21: struct.Struct("!16s16sHH")}
"""By family and transport: source, destination, and their ports."""


class MalformedHeader(Exception):
    """What a proxy sent is no header of version 2, or one of a kind that does not belong to TCP."""

    def __init__(self, reason: str) -> None:
        super().__init__(reason)


class Start(Struct, frozen=True):
    """The part of fixed length."""

    is_local: bool
    """The proxy speaks for itself, as in a health check: the connection's own address counts."""
    family: int
    rest_bytes: int


class Client(Struct, frozen=True):
    address: str
    port: int


def start(octets: bytes) -> Start:
    """Read the first ``START_BYTES`` octets. Raises MalformedHeader."""
    if octets[:6] == b"PROXY ":
        raise MalformedHeader("version 1 is not accepted, only version 2")
    if octets[: len(SIGNATURE)] != SIGNATURE:
        raise MalformedHeader("the connection does not begin with a header")
    command, family, rest_bytes = struct.unpack_from("!BBH", octets, len(SIGNATURE))
    if command not in (_LOCAL, _PROXY):
        raise MalformedHeader(f"unknown version and command 0x{command:02x}")
    if rest_bytes > MAX_REST_BYTES:
        raise MalformedHeader(f"{rest_bytes} bytes are more than the {MAX_REST_BYTES} that are read")
    return Start(command == _LOCAL, family, rest_bytes)


def client(begun: Start, rest: bytes) -> Client | None:
    """The client; None where the connection's own address counts. ``rest``: the ``rest_bytes`` octets after the start.
    IPv4-mapped IPv6 addresses are returned as IPv4. Raises MalformedHeader."""
    if begun.is_local or begun.family == _UNSPECIFIED:
        return None
    layout = _ADDRESSES.get(begun.family)
    if layout is None:
        raise MalformedHeader(f"family 0x{begun.family:02x} is not TCP")
    if len(rest) < layout.size:
        raise MalformedHeader("the addresses are cut short")
    source, _, port, _ = layout.unpack_from(rest)
    address = plain(IPv4Address(source) if len(source) == 4 else IPv6Address(source))
    return Client(str(address), port)
