"""The connection under one SMTP session: input and output, waits, TLS, closing.

This module owns the transport, the input backlog and the replies not yet written; ``ServerSession`` knows the commands.
Replies are collected while input is processed, and written together (RFC 2920 §3.2). ``ServerOptions`` limits every
buffer.
"""

import asyncio
import logging
import ssl
import time
from collections import Counter
from collections.abc import Callable
from dataclasses import dataclass, field
from enum import Enum, auto
from typing import cast

from cluster.access.client_address import address_key
from cluster.access.login_failures import Failures
from cluster.policy.routes.host_names import joined
from cluster.smtpd.envelope import (
    Answer,
    Authenticate,
    Behaviour,
    Login,
    OnMessage,
    ServerAction,
    ServerOptions,
    ServerReply,
    Then,
)
from cluster.smtpd.proxy_protocol import Client

log = logging.getLogger(__name__)

_READ_BYTES = 64 * 1024
"""The most octets that are read at once."""


@dataclass(slots=True, kw_only=True)
class Service:
    """What the connections of one server share."""

    options: ServerOptions
    on_message: OnMessage
    tls: ssl.SSLContext | None
    behaviour: Behaviour
    failures: Failures = field(default_factory=lambda: Failures(time.monotonic))
    authenticate: Authenticate | None = None
    octets: memoryview = field(default_factory=lambda: memoryview(bytearray(_READ_BYTES)))
    """What is received is read into it, and taken out at once."""
    addresses: Counter[str] = field(default_factory=Counter)
    """Connections by the address of the client (``address_key``)."""
    arriving: int = 0
    """Clients that are accepted and have no session yet: their handshake, or the header of their proxy, comes first."""
    logins: Counter[str] = field(default_factory=Counter)
    """Connections by the name of who has authenticated."""
    wires: "set[ServerProtocol]" = field(default_factory=set)
    all_closed: asyncio.Event = field(default_factory=asyncio.Event)
    """Set after ``closing`` when the last connection has ended."""
    closing: bool = False
    connected: int = 0
    handshakes: int = 0
    accepted: int = 0
    refused: int = 0
    held_bytes: int = 0


class ServerState(Enum):
    COMMAND = auto()
    DATA = auto()
    CHUNK = auto()
    WAITING = auto()
    """For a delay, or for the answer to the message; input is collected up to the backlog limit."""
    UPGRADING = auto()
    """From STARTTLS to the end of the handshake. Input in this state came through TLS."""
    DEAF = auto()
    """Closing, or silent by script: input is dropped."""


RECEIVING = (ServerState.COMMAND, ServerState.DATA, ServerState.CHUNK)

_LINGER_S = 30.0
"""How long a client may take to read the last reply."""
_TOO_MANY_CONNECTIONS = ServerReply(421, "4.3.2 too many connections", then=Then.CLOSE)
_SHUTTING_DOWN = ServerReply(421, "4.3.2 shutting down", then=Then.CLOSE)
_TOO_MANY_OF_CLIENT = ServerReply(421, "4.7.0 too many connections from your address", then=Then.CLOSE)
_IDLE = ServerReply(421, "4.4.2 idle for too long", then=Then.CLOSE)
_STALLED = ServerReply(421, "4.4.2 the message comes too slowly", then=Then.CLOSE)
_TOO_SLOW = ServerReply(421, "4.4.2 no message for too long", then=Then.CLOSE)


