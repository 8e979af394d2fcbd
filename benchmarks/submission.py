"""Mail submitted to an SMTP server on loopback, as cheaply as possible: the load of ``peers`` and ``submission``.

It owns the letters, composed before the measurement, and connections that never pause: each takes the next letter when
the last is answered. Every message is a separate transaction, as each is written for one reader. Any refusal ends the
run.
"""

import asyncio
import os
import ssl
import time
from base64 import b64encode
from collections.abc import Iterable, Iterator, Sequence
from contextlib import contextmanager
from datetime import UTC, datetime, timedelta
from enum import StrEnum
from typing import cast

import msgspec
from msgspec import Struct

from actors.compose.mime import compile_content
from actors.compose.skeleton import Skeleton
from api.send.conversion import new_request
from api.send.request import MailSend
from api.send.validation import check
from benchmarks.direct_tls import DirectTls
from benchmarks.load import NotAccepted
from cluster.journal.records import NewMessage, decode_content, decode_personalization
from cluster.settings import host_port

ANSWER_S = 30.0
"""After this time without an answer, the server counts as dead."""

_decode_mail = msgspec.json.Decoder(MailSend).decode


class Way(StrEnum):
    """How a client sends a message."""

    CHUNKING = "CHUNKING"
    """MAIL, RCPT and BDAT with the message in one flight (RFC 2920, RFC 3030)."""
    PIPELINING = "PIPELINING"
    """MAIL, RCPT and DATA in one flight, then the message (RFC 2920 §3.1): as Postfix and most clients do."""
    ONE_BY_ONE = "one by one"
    """Each command when the last is answered."""


class Flight(Struct, frozen=True, gc=False):
    """What is sent at once, and the number of replies to it."""

    octets: bytes
    replies: int = 1


class SubmissionMessage(Struct, frozen=True, gc=False):
    """A message ready for submission."""

    message_id: str
    """The local part of Message-ID, by which the sink counts."""
    flights: tuple[Flight, ...]


class Credentials(Struct, frozen=True):
    """What a connection begins with: STARTTLS, and AUTH where there is a password."""

    tls: ssl.SSLContext
    password: str = ""


def unverified() -> ssl.SSLContext:
    """TLS to a server with a self-signed certificate."""
    context = ssl.create_default_context()
    context.check_hostname, context.verify_mode = False, ssl.CERT_NONE
    return context


class Submitted(Struct, frozen=True):
    """The messages that were answered with 250, and how long each took, in seconds."""

    message_ids: list[str]
    took_s: list[float]


def letters(body: bytes, way: Way = Way.CHUNKING, header: bytes = b"") -> list[SubmissionMessage]:
    """The messages that postray makes of a request, unsigned. ``body``: the request's JSON. ``header``: further lines
    of their headers."""
    mail, now = _decode_mail(body), datetime.now(UTC)
    files = check(mail).files
    request = new_request(mail, files, tenant_id="", sandbox=False, now=now, lifetime=timedelta(days=1))
    skeleton = compile_content(decode_content(request.content), request.attachments)
    return [_letter(message, skeleton, now, way, header) for message in request.messages]


def _letter(message: NewMessage, skeleton: Skeleton, now: datetime, way: Way, more: bytes) -> SubmissionMessage:
    message_id = f"<{message.id}@{message.from_email.rpartition('@')[2]}>"
    composed = skeleton.compose(decode_personalization(message.personalization), message_id=message_id, date=now)
    header = b"".join(b"%b: %b\r\n" % field for field in composed.header_fields)
    envelope = [b"MAIL FROM:<%b>\r\n" % message.from_email.encode("ascii")]
    envelope += [b"RCPT TO:<%b>\r\n" % recipient.email.encode("ascii") for recipient in message.recipients]
    return SubmissionMessage(message.id, _flights(envelope, more + header + b"\r\n" + composed.body, way))


def _flights(envelope: Sequence[bytes], data: bytes, way: Way) -> tuple[Flight, ...]:
    if way is Way.CHUNKING:
        return (Flight(b"".join([*envelope, b"BDAT %d LAST\r\n" % len(data), data]), len(envelope) + 1),)
    commands = [*envelope, b"DATA\r\n"]
    stuffed = Flight(data.replace(b"\r\n.", b"\r\n..").removesuffix(b"\r\n") + b"\r\n.\r\n")  # RFC 5321 §4.5.2
    if way is Way.PIPELINING:
        return (Flight(b"".join(commands), len(commands)), stuffed)
    return (*map(Flight, commands), stuffed)


