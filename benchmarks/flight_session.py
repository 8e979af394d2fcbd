"""The sink's session: the SMTP server's, with a fast path for what almost every message is.

A message that arrives as one flight (``flight.py``) is processed in one step. Everything else, including the smallest
irregularity, is processed by ``Session`` from the same octets; both paths answer alike. TLS is ``DirectTls``.
"""

import ssl
import time
from collections.abc import Callable

from benchmarks.direct_tls import DirectTls
from benchmarks.flight import flight, message_id
from benchmarks.late import LateSession
from benchmarks.sink_log import ConnectionEnded
from cluster.smtpd.envelope import Answer, Extension, ServerReply
from cluster.smtpd.protocol import ServerState, Service

Decide = Callable[[int, tuple[str, ...], str], Answer]
"""Decides on a message, given the session's number, the recipients, and the local part of Message-ID."""

NEEDED = frozenset((Extension.PIPELINING, Extension.CHUNKING, Extension.SIZE, Extension.EIGHTBITMIME, Extension.DSN))
"""The extensions that must have been offered to a client that may send flights."""
MAIL_OK = ServerReply(250, "2.1.0 sender ok").wire
RCPT_OK = ServerReply(250, "2.1.5 recipient ok").wire
TAKEN = ServerReply(250, "2.0.0 message taken").wire


class FlightSession(LateSession):
    """``decide`` decides on flights; ``service.on_message`` on all others, and must give the same answers."""

    def __init__(
        self, service: Service, delay_s: float, ended: Callable[[ConnectionEnded], None], decide: Decide
    ) -> None:
        super().__init__(service, delay_s, ended)
        self._decide = decide
        self._tls: DirectTls | None = None

    def data_received(self, data: bytes) -> None:
        if self._tls is None:
            self._hear(data)
            return
        try:
            said = self._tls.read(data)
        except ssl.SSLError:
            self.abort()
            return
        if self.state is ServerState.UPGRADING and self._tls.established:
            self._upgraded(self._tls)
        if said:
            self._hear(said)
        if self._tls.peer_is_done:
            self._heard_at = time.time()
            self._tls.close()

    def _hear(self, said: bytes) -> None:
        self._heard_at = time.time()
        usual = flight(said) if self._may_take_flight() else None
        if usual is None:
            super().data_received(said)
            return
        self._last_heard = self._loop.time()
        answer = self._decide(self.number, usual.recipients, message_id(said, usual.content_at))
        self._output.append(MAIL_OK + RCPT_OK * len(usual.recipients))
        self.say(TAKEN if answer is None else answer)
        self._flush()

    def _may_take_flight(self) -> bool:
        """Whether a transaction may begin now, with no input left from before."""
        return (
            self.state is ServerState.COMMAND
            and self._mail is None
            and not self.input
            and not self._overlong
            and self._writable
            and self._offered >= NEEDED
        )

    # TLS

    def start_tls(self, context: ssl.SSLContext, ready: ServerReply) -> None:
        if self._transport is None:
            return
        self.position = len(self.input)  # sent in plain text: RFC 3207 §4.2
        self.say(ready)
        self._flush()
        self.state = ServerState.UPGRADING
        self._transport = self._tls = DirectTls(self._transport, context)
        self._timers["handshake"] = self._loop.call_later(self.options.tls_handshake_timeout_s, self.abort)

    def _upgraded(self, tls: DirectTls) -> None:
        self._timers.pop("handshake").cancel()
        self.tls_version, self.tls_cipher = tls.version, tls.cipher
        self.service.handshakes += 1
        self.forget()
        self.state = ServerState.COMMAND
