"""SMTP transactions on one connection, in as few round trips as the peer allows.

Owns the order of a transaction (RFC 5321 §3.3), pipelining (RFC 2920), BDAT (RFC 3030), and the fallbacks for peers
that lack or break them. Never judges a reply, never retries, never pools: a refusal is returned, a broken connection
raised (``ConnectError``, ``ConnectionLost``). Called by the pools of the delivery actor.
"""

import asyncio
import ssl
import time
from typing import Self

from msgspec import Struct

from actors.delivery.connection import TIMED_OUT, ConnectionLost, Wire
from actors.delivery.envelope import Envelope, Unsendable, check_lines, dot_stuffed, transaction_commands
from actors.delivery.handshake import CheckTls, Peer, Session, open_session
from actors.delivery.reply import Reply
from actors.delivery.tracing import Observe
from cluster.policy.stage import Stage
from cluster.policy.tls_level import TlsLevel
from cluster.settings import SmtpSettings

# A body up to this size is joined with its commands, so that they leave in one write (and TLS record, and segment);
# copying this much costs less than a second write.
_JOINED_BYTES = 64 * 1024

# RFC 5321 §4.1.1.10 asks to wait for the answer to QUIT; nothing depends on it.
_QUIT_WAIT_S = 5.0

# RFC 5321 §4.2.4: command not recognised, not implemented, out of sequence, parameter not implemented. From BDAT,
# after an accepted recipient, they mean that the peer announces CHUNKING and does not have it.
_NOT_IMPLEMENTED = frozenset((500, 502, 503, 504))


class RcptReply(Struct, frozen=True):
    """The reply that decides one recipient: the first refusal on its way, or else the final reply."""

    recipient: str
    stage: Stage
    """What the reply answers: MAIL, RCPT, DATA or END_OF_DATA."""
    reply: Reply


class TransactionResult(Struct, frozen=True, kw_only=True):
    mail: Reply | None
    """To MAIL. None when the message is unsendable, and only then."""
    recipients: tuple[Reply, ...]
    """To each RCPT, in order. Empty when MAIL was refused, since then nobody judged the recipients."""
    final: Reply | None
    """To the message (or to DATA, when that was refused); None when no recipient was left to send it to."""
    final_stage: Stage
    """END_OF_DATA, or DATA when the final reply is a refusal of DATA."""
    unsendable: Unsendable | None
    duration: float
    """Seconds from writing MAIL to the last reply."""

    def outcomes(self, envelope: Envelope) -> tuple[RcptReply, ...]:
        """One for each recipient of the envelope, in order; empty when the message is unsendable."""
        if self.mail is None:
            return ()
        if not self.mail.positive:
            return tuple(RcptReply(recipient, Stage.MAIL, self.mail) for recipient in envelope.recipients)
        return tuple(
            RcptReply(recipient, self.final_stage, self.final)
            if reply.positive and self.final is not None
            else RcptReply(recipient, Stage.RCPT, reply)
            for recipient, reply in zip(envelope.recipients, self.recipients, strict=True)
        )


class _Replies(Struct):
    """What a transaction has been told so far."""

    mail: Reply | None = None
    recipients: tuple[Reply, ...] = ()
    final: Reply | None = None
    final_stage: Stage = Stage.END_OF_DATA

    @property
    def accepted(self) -> bool:
        """Whether there is somebody to send the message to."""
        return self.mail is not None and self.mail.positive and any(reply.positive for reply in self.recipients)

    def is_refused(self, recipient_count: int) -> bool:
        """Whether there is certainly nobody: the sender, or every recipient, has been refused."""
        if self.mail is None:
            return False
        return not self.mail.positive or (len(self.recipients) == recipient_count and not self.accepted)


