"""Hosts, policy servers and name servers that send arbitrary bytes over real sockets. Each call returns or raises one
of its documented exceptions; any other exception would end the process."""

import asyncio
import struct
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from pathlib import Path

import msgspec
from hypothesis import example, given
from hypothesis import strategies as st

from actors.smtp.protocol import ConnectError, ConnectionLost
from cluster.lookup.resolver import Resolver
from cluster.lookup.tlsa import TlsaLookups
from cluster.policy.routes import mx
from cluster.policy.tls.dane import NoTlsa, SecureTlsa, UnknownTlsa
from cluster.policy.tls.failure import TlsFault
from cluster.policy.tls.mta_sts import StsPolicy
from cluster.settings import DnsSettings
from tests.integration.smtp.client import DATA, PATIENT, TWO, connected
from tests.integration.smtp.peer import EXTENSIONS, Peer
from tests.integration.smtp.tls_world import DOMAIN, http, policy, world

IMPATIENT = msgspec.structs.replace(
    PATIENT,
    greeting_timeout_s=0.05,
    mail_timeout_s=0.05,
    rcpt_timeout_s=0.05,
    data_initiation_timeout_s=0.05,
    data_termination_timeout_s=0.05,
)
SAID = [
    b"250 ok\r\n",
    b"250-",
    b"354 go\r\n",
    b"421 no\r\n",
    b"550 5.1.1 no\r\n",
    b"502 what\r\n",
    b"\r\n",
    b"2_0 x\r\n",
]
WORDS = st.lists(st.sampled_from(SAID) | st.binary(min_size=1, max_size=12), min_size=1, max_size=3).map(b"".join)
KEYWORDS = [*EXTENSIONS, "SIZE " + "9" * 5000, "SIZE -1", "SIZE ٣", "AUTH", "AUTH=", "\xff", ""]
ANSWERS = st.dictionaries(
    st.sampled_from(["GREETING", "EHLO", "MAIL", "RCPT", "DATA", "END", "CHUNK", "BDAT", "RSET"]), WORDS
)


@given(ANSWERS, st.lists(st.sampled_from(KEYWORDS), max_size=8), st.booleans())
@example({}, ["PIPELINING", "SIZE " + "9" * 5000], False)
async def test_a_host_may_say_anything(answers: dict[str, bytes], extensions: list[str], takes_bdat: bool) -> None:
    peer = Peer({verb: (words,) for verb, words in answers.items()}, extensions=tuple(extensions))
    try:
        async with connected(peer, settings=IMPATIENT, takes_bdat=takes_bdat) as connection:
            for _ in range(2):
                for outcome in (await connection.send(TWO, DATA)).outcomes(TWO):
                    assert outcome.recipient in TWO.recipients
    except (ConnectError, ConnectionLost) as failure:
        assert failure.reason
    assert {*peer.verbs} <= {"EHLO", "HELO", "MAIL", "RCPT", "DATA", "BDAT", "RSET", "QUIT"}


HEADS = st.sampled_from(
    [
        *(
            b"HTTP/1.1 200 OK\r\n",
            b"HTTP/1.1 101 Switching\r\n\r\n",
            b"HTTP/1.1 100 Go on\r\n\r\n",
            b"HTTP/1.0 200 \r\n",
        ),
        *(b"Content-Type: text/plain\r\n", b"Content-Length: 5\r\n", b"Content-Length: -1\r\n", b"\r\n", b"\xff\xfe"),
        *(b"Transfer-Encoding: chunked\r\n", b"ffffffffff\r\n", b"0\r\n\r\n", b"Location: http://127.0.0.1/\r\n"),
        *(policy().encode(), http(policy()), http(b"\xff"), http(policy(), more="Content-Encoding: gzip\r\n")),
    ]
)


