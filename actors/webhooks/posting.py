"""Posting: what endpoints are owed is leased from the journal, posted, and settled.

One loop leases, for many endpoints in one statement; each post is a task. An endpoint that hangs holds its own posts
only: what is leased is bounded for each endpoint and in all, but each endpoint may always have one post.
"""

import asyncio
import logging
import time
from collections.abc import Callable, Mapping, Sequence
from datetime import UTC, datetime

import msgspec
from msgspec.structs import replace

from actors.webhooks.halving import not_taken, posted_in_parts
from actors.webhooks.lines import HeldBundle, Line, Parcel
from actors.webhooks.poster import Posted, Poster
from actors.webhooks.settling import Settler
from cluster.journal.journal import Journal, Unavailable
from cluster.journal.webhook_posting import Ask, BundleEnded, LeasedBundle, PostEnded
from cluster.metrics import Counters, Gauge, Histogram
from cluster.policy.webhooks.failing import Health, counting, due_again
from cluster.settings import WebhookSettings
from cluster.tasks import Tasks
from cluster.webhooks.bundles import MOST_EVENTS
from cluster.webhooks.endpoints import Endpoint
from cluster.webhooks.known import KnownEndpoints

log = logging.getLogger(__name__)

LOOK_S = 1.0
"""Between two looks for what is due of any endpoint: after a failed post, a pause, or a change of an endpoint. New
events are told of (``wake``)."""
PAUSE_S = 0.01
"""Between two leases, so that one is for many endpoints."""
GATHER_S = 0.5
"""For an array, from its first event."""
MOST_LEASED_BYTES = 64 * 1024 * 1024
MOST_POSTS = 1000
"""At the same time, to all endpoints; beyond it an endpoint gets its first post only."""
LONGEST_HELD_S = 60.0
"""How long a bundle is worked at; then what is left of it goes back."""
IDLE_S = 60.0
"""How long the connections of an endpoint are kept without a post."""
STOP_S = 2.0
"""How long a stop waits for answers."""


