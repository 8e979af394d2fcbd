"""Replaying: events of the past become owed again, page by page, to the endpoints that asked for them."""

import asyncio
import logging
import time
from collections.abc import Callable

import msgspec
from msgspec.structs import asdict

from analytics.client import ClickHouseRejected, ClickHouseUnavailable
from analytics.feed import MOST, FeedFilter, FeedPage
from cluster.journal.journal import Journal, Unavailable
from cluster.journal.webhook_owing import NewBundle
from cluster.journal.webhook_replays import PendingReplay
from cluster.metrics import Counter
from cluster.peers import Call, PeerGone
from cluster.tasks import Tasks
from cluster.webhooks.answer import storable
from cluster.webhooks.bundles import OwedEvent, bundled
from cluster.webhooks.endpoints import Endpoint
from cluster.webhooks.known import KnownEndpoints
from cluster.webhooks.owing import owed

log = logging.getLogger(__name__)

LOOK_S = 1.0
REST_S = 30.0
"""How long a replay rests that failed."""
MOST_TOGETHER = 100
"""Replays that are looked up in one statement."""


class Replaying:
    """Call ``start`` and ``stop`` once each."""

    replayed = Counter("postray_webhook_replayed_total", "Events of the past that became owed again.")

    def __init__(
        self, journal: Journal, known: KnownEndpoints, call: Call, *, clock: Callable[[], float] = time.monotonic
    ) -> None:
        """``clock`` is monotonic, in seconds."""
        self._journal = journal
        self._known = known
        self._call = call
        self._clock = clock
        self._tasks = Tasks()
        self._rest_until: dict[str, float] = {}
        """Of replays that failed, by id."""

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
            except Unavailable as error:
                log.warning("replays wait reason=%r", error.reason)
            await asyncio.sleep(0.0 if worked else LOOK_S)

    async def round(self) -> bool:
        """Take each replay one page on; returns whether one has more pages now. Raises Unavailable."""
        await self._known.refresh()
        if not self._known.by_id:
            return False
        now = self._clock()
        self._rest_until = {id: until for id, until in self._rest_until.items() if until > now}
        after, has_more = "", False
        while replays := await self._journal.webhook_replays.pending(after, MOST_TOGETHER):
            after = replays[-1].id
            for replay in replays:
                if not replay.rests and replay.id not in self._rest_until:
                    has_more |= await self._tried(replay)
        return has_more

    async def _tried(self, replay: PendingReplay) -> bool:
        """Take a replay one page on, whatever becomes of it: others go on. Returns whether it has more now."""
        try:
            return await self._advance(replay)
        except (ValueError, msgspec.MsgspecError, ClickHouseRejected) as error:
            reason = storable(str(error)) or type(error).__name__
            log.error("replay ended replay=%s webhook=%s reason=%r", replay.id, replay.webhook_id, reason)
            await self._journal.webhook_replays.end(replay.id, reason)
        except (Unavailable, PeerGone, ClickHouseUnavailable) as error:
            log.warning("replay waits replay=%s webhook=%s reason=%r", replay.id, replay.webhook_id, str(error))
            self._rest_until[replay.id] = self._clock() + REST_S
        except Exception:
            # A defect, which one replay may trigger.
            log.exception("replay failed replay=%s webhook=%s", replay.id, replay.webhook_id)
            self._rest_until[replay.id] = self._clock() + REST_S
        return False

    async def _advance(self, replay: PendingReplay) -> bool:
        wanted = FeedFilter(tenant_id=replay.tenant_id, **asdict(replay.filters()))
        page: FeedPage = await self._call("recorder", "feed", wanted, replay.position, MOST)
        endpoint = self._known.by_id.get(replay.webhook_id)
        if endpoint is None:
            return False  # removed a moment ago, or added: the next round knows
        some = await self._owed(page, endpoint)
        bundles = [NewBundle(replay.webhook_id, count, encoded) for count, encoded in bundled(some)]
        # The replay was read before the page: what was recorded then is in the page or was in one before it.
        is_done = replay.is_recorded and not page.is_full
        if is_done or page.position != replay.position:
            await self._journal.webhook_replays.advance(replay, bundles, page.position, is_done=is_done)
            self.replayed += len(some)
        return page.is_full

    async def _owed(self, page: FeedPage, endpoint: Endpoint) -> list[OwedEvent]:
        messages = await self._journal.webhook_owing.messages(one.event for one in page.events)
        return [found for one in page.events for _, found in owed(one.sequence, one.event, messages, (endpoint,))]
