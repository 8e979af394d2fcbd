"""One HTTP connection: uvicorn's protocol over llhttp, with bounds on what comes before an application is asked.

Owns the bounds of a request's head and of a body's framing, the order of pipelined requests, and what is answered when
a request cannot be read. Who is connected, and for how long, is ``connections.py``'s. RFC 9112, RFC 6585 §5.
"""

import asyncio
import ipaddress
import logging
import re
from collections.abc import Set
from functools import lru_cache
from typing import Any

import httptools
import uvicorn
from uvicorn.protocols.http.flow_control import HIGH_WATER_LIMIT
from uvicorn.protocols.http.httptools_impl import HttpToolsProtocol
from uvicorn.server import ServerState

from cluster.http.connections import BUSY, IDLE, LEAVING, NEW, PARTIAL, UNREAD, Connections, Seat
from cluster.http.refusals import Refused

log = logging.getLogger(__name__)

LONGEST_HOST = 300
"""A domain name has at most 255 characters (RFC 1035 §2.3.4), and a port follows."""

HEAD_BYTES = 64 * 1024
"""Of a request's head: request line and header fields."""
HEAD_FIELDS = 100
FRAMING_BYTES = 64 * 1024
"""What may stand around a chunked body, beside as much as the body itself: chunk sizes, extensions, trailers."""
BITE = 16 * 1024
"""Parsed at once; after each, requests that came in it are taken up before more are parsed."""
ANSWERED = "postray.answered"
"""ASGI extension; its ``tell`` is called by an application that answers before it has read the body, and reads on."""
ARRIVED = "postray.arrived"
"""ASGI extension; its ``ask`` says whether all of the body is here: the application needs no time limit to read it."""
OVERHEARD_BYTES = 1024 * 1024
"""After a refusal, so much is read and dropped at most."""

_CHECKED = frozenset({b"host", b"transfer-encoding", b"expect"})
_HOST = re.compile(rb"(?:[A-Za-z0-9\-._~%!$&'()*+,;=]*|\[(?P<v6>[0-9A-Fa-f:.]+)\])(?::(?P<port>[0-9]{0,5}))?")
"""RFC 9110 §7.2, RFC 3986 §3.2.2: a name, an address, or an IPv6 address in brackets, and a port."""


