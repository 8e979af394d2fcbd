"""Replaying: events of the past become owed again, page by page, to the endpoints that asked for them; and what waits
too long for any endpoint is dropped, and counted."""

import asyncio
import logging
import time

from actors.webhooks.owing import owed
from analytics.client import ClickHouseUnavailable
from analytics.feed import MOST, FeedFilter, FeedPage
from cluster.journal.journal import Journal, Unavailable
from cluster.journal.webhook_owing import NewBundle
from cluster.journal.webhook_replays import PendingReplay
from cluster.metrics import Counter
from cluster.peers import Call, PeerGone
from cluster.settings import WebhookSettings
from cluster.tasks import Tasks
from cluster.webhooks.bundles import OwedEvent, bundled
from cluster.webhooks.endpoints import Endpoint
from cluster.webhooks.known import KnownEndpoints

log = logging.getLogger(__name__)

LOOK_S = 1.0
SWEEP_S = 60.0


class Replaying:
    """Call ``start`` and ``stop`` once each."""

    replayed = Counter("postray_webhook_replayed_total", "Events of the past that became owed again.")
    dropped = Counter("postray_webhook_dropped_total", "Events that were dropped because they waited too long.")

    def __init__(self, journal: Journal, known: KnownEndpoints, call: Call, settings: WebhookSettings) -> None:
        self._journal = journal
        self._known = known
        self._call = call
        self._settings = settings
        self._tasks = Tasks()

    def start(self) -> None:
        """Begin."""
        self._tasks.spawn("replays", self._run())
        self._tasks.spawn("sweep", self._sweep_on())

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
        filters = replay.filters
        wanted = FeedFilter(
            tenant_id=replay.tenant_id,
            first_ms=filters.first_ms,
            last_ms=filters.last_ms,
            events=filters.events,
            message_id=filters.message_id,
        )
        page: FeedPage = await self._call("recorder", "feed", wanted, replay.position, MOST)
        endpoint = self._known.by_id.get(replay.webhook_id)
        if endpoint is None:
            return  # removed a moment ago, or added: the next round knows
        some = await self._owed(page, endpoint)
        bundles = [NewBundle(replay.webhook_id, count, encoded) for count, encoded in bundled(some)]
        await self._journal.webhook_replays.advance(replay, bundles, page.position, is_done=not page.is_full)
        self.replayed += len(some)

    async def _owed(self, page: FeedPage, endpoint: Endpoint) -> list[OwedEvent]:
        events = [one.event for one in page.events]
        messages = await self._journal.webhook_owing.messages(
            dict.fromkeys((event.tenant_id, event.message_id) for event in events)
        )
        return [found for one in page.events for _, found in owed(one.sequence, one.event, messages, (endpoint,))]

    async def _sweep_on(self) -> None:
        while True:
            try:
                await self.sweep()
            except Unavailable as error:
                log.warning("webhooks not swept reason=%r", error.reason)
            await asyncio.sleep(SWEEP_S)

    async def sweep(self) -> None:
        """Drop what waits longer, or is more, than the settings say. Raises Unavailable."""
        part = self._journal.webhook_replays
        began = time.monotonic()
        while late := await part.drop_late(self._settings.keep_h * 3600):
            self._tell(late, "waited too long")
            if time.monotonic() > began + SWEEP_S:
                break
        self._tell(await part.drop_surplus(self._settings.keep_mb * 1024**2), "too many")
        await part.forget()

    def _tell(self, dropped: dict[str, int], reason: str) -> None:
        for webhook_id, count in dropped.items():
            log.warning("webhook events dropped id=%s events=%d reason=%r", webhook_id, count, reason)
            self.dropped += count
