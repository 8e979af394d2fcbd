"""A receiver of mail with several hosts on loopback that writes down what it sees: who was connected when, and every
message, by its own clock. What limits promise is measured here, where a real receiver would measure it.
"""

import asyncio
import base64
import ssl
from collections import Counter
from collections.abc import AsyncIterator, Callable, Iterable
from contextlib import asynccontextmanager
from math import inf
from typing import Any

from msgspec import Struct, field

Answer = Callable[[str], bytes | None]
"""Given a command line, or "GREETING", or "END" for the end of a message. A reply; b"" drops the connection; None is
for what a receiver usually says. A reply of 421 drops the connection too."""

_USUAL = {
    "GREETING": b"220 receiver.test ESMTP\r\n",
    "MAIL": b"250 2.1.0 ok\r\n",
    "RCPT": b"250 2.1.5 ok\r\n",
    "DATA": b"354 go ahead\r\n",
    "END": b"250 2.0.0 accepted\r\n",
    "RSET": b"250 2.0.0 ok\r\n",
    "STARTTLS": b"220 2.0.0 go ahead\r\n",
    "QUIT": b"221 2.0.0 bye\r\n",
}
_NOBODY = b"554 5.5.1 no valid recipients\r\n"


class Session(Struct, kw_only=True, eq=False):
    """A connection, as the receiver saw it."""

    address: str
    """The address of the receiver that it came to."""
    client: str
    """The address it came from."""
    opened_at: float
    closed_at: float = inf
    helo: str = ""
    user: str = ""
    """The user that it authenticated as."""
    encrypted: bool = False


class Arrival(Struct, kw_only=True, eq=False):
    """A transaction, from its MAIL on."""

    at: float
    session: Session
    recipients: list[str] = field(default_factory=list)
    accepted: bool = False
    ended_at: float = inf

    @property
    def domain(self) -> str:
        return self.recipients[0].partition("@")[2]


