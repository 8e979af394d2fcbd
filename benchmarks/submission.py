"""Mail submitted to an SMTP server on loopback, as cheaply as possible: the load of the ``peers`` scenario.

It owns the letters, composed before the measurement, and connections that never pause: MAIL, RCPT and BDAT with the
message are sent in one flight (RFC 2920, RFC 3030), the next when the last is answered. Every message is a separate
transaction, as each is written for one reader. Any refusal ends the run.
"""

import asyncio
import time
from collections.abc import Iterable, Iterator, Sequence
from datetime import UTC, datetime, timedelta
from typing import cast

import msgspec
from msgspec import Struct

from actors.compose.mime import compile_content
from actors.compose.skeleton import Skeleton
from api.send.conversion import new_request
from api.send.request import MailSend
from api.send.validation import check
from benchmarks.load import NotAccepted
from cluster.journal.records import NewMessage, decode_content, decode_personalization
from cluster.settings import host_port

HELO = b"EHLO load.example.com\r\n"
ANSWER_S = 30.0
"""After this time without an answer, the server counts as dead."""

_decode_mail = msgspec.json.Decoder(MailSend).decode


class SubmissionMessage(Struct, frozen=True):
    """A message ready for submission."""

    message_id: str
    """The local part of Message-ID, by which the sink counts."""
    transaction: bytes
    replies: int
    """The number of replies to the transaction."""


def letters(body: bytes) -> list[SubmissionMessage]:
    """The messages that postray makes of a request, unsigned. ``body``: the request's JSON."""
    mail, now = _decode_mail(body), datetime.now(UTC)
    files = check(mail).files
    request = new_request(mail, files, tenant_id="", sandbox=False, now=now, lifetime=timedelta(days=1))
    skeleton = compile_content(decode_content(request.content), request.attachments)
    return [_letter(message, skeleton, now) for message in request.messages]


def _letter(message: NewMessage, skeleton: Skeleton, now: datetime) -> SubmissionMessage:
    message_id = f"<{message.id}@{message.from_email.rpartition('@')[2]}>"
    composed = skeleton.compose(decode_personalization(message.personalization), message_id=message_id, date=now)
    header = b"".join(b"%b: %b\r\n" % field for field in composed.header_fields)
    data = header + b"\r\n" + composed.body
    commands = [
        f"MAIL FROM:<{message.from_email}>",
        *(f"RCPT TO:<{recipient.email}>" for recipient in message.recipients),
        f"BDAT {len(data)} LAST",
    ]
    return SubmissionMessage(
        message.id, "".join(f"{command}\r\n" for command in commands).encode("ascii") + data, len(commands)
    )


class _Connection(asyncio.Protocol):
    """One connection, which takes the next letter when the last is answered."""

    def __init__(self, left: Iterator[SubmissionMessage], accepted: list[str]) -> None:
        self._left = left
        self._accepted = accepted
        self._letter: SubmissionMessage | None = None
        self._greeted = False
        self._input = b""
        self._awaited = 1
        """The number of replies; the first one is the greeting."""
        self.heard_at = time.monotonic()
        self.ended: asyncio.Future[None] = asyncio.get_running_loop().create_future()

    def connection_made(self, transport: asyncio.BaseTransport) -> None:
        self._transport = cast(asyncio.Transport, transport)

    def connection_lost(self, exc: Exception | None) -> None:
        self._fail(f"the connection was lost: {exc or 'closed by the server'}")

    def data_received(self, data: bytes) -> None:
        self.heard_at = time.monotonic()
        *lines, self._input = (self._input + data).split(b"\r\n")
        for line in lines:
            if line[:1] != b"2":
                self._fail(line.decode("ascii", "replace"))
                return
            self._awaited -= line[3:4] != b"-"  # otherwise the reply continues
        if self._awaited == 0:
            self._go_on()

    def _go_on(self) -> None:
        if not self._greeted:
            self._greeted, self._awaited = True, 1
            self._transport.write(HELO)
            return
        if self._letter is not None:
            self._accepted.append(self._letter.message_id)
        self._letter = next(self._left, None)
        if self._letter is not None:
            self._awaited = self._letter.replies
            self._transport.write(self._letter.transaction)
        elif not self.ended.done():
            self.ended.set_result(None)

    def _fail(self, reason: str) -> None:
        if not self.ended.done():
            self.ended.set_exception(NotAccepted(reason))

    def close(self) -> None:
        self.ended.cancel()
        self._transport.abort()


async def submit(address: str, mail: Iterable[SubmissionMessage], clients: int) -> list[str]:
    """Submit the mail as fast as it is accepted; returns the ids answered with 250. Raises Refused."""
    host, port = host_port(address)
    left, accepted = iter(mail), list[str]()
    loop = asyncio.get_running_loop()
    connections: list[_Connection] = []
    try:
        for _ in range(clients):
            _, connection = await loop.create_connection(lambda: _Connection(left, accepted), host, port)
            connections.append(connection)
        await _all_ended(connections)
    finally:
        for connection in connections:
            connection.close()
    return accepted


async def _all_ended(connections: Sequence[_Connection]) -> None:
    """Raises Refused, also when no connection has received anything for ``ANSWER_S``."""
    busy = {connection.ended for connection in connections}
    while busy:
        done, busy = await asyncio.wait(busy, timeout=ANSWER_S / 4, return_when=asyncio.FIRST_EXCEPTION)
        for ended in done:
            ended.result()
        if busy and time.monotonic() - max(connection.heard_at for connection in connections) > ANSWER_S:
            raise NotAccepted(f"no answer in {ANSWER_S:.0f} s")