class Posting:
    """Call ``start`` and ``stop`` once each."""

    posts = Counters("postray_webhook_posts_total", "Posts to endpoints.", "outcome", ("taken", "failed"))
    events = Counters("postray_webhook_events_total", "Events in these posts.", "outcome", ("taken", "failed"))
    seconds = Histogram(
        "postray_webhook_post_seconds", "Time from a post to its answer.", (0.01, 0.05, 0.1, 0.5, 1, 5, 30)
    )
    running = Gauge("postray_webhook_posts_running", "Posts under way.", lambda self: self._running)
    leased = Gauge("postray_webhook_leased_bytes", "Memory of what is leased.", lambda self: self._held_bytes())

    def __init__(
        self,
        journal: Journal,
        known: KnownEndpoints,
        poster: Poster,
        settings: WebhookSettings,
        *,
        random: Callable[[], float],
        clock: Callable[[], float] = time.monotonic,
    ) -> None:
        """``random`` returns 0 <= n < 1. ``clock`` is monotonic, in seconds."""
        self._journal = journal
        self._known = known
        self._poster = poster
        self._settings = settings
        self._random = random
        self._clock = clock
        self._tasks = Tasks()
        self.settler = Settler(
            journal,
            self._on_settled,
            schedule_s=settings.retry_schedule_s,
            tells=bool(settings.notices_from),
            tasks=self._tasks,
        )
        self._lease_s = LONGEST_HELD_S + 2 * settings.timeout_s + 30.0
        self._life = 0
        self._lines: dict[str, Line] = {}
        self._look_at: dict[str, float] = {}
        """When to lease for an endpoint."""
        self._coming: dict[str, int] = {}
        """Events that were told of since the last lease, of endpoints that get arrays."""
        self._running = 0
        self._woken = asyncio.Event()
        self._stopping = False
        self.last_error: str | None = None

    async def start(self) -> None:
        """Begin to post. Raises Unavailable."""
        self._life = await self._journal.webhook_posting.begin_life()
        self.settler.start(self._life)
        self._tasks.spawn("posting", self._run())

    async def stop(self) -> None:
        """Post nothing more, wait a little for answers, and give back what is left."""
        self._stopping = True
        for line in self._lines.values():
            self.settler.add(None, line.give_back())
        until = self._clock() + STOP_S
        while self._running and self._clock() < until:
            await asyncio.sleep(0.01)
        await self.settler.stop()
        await self._tasks.stop()
        await self._poster.close()

    def problem(self) -> str | None:
        """Why nothing is posted or settled."""
        return self.last_error or self.settler.last_error

    def wake(self, owed: Mapping[str, int]) -> None:
        """Endpoints are owed so many new events each, which the journal has."""
        now = self._clock()
        for webhook_id, count in owed.items():
            endpoint = self._known.by_id.get(webhook_id)
            if endpoint is None:
                continue
            at = now
            if endpoint.is_array:
                coming = self._coming[webhook_id] = self._coming.get(webhook_id, 0) + count
                at = now + (GATHER_S if coming < MOST_EVENTS else 0.0)
            self._look(webhook_id, at)

    # Leasing

    async def _run(self) -> None:
        look_at = 0.0
        while not self._stopping:
            now = self._clock()
            try:
                if now >= look_at:
                    look_at = now + LOOK_S
                    await self._look_everywhere(now)
                await self._lease(now)
                self.last_error = None
            except Unavailable as error:
                if self.last_error is None:
                    log.warning("posting waits reason=%r", error.reason)
                self.last_error = error.reason
                await asyncio.sleep(LOOK_S)
            await asyncio.sleep(PAUSE_S)
            self._woken.clear()
            wait_s = min([look_at, *self._look_at.values()]) - self._clock()
            if wait_s > 0:
                try:
                    async with asyncio.timeout(wait_s):
                        await self._woken.wait()
                except TimeoutError:
                    pass

    async def _look_everywhere(self, now: float) -> None:
        await self._known.refresh()
        owed = await self._journal.webhook_posting.owed() if self._known.by_id else ()
        for webhook_id in owed:
            if webhook_id not in self._coming:
                self._look_at[webhook_id] = now
        for line in list(self._lines.values()):
            self.settler.add(None, line.give_back(before=now - LONGEST_HELD_S))
            if line.is_idle and now - line.used_at > IDLE_S:
                del self._lines[line.webhook_id]
                self._tasks.spawn("closing", self._poster.forget(line.webhook_id))
            else:
                self._fill(line)

    async def _lease(self, now: float) -> None:
        room = MOST_LEASED_BYTES - self._held_bytes()
        asked: dict[str, Ask] = {}
        for webhook_id in [id for id, at in self._look_at.items() if at <= now]:
            del self._look_at[webhook_id]
            self._coming.pop(webhook_id, None)
            endpoint = self._known.by_id.get(webhook_id)
            if endpoint is None:
                continue
            line = self._lines.get(webhook_id)
            if line is None:
                line = self._lines[webhook_id] = Line(webhook_id, now)
            if line.is_idle:
                line.is_array = endpoint.is_array
            line.has_more = True
            ask = line.ask(is_short=room <= 0)
            if ask is not None:
                asked[webhook_id] = ask
        if not asked:
            return
        share = max(room // len(asked), 1)
        asked = {webhook_id: replace(ask, bytes=min(ask.bytes, share)) for webhook_id, ask in asked.items()}
        try:
            leased = await self._journal.webhook_posting.lease(self._life, asked, self._lease_s)
        except Unavailable:
            for webhook_id in asked:
                self._look(webhook_id, now)
            raise
        self._queue(leased, asked)

    def _queue(self, leased: list[LeasedBundle], asked: Mapping[str, Ask]) -> None:
        now = self._clock()
        events, sizes = dict.fromkeys(asked, 0), dict.fromkeys(asked, 0)
        for bundle in leased:
            line = self._lines[bundle.webhook_id]
            events[bundle.webhook_id] += bundle.count
            sizes[bundle.webhook_id] += len(bundle.events)
            try:
                line.add(bundle, now)
            except msgspec.DecodeError:
                log.exception("a bundle cannot be read webhook=%s bundle=%d", bundle.webhook_id, bundle.id)
                self.settler.add(None, [BundleEnded(webhook_id=bundle.webhook_id, id=bundle.id)])
        for webhook_id, ask in asked.items():
            line = self._lines[webhook_id]
            line.has_more = events[webhook_id] >= ask.events or sizes[webhook_id] >= ask.bytes
            if self._stopping:
                self.settler.add(None, line.give_back())
            else:
                self._fill(line)

    def _look(self, webhook_id: str, at: float) -> None:
        if at < self._look_at.get(webhook_id, float("inf")):
            self._look_at[webhook_id] = at
        self._woken.set()

    def _held_bytes(self) -> int:
        return sum([line.held_bytes for line in self._lines.values()])

    # Posting

    def _fill(self, line: Line) -> None:
        """Start the posts that the line may have now."""
        endpoint = self._known.by_id.get(line.webhook_id)
        if endpoint is None or self._stopping or not _may_post(line, endpoint):
            self.settler.add(None, line.give_back())
            return
        while (self._running < MOST_POSTS or not line.running) and (parcel := line.take()) is not None:
            self._running += 1
            self._tasks.spawn("post", self._post(line, endpoint, parcel))
        if line.has_more and line.ask(is_short=False) is not None:
            self._look(line.webhook_id, self._clock())

    async def _post(self, line: Line, endpoint: Endpoint, parcel: Parcel) -> None:
        async def post(events: Sequence[tuple[HeldBundle, msgspec.Raw]]) -> Posted:
            return await self._poster.post(endpoint, [event for _, event in events], parcel.attempt)

        try:
            parts = await posted_in_parts(parcel.events, post, self._clock)
        finally:
            self._running -= 1
        for part in parts:
            outcome = "taken" if part.posted.answer.result.is_taken else "failed"
            self.posts[outcome] += 1
            self.events[outcome] += len(part.events)
            self.seconds.observe(part.posted.answer.duration_ms / 1000)
        results, now, jitter = [part.posted.answer.result for part in parts], self._clock(), self._random()
        due_at = due_again(results[-1], parcel.attempt, self._settings.retry_schedule_s, jitter)
        failures = sum([not result.is_taken for result in results])
        ended = line.ended(parcel, failed=not_taken(parts), failures=failures, due_at=due_at, now=now)
        for part, counts in zip(parts, counting(results), strict=True):
            ended_post = PostEnded(
                webhook_id=line.webhook_id,
                result=part.posted.answer.result,
                events=len(part.events),
                rate=line.rate(now),
                attempt=part.posted.attempt,
                jitter=jitter,
                version=endpoint.updated_at,
                counts=counts,
            )
            self.settler.add(ended_post, ended if part is parts[-1] else ())
        self._fill(line)

    def _on_settled(self, webhook_id: str, health: Health | None, failures: int) -> None:
        line = self._lines.get(webhook_id)
        if line is not None:
            line.settled(health, failures)
            self._fill(line)


def _may_post(line: Line, endpoint: Endpoint) -> bool:
    return (
        endpoint.is_enabled
        and not endpoint.is_paused
        and endpoint.is_array == line.is_array
        and line.health.is_open(datetime.now(UTC))
    )
