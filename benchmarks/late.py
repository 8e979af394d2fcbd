"""Distance: a session whose replies reach the client late, as over a long line.

Latency, not service time: whatever the session says leaves a fixed time after it was said, and what is said meanwhile
is not held up. So the replies to a flight of pipelined commands all come one delay after the flight, and four commands
sent one by one cost four delays. The TLS handshake alone is not late; it is no part of what is measured.
"""

import asyncio
import time
from collections import deque
from collections.abc import Callable

from actors.smtpd.protocol import Service, State
from actors.smtpd.session import Session
from benchmarks.sink_log import Ended


class LateSession(Session):
    """``ended`` is called once, at the connection's end. ``delay_s`` 0: nothing is late."""

    def __init__(self, service: Service, delay_s: float, ended: Callable[[Ended], None]) -> None:
        super().__init__(service)
        self._delay_s = delay_s
        self._ended = ended
        self._late: deque[tuple[asyncio.Transport, bytes]] = deque()
        self._heard_at = self._replied_at = time.time()

    def connection_lost(self, exc: Exception | None) -> None:
        self._ended(
            Ended(
                at=time.time(),
                session=self.number,
                heard_at=self._heard_at,
                replied_at=self._replied_at,
                reset=isinstance(exc, ConnectionError),
            )
        )
        super().connection_lost(exc)

    def _flush(self) -> None:
        if not self._output:
            return
        if not self._delay_s:
            super()._flush()
            self._replied_at = time.time()
        elif self._transport is not None:
            # With its transport: the reply to STARTTLS is due when the transport has long been the encrypted one.
            self._late.append((self._transport, b"".join(self._output)))
            self._output.clear()
            self._loop.call_later(self._delay_s, self._write_late)

    def _write_late(self) -> None:
        # In the order of saying: two timers that are due at once may fire in either.
        transport, output = self._late.popleft()
        if not transport.is_closing():
            transport.write(output)
            self._replied_at = time.time()

    def _close(self) -> None:
        self._flush()
        self.state = State.DEAF
        # Behind the last reply. Where nothing is late, at once.
        if self._delay_s:
            self._loop.call_later(self._delay_s, super()._close)
        else:
            super()._close()
