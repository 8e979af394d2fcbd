"""One end of a TLS session, for the sink and the load, directly on a plain transport.

Cheaper than the event loop's general layer, which reads each record into a new 256 KB buffer. It owns the session and
its unsent output. It never waits and never parses the content. The receiver of the plain transport's octets passes
them to ``read``.
"""

import asyncio
import ssl
from contextlib import suppress

RECORD_BYTES = 1 << 14
"""The largest content of a record (RFC 8446 §5.1)."""


class DirectTls(asyncio.Transport):
    """Data written here leaves ``plain`` encrypted. Flow control is the plain transport's."""

    def __init__(self, plain: asyncio.Transport, context: ssl.SSLContext, *, server_side: bool = True) -> None:
        super().__init__()
        self.established = False
        self.peer_is_done = False
        """The peer has sent close_notify; it may wait for ours (RFC 8446 §6.1)."""
        self._plain = plain
        self._incoming, self._outgoing = ssl.MemoryBIO(), ssl.MemoryBIO()
        self._object = context.wrap_bio(self._incoming, self._outgoing, server_side=server_side)

    @property
    def version(self) -> str:
        return self._object.version() or ""

    @property
    def cipher(self) -> str:
        return (self._object.cipher() or ("",))[0]

    def read(self, octets: bytes) -> bytes:
        """Decrypt octets from the peer; also continues the handshake, or, without octets, begins it. Raises
        ssl.SSLError."""
        self._incoming.write(octets)
        records = []
        try:
            if not self.established:
                self._object.do_handshake()
                self.established = True
            while self._incoming.pending or self._object.pending():
                records.append(self._object.read(RECORD_BYTES))
        except ssl.SSLWantReadError:
            pass  # the next record is incomplete
        except ssl.SSLZeroReturnError:
            self.peer_is_done = True
        self._send()
        return records[0] if len(records) == 1 else b"".join(records)

    def write(self, data: bytes | bytearray | memoryview) -> None:
        if not self._plain.is_closing():
            self._object.write(data)
            self._send()

    def close(self) -> None:
        if not self._plain.is_closing():
            with suppress(ssl.SSLError):  # do not wait for the peer's close_notify
                self._object.unwrap()
            self._send()
            self._plain.close()

    def abort(self) -> None:
        self._plain.abort()

    def is_closing(self) -> bool:
        return self._plain.is_closing()

    def pause_reading(self) -> None:
        self._plain.pause_reading()

    def resume_reading(self) -> None:
        self._plain.resume_reading()

    def _send(self) -> None:
        if self._outgoing.pending:
            self._plain.write(self._outgoing.read())
