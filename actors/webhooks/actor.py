"""The actor of webhooks: its parts, started and stopped together."""

import time

from actors.webhooks.fanning_out import FanningOut
from actors.webhooks.poster import Poster
from actors.webhooks.posting import Posting
from actors.webhooks.replaying import Replaying
from actors.webhooks.sweeping import Sweeping
from actors.webhooks.telling import Telling
from cluster import metrics
from cluster.context import DEGRADED
from cluster.metrics import Reading
from cluster.webhooks.answer import Answer
from cluster.webhooks.endpoints import Endpoint
from cluster.webhooks.examples import example_events
from cluster.webhooks.known import KnownEndpoints


class WebhooksActor:
    """Call ``start`` and ``stop`` once each."""

    def __init__(
        self,
        known: KnownEndpoints,
        fanning_out: FanningOut,
        posting: Posting,
        poster: Poster,
        replaying: Replaying,
        sweeping: Sweeping,
        telling: Telling | None,
    ) -> None:
        """``telling`` is None where owners are not told by mail."""
        self.known = known
        self.fanning_out = fanning_out
        self.posting = posting
        self.telling = telling
        self._poster = poster
        self.replaying = replaying
        self.sweeping = sweeping

    async def start(self) -> None:
        """Begin to read the event log, and to post. Raises Unavailable."""
        await self.posting.start()
        await self.fanning_out.start()
        self.replaying.start()
        self.sweeping.start()
        if self.telling is not None:
            self.telling.start()

    async def stop(self) -> None:
        """Read what the log has now, and settle what was posted; then end."""
        if self.telling is not None:
            await self.telling.stop()
        await self.sweeping.stop()
        await self.replaying.stop()
        await self.fanning_out.stop()
        await self.posting.stop()

    async def problem(self) -> str | None:
        """Why events are not taken from the log, or not posted; None if all is well. Mail needs neither."""
        problem = self.fanning_out.problem() or self.posting.problem()
        return None if problem is None else f"{DEGRADED}webhooks wait: {problem}"

    async def test(self, endpoint: Endpoint) -> Answer:
        """Post an example of each event that an endpoint wants, or one where it takes single events, at once; returns
        what came back. The endpoint need not be stored. Nothing is retried, counted or kept."""
        examples = example_events(endpoint, now=time.time())
        return await self._poster.post_events(endpoint, examples if endpoint.is_array else examples[:1])

    async def metrics(self) -> list[Reading]:
        return metrics.read(self)
