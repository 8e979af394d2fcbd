"""One HTTP connection: uvicorn's protocol over llhttp, with limits that apply before the application is called.

This module owns the limits of a request's head and of a body's framing, the order of pipelined requests, and the answer
to an unreadable request. ``connections.py`` owns which connections exist, and for how long. RFC 9112, RFC 6585 §5.
"""

import asyncio
import logging
import socket
import struct
from collections.abc import Set
from typing import Any

import httptools
import uvicorn
from uvicorn.protocols.http.flow_control import HIGH_WATER_LIMIT
from uvicorn.server import ServerState

from cluster.http.connections import BUSY, IDLE, LEAVING, NEW, PARTIAL, UNREAD, Connections, Seat
from cluster.http.heads import (
    HEAD_BYTES,
    HEAD_FIELDS,
    check_counts,
    head_too_large,
    head_without_upgrade,
    is_host,
    plain_target,
    reason,
)
from cluster.http.paced import PacedProtocol
from cluster.http.pieces import BITE, HEAD_END, piece_end
from cluster.http.refusals import RefusedRequest
from cluster.http.turns import ConnectionTurns

log = logging.getLogger(__name__)

FRAMING_BYTES = 64 * 1024
"""Allowed octets around a chunked body, in addition to as many as the body has: chunk sizes, extensions, trailers."""
UNREAD_BYTES = 16 * 1024
"""Octets of answers that the client may leave unread before its next request waits."""
ANSWERED = "postray.answered"
"""ASGI extension: an application calls ``tell`` when it answers before it has read the whole body, and reads on."""
ARRIVED = "postray.arrived"
"""ASGI extension: ``ask`` returns whether the whole body has arrived, so that reading it needs no timeout."""
OVERHEARD_BYTES = 1024 * 1024
"""Octets that are read and dropped after a refusal, at most."""

_RESET = struct.pack("ii", 1, 0)
_CHECKED = frozenset({b"host", b"transfer-encoding", b"expect"})