_HELLO = Flight(b"EHLO load.example.com\r\n")
_STARTTLS = Flight(b"STARTTLS\r\n")


class _Connection(asyncio.Protocol):
    """One connection, which takes the next letter when the last is answered."""

    _transport: asyncio.Transport

    def __init__(self, left: Iterator[SubmissionMessage], submitted: Submitted, login: Credentials | None) -> None:
        self._left = left
        self._submitted = submitted
        self._login = login
        self._dialogue = self._talk()
        self._tls: DirectTls | None = None
        self._input = b""
        self._awaited = 1
        """The number of replies; the first one is the greeting."""
        self.heard_at = time.monotonic()
        self.ended: asyncio.Future[None] = asyncio.get_running_loop().create_future()

    def _talk(self) -> Iterator[Flight]:
        """All that is sent, each flight when the one before is answered."""
        yield _HELLO
        if self._login is not None:
            yield _STARTTLS
            self._transport = self._tls = DirectTls(self._transport, self._login.tls, server_side=False)
            self._tls.read(b"")  # begins the handshake
            yield Flight(b"", 0)
            yield _HELLO
            if self._login.password:
                plain = b"\0apikey\0" + self._login.password.encode()
                yield Flight(b"AUTH PLAIN " + b64encode(plain) + b"\r\n")
        for letter in self._left:
            began = time.perf_counter()
            yield from letter.flights
            self._submitted.took_s.append(time.perf_counter() - began)
            self._submitted.message_ids.append(letter.message_id)

    def connection_made(self, transport: asyncio.BaseTransport) -> None:
        self._transport = cast(asyncio.Transport, transport)

    def connection_lost(self, exc: Exception | None) -> None:
        self._fail(f"the connection was lost: {exc or 'closed by the server'}")

    def data_received(self, data: bytes) -> None:
        self.heard_at = time.monotonic()
        if self._tls is not None:
            shaking = not self._tls.established
            data = self._tls.read(data)
            if shaking and self._tls.established:
                self._go_on()
        *lines, self._input = (self._input + data).split(b"\r\n")
        for line in lines:
            if line[:1] not in (b"2", b"3"):
                self._fail(line.decode("ascii", "replace"))
                return
            self._awaited -= line[3:4] != b"-"  # otherwise the reply continues
        if lines and self._awaited == 0:
            self._go_on()

    def _go_on(self) -> None:
        flight = next(self._dialogue, None)
        if flight is not None:
            self._awaited = flight.replies
            if flight.octets:
                self._transport.write(flight.octets)
        elif not self.ended.done():
            self.ended.set_result(None)

    def _fail(self, reason: str) -> None:
        if not self.ended.done():
            self.ended.set_exception(NotAccepted(reason))

    def close(self) -> None:
        self.ended.cancel()
        self._transport.abort()


async def submit(
    address: str, mail: Iterable[SubmissionMessage], clients: int, login: Credentials | None = None
) -> Submitted:
    """Submit the mail as fast as it is accepted. Raises NotAccepted."""
    host, port = host_port(address)
    left, submitted = iter(mail), Submitted([], [])
    loop = asyncio.get_running_loop()
    connections: list[_Connection] = []
    try:
        with _without_preempting():
            for _ in range(clients):
                _, connection = await loop.create_connection(lambda: _Connection(left, submitted, login), host, port)
                connections.append(connection)
            await _all_ended(connections)
    finally:
        for connection in connections:
            connection.close()
    return submitted


@contextmanager
def _without_preempting() -> Iterator[None]:
    """A reply wakes the load, which would interrupt the server that has just written it, once for each message. As a
    batch process it reads the replies of that moment together, as soon as a core is free."""
    before = os.sched_getscheduler(0)
    os.sched_setscheduler(0, os.SCHED_BATCH, os.sched_param(0))
    try:
        yield
    finally:
        os.sched_setscheduler(0, before, os.sched_param(0))


async def _all_ended(connections: Sequence[_Connection]) -> None:
    """Raises NotAccepted, also when no connection has received anything for ``ANSWER_S``."""
    busy = {connection.ended for connection in connections}
    while busy:
        done, busy = await asyncio.wait(busy, timeout=ANSWER_S / 4, return_when=asyncio.FIRST_EXCEPTION)
        for ended in done:
            ended.result()
        if busy and time.monotonic() - max(connection.heard_at for connection in connections) > ANSWER_S:
            raise NotAccepted(f"no answer in {ANSWER_S:.0f} s")