class HttpProtocol(HttpToolsProtocol):
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
        health: Set[bytes],
    ) -> None:
        """``health``: the paths that a reserved seat serves."""
        super().__init__(config, server_state, app_state, loop)
        self._seat = seat
        self._seats = connections
        self._health = health
        self._in_head = True
        self._hosts = self._codings = 0
        """Host and Transfer-Encoding fields of the head that is being read."""
        self._trailers: list[tuple[bytes, bytes]] = []
        self.headers = self._trailers
        """Of the head that is being read. Between heads they are those that follow a body: none of the request's (RFC
        9110 §6.5.1), and the application has the list of its head as it is."""
        self._head_bytes = 0
        """Of the head that is being read, and at most as much again of what came with it."""
        self._body_bytes = 0
        self._framing_bytes = 0
        """What came of a body's message beside it, and of this at the end, without a byte of the body between."""
        self._bodiless_bytes = 0
        self._held = b""
        """What came behind requests that have to be answered first."""
        self._refused: Refused | None = None
        """What is answered to the next request, and for the last time."""
        self._deaf = False
        self._answered = False
        """The last answer is out, and what still comes of the request's body is dropped."""
        self._closing = False
        self._overheard = 0
        self._unread = 0
        """What the client had not read when it was last looked at."""
        self._extensions: dict[str, dict[object, object]] = {
            ANSWERED: {"tell": self.answered},
            ARRIVED: {"ask": self.arrived},
        }
        """Of each request; dropped at the end, since it leads back here."""
        seat.holder = self

    # What the transport tells.

    def connection_made(self, transport: asyncio.Transport) -> None:  # type: ignore[override]
        super().connection_made(transport)
        if self._deaf:
            transport.abort()  # the place was needed meanwhile

    def data_received(self, data: bytes) -> None:
        if self._deaf or self._refused:
            self._overhear(len(data))
            return
        if self._held or self.pipeline:
            self._held += data
            self.flow.pause_reading()
        elif len(data) <= BITE:
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
        self._held = b""
        self._extensions = {}
        super().connection_lost(exc)

    def pause_writing(self) -> None:
        super().pause_writing()
        self._settle()

    def resume_writing(self) -> None:
        super().resume_writing()
        self._settle()

    # What the seats tell.

    def evict(self) -> None:
        self._deaf = True
        if self.transport is not None:
            self.transport.abort()

    def expire(self) -> None:
        left = self.transport.get_write_buffer_size()
        if self._seat.phase is PARTIAL and self._in_head and not left:
            self._end(Refused(408, "The request's head did not come in time"))
        elif self._seat.phase is UNREAD and left < self._unread:
            self._seats.move(self._seat, BUSY, self.loop.time())  # it has moved on: a new time limit
            self._settle()
        elif left:
            self.transport.abort()
        else:
            self.transport.close()

    # What the application tells.

    def answered(self) -> None:
        """The answer is out, if not at its end, and the connection stays only for its client to find it: the place may
        be needed."""
        self._answered = True
        self._settle()

    def arrived(self) -> bool:
        """Whether the newest request is here to its end, and so are those before it."""
        return self._in_head

    # What the parser tells.

    def on_header(self, name: bytes, value: bytes) -> None:
        name = name.lower()
        if name in _CHECKED and self._in_head:
            self._check_field(name, value)
        self.headers.append((name, value))

    def on_headers_complete(self) -> None:
        if self._head_bytes > HEAD_BYTES and self._head_size() > HEAD_BYTES:
            raise _head_too_large(in_target=len(self.url) > HEAD_BYTES)
        if len(self.headers) > HEAD_FIELDS:
            raise Refused(431, f"The request has more than {HEAD_FIELDS} header fields")
        if self.parser.should_upgrade():
            if self.parser.get_method() == b"CONNECT":
                raise Refused(501, "CONNECT is not supported")
            return  # no protocol is changed to: see _without_upgrade
        if self._hosts != 1 or self._codings > 1:
            self._check_counts()
        if self.url[:1] != b"/" or b"#" in self.url or self._seat.reserved:
            self._check_target()
        super().on_headers_complete()
        self._in_head = False
        self._hosts = self._codings = 0
        self._head_bytes = self._body_bytes = self._framing_bytes = self._bodiless_bytes = 0
        self._trailers.clear()
        self.headers = self._trailers
        if self._seat.reserved:
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
        if not self._in_head:  # else it is a request to upgrade
            self._in_head = True
            if not self.cycle.response_complete:
                self.cycle.more_body = False
                self.cycle.message_event.set()

    # What a request's end tells.

    def on_response_complete(self) -> None:
        self.server_state.total_requests += 1
        self._closing = self._closing or self.transport.is_closing()
        if not self._closing:
            if self.pipeline:
                self._start_asgi_task(*self.pipeline.pop())
            elif self._refused:
                self._end(self._refused)
            if not self.pipeline:
                if self.flow.read_paused:
                    self.flow.resume_reading()
                if self._held:
                    self._parse_held()
        self._settle()

    def _settle(self) -> None:
        """Tell the seats which phase this is."""
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
                self._unread = self.transport.get_write_buffer_size()

    def _answering(self) -> bool:
        return self.cycle is not None and not self.cycle.response_complete

    def _parse_held(self) -> None:
        data, self._held = self._held, b""
        position = 0
        while position < len(data) and not (self.pipeline or self._deaf or self._refused):
            self._parse(data[position : position + BITE])
            position += BITE
        if position < len(data) and not (self._deaf or self._refused):
            self._held = data[position:]
            self.flow.pause_reading()

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
            self._refuse(_reason(error))
        else:
            if self._in_head:
                if self._head_bytes > HEAD_BYTES:
                    self._refuse(_head_too_large(in_target=not self.headers and self._head_size() > HEAD_BYTES))
                return
            if in_head:  # the application has not begun: it runs in a task
                self.scope["extensions"] = self._extensions
            if self._bodiless_bytes > FRAMING_BYTES or self._framing_bytes > FRAMING_BYTES + self._body_bytes:
                self._refuse(Refused(400, "The body is in chunks that carry too little"))

    def _head_size(self) -> int:
        return len(self.url) + sum(len(name) + len(value) for name, value in self.headers)

    def _check_field(self, name: bytes, value: bytes) -> None:
        if name == b"host":
            self._hosts += 1
            if not is_host(value):
                raise Refused(400, "The Host header is no host")
        elif name == b"transfer-encoding":
            self._codings += 1
            if value.strip().lower() != b"chunked":
                raise Refused(501, "Of transfer codings, only chunked is known")
        elif value.lower() == b"100-continue":
            self.expect_100_continue = True

    def _check_counts(self) -> None:
        """RFC 9112 §3.2 (Host) and §6.1 (Transfer-Encoding)."""
        if self._hosts > 1 or (not self._hosts and self.parser.get_http_version() != "1.0"):
            raise Refused(400, "The request needs one Host header")
        if self._codings > 1:
            raise Refused(400, "The request has more than one Transfer-Encoding header")

    def _check_target(self) -> None:
        """RFC 9112 §3.2; of an absolute one, path and query are left."""
        if b"#" in self.url:
            raise Refused(400, "The request's target has a fragment")
        if self.url[:1] != b"/" and self.url != b"*":
            target = httptools.parse_url(self.url)
            self.url = (target.path or b"/") + (b"?" + target.query if target.query else b"")
        if self._seat.reserved and self.url.partition(b"?")[0] not in self._health:
            raise Refused(503, "All connections are in use; try again later")

    def _without_upgrade(self) -> bytes:
        """The head that was just read, without its wish to change protocols: no other is spoken here, and the request
        counts as it is (RFC 9110 §7.8). The parser would not read its body, so a new one reads it."""
        version = self.parser.get_http_version().encode()
        lines = [b"%s %s HTTP/%s" % (self.parser.get_method(), self.url, version)]
        lines += [b"%s: %s" % field for field in self.headers if field[0] != b"upgrade"]
        self.parser = httptools.HttpRequestParser(self)
        self.parser.set_dangerous_leniencies(lenient_data_after_close=True)
        self._head_bytes = self._hosts = self._codings = 0
        return b"\r\n".join(lines) + b"\r\n\r\n"

    def _refuse(self, refused: Refused) -> None:
        """No more of this connection can be understood."""
        self._held = b""
        if self._in_head:
            if self._answering():  # an earlier request
                self._refused = refused
                self.flow.pause_reading()
            else:
                self._end(refused)
        elif self.pipeline:
            self._refused = refused
            self.pipeline.popleft()  # the newest, whose body this is; the others are answered first
        elif self.cycle.response_started:
            self._closing = True
            self.transport.close()
        else:
            self.cycle.disconnected = True
            self.cycle.message_event.set()
            self._end(refused)

    def _end(self, refused: Refused) -> None:
        """Answer for the last time, then stay for a moment: a client that still sends would meet a reset connection in
        place of the answer (RFC 9112 §9.6)."""
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


def _head_too_large(*, in_target: bool) -> Refused:
    if in_target:
        return Refused(414, "The request's target is too long")
    return Refused(431, f"The request's head is larger than {HEAD_BYTES // 1024} KB")


def _reason(error: httptools.HttpParserError) -> Refused:
    cause = error.__context__
    if isinstance(cause, Refused):
        return cause
    if isinstance(error, httptools.HttpParserCallbackError) and not isinstance(cause, httptools.HttpParserError):
        log.error("unexpected", exc_info=cause or error)
        return Refused(500, "Internal error")
    return Refused(400, f"This is no HTTP request: {cause or error}")


def is_host(value: bytes) -> bool:
    """Whether it can be a Host header's value."""
    return len(value) <= LONGEST_HOST and _is_host(value)


@lru_cache(maxsize=1024)
def _is_host(value: bytes) -> bool:
    match = _HOST.fullmatch(value)
    if match is None or int(match["port"] or 0) > 65535:
        return False
    if match["v6"] is None:
        return True
    try:
        ipaddress.IPv6Address(match["v6"].decode())
    except ValueError:
        return False
    return True
