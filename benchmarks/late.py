"""Distance: a session whose replies reach the client late, as over a long line.

This is latency, not service time: each reply leaves a fixed time after it was made, and replies made meanwhile are not
delayed further. So the replies to a flight of pipelined commands all arrive one delay after the flight, and four
commands sent one by one cost four delays. The TLS handshake is not delayed; it is not measured.
"""

import asyncio
import time
from collections import deque
from collections.abc import Callable

from benchmarks.sink_log import ConnectionEnded
from cluster.smtpd.protocol import ServerState, Service
from cluster.smtpd.session import ServerSession


class LateSession(ServerSession):
    """``ended`` is called once, at the connection's end. With ``delay_s`` 0, nothing is late."""

    def __init__(self, service: Service, delay_s: float, ended: Callable[[ConnectionEnded], None]) -> None:
        super().__init__(service)
        self._delay_s = delay_s
        self._ended = ended
        self._late: deque[tuple[asyncio.Transport, bytes]] = deque()
        self._heard_at = self._replied_at = time.time()

    def connection_lost(self, exc: Exception | None) -> None:
        self._ended(
            ConnectionEnded(
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
            # With its transport: when the reply to STARTTLS is due, the transport is already the encrypted one.
            self._late.append((self._transport, b"".join(self._output)))
            self._output.clear()
            self._loop.call_later(self._delay_s, self._write_late)

    def _write_late(self) -> None:
        # In order: two timers that are due at the same time may fire in any order.
        transport, output = self._late.popleft()
        if not transport.is_closing():
            transport.write(output)
            self._replied_at = time.time()

    def _close(self) -> None:
        self._flush()
        self.state = ServerState.DEAF
        # After the last reply; at once without a delay.
        if self._delay_s:
            self._loop.call_later(self._delay_s, super()._close)
        else:
            super()._close()
