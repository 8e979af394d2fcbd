"""The actor that answers GET /metrics at ``metrics.bind``, one on each node."""

import logging

from cluster import metrics
from cluster.http.connections import ConnectionBounds
from cluster.http.server import HttpServer
from cluster.metrics import Reading
from cluster.monitoring.page import Alone, MetricsPage

log = logging.getLogger(__name__)

BOUNDS = ConnectionBounds(connections=64, per_address=64)
"""Some Prometheus servers, and people who look."""


class MetricsServer:
    """Call ``start`` and ``stop`` once each."""

    def __init__(self, bind: str, page: MetricsPage) -> None:
        self._bind = bind
        # A method, and no object with parts: what the page tells of the node is no metric of this actor.
        self._server = HttpServer(Alone(page).serve, BOUNDS)

    async def start(self) -> str:
        """Listen; returns the URL. Raises OSError when the address is not available."""
        url = await self._server.listen(self._bind)
        log.info("listening url=%s", url)
        return url

    async def problem(self) -> str | None:
        return None if self._server.running() else "the server of metrics ended"

    async def metrics(self) -> list[Reading]:
        return metrics.read(self)

    async def stop(self) -> None:
        await self._server.stop()