class SmtpConnection:
    """One connection, one transaction at a time.

    Attributes: host, address; tls_version, tls_cipher ("" when plain), tls_resumed; capabilities (EHLO keywords in use
    and their parameters); transactions (how many were begun); opened_at, last_used (loop time); source (its name) and
    source_address ("": the system's choice); alternatives (other addresses that its mail could have gone to); in_vain
    (EHLO keywords that it announced and does not keep to, as far as it has shown).
    """

    in_vain: frozenset[str] = frozenset()

    def __init__(
        self, host: str, address: str, session: Session, settings: SmtpSettings, source_address: str = ""
    ) -> None:
        self._loop = asyncio.get_running_loop()
        self.host = host
        self.address = address
        self.tls_version = session.tls_version
        self.tls_cipher = session.tls_cipher
        self.tls_resumed = session.tls_resumed
        self.capabilities = session.capabilities
        self.transactions = 0
        self.source = ""
        self.source_address = source_address
        self.alternatives = 0
        self.opened_at = self.last_used = self._loop.time()
        self._busy = False
        self._reset_needed = False
        self._wire = Wire(session.transport, settings, self._loop)
        session.transport.set_protocol(self._wire)

    @classmethod
    async def open(
        cls,
        host: str,
        address: str,
        port: int,
        *,
        settings: SmtpSettings,
        helo_name: str,
        tls: TlsLevel = TlsLevel.OPPORTUNISTIC,
        ssl_context: ssl.SSLContext | None = None,
        check_tls: CheckTls | None = None,
        source_address: str | None = None,
        username: str | None = None,
        password: str | None = None,
        observe: Observe | None = None,
        ignored_capabilities: frozenset[str] = frozenset(),
    ) -> Self:
        """A connection ready for its first transaction. Raises ConnectError.

        ignored_capabilities: EHLO keywords, in upper case, that this host announces in vain.
        """
        peer = Peer(
            host=host,
            address=address,
            port=port,
            helo_name=helo_name,
            tls=tls,
            ssl_context=ssl_context,
            check_tls=check_tls,
            source_address=source_address,
            username=username,
            password=password,
            observe=observe,
        )
        session = await open_session(peer, settings)
        connection = cls(host, address, session, settings, source_address or "")
        connection.observe = observe
        for keyword in ignored_capabilities:
            connection.capabilities.pop(keyword, None)
        return connection

    @property
    def observe(self) -> Observe | None:
        """Told every command, reply and failure, while somebody watches."""
        return self._wire.observe

    @observe.setter
    def observe(self, observe: Observe | None) -> None:
        self._wire.observe = observe

    @property
    def is_usable(self) -> bool:
        """Whether another transaction can be started now."""
        return self._wire.is_open and not self._busy

    async def send(self, envelope: Envelope, data: bytes) -> TransactionResult:
        """One transaction: data (a whole message with CRLF line ends, not dot-stuffed) to the envelope's recipients.

        Raises ConnectionLost, after which the connection is done with; ValueError for addresses or data that cannot
        be written safely. When it is cancelled, the connection is closed: its state is not known.
        """
        check_lines(data)
        commands = transaction_commands(envelope, data, self.capabilities)
        if isinstance(commands, Unsendable):
            return _result(_Replies(), 0.0, commands)
        if self._busy:
            raise RuntimeError("a transaction is already running on this connection")
        self._busy = True
        self.transactions += 1
        replies = _Replies()
        started = time.perf_counter()  # uvloop's own clock ticks in milliseconds
        try:
            await self._transact(commands, data, replies)
        except ConnectionLost as lost:
            # A peer may refuse and hang up at once. Its refusal is the news, not the hanging up.
            if not replies.is_refused(len(envelope.recipients)):
                lost.recipients = replies.recipients
                self._suspect(lost)
                raise
        except BaseException:
            self._wire.abort()
            raise
        finally:
            self._busy = False
            self.last_used = self._loop.time()
        return _result(replies, time.perf_counter() - started, None)

    async def quit(self) -> None:
        """Takes leave politely, in bounded time. Never raises."""
        try:
            async with asyncio.timeout(_QUIT_WAIT_S):
                if self.is_usable:
                    self._busy = True
                    self._wire.expect((Stage.QUIT,))
                    self._wire.write(b"QUIT\r\n")
                    await self._wire.replies()
                    self._wire.transport.close()
                    await self._wire.wait_closed()
        except (ConnectionLost, TimeoutError):
            pass
        finally:
            self._wire.abort()

    def abort(self) -> None:
        """Closes at once, without a word."""
        self._wire.abort()

    # Transactions

    async def _transact(self, commands: list[bytes], data: bytes, replies: _Replies) -> None:
        if "PIPELINING" not in self.capabilities or self._is_too_large(data):
            await self._send_one_by_one(commands, data, replies)
        elif "CHUNKING" in self.capabilities:
            await self._send_chunk(commands, data, replies)
            if replies.accepted and replies.final is not None and replies.final.code in _NOT_IMPLEMENTED:
                await self._give_up_chunking()
                replies.mail, replies.recipients, replies.final = None, (), None
                await self._send_data(commands, data, replies)
        else:
            await self._send_data(commands, data, replies)
        if replies.mail is None:
            self._wire.abort()
            raise ConnectionLost(Stage.RSET, "refused", False)

    def _is_too_large(self, data: bytes) -> bool:
        """Whether the peer has announced that it will refuse this much. It is asked, but without pushing the body."""
        limit = self.capabilities.get("SIZE", "")
        return limit.isdecimal() and 0 < int(limit) < len(data)

    async def _send_chunk(self, commands: list[bytes], data: bytes, replies: _Replies) -> None:
        """All in one flight: the hot path."""
        wire = self._wire
        lead = self._begin(len(commands), Stage.END_OF_DATA)
        head = b"".join((lead, *commands, b"BDAT %d LAST\r\n" % len(data)))
        try:
            if len(data) <= _JOINED_BYTES:
                wire.write(head + data, content=len(data))
            else:
                wire.write(head)
                await wire.write_body(data)
            wire.end_of_data_written = True
            await wire.replies()
        finally:
            final = self._read_flight(len(commands), replies, reset_sent=bool(lead))
        if replies.accepted:
            replies.final = final
        # RFC 3030 §2: after a failed BDAT the transaction's state is undefined until RSET.
        self._reset_needed = final is None or not final.positive

    async def _send_data(self, commands: list[bytes], data: bytes, replies: _Replies) -> None:
        """MAIL, RCPT and DATA in one flight, then the body."""
        lead = self._begin(len(commands), Stage.DATA)
        self._wire.write(b"".join((lead, *commands, b"DATA\r\n")))
        try:
            await self._wire.replies()
        finally:
            go_ahead = self._read_flight(len(commands), replies, reset_sent=bool(lead))
        if go_ahead is not None:
            await self._finish_data(go_ahead, data, replies)

    async def _send_one_by_one(self, commands: list[bytes], data: bytes, replies: _Replies) -> None:
        if self._reset_needed:
            await self._reset()
        replies.mail = await self._ask(Stage.MAIL, commands[0])
        if not replies.mail.positive:
            return
        self._reset_needed = True
        for command in commands[1:]:
            replies.recipients = (*replies.recipients, await self._ask(Stage.RCPT, command))
        if replies.accepted:
            await self._finish_data(await self._ask(Stage.DATA, b"DATA\r\n"), data, replies)

    async def _finish_data(self, go_ahead: Reply, data: bytes, replies: _Replies) -> None:
        """Goes on from the reply to DATA. A 354 must be followed by a final dot, wanted or not."""
        if not go_ahead.intermediate:
            self._reset_needed = replies.mail is not None and replies.mail.positive
            if replies.accepted:
                replies.final, replies.final_stage = go_ahead, Stage.DATA
            return
        wire = self._wire
        wire.expect((Stage.END_OF_DATA,))
        if not replies.accepted:
            # RFC 2920 §3.1: a server may say 354 though it has refused every recipient.
            wire.write(b".\r\n")
            await wire.replies()
        else:
            body = dot_stuffed(data)
            if len(body) <= _JOINED_BYTES:
                wire.write(body + b".\r\n", content=len(body) + 3)
            else:
                await wire.write_body(body)
                wire.write(b".\r\n")
            wire.end_of_data_written = True
            replies.final = (await wire.replies())[0]
        self._reset_needed = False

    def _begin(self, command_count: int, last: Stage) -> bytes:
        """Expects the replies to a flight of MAIL, RCPT… and the last stage. Returns what must be written before it:
        RSET when the last transaction left one due. Raises ConnectionLost."""
        stages = [Stage.MAIL, *[Stage.RCPT] * (command_count - 1), last]
        if not self._reset_needed:
            self._wire.expect(stages)
            return b""
        self._wire.expect([Stage.RSET, *stages])
        self._reset_needed = False
        return b"RSET\r\n"

    def _read_flight(self, command_count: int, replies: _Replies, *, reset_sent: bool) -> Reply | None:
        """Takes the replies of a flight, complete or not. Returns that to its last stage."""
        received = self._wire.received[1:] if reset_sent else self._wire.received
        if not received:
            return None
        if reset_sent and not self._wire.received[0].positive and not received[0].positive:
            # MAIL was refused because the old transaction is still open: that says nothing about this one.
            return received[command_count] if len(received) > command_count else None
        replies.mail = received[0]
        if replies.mail.positive:
            replies.recipients = tuple(received[1:command_count])
        return received[command_count] if len(received) > command_count else None

    async def _ask(self, stage: Stage, command: bytes) -> Reply:
        self._wire.expect((stage,))
        self._wire.write(command)
        return (await self._wire.replies())[0]

    async def _reset(self) -> None:
        """Ends what is left of the last transaction. Raises ConnectionLost, also when the peer refuses."""
        reply = await self._ask(Stage.RSET, b"RSET\r\n")
        if not reply.positive:
            self._wire.abort()
            raise ConnectionLost(Stage.RSET, "refused", False, reply)
        self._reset_needed = False

    async def _give_up_chunking(self) -> None:
        """Remembers that BDAT does not work here, and makes sure that the peer has swallowed the body.

        A peer that takes the octets after its refusal for commands answers the first header line, before it answers
        RSET, and is caught here: going on would let a message's content speak SMTP.
        """
        del self.capabilities["CHUNKING"]
        self.in_vain |= {"CHUNKING"}
        await self._reset()

    def _suspect(self, lost: ConnectionLost) -> None:
        """A peer that answers the first command of a flight and then no more has thrown the others away: it cannot do
        PIPELINING. One that is only slow loses nothing but some round trips."""
        if lost.reason == TIMED_OUT and self._wire.received and lost.stage is not Stage.END_OF_DATA:
            self.in_vain |= {"PIPELINING"}


def _result(replies: _Replies, duration: float, unsendable: Unsendable | None) -> TransactionResult:
    return TransactionResult(
        mail=replies.mail,
        recipients=replies.recipients,
        final=replies.final,
        final_stage=replies.final_stage,
        unsendable=unsendable,
        duration=duration,
    )
