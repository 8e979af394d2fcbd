"""The PROXY protocol's header, version 2: who the client is, and what is refused."""

import socket
import struct

import pytest
from hypothesis import given
from hypothesis import strategies as st

from cluster.smtpd.proxy_protocol import (
    MAX_REST_BYTES,
    SIGNATURE,
    START_BYTES,
    Client,
    MalformedHeader,
    client,
    start,
)

IPV4 = socket.inet_aton("192.0.2.7") + socket.inet_aton("198.51.100.1") + struct.pack("!HH", 40000, 25)


def ipv6(address: str) -> bytes:
    own = socket.inet_pton(socket.AF_INET6, "2001:db8::1")
    return socket.inet_pton(socket.AF_INET6, address) + own + struct.pack("!HH", 40001, 25)


def header(command: int, family: int, rest: bytes) -> bytes:
    return SIGNATURE + struct.pack("!BBH", command, family, len(rest)) + rest


def read(octets: bytes) -> Client | None:
    begun = start(octets[:START_BYTES])
    return client(begun, octets[START_BYTES:][: begun.rest_bytes])


@pytest.mark.parametrize(
    ("octets", "expected"),
    [
        (header(0x21, 0x11, IPV4), Client("192.0.2.7", 40000)),
        (header(0x21, 0x11, IPV4 + b"\x04\x00\x01x"), Client("192.0.2.7", 40000)),  # with an addition
        (header(0x21, 0x21, ipv6("2001:db8::99")), Client("2001:db8::99", 40001)),
        (header(0x21, 0x21, ipv6("::ffff:192.0.2.8")), Client("192.0.2.8", 40001)),
        (header(0x21, 0x00, b""), None),
        (header(0x20, 0x00, b""), None),
        (header(0x20, 0x11, IPV4), None),  # LOCAL: what follows is skipped
    ],
)
def test_who_the_client_is(octets: bytes, expected: Client | None) -> None:
    assert read(octets) == expected


@pytest.mark.parametrize(
    ("octets", "reason"),
    [
        (b"PROXY TCP4 192.0.2.7 198.51.100.1 40000 25\r\n", "version 1"),
        (b"EHLO client.example\r\n", "does not begin with a header"),
        (SIGNATURE[:-1] + b"\r" + header(0x21, 0x11, IPV4)[12:], "does not begin with a header"),
        (header(0x11, 0x11, IPV4), "0x11"),
        (header(0x22, 0x11, IPV4), "0x22"),
        (header(0x21, 0x12, IPV4), "not TCP"),  # UDP
        (header(0x21, 0x31, bytes(216)), "not TCP"),  # a Unix socket
        (header(0x21, 0x11, IPV4[:-1]), "cut short"),
        (header(0x21, 0x21, IPV4), "cut short"),
        (header(0x21, 0x11, bytes(MAX_REST_BYTES + 1)), "more than"),
    ],
)
def test_what_is_refused(octets: bytes, reason: str) -> None:
    with pytest.raises(MalformedHeader, match=reason):
        read(octets)


@given(st.binary(min_size=START_BYTES, max_size=80), st.booleans())
def test_any_octets_are_read_or_refused(octets: bytes, signed: bool) -> None:
    if signed:
        octets = SIGNATURE + octets
    try:
        found = read(octets)
    except MalformedHeader:
        return
    assert found is None or 0 <= found.port < 65536