class HttpProtocol(PacedProtocol):
    """The connection on one seat."""

    def __init__(
        self,
        config: uvicorn.Config,
        server_state: ServerState,
        app_state: dict[str, Any],
        loop: asyncio.AbstractEventLoop,
        *,
        seat: Seat,
        connections: Connections,
        turns: ConnectionTurns,
        health: Set[bytes],
    ) -> None:
        """``health``: the paths that a reserved seat serves, and whose requests do not wait behind others."""
        super().__init__(config, server_state, app_state, loop, address=seat.address, turns=turns, health=health)
        self._seat = seat
        self._seats = connections
        self.url = b""
        self._in_head = True
        self._hosts = self._codings = 0
        """The number of Host and Transfer-Encoding fields in the head that is being read."""
        self._trailers: list[tuple[bytes, bytes]] = []
        self.headers = self._trailers
        """The fields of the head that is being read; between heads, the trailer fields of a body. Trailers are not part
        of the request's fields (RFC 9110 §6.5.1), and the application holds the list of its head unchanged."""
        self._head_bytes = 0
        """Octets of the head that is being read, and at most as many again of data that came with it."""
        self._body_bytes = 0
        self._framing_bytes = 0
        """Octets around a body; ``_bodiless_bytes`` are those since the last octet of the body itself."""
        self._bodiless_bytes = 0
        self._held = b""
        """Data behind a request that must be answered first, and whose answer must be read first."""
        self._held_from = 0
        """Data before this index is parsed."""
        self._refused: RefusedRequest | None = None
        """The answer to the next request, which is the last one."""
        self._deaf = False
        self._answered = False
        """The last answer is written; the rest of the request's body is dropped."""
        self._closing = False
        self._overheard = 0
        self._extensions: dict[str, dict[object, object]] = {
            ANSWERED: {"tell": self.answered},
            ARRIVED: {"ask": self.arrived},
        }
        """The ASGI extensions of each request; cleared at the end, since they refer to this object."""
        seat.holder = self

    # Called by the transport.

    def connection_made(self, transport: asyncio.Transport) -> None:  # type: ignore[override]
        super().connection_made(transport)
        transport.set_write_buffer_limits(high=UNREAD_BYTES)
        if self._deaf:
            transport.abort()  # evicted before the connection was established

    def data_received(self, data: bytes) -> None:
        if self._deaf or self._refused:
            self._overhear(len(data))
            return
        if self._held or self._must_wait():
            self._hold(data)
        elif len(data) <= BITE and data.count(HEAD_END) < 2:
            self._parse(data)
        else:
            self._held = data
            self._parse_held()
        cycle = self.cycle
        if self._seat.phase is IDLE and cycle is not None and not cycle.response_complete:
            self._seat.take_up()
        else:
            self._settle()

    def connection_lost(self, exc: Exception | None) -> None:
        self._seats.remove(self._seat)
        self._drop_held()
        self._extensions = {}
        super().connection_lost(exc)

    def pause_writing(self) -> None:
        super().pause_writing()
        self._settle()

    def resume_writing(self) -> None:
        super().resume_writing()
        if not self.transport.is_closing() and ((cycle := self._under_way) is None or cycle.response_complete):
            self._go_on()
        self._settle()

    # Called by the seats.

    def evict(self) -> None:
        self._deaf = True
        if self.transport is not None:
            self._abort()

    def expire(self) -> None:
        left = self.transport.get_write_buffer_size()
        if self._seat.phase is PARTIAL and self._in_head and not left:
            self._end(RefusedRequest(408, "The request's head did not come in time"))
        elif self._seat.phase is UNREAD and self.unread() < self._seat.unread:
            self._seats.move(self._seat, BUSY, self.loop.time())  # there was progress: a new time limit
            self._settle()
        elif left:
            self._abort()
        else:
            self.transport.close()

    def _abort(self) -> None:
        if self._seat.phase is UNREAD:  # the kernel need not keep the rest either
            self.transport.get_extra_info("socket").setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, _RESET)
        self.transport.abort()

    def unread(self) -> int:
        return self.transport.get_write_buffer_size() + len(self._held)

    # Called by the application.

    def answered(self) -> None:
        """The answer has begun, though it may not be complete, and the connection remains only so that the client can
        read it: it may be evicted."""
        self._answered = True
        self._settle()

    def arrived(self) -> bool:
        """Whether the newest request and those before it have arrived completely."""
        return self._in_head

    # Called by the parser.

    def on_header(self, name: bytes, value: bytes) -> None:
        name = name.lower()
        if name in _CHECKED and self._in_head:
            self._check_field(name, value)
        self.headers.append((name, value))

    def on_headers_complete(self) -> None:
        if self._head_bytes > HEAD_BYTES and self._head_size() > HEAD_BYTES:
            raise head_too_large(in_target=len(self.url) > HEAD_BYTES)
        if len(self.headers) > HEAD_FIELDS:
            raise RefusedRequest(431, f"The request has more than {HEAD_FIELDS} header fields")
        if self.parser.should_upgrade():
            if self.parser.get_method() == b"CONNECT":
                raise RefusedRequest(501, "CONNECT is not supported")
            return  # protocols are not changed: see _without_upgrade
        if self._hosts != 1 or self._codings > 1:
            check_counts(self._hosts, self._codings, self.parser.get_http_version())
        if self.url[:1] != b"/" or b"#" in self.url:
            self.url = plain_target(self.url)
        if self._seat.reserved and self.url.partition(b"?")[0] not in self._health:
            raise RefusedRequest(503, "All connections are in use; try again later")
        super().on_headers_complete()
        self._in_head = False
        self._hosts = self._codings = 0
        self._head_bytes = self._body_bytes = self._framing_bytes = self._bodiless_bytes = 0
        self._trailers.clear()
        self.headers = self._trailers
        if self._seat.reserved or self._seats.is_ending:
            self.cycle.keep_alive = False

    def on_body(self, body: bytes) -> None:
        cycle = self.cycle
        self._body_bytes += len(body)
        self._framing_bytes -= len(body)
        self._bodiless_bytes = 0
        if not cycle.response_complete:
            cycle.body += body
            if len(cycle.body) > HIGH_WATER_LIMIT:
                self.flow.pause_reading()
            cycle.message_event.set()

    def on_message_complete(self) -> None:
        if not self._in_head:  # otherwise it is an upgrade request
            self._in_head = True
            if not self.cycle.response_complete:
                self.cycle.more_body = False
                self.cycle.message_event.set()

    # Called at the end of a request.

    def on_response_complete(self) -> None:
        self.server_state.total_requests += 1
        self._closing = self._closing or self.transport.is_closing()
        behind = self.pipeline or self._refused or self._held or self.flow.read_paused
        if behind and not self._closing and not self.flow.write_paused:
            self._go_on()
        self._settle()

    def _go_on(self) -> None:
        """Continue with the data behind the last answered request."""
        if self.pipeline:
            self._start_asgi_task(*self.pipeline.pop())
        elif self._refused:
            self._end(self._refused)
        self.flow.resume_reading()
        if self._held:
            self._parse_held()

    def _settle(self) -> None:
        """Report the current phase to the seats."""
        if self._closing or self.flow.write_paused:
            phase = UNREAD
        elif self._deaf:
            phase = LEAVING
        elif (cycle := self.cycle) is not None and not cycle.response_complete and not self._answered:
            phase = BUSY
        elif self._head_bytes or not self._in_head or self.headers is not self._trailers:
            phase = PARTIAL
        else:
            phase = IDLE if self.cycle else NEW
        if phase is not self._seat.phase:
            self._seats.move(self._seat, phase, self.loop.time())
            if phase is UNREAD:
                self._count_unread()

    def _count_unread(self) -> None:
        for seat in self._seats.count_unread(self._seat, self.unread(), self.loop.time()):
            if seat.holder is not None:
                seat.holder.evict()

    @property
    def is_answering(self) -> bool:
        return self.cycle is not None and not self.cycle.response_complete

    def _must_wait(self) -> bool:
        """Whether the next request must wait: an earlier answer is not complete, or not read."""
        return self._in_head and (self.flow.write_paused or self.is_answering)

    def _hold(self, data: bytes) -> None:
        self._held = self._held[self._held_from :] + data
        self._held_from = 0
        self.flow.pause_reading()
        if self._seat.phase is UNREAD:
            self._count_unread()

    def _drop_held(self) -> None:
        self._held = b""
        self._held_from = 0

    def _parse_held(self) -> None:
        data = self._held
        while self._held_from < len(data) and not (self.pipeline or self._must_wait()):
            start = self._held_from
            end = self._held_from = piece_end(data, start, self._body_left())
            self._parse(data[start:end])
            if self._deaf or self._refused:
                return
        if self._held_from < len(data):
            self.flow.pause_reading()
        else:
            self._drop_held()

    def _body_left(self) -> int | None:
        """Octets missing of the body that is being read; None for a chunked one."""
        if self._in_head:
            return 0
        for name, value in self.scope["headers"]:
            if name == b"content-length":
                return int(value) - self._body_bytes
        return None

    def _parse(self, data: bytes) -> None:
        in_head = self._in_head
        if in_head:
            self._head_bytes += len(data)
        else:
            self._framing_bytes += len(data)
            self._bodiless_bytes += len(data)
        try:
            self.parser.feed_data(data)
        except httptools.HttpParserUpgrade as upgrade:
            self._parse(self._without_upgrade() + data[upgrade.args[0] :])
        except httptools.HttpParserError as error:
            self._refuse(reason(error))
        else:
            if self._in_head:
                if self._head_bytes > HEAD_BYTES:
                    self._refuse(head_too_large(in_target=not self.headers and self._head_size() > HEAD_BYTES))
                return
            if in_head:  # the application has not started yet: it runs in a task
                self.scope["extensions"] = self._extensions
            if self._bodiless_bytes > FRAMING_BYTES or self._framing_bytes > FRAMING_BYTES + self._body_bytes:
                self._refuse(RefusedRequest(400, "The body is in chunks that carry too little"))

    def _head_size(self) -> int:
        return len(self.url) + sum(len(name) + len(value) for name, value in self.headers)

    def _check_field(self, name: bytes, value: bytes) -> None:
        if name == b"host":
            self._hosts += 1
            if not is_host(value):
                raise RefusedRequest(400, "The Host header is no host")
        elif name == b"transfer-encoding":
            self._codings += 1
            if value.strip().lower() != b"chunked":
                raise RefusedRequest(501, "Of transfer codings, only chunked is known")
        elif value.lower() == b"100-continue":
            self.expect_100_continue = True

    def _without_upgrade(self) -> bytes:
        """The head that was just read, without its Upgrade field: only this protocol is supported, and the request is
        handled as it is (RFC 9110 §7.8). The old parser would not read its body, so a new one reads it."""
        head = head_without_upgrade(self.parser, self.url, self.headers)
        self.parser = httptools.HttpRequestParser(self)
        self.parser.set_dangerous_leniencies(lenient_data_after_close=True)
        self._head_bytes = self._hosts = self._codings = 0
        return head

    def _refuse(self, refused: RefusedRequest) -> None:
        """Refuse the rest of this connection, which cannot be parsed."""
        self._drop_held()
        if self._in_head:
            if self.is_answering:  # an earlier request is in progress
                self._refused = refused
                self.flow.pause_reading()
            else:
                self._end(refused)
        elif self.pipeline:
            self._refused = refused
            self.pipeline.popleft()  # the newest, which has this body; the others are answered first
        elif self.cycle.response_started:
            self._closing = True
            self.transport.close()
        else:
            self.cycle.disconnected = True
            self.cycle.message_event.set()
            self._end(refused)

    def _end(self, refused: RefusedRequest) -> None:
        """Send the last answer, then keep the connection for a moment: a client that is still sending would get a
        connection reset instead of the answer (RFC 9112 §9.6)."""
        log.debug("refused client=%s status=%d reason=%s", self._seat.address, refused.status, refused.detail)
        self._deaf = True
        self.transport.write(refused.response(self.server_state.default_headers))
        if self.transport.can_write_eof():
            self.transport.write_eof()
        self.flow.resume_reading()
        self._settle()

    def _overhear(self, bytes_: int) -> None:
        self._overheard += bytes_
        if self._deaf and self._overheard > OVERHEARD_BYTES:
            self.transport.abort()