async def test_a_policy_server_may_say_anything(tmp_path: Path) -> None:
    async with world(tmp_path) as made:
        made.announce()
        assert made.policies.sts is not None
        servers = made.policies.sts.servers

        @given(st.lists(HEADS | st.binary(max_size=20), max_size=6).map(b"".join))
        def say(answer: bytes) -> None:
            said.append(answer)

        said: list[bytes] = [http(policy())]
        say()
        for answer in said:
            made.https.answer = answer
            async with asyncio.timeout(30):
                assert isinstance(await servers.fetch(DOMAIN), StsPolicy | TlsFault)


class AnyDns(asyncio.DatagramProtocol):
    """Answers each query with the given bytes after a matching header."""

    def __init__(self) -> None:
        self.counts = (0, 0, 0)
        self.flags = 0
        self.tail = b""

    def connection_made(self, transport: asyncio.BaseTransport) -> None:
        self.transport = transport

    def datagram_received(self, data: bytes, addr: tuple[str, int]) -> None:
        end = data.index(b"\0", 12) + 5
        head = data[:2] + struct.pack("!HHHHH", 0x8180 ^ self.flags, 1, *self.counts)
        self.transport.sendto(head + data[12:end] + self.tail, addr)  # type: ignore[attr-defined]  # uvloop's type


TYPES = st.sampled_from([1, 2, 5, 6, 15, 16, 28, 52])
NAMES = st.sampled_from(
    [b"\xc0\x0c", b"\0", b"\x02mx\xc0\x0c", b"\xc0\xff", b"\x03\xff\x00.\0", b"\x3f" + b"x" * 63 + b"\0", b"\x40"]
)
RDATA = st.binary(max_size=30) | NAMES.map(lambda name: b"\0\x0a" + name) | NAMES | st.just(b"\xff" * 255)
RECORDS = st.builds(
    lambda name, kind, ttl, size, data: (
        name + struct.pack("!HHIH", kind, 1, ttl, len(data) if size is None else size) + data
    ),
    NAMES,
    TYPES,
    st.integers(0, 2**32 - 1),
    st.none() | st.integers(0, 70),
    RDATA,
)
COUNTS = st.tuples(st.integers(0, 5), st.integers(0, 2), st.integers(0, 2))


@asynccontextmanager
async def any_dns() -> AsyncIterator[tuple[AnyDns, DnsSettings]]:
    loop = asyncio.get_running_loop()
    transport, server = await loop.create_datagram_endpoint(AnyDns, local_addr=("127.0.0.1", 0))
    port = transport.get_extra_info("sockname")[1]
    yield server, DnsSettings(nameservers=(f"127.0.0.1:{port}",), timeout_s=0.05, tries=1)
    transport.close()


@given(
    st.lists(RECORDS, max_size=5).map(b"".join) | st.binary(max_size=60), COUNTS, st.sampled_from([0, 0, 3, 2, 0x200])
)
async def test_a_name_server_may_say_anything(tail: bytes, counts: tuple[int, int, int], flags: int) -> None:
    async with any_dns() as (server, settings):
        server.tail, server.counts, server.flags = tail, counts, flags
        resolver = Resolver(settings, clock=lambda: 0.0, random=lambda: 0.5, guard=mx.Guard())
        tlsa = TlsaLookups(settings, entries=10, clock=lambda: 0.0)
        try:
            async with asyncio.timeout(20):
                route = await resolver.resolve("peer.test")
                assert isinstance(route, mx.MailHosts | mx.Unroutable | mx.UnresolvedHosts)
                if isinstance(route, mx.MailHosts):
                    assert 1 <= len(route.hosts) <= mx.MAX_HOSTS
                    assert all(isinstance(mx.lookup_name(name), str) for name in route.names)
                found = await resolver.mx_addresses("peer.test")
                assert isinstance(found, mx.Addresses | mx.Unroutable | mx.UnresolvedHosts)
                assert isinstance(await resolver.texts("peer.test"), mx.Found | mx.Absent | mx.Failed)
                assert isinstance(await tlsa.of_host("peer.test", 25), SecureTlsa | NoTlsa | UnknownTlsa)
                await tlsa.of_mx("peer.test")
        finally:
            await tlsa.close()
            await resolver.close()
