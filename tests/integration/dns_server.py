"""A DNS server for tests, on loopback."""

import asyncio

from dnslib import QTYPE, RCODE, RD, RR, DNSRecord


class DnsServer(asyncio.DatagramProtocol):
    """Answers from its zone, and NXDOMAIN for other names. It records the queries."""

    def __init__(self) -> None:
        self.zone: dict[tuple[str, str], list[RD]] = {}
        self.rcodes: dict[str, int] = {}
        self.secure: set[str] = set()
        """Names whose answers have the AD bit where the query asks for it, if all aliases on the path are secure."""
        self.silent = False
        self.mute: set[str] = set()
        """Names whose queries get no reply before ``release``."""
        self.hold = False
        """Whether replies are held until ``release``."""
        self.held: list[tuple[bytes, tuple[str, int]]] = []
        self.follows = True
        """Whether an answer goes on behind an alias, as a resolver's does."""
        self.ttl = 0
        self.asked: list[tuple[str, str]] = []
        self.port = 0
        self._transport: asyncio.DatagramTransport | None = None

    def connection_made(self, transport: asyncio.BaseTransport) -> None:
        assert isinstance(transport, asyncio.DatagramTransport) or hasattr(transport, "sendto")
        self._transport = transport  # type: ignore[assignment]  # uvloop's transports are no subclass
        self.port = transport.get_extra_info("sockname")[1]

    def datagram_received(self, data: bytes, addr: tuple[str, int]) -> None:
        question = DNSRecord.parse(data)
        name = str(question.q.qname).removesuffix(".").lower()
        record_type = QTYPE[question.q.qtype]
        self.asked.append((name, record_type))
        if self.silent:
            return
        holds = self.hold or name in self.mute
        reply = question.reply()
        chain = [name]
        most = 20 if self.follows else 2
        while record_type != "CNAME" and len(chain) < most and (alias := self._at(chain[-1], "CNAME")):
            reply.add_answer(RR(chain[-1], QTYPE.CNAME, rdata=alias[0], ttl=self.ttl))
            chain.append(str(alias[0].label).removesuffix("."))
        reply.header.ad = int(question.header.ad and self.secure.issuperset(chain))
        name = chain[-1]
        for rdata in self._at(name, record_type) if self.follows or len(chain) == 1 else ():
            reply.add_answer(RR(name, question.q.qtype, rdata=rdata, ttl=self.ttl))
        if name in self.rcodes:
            reply.header.rcode = self.rcodes[name]
        elif not self._exists(name):
            reply.header.rcode = RCODE.NXDOMAIN
        assert self._transport is not None
        if holds:
            self.held.append((reply.pack(), addr))
        else:
            self._transport.sendto(reply.pack(), addr)

    def _at(self, name: str, record_type: str) -> list[RD]:
        """The records of a name, or of the wildcard beside it where the name has none of any type."""
        if any(known == name for known, _ in self.zone):
            return self.zone.get((name, record_type), [])
        return self.zone.get((f"*.{name.partition('.')[2]}", record_type), [])

    def _exists(self, name: str) -> bool:
        wildcard = f"*.{name.partition('.')[2]}"
        return any(known in (name, wildcard) for known, _ in self.zone)

    def release(self) -> None:
        """Send the held replies."""
        assert self._transport is not None
        held, self.held = self.held, []
        for reply, addr in held:
            self._transport.sendto(reply, addr)
