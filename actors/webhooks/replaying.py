"""Replaying: events of the past become owed again, page by page, to the endpoints that asked for them."""

import asyncio
import logging

from msgspec.structs import asdict

from analytics.client import ClickHouseUnavailable
from analytics.feed import MOST, FeedFilter, FeedPage
from cluster.journal.journal import Journal, Unavailable
from cluster.journal.webhook_owing import NewBundle
from cluster.journal.webhook_replays import PendingReplay
from cluster.metrics import Counter
from cluster.peers import Call, PeerGone
from cluster.tasks import Tasks
from cluster.webhooks.bundles import OwedEvent, bundled
from cluster.webhooks.endpoints import Endpoint
from cluster.webhooks.known import KnownEndpoints
from cluster.webhooks.owing import owed

log = logging.getLogger(__name__)

LOOK_S = 1.0


class Replaying:
    """Call ``start`` and ``stop`` once each."""

    replayed = Counter("postray_webhook_replayed_total", "Events of the past that became owed again.")

    def __init__(self, journal: Journal, known: KnownEndpoints, call: Call) -> None:
        self._journal = journal
        self._known = known
        self._call = call
        self._tasks = Tasks()

    def start(self) -> None:
        """Begin."""
        self._tasks.spawn("replays", self._run())

    async def stop(self) -> None:
        """End. The journal knows how far each replay is."""
        await self._tasks.stop()

    async def _run(self) -> None:
        while True:
            worked = False
            try:
                worked = await self.round()
            except (Unavailable, PeerGone, ClickHouseUnavailable) as error:
                log.warning("replays wait reason=%r", str(error))
            await asyncio.sleep(0.0 if worked else LOOK_S)

    async def round(self) -> bool:
        """Take each replay one page on; returns whether there was any. Raises Unavailable, PeerGone and
        ClickHouseUnavailable."""
        await self._known.refresh()
        replays = await self._journal.webhook_replays.pending()
        for replay in replays:
            await self._advance(replay)
        return bool(replays)

    async def _advance(self, replay: PendingReplay) -> None:
        wanted = FeedFilter(tenant_id=replay.tenant_id, **asdict(replay.filters))
        page: FeedPage = await self._call("recorder", "feed", wanted, replay.position, MOST)
        endpoint = self._known.by_id.get(replay.webhook_id)
        if endpoint is None:
            return  # removed a moment ago, or added: the next round knows
        some = await self._owed(page, endpoint)
        bundles = [NewBundle(replay.webhook_id, count, encoded) for count, encoded in bundled(some)]
        await self._journal.webhook_replays.advance(replay, bundles, page.position, is_done=not page.is_full)
        self.replayed += len(some)

    async def _owed(self, page: FeedPage, endpoint: Endpoint) -> list[OwedEvent]:
        messages = await self._journal.webhook_owing.messages(one.event for one in page.events)
        return [found for one in page.events for _, found in owed(one.sequence, one.event, messages, (endpoint,))]
