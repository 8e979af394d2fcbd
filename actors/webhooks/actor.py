"""The actor of webhooks: its parts, started and stopped together."""

from actors.webhooks.fanning_out import FanningOut
from cluster import metrics
from cluster.metrics import Reading
from cluster.webhooks.known import KnownEndpoints


class WebhooksActor:
    """Call ``start`` and ``stop`` once each."""

    def __init__(self, known: KnownEndpoints, fanning_out: FanningOut) -> None:
        self.known = known
        self.fanning_out = fanning_out

    async def start(self) -> None:
        """Begin to read the event log."""
        await self.fanning_out.start()

    async def stop(self) -> None:
        """Read what the log has now, then end."""
        await self.fanning_out.stop()

    async def problem(self) -> str | None:
        """Why events are not taken from the log; None if all is well."""
        return self.fanning_out.problem()

    async def metrics(self) -> list[Reading]:
        return metrics.read(self)
