"""The wire of one established SMTP connection: it writes commands and bodies, and reads replies within time limits.

This module owns the asyncio protocol of a transport after the handshake, the count of outstanding replies, flow control
and the time limits of RFC 5321 §4.5.3.2. It handles the stages of a transaction; ``client`` writes the commands. It
does not judge replies, except that a 421 ends the connection (RFC 5321 §3.8).
"""

import asyncio
from collections.abc import Callable, Sequence
from typing import TypeVar

from actors.smtp.reply import MalformedReply, Reply, ReplyParser
from cluster.policy.replies.stage import Stage
from cluster.settings import SmtpSettings

SERVICE_NOT_AVAILABLE = 421
"""RFC 5321 §4.2.3: the peer closes the connection, as the reply to any command."""

TIMED_OUT = "timed out"
LAST_LOOK_S = 0.02
"""Delay after a time limit, in which the loop reads replies that have already arrived. A process that was suspended
finds its time limits exceeded before it reads them; without the delay, an accepted message would be sent again."""

# Size of one write of a large body, so that a slow reader delays the rest of the body and not a buffered copy of it.
_BLOCK_BYTES = 64 * 1024
# Processing more in the event loop would block it for too long.
_LARGE_BYTES = 1024 * 1024

T = TypeVar("T")

Observe = Callable[[str, str], None]
"""Called with the direction ("C", "S" or "*") and the text of a line."""


class SmtpFailure(Exception):
    """A connection cannot be made or used any more. A peer's reply about a message is a value, not an exception."""

    stage: Stage
    reason: str
    reply: Reply | None

    def __str__(self) -> str:
        said = f": {self.reply.text}" if self.reply else ""
        return f"{self.stage}: {self.reason}{said}"


class ConnectError(SmtpFailure):
    """The connection was not made: it was refused, timed out, or the peer refused the session."""

    def __init__(self, stage: Stage, reason: str, reply: Reply | None = None) -> None:
        super().__init__(stage, reason, reply)
        self.stage = stage
        self.reason = reason
        self.reply = reply


class ConnectionLost(SmtpFailure):
    """An established connection broke, or its peer violated SMTP.

    ``after_end_of_data``: the whole message was written and the peer has not refused it. It may have accepted the
    message, so a retry may make a duplicate.
    """

    recipients: tuple[Reply, ...] = ()
    """The replies to RCPT so far, in order; perhaps not to all of them."""

    def __init__(self, stage: Stage, reason: str, after_end_of_data: bool, reply: Reply | None = None) -> None:
        super().__init__(stage, reason, after_end_of_data, reply)
        self.stage = stage
        self.reason = reason
        self.after_end_of_data = after_end_of_data
        self.reply = reply

    @property
    def accepted(self) -> int:
        """Number of recipients that were accepted before the connection broke."""
        return sum(reply.positive for reply in self.recipients)