class Receiver:
    """``answer`` may change while it runs. ``delay_s``: before the reply to a message. ``passwords``: users that may
    authenticate; with any, AUTH is offered behind TLS. ``chunking``: a message comes in one flight with its commands,
    so a connection that is dropped in the midst of them may have taken it; without, DATA asks first."""

    def __init__(
        self,
        answer: Answer | None = None,
        *,
        delay_s: float = 0.0,
        tls: ssl.SSLContext | None = None,
        passwords: dict[str, str] | None = None,
        chunking: bool = True,
    ) -> None:
        self.answer: Answer = answer or (lambda _: None)
        self.sessions: list[Session] = []
        self.arrivals: list[Arrival] = []
        self._delay_s = delay_s
        self._tls = tls
        self._passwords = passwords or {}
        self._extensions = ["PIPELINING", "8BITMIME", "ENHANCEDSTATUSCODES", *["CHUNKING"] * chunking]
        self._servers: list[asyncio.Server] = []
        self._handlers: set[asyncio.Task[None]] = set()

    async def listen(self, address: str, port: int = 0) -> int:
        server = await asyncio.start_server(self._accept, address, port, backlog=512)
        self._servers.append(server)
        return int(server.sockets[0].getsockname()[1])

    async def close(self) -> None:
        for server in self._servers:
            server.close()
        self._servers.clear()
        for handler in self._handlers:
            handler.cancel()
        await asyncio.gather(*self._handlers, return_exceptions=True)

    # What it has seen

    @property
    def taken(self) -> list[Arrival]:
        return [arrival for arrival in self.arrivals if arrival.accepted]

    def clients(self) -> Counter[str]:
        """Messages taken, by the address that they came from."""
        return Counter(arrival.session.client for arrival in self.taken)

    def most_open(self, address: str = "", client: str = "") -> int:
        """Connections open at one moment, at one address and from one, or all."""
        found = [s for s in self.sessions if address in ("", s.address) and client in ("", s.client)]
        return most_at_once((session.opened_at, session.closed_at) for session in found)

    # Its hosts

    async def _accept(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        task = asyncio.current_task()
        assert task is not None
        self._handlers.add(task)
        session = Session(
            address=writer.get_extra_info("sockname")[0],
            client=writer.get_extra_info("peername")[0],
            opened_at=_now(),
        )
        self.sessions.append(session)
        try:
            await self._serve(session, reader, writer)
        except (OSError, asyncio.IncompleteReadError, asyncio.CancelledError):
            pass  # it went away, or the test is over
        finally:
            session.closed_at = min(session.closed_at, _now())
            writer.transport.abort()
            self._handlers.discard(task)

    async def _serve(self, session: Session, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        await self._say("GREETING", _USUAL["GREETING"], writer)
        arrival = Arrival(at=0.0, session=session)
        while line := (await reader.readline()).decode().rstrip("\r\n"):
            verb = line.split()[0].upper()
            match verb:
                case "EHLO":
                    session.helo = line.split()[1]
                case "MAIL":
                    arrival = Arrival(at=_now(), session=session)
                    self.arrivals.append(arrival)
                case "BDAT":
                    await reader.readexactly(int(line.split()[1]))
                case "QUIT":
                    session.closed_at = _now()
            usual = self._usual(verb, line, session) if arrival.recipients or verb != "DATA" else _NOBODY
            said = await self._say(line, usual, writer)
            if verb == "RCPT" and said.startswith(b"2"):
                arrival.recipients.append(line[line.index("<") + 1 : line.index(">")])
            elif verb == "DATA" and said.startswith(b"354"):
                while await reader.readline() != b".\r\n":
                    pass
            elif verb == "STARTTLS":
                assert self._tls is not None
                await writer.start_tls(self._tls)
                session.encrypted = True
            elif verb == "QUIT":
                return
            if (verb == "BDAT" and "LAST" in line.upper()) or (verb == "DATA" and said.startswith(b"354")):
                await asyncio.sleep(self._delay_s)
                said = await self._say("END", _USUAL["END"] if arrival.recipients else _NOBODY, writer)
                arrival.accepted = said.startswith(b"2")
                arrival.ended_at = _now()

    def _usual(self, verb: str, line: str, session: Session) -> bytes:
        if verb == "EHLO":
            offered = ["receiver.test", *self._extensions]
            if self._tls is not None and not session.encrypted:
                offered.append("STARTTLS")
            elif self._passwords:
                offered.append("AUTH PLAIN")
            return b"".join(f"250-{word}\r\n".encode() for word in offered[:-1]) + f"250 {offered[-1]}\r\n".encode()
        if verb == "AUTH":
            _, user, password = base64.b64decode(line.split()[2]).decode().split("\0")
            if self._passwords.get(user) != password:
                return b"535 5.7.8 wrong\r\n"
            session.user = user
            return b"235 2.7.0 welcome\r\n"
        if verb == "BDAT":
            return b"" if "LAST" in line.upper() else b"250 2.0.0 go on\r\n"
        return _USUAL.get(verb, b"500 5.5.1 unknown\r\n")

    async def _say(self, line: str, usual: bytes, writer: asyncio.StreamWriter) -> bytes:
        said = self.answer(line)
        if said is None:
            said = usual
        elif not said:
            raise ConnectionAbortedError
        writer.write(said)
        if said.startswith(b"421"):
            await writer.drain()
            raise ConnectionAbortedError
        return said


@asynccontextmanager
async def receiving(port: int, *addresses: str, **how: Any) -> AsyncIterator[Receiver]:
    """A receiver with hosts at these addresses; ``how``: as ``Receiver`` takes it."""
    receiver = Receiver(**how)
    try:
        for address in addresses:
            await receiver.listen(address, port)
        yield receiver
    finally:
        await receiver.close()


def most_at_once(spans: Iterable[tuple[float, float]]) -> int:
    """The largest number of (begin, end) spans that overlap at one moment."""
    changes = [change for begin, end in spans for change in ((begin, 1), (end, -1))]
    most = under_way = 0
    for _, change in sorted(changes):
        under_way += change
        most = max(most, under_way)
    return most


def most_within(times: Iterable[float], seconds: float) -> int:
    """The largest number of times in any window of ``seconds`` (its end not included)."""
    window: list[float] = []
    most = 0
    for time in sorted(times):
        window = [earlier for earlier in window if time - earlier < seconds]
        window.append(time)
        most = max(most, len(window))
    return most


def _now() -> float:
    return asyncio.get_running_loop().time()