class ServerProtocol(asyncio.BufferedProtocol):
    """One connection. A subclass processes ``input`` from ``position`` in ``work`` and answers with ``say``.

    It gives the event loop a buffer to read into: for a protocol without one, uvloop reads each TLS record into a new
    buffer of 256 KB.
    """

    def __init__(
        self, service: Service, client: Client | None = None, counted: Callable[[], None] = lambda: None
    ) -> None:
        """``client``: who it is, if not the socket's peer. ``counted`` is called when the session counts itself."""
        self.service = service
        self._client = client
        self._counted = counted
        self.options = service.options
        self.behaviour = service.behaviour
        self.state = self._resume = ServerState.COMMAND
        self.input = bytearray()
        self.position = 0
        self.number = 0
        self.peer = self.address = self._address_key = self.tls_version = self.tls_cipher = ""
        self.login: Login | None = None
        self._loop = asyncio.get_running_loop()
        self._transport: asyncio.Transport | None = None
        self._output: list[bytes] = []
        self._writable = True
        self._last_heard = self.began_at = 0.0
        self._received = 0
        self._content_from: tuple[float, int] | None = None
        """When the content of a message began, and how many octets had been received by then; None: none has begun."""
        self._timers: dict[str, asyncio.TimerHandle] = {}
        self._upgrade_task: asyncio.Task[None] | None = None

    # For subclasses

    def work(self) -> bool:
        """Processes one step of the input; False when it needs more input, or must not continue."""
        raise NotImplementedError

    def forget(self) -> None:
        """Ends the current transaction: the connection is lost, or starts again under TLS."""
        raise NotImplementedError

    # Called by the event loop

    def connection_made(self, transport: asyncio.BaseTransport) -> None:
        self._transport = cast(asyncio.Transport, transport)
        host, port = (transport.get_extra_info("peername") or ("unknown", 0))[:2]
        if self._client is not None:
            host, port = self._client.address, self._client.port
        self.peer = joined(host, port)
        self.address = host
        self._address_key = address_key(host)
        service = self.service
        self._counted()
        service.addresses[self._address_key] += 1
        service.connected += 1
        self.number = service.connected
        service.wires.add(self)
        self._last_heard = self.began_at = self._loop.time()
        self._timers["idle"] = self._loop.call_later(self.options.idle_timeout_s, self._check_idle)
        if (tls := transport.get_extra_info("ssl_object")) is not None:
            self._secured(tls)
        answer: Answer = None
        if service.closing:
            answer = _SHUTTING_DOWN
        elif len(service.wires) > self.options.max_connections:
            answer = _TOO_MANY_CONNECTIONS
        elif service.addresses[self._address_key] > self.options.max_connections_per_address:
            answer = _TOO_MANY_OF_CLIENT
        elif self.behaviour.greeting is not None:
            answer = self.behaviour.greeting()
        self.say(ServerReply(220, f"{self.options.hostname} ESMTP postray") if answer is None else answer)
        self._flush()

    def connection_lost(self, exc: Exception | None) -> None:
        if self not in self.service.wires:
            return
        self.state = ServerState.DEAF
        self._transport = None
        for timer in self._timers.values():
            timer.cancel()
        self.input.clear()
        self.forget()
        service = self.service
        service.wires.discard(self)
        count_down(service.addresses, self._address_key)
        if service.closing and not service.wires:
            service.all_closed.set()

    def get_buffer(self, sizehint: int) -> memoryview:
        return self.service.octets

    def buffer_updated(self, nbytes: int) -> None:
        self.data_received(bytes(self.service.octets[:nbytes]))

    def data_received(self, data: bytes) -> None:
        self._last_heard = self._loop.time()
        self._received += len(data)
        if self.state is ServerState.DEAF:
            return
        self.input += data
        if self.state in RECEIVING and self._writable:
            self.advance()
        elif len(self.input) > self.options.max_backlog_bytes and self._transport is not None:
            self._transport.pause_reading()

    def pause_writing(self) -> None:
        """The client does not read its replies: stop processing until it does."""
        self._writable = False
        if self._transport is not None:
            self._transport.pause_reading()

    def resume_writing(self) -> None:
        self._writable = True
        if self.state in RECEIVING:
            self.advance()

    # Processing the input

    def advance(self) -> None:
        while self.position < len(self.input) and self._writable and self.state in RECEIVING:
            if not self.work():
                break
        del self.input[: self.position]
        self.position = 0
        # While the answer to a message is pending, the replies to the MAIL and RCPT of the same flight wait with it:
        # one write and one TLS record instead of two.
        if self.state is ServerState.WAITING:
            return
        self._flush()
        if self._writable and self._transport is not None and self.state is not ServerState.UPGRADING:
            self._transport.resume_reading()

    def wait(self) -> None:
        """Only collect input until ``go_on``."""
        self._resume, self.state = self.state, ServerState.WAITING

    def go_on(self, answer: Answer) -> None:
        """Ends ``wait`` with its answer, unless the connection has ended meanwhile."""
        if self.state is ServerState.WAITING:
            self.state = self._resume
            self.say(answer)
            self.advance()
            if self.service.closing:
                self.shut_down()

    # Answers

    def say(self, answer: Answer) -> None:
        """Send an answer. The caller has already set the state that follows the answer."""
        if isinstance(answer, ServerReply):
            if answer.delay_s > 0:
                self._flush()
                self.wait()
                prompt = ServerReply(answer.code, answer.text, then=answer.then)
                self._timers["delay"] = self._loop.call_later(answer.delay_s, self.go_on, prompt)
                return
            self._output.append(answer.wire)
            if answer.then is Then.CLOSE:
                self._close()
        elif isinstance(answer, bytes):
            self._output.append(answer)
        elif answer is ServerAction.SILENCE:
            self._flush()
            self.state = ServerState.DEAF
        elif answer is ServerAction.DROP:
            self._flush()
            self.abort()

    def _flush(self) -> None:
        if self._output:
            output = b"".join(self._output)
            self._output.clear()
            if self._transport is not None:
                self._transport.write(output)

    # Endings

    def _close(self) -> None:
        self._flush()
        self.state = ServerState.DEAF
        if self._transport is not None:
            self._transport.close()
            self._timers["linger"] = self._loop.call_later(_LINGER_S, self.abort)

    def abort(self) -> None:
        upgrade = self._upgrade_task if self.state is ServerState.UPGRADING else None
        self.state = ServerState.DEAF
        if self._transport is not None:
            self._transport.abort()
        if upgrade is not None:
            # The event loop would wait for the client's handshake until its time is over, and not say that it ends.
            upgrade.cancel()
            self.connection_lost(None)

    def shut_down(self) -> None:
        """Sends 421 and closes; a message whose answer is pending gets that answer first (see ``go_on``)."""
        if self.state is ServerState.UPGRADING or (self.state is ServerState.DEAF and "linger" not in self._timers):
            self.abort()
        elif self.state in RECEIVING:
            self.say(_SHUTTING_DOWN)

    def _check_idle(self) -> None:
        timeout_s = self.options.idle_timeout_s
        now = self._loop.time()
        left_s = self._last_heard + timeout_s - now
        if now >= self.began_at + self.options.message_timeout_s and self.state in RECEIVING:
            self.say(_TOO_SLOW)
        elif left_s > 0 or self.state in (ServerState.WAITING, ServerState.UPGRADING):
            wait_s = min(left_s if left_s > 0 else timeout_s, self.options.message_timeout_s)
            self._timers["idle"] = self._loop.call_later(wait_s, self._check_idle)
        elif self.state is ServerState.DEAF or not self._writable:
            self.abort()
        else:
            self.say(_IDLE)

    # Content

    def content_begins(self) -> None:
        """The content of a message has to keep arriving from now on, until ``content_ends``."""
        self._content_from = self._loop.time(), self._received
        # A timer outlives its message, since almost every message ends long before: that is cheaper than one for each.
        if "content" not in self._timers:
            self._check_content_in(self.options.content_timeout_s)

    def content_ends(self) -> None:
        self._content_from = None

    def _check_content_in(self, wait_s: float) -> None:
        self._timers["content"] = self._loop.call_later(wait_s, self._check_content)

    def _check_content(self) -> None:
        del self._timers["content"]
        if self._content_from is None:
            return
        timeout_s = self.options.content_timeout_s
        now = self._loop.time()
        began, received = self._content_from
        took_s = now - began
        if took_s < timeout_s:  # the timer is that of an earlier message
            self._check_content_in(timeout_s - took_s)
            return
        is_slow = self._received - received < took_s * self.options.min_content_bytes_per_s
        left_s = self._last_heard + timeout_s - now
        # Between the chunks of BDAT, and while the message is being answered, no content is due.
        if self.state in (ServerState.DATA, ServerState.CHUNK) and (is_slow or left_s <= 0):
            self.say(_STALLED)
        else:
            self._check_content_in(left_s if left_s > 0 else timeout_s)

    # TLS

    def start_tls(self, context: ssl.SSLContext, ready: ServerReply) -> None:
        """Sends ``ready`` and begins the handshake; ``forget`` is called at its end.

        Input pipelined behind STARTTLS came in plain text and must not count as sent under TLS (RFC 3207 §4.2, the
        command injection of CVE-2011-0411), so it is dropped.
        """
        if self._transport is None:
            return
        self._transport.pause_reading()
        self.position = len(self.input)
        self.say(ready)
        self._flush()
        self.state = ServerState.UPGRADING
        self._upgrade_task = self._loop.create_task(self._upgrade(self._transport, context))

    async def _upgrade(self, transport: asyncio.Transport, context: ssl.SSLContext) -> None:
        if transport.is_closing():
            self.connection_lost(None)
            return
        timeout_s = self.options.tls_handshake_timeout_s
        try:
            upgraded = await self._loop.start_tls(
                transport, self, context, server_side=True, ssl_handshake_timeout=timeout_s
            )
        except OSError as error:  # includes ssl.SSLError
            log.info("the TLS handshake with %s failed: %s", self.peer, error)
            transport.abort()
            self.connection_lost(error)  # the event loop does not say so when it ends during a handshake
            return
        if upgraded is None or self.state is not ServerState.UPGRADING:  # the connection was lost meanwhile
            return
        self._transport = upgraded
        self._writable = True  # its buffers are new ones; the old ones no longer tell this session of their room
        self._secured(upgraded.get_extra_info("ssl_object"))
        self.forget()
        self.state = ServerState.COMMAND
        self.advance()

    def _secured(self, tls: ssl.SSLObject) -> None:
        self.tls_version, self.tls_cipher = tls.version() or "", (tls.cipher() or ("",))[0]
        self.service.handshakes += 1


def count_down(counts: Counter[str], name: str) -> None:
    """One less; what has none is not kept."""
    counts[name] -= 1
    if counts[name] <= 0:
        del counts[name]
