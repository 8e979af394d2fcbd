"""SMTP transactions on one connection, in as few round trips as the peer allows.

This module owns the order of a transaction (RFC 5321 §3.3), pipelining (RFC 2920), BDAT (RFC 3030), and the fallbacks
for peers that lack or break them. It returns refusals as values and raises ``ConnectError`` or ``ConnectionLost`` for
broken connections. It does not judge replies, retry, or pool connections. The pools of the delivery actor call it.
"""

import asyncio
import ssl
import time
from collections.abc import Callable
from typing import Self

from actors.smtp.commands import Envelope, Unsendable, check_lines, dot_stuffed, is_too_large, transaction_commands
from actors.smtp.handshake import CheckTls, HandshakeResult, Peer, open_session
from actors.smtp.protocol import TIMED_OUT, ClientProtocol, ConnectionLost, Observe, in_turn
from actors.smtp.reply import Reply
from actors.smtp.share import Share
from actors.smtp.transaction import Replies, TransactionResult, unsent
from cluster.policy.limits.session import announced
from cluster.policy.replies.stage import Stage
from cluster.policy.routes.next_hop import Credentials
from cluster.policy.tls.level import TlsLevel
from cluster.settings import SmtpSettings

# A body up to this size is joined with its commands into one write, one TLS record and one segment. Copying it costs
# less than a second write.
_JOINED_BYTES = 64 * 1024

# RFC 5321 §4.1.1.10: the client should wait for the reply to QUIT. No outcome depends on it.
_QUIT_WAIT_S = 5.0

# RFC 5321 §4.2.4: command or parameter not recognised, not implemented, out of sequence. As a reply to BDAT after an
# accepted recipient, they mean that the peer announces CHUNKING but does not implement it.
_NOT_IMPLEMENTED = frozenset((500, 501, 502, 503, 504))


