"""Whose query runs next: a bound on those that run, on those that wait, and on those of one tenant."""

import asyncio
from collections import Counter, deque
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager

from analytics.door.failures import ErrorCode, failed


class QueryTurns:
    """Call from one event loop."""

    def __init__(self, running: int, waiting: int) -> None:
        """``running``, ``waiting``: queries at the same time. A tenant always leaves one place to others, where there
        are several."""
        self._most = running
        self._most_of_tenant = max(1, running - 1)
        self._most_waiting = waiting
        self._running = 0
        self._of_tenant: Counter[str] = Counter()
        self._waiting: deque[tuple[str, asyncio.Future[None]]] = deque()

    @property
    def running(self) -> int:
        return self._running

    @asynccontextmanager
    async def turn(self, tenant_id: str) -> AsyncIterator[None]:
        """Wait for a turn and hold it. ``tenant_id``: "" for the operator. Raises QueryFailed when too many wait."""
        if self._may_run(tenant_id):
            self._begin(tenant_id)
        else:
            if len(self._waiting) >= self._most_waiting:
                raise failed(
                    ErrorCode.TOO_MANY_SIMULTANEOUS_QUERIES,
                    f"{self._running} queries run and {len(self._waiting)} wait: try again later",
                )
            place = (tenant_id, asyncio.get_running_loop().create_future())
            self._waiting.append(place)
            try:
                await place[1]
            except asyncio.CancelledError:
                if place in self._waiting:
                    self._waiting.remove(place)
                else:
                    self._end(tenant_id)  # its turn had just come
                raise
        try:
            yield
        finally:
            self._end(tenant_id)

    def _may_run(self, tenant_id: str) -> bool:
        if tenant_id and self._of_tenant[tenant_id] >= self._most_of_tenant:
            return False
        return self._running < self._most

    def _begin(self, tenant_id: str) -> None:
        self._running += 1
        if tenant_id:
            self._of_tenant[tenant_id] += 1

    def _end(self, tenant_id: str) -> None:
        self._running -= 1
        if tenant_id:
            self._of_tenant[tenant_id] -= 1
            if not self._of_tenant[tenant_id]:
                del self._of_tenant[tenant_id]
        for place in list(self._waiting):
            if self._may_run(place[0]):
                self._waiting.remove(place)
                self._begin(place[0])
                place[1].set_result(None)