class ClientProtocol(asyncio.Protocol):
    """Matches replies to the stages that are expected.

    A flight is: ``expect`` its stages, write, await ``replies``. There is one waiter for a whole flight and one lazy
    timer for the connection: a future and a timer for each reply would cost more than the parsing.
    """

    def __init__(self, transport: asyncio.Transport, settings: SmtpSettings, loop: asyncio.AbstractEventLoop) -> None:
        self.transport = transport
        self.failure: ConnectionLost | None = None
        self.end_of_data_written = False
        self.received: list[Reply] = []
        self.observe: Observe | None = None
        """Called with every command, reply and failure while the connection is traced; None otherwise."""
        self._expected: Sequence[Stage] = ()
        self._loop = loop
        self._parser = ReplyParser()
        self._waiter: asyncio.Future[None] | None = None
        self._resumed: asyncio.Future[None] | None = None
        self._closed: asyncio.Future[None] = loop.create_future()
        self.writing_paused = False
        """Whether the transport has as much to write as it may hold."""
        self._writing_body = False
        self._deadline: float | None = None
        self.timer: asyncio.TimerHandle | None = None
        """Set while the connection waits for the peer."""
        self._block_timeout_s = settings.data_block_timeout_s
        self._timeouts_s = {
            Stage.RSET: settings.mail_timeout_s,
            Stage.MAIL: settings.mail_timeout_s,
            Stage.RCPT: settings.rcpt_timeout_s,
            Stage.DATA: settings.data_initiation_timeout_s,
            Stage.END_OF_DATA: settings.data_termination_timeout_s,
            Stage.QUIT: settings.mail_timeout_s,
        }

    @property
    def is_open(self) -> bool:
        return self.failure is None and not self.transport.is_closing()

    @property
    def stage(self) -> Stage:
        """The stage of the first outstanding reply; IDLE when none is outstanding."""
        position = len(self.received)
        return self._expected[position] if position < len(self._expected) else Stage.IDLE

    # Flights

    def expect(self, stages: Sequence[Stage]) -> None:
        """Set the stages of the next flight, one for each reply, in order. Raises ConnectionLost."""
        if self.failure is not None:
            raise self.failure
        if self.transport.is_closing():
            raise ConnectionLost(Stage.IDLE, "connection closed", False)
        self._expected = stages
        self.received = []
        self.end_of_data_written = False
        self._rearm()

    def write(self, data: bytes, content: int = 0) -> None:
        """Write ``data``. Its last ``content`` octets belong to the message and are not traced."""
        if self.failure is None:
            self.transport.write(data)
            if self.observe is not None:
                self._tell_written(data[: len(data) - content], content)

    async def write_body(self, data: bytes) -> bool:
        """Write a large body without copying it, as fast as the peer reads. Raises ConnectionLost.

        Returns whether all of it was written. When the final reply comes before the end, it decides the message, and
        the connection is closed: no command can be sent within a body.
        """
        view = memoryview(data)
        written = True
        self._writing_body = True
        if self.observe is not None:
            self._tell_written(b"", len(data))
        try:
            for start in range(0, len(view), _BLOCK_BYTES):
                if len(self.received) == len(self._expected):
                    written = False
                    self.abort()
                    break
                if self.transport.is_closing():
                    # Closed in _fail, or by the transport itself, whose connection_lost is still to come.
                    written = False
                    await self.wait_closed()
                    break
                self.transport.write(view[start : start + _BLOCK_BYTES])
                self._rearm()
                if self.writing_paused and self.failure is None:
                    self._resumed = self._loop.create_future()
                    await self._resumed
        finally:
            self._writing_body = False
            self._resumed = None
        if self.failure is not None and len(self.received) < len(self._expected):
            raise self.failure
        self._rearm()
        return written

    def _tell_written(self, commands: bytes, content: int) -> None:
        assert self.observe is not None
        for line in commands.decode("utf-8", "replace").splitlines():
            self.observe("C", line)
        if content:
            self.observe("C", f"({content} octets of the message)")

    async def replies(self) -> list[Reply]:
        """Every reply of the flight. Raises ConnectionLost; ``received`` then holds the replies so far."""
        if len(self.received) < len(self._expected):
            if self.failure is not None:
                raise self.failure
            self._waiter = self._loop.create_future()
            try:
                await self._waiter
            finally:
                self._waiter = None
        return self.received

    async def wait_closed(self) -> None:
        await asyncio.shield(self._closed)

    def abort(self) -> None:
        """Close at once; outstanding waits fail."""
        self._fail("aborted")

    # Time limits

    def _rearm(self) -> None:
        """Set the deadline for the next reply, or for the next block of the body to be written.

        An existing timer is kept if it fires before the deadline: it then finds the later deadline and is set again. So
        a busy connection makes a timer every few minutes instead of several for each message.
        """
        position = len(self.received)
        if self.failure is not None:
            return
        if self._writing_body:
            timeout = self._block_timeout_s
        elif position < len(self._expected):
            timeout = self._timeouts_s[self._expected[position]]
        else:
            self._deadline = None
            return
        self._deadline = self._loop.time() + timeout
        if self.timer is not None:
            if self.timer.when() <= self._deadline:
                return
            self.timer.cancel()
        self.timer = self._loop.call_at(self._deadline, self._on_timer)

    def _on_timer(self) -> None:
        self.timer = None
        if self._deadline is None or self.failure is not None:
            return
        if self._loop.time() < self._deadline:
            self.timer = self._loop.call_at(self._deadline, self._on_timer)
        else:
            self.timer = self._loop.call_later(LAST_LOOK_S, self._on_overdue, self._deadline)

    def _on_overdue(self, deadline: float) -> None:
        self.timer = None
        if self._deadline is None or self.failure is not None:
            return
        if self._deadline == deadline:
            self._fail(TIMED_OUT)
        else:
            self.timer = self._loop.call_at(self._deadline, self._on_timer)

    # asyncio.Protocol

    def data_received(self, data: bytes) -> None:
        if self.failure is not None:
            return
        try:
            answered = len(self.received)
            for reply in self._parser.feed(data):
                self._on_reply(reply)
            if len(self.received) > answered:  # only then, or a host could delay its reply without limit, byte by byte
                self._rearm()
        except MalformedReply as malformed:
            self._fail(malformed.reason)

    def _on_reply(self, reply: Reply) -> None:
        if self.failure is not None:
            return
        if reply.code == SERVICE_NOT_AVAILABLE:
            self._fail("the peer closes the connection", reply)
            return
        left = len(self._expected) - len(self.received)
        if left <= 0:
            self._fail("a reply to no command", reply)
            return
        self.received.append(reply)
        if self.observe is not None:
            self.observe("S", reply.text)
        if left == 1:
            for waiting in (self._waiter, self._resumed):
                if waiting is not None and not waiting.done():
                    waiting.set_result(None)

    def pause_writing(self) -> None:
        self.writing_paused = True

    def resume_writing(self) -> None:
        self.writing_paused = False
        if self._resumed is not None and not self._resumed.done():
            self._resumed.set_result(None)

    def eof_received(self) -> bool:
        self._fail("closed by the peer")
        return False

    def connection_lost(self, exc: Exception | None) -> None:
        self._fail(f"connection lost ({exc})" if exc else "closed by the peer")
        if not self._closed.done():
            self._closed.set_result(None)

    def _fail(self, reason: str, reply: Reply | None = None) -> None:
        if self.failure is not None:
            return
        may_be_accepted = self.end_of_data_written and reply is None and self.stage is not Stage.IDLE
        self.failure = ConnectionLost(self.stage, reason, may_be_accepted, reply)
        if self.observe is not None:
            self.observe("*", str(self.failure))
        if self.timer is not None:
            self.timer.cancel()
            self.timer = None
        if self._resumed is not None and not self._resumed.done():
            self._resumed.set_result(None)
        if self._waiter is not None and not self._waiter.done():
            self._waiter.set_exception(self.failure)
        self.transport.abort()


async def in_turn(work: Callable[[bytes], T], data: bytes) -> T:
    """The result of ``work`` on a message. For a large one it runs in a thread, so that it does not block the loop."""
    return work(data) if len(data) <= _LARGE_BYTES else await asyncio.to_thread(work, data)
