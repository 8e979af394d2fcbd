"""uvicorn's protocol with two changes: it limits concurrent requests, and does not write to clients that have gone.

Of pipelined requests, uvicorn notifies only the one read last that the connection is lost.
"""

import asyncio
from collections.abc import Set
from functools import partial
from typing import Any

import uvicorn
from uvicorn.protocols.http.httptools_impl import HttpToolsProtocol, RequestResponseCycle
from uvicorn.server import ServerState

from cluster.http.turns import AT_ONCE, ConnectionTurns


class PacedProtocol(HttpToolsProtocol):
    """A connection whose requests wait for their turn when many are in progress."""

    def __init__(
        self,
        config: uvicorn.Config,
        server_state: ServerState,
        app_state: dict[str, Any],
        loop: asyncio.AbstractEventLoop,
        *,
        address: str,
        turns: ConnectionTurns,
        health: Set[bytes],
    ) -> None:
        """``health``: the paths whose requests do not wait behind others."""
        super().__init__(config, server_state, app_state, loop)
        self._address = address
        self._turns = turns
        self._health = health
        self._under_way: RequestResponseCycle | None = None
        """The request started last. ``cycle`` is the one read last: the same request or the next."""

    def connection_lost(self, exc: Exception | None) -> None:
        self.pipeline.clear()
        if (cycle := self._under_way) is not None and not cycle.response_complete:
            cycle.disconnected = True
            cycle.message_event.set()
        super().connection_lost(exc)

    def _start_asgi_task(self, cycle: RequestResponseCycle, app: Any) -> None:
        self._under_way = cycle
        if len(self.tasks) >= AT_ONCE or self._turns.waiting:
            health = cycle.scope["raw_path"] in self._health
            self._turns.wait(self._address, partial(self._start_later, cycle, app), health=health)
        else:
            super()._start_asgi_task(cycle, app)

    def _start_later(self, cycle: RequestResponseCycle, app: Any) -> None:
        if not cycle.disconnected:
            super()._start_asgi_task(cycle, app)