class SmtpConnection:
    """One connection, with one transaction at a time.

    Attributes: host, address; tls_version, tls_cipher ("" when plain), tls_resumed; capabilities (EHLO keywords in use
    and their parameters); transactions (how many were begun); share (what it may carry); opened_at (loop time); source
    (its name) and source_address ("": the system's choice); alternatives (number of other addresses that its mail could
    have used); in_vain (EHLO keywords that the peer announced and was seen to break); ehlo (a digest of the peer's
    answer to EHLO); takes_bdat (whether the host has accepted BDAT, on this connection or before, as the pool that
    opened it knows); shown (called when takes_bdat changes).
    """

    in_vain: frozenset[str] = frozenset()
    takes_bdat = False
    ehlo = b""

    def __init__(
        self, host: str, address: str, session: HandshakeResult, settings: SmtpSettings, source_address: str = ""
    ) -> None:
        loop = asyncio.get_running_loop()
        self.host = host
        self.address = address
        self.tls_version = session.tls_version
        self.tls_cipher = session.tls_cipher
        self.tls_resumed = session.tls_resumed
        self.capabilities = session.capabilities
        self.ehlo = session.ehlo
        self.shown: Callable[[bool], None] = lambda takes_bdat: None
        self.transactions = 0
        self.share = Share(limits=announced(session.capabilities.get("LIMITS", "")))
        self.source = ""
        self.source_address = source_address
        self.alternatives = 0
        self.opened_at = loop.time()
        self._busy = False
        self._reset_needed = False
        self._is_swallowed_unsure = False
        """A refused chunk has been sent. The reply to the next command shows whether the peer discarded it (RFC 3030
        §2), so that command must be sent alone."""
        self._is_proving = False
        self.wire = ClientProtocol(session.transport, settings, loop)
        """The protocol that carries commands and replies."""
        session.transport.set_protocol(self.wire)

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
        tls_name: str = "",
        source_address: str | None = None,
        credentials: Credentials | None = None,
        observe: Observe | None = None,
        ignored_capabilities: frozenset[str] = frozenset(),
    ) -> Self:
        """A connection that is ready for its first transaction. Raises ConnectError, and ValueError for a HELO name
        that cannot be written safely.

        ``tls_name`` is the name for SNI and certificates where it differs from the host's. ``ignored_capabilities`` are
        EHLO keywords, in upper case, that this host announces but refuses.
        """
        peer = Peer(
            host=host,
            address=address,
            port=port,
            helo_name=helo_name,
            tls=tls,
            ssl_context=ssl_context,
            check_tls=check_tls,
            tls_name=tls_name,
            source_address=source_address,
            credentials=credentials,
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
        """Called with every command, reply and failure while the connection is traced; None otherwise."""
        return self.wire.observe

    @observe.setter
    def observe(self, observe: Observe | None) -> None:
        self.wire.observe = observe

    @property
    def is_usable(self) -> bool:
        """Whether a transaction can be started now."""
        return self.wire.is_open and not self._busy

    @property
    def has_all_data(self) -> bool:
        """Whether the whole message of the current transaction has been sent, so that the peer may have accepted it."""
        return self._busy and self.wire.end_of_data_written

    async def send(self, envelope: Envelope, data: bytes) -> TransactionResult:
        """One transaction: sends ``data`` (a whole message with CRLF line ends, not dot-stuffed) to the recipients.

        Raises ConnectionLost, after which the connection cannot be used; ValueError for addresses or data that cannot
        be written safely. Cancellation closes the connection, since its state is then unknown.
        """
        await in_turn(check_lines, data)
        commands = transaction_commands(envelope, data, self.capabilities)
        if isinstance(commands, Unsendable):
            return unsent(commands)
        if self._busy:
            raise RuntimeError("a transaction is already running on this connection")
        self._busy = True
        self.transactions += 1
        replies = Replies()
        started = time.perf_counter()  # uvloop's own clock ticks in milliseconds
        try:
            await self._transact(commands, data, replies)
        except ConnectionLost as lost:
            # A peer may refuse and close at once. Then the refusal is the result, not the lost connection.
            if not replies.is_refused(len(envelope.recipients)):
                lost.recipients = replies.recipients
                self._suspect(lost)
                raise
        except BaseException:
            self.wire.abort()
            raise
        finally:
            self._busy = False
        if replies.is_out_of_step:
            self.wire.abort()
        return replies.result(time.perf_counter() - started)

    async def quit(self) -> None:
        """Send QUIT, wait for its reply within a time limit, and close. Raises no SMTP or network error."""
        try:
            async with asyncio.timeout(_QUIT_WAIT_S):
                if self.is_usable:
                    self._busy = True
                    self.wire.expect((Stage.QUIT,))
                    self.wire.write(b"QUIT\r\n")
                    await self.wire.replies()
                    self.wire.transport.close()
                    await self.wire.wait_closed()
        except (ConnectionLost, TimeoutError):
            pass
        finally:
            self.wire.abort()

    def abort(self) -> None:
        """Close at once, without QUIT."""
        self.wire.abort()

    # Transactions

    async def _transact(self, commands: list[bytes], data: bytes, replies: Replies) -> None:
        if self._is_swallowed_unsure:
            await self._reset()
        if "PIPELINING" not in self.capabilities or is_too_large(data, self.capabilities):
            await self._send_one_by_one(commands, data, replies)
        elif "CHUNKING" not in self.capabilities:
            await self._send_data(commands, data, replies)
        elif self.takes_bdat:
            await self._send_chunk(commands, data, replies)
        else:
            await self._send_first_chunk(commands, data, replies)
        if replies.mail is None:
            self.wire.abort()
            raise ConnectionLost(Stage.RSET, "refused", False)

    async def _send_chunk(self, commands: list[bytes], data: bytes, replies: Replies) -> None:
        """Send the whole transaction in one flight, for a peer that has accepted BDAT before. This is the hot path."""
        lead = self._begin(len(commands), Stage.END_OF_DATA)
        try:
            await self._write_chunk(b"".join((lead, *commands)), data)
            await self.wire.replies()
        finally:
            final = replies.take(self.wire.received, len(commands), reset_sent=bool(lead))
        self._judge_chunk(final, replies)

    async def _send_first_chunk(self, commands: list[bytes], data: bytes, replies: Replies) -> None:
        """Send MAIL, RCPT and an empty chunk in one flight; the body follows when the peer has accepted the chunk.

        A peer that announces CHUNKING but does not implement it reads the octets after BDAT as commands, so a message
        could inject SMTP commands. An empty chunk (RFC 3030 §2 sets no minimum size) contains none. A peer that
        implements BDAT but refuses an empty chunk gets its mail by DATA.
        """
        self._is_proving = True
        answer = await self._ask_for_go_ahead(commands, b"BDAT 0\r\n", replies)
        self._is_proving = False
        if answer is None:
            return
        self._reset_needed = True
        if not replies.accepted:
            return  # without a recipient any chunk may be refused, so BDAT is not judged by this
        if answer.positive:
            self.wire.expect((Stage.END_OF_DATA,))
            await self._write_chunk(b"", data)
            self._judge_chunk((await self.wire.replies())[0], replies)
        elif answer.intermediate:
            self._give_up_bdat()
            self.wire.abort()
            raise ConnectionLost(Stage.DATA, "it takes BDAT for DATA", False, answer)
        elif answer.code < 500:
            replies.final, replies.final_stage = answer, Stage.DATA
        else:
            # The peer has seen nothing of the message: it refuses BDAT, or it will refuse DATA as well.
            await self._reset()
            del self.capabilities["CHUNKING"]
            replies.forget()
            self.transactions += 1  # the host counts both
            await self._send_data(commands, data, replies)
            if answer.code in _NOT_IMPLEMENTED or replies.final_stage is Stage.END_OF_DATA:
                self._give_up_bdat()

    async def _write_chunk(self, commands: bytes, data: bytes) -> None:
        wire = self.wire
        head = b"%bBDAT %d LAST\r\n" % (commands, len(data))
        if len(data) <= _JOINED_BYTES:
            wire.write(head + data, content=len(data))
        else:
            wire.write(head)
            if not await wire.write_body(data):
                return
        wire.end_of_data_written = True

    def _judge_chunk(self, final: Reply | None, replies: Replies) -> None:
        """Handle the reply to BDAT LAST, whose octets have been sent. Raises ConnectionLost."""
        if final is not None and final.positive:
            self._check_end_was_written()
            replies.final = final if replies.accepted else None
            self._reset_needed = False
            if replies.accepted and not self.takes_bdat:
                self.takes_bdat = True
                self.shown(True)
            return
        # RFC 3030 §2: after a failed BDAT the transaction's state is undefined until RSET.
        self._reset_needed = self._is_swallowed_unsure = True
        if not replies.accepted or final is None:
            return
        if final.code in _NOT_IMPLEMENTED:
            # Perhaps this is another machine than before. It may be executing the message as commands, so close.
            self._give_up_bdat()
            self.wire.abort()
            raise ConnectionLost(Stage.END_OF_DATA, f"BDAT refused with {final.code}, which it took before", False)
        replies.final = final

    def _give_up_bdat(self) -> None:
        self.capabilities.pop("CHUNKING", None)
        self.in_vain |= {"CHUNKING"}
        self.takes_bdat = False
        self.shown(False)

    async def _send_data(self, commands: list[bytes], data: bytes, replies: Replies) -> None:
        """Send MAIL, RCPT and DATA in one flight, and the body after the 354 (RFC 2920 §3.1)."""
        go_ahead = await self._ask_for_go_ahead(commands, b"DATA\r\n", replies)
        if go_ahead is not None:
            await self._finish_data(go_ahead, data, replies)

    async def _ask_for_go_ahead(self, commands: list[bytes], last: bytes, replies: Replies) -> Reply | None:
        """Send MAIL, RCPT and the last command in one flight. Returns the reply to the last command."""
        lead = self._begin(len(commands), Stage.DATA)
        self.wire.write(b"".join((lead, *commands, last)))
        try:
            await self.wire.replies()
        finally:
            go_ahead = replies.take(self.wire.received, len(commands), reset_sent=bool(lead))
        return go_ahead

    async def _send_one_by_one(self, commands: list[bytes], data: bytes, replies: Replies) -> None:
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

    async def _finish_data(self, go_ahead: Reply, data: bytes, replies: Replies) -> None:
        """Handle the reply to DATA. After a 354, the final dot must be sent even without a body."""
        if not go_ahead.intermediate:
            self._reset_needed = replies.mail is not None and replies.mail.positive
            if replies.accepted:
                replies.final, replies.final_stage = go_ahead, Stage.DATA
            if go_ahead.positive:
                # It is unknown what the peer expects: it may take further commands for the content of the message.
                self.wire.abort()
            return
        wire = self.wire
        wire.expect((Stage.END_OF_DATA,))
        if not replies.accepted:
            # RFC 2920 §3.1: a server may reply 354 although it has refused every recipient.
            wire.write(b".\r\n")
            await wire.replies()
        else:
            await self._write_lines(await in_turn(dot_stuffed, data))
            final = (await wire.replies())[0]
            if final.positive:
                self._check_end_was_written()
            replies.final = final
        self._reset_needed = False

    async def _write_lines(self, body: bytes) -> None:
        """Write the body after a 354, and the dot that ends it."""
        wire = self.wire
        if len(body) <= _JOINED_BYTES:
            wire.write(body + b".\r\n", content=len(body) + 3)
        else:
            if not await wire.write_body(body):
                return
            wire.write(b".\r\n")
        wire.end_of_data_written = True

    def _check_end_was_written(self) -> None:
        """Raises ConnectionLost when a peer accepts the message before its end was sent: it has not read all of it."""
        if not self.wire.end_of_data_written:
            self.wire.abort()
            raise ConnectionLost(Stage.END_OF_DATA, "accepted before its end was sent", False)

    def _begin(self, command_count: int, last: Stage) -> bytes:
        """Expect the replies to a flight of MAIL, RCPT… and the last stage. Returns the command to write first: RSET
        where the last transaction requires it, else nothing. Raises ConnectionLost."""
        stages = [Stage.MAIL, *[Stage.RCPT] * (command_count - 1), last]
        if not self._reset_needed:
            self.wire.expect(stages)
            return b""
        self.wire.expect([Stage.RSET, *stages])
        self._reset_needed = False
        return b"RSET\r\n"

    async def _ask(self, stage: Stage, command: bytes) -> Reply:
        self.wire.expect((stage,))
        self.wire.write(command)
        return (await self.wire.replies())[0]

    async def _reset(self) -> None:
        """End the last transaction with RSET. Raises ConnectionLost, also when the peer refuses: a peer that reads a
        refused chunk as commands replies to the first line of the message here, before it replies to RSET."""
        reply = await self._ask(Stage.RSET, b"RSET\r\n")
        if not reply.positive:
            self.wire.abort()
            raise ConnectionLost(Stage.RSET, "refused", False, reply)
        self._reset_needed = self._is_swallowed_unsure = False

    def _suspect(self, lost: ConnectionLost) -> None:
        """Record an extension that the peer announces but seems to break: CHUNKING when the connection is lost over an
        empty chunk; PIPELINING when the peer replies to the first commands of a flight and then times out, having
        discarded the others. If the peer was only slow, the mistake costs some round trips."""
        if self._is_proving and lost.stage is Stage.DATA and lost.reply is None:
            self._give_up_bdat()
        elif lost.reason == TIMED_OUT and self.wire.received and lost.stage is not Stage.END_OF_DATA:
            self.in_vain |= {"PIPELINING"}
