"""Settling: what came of posts is written to the journal, many posts in one transaction.

While the journal is away, it is kept in memory, which is bounded: lines get no new bundles before theirs are settled.
"""

import asyncio
import logging
from collections.abc import Callable, Sequence

from cluster.events import WebhookDisabled
from cluster.journal.journal import Journal, Unavailable
from cluster.journal.webhook_posting import BundleEnded, PostEnded
from cluster.metrics import Counter, Gauge
from cluster.policy.webhooks.failing import Health
from cluster.tasks import Tasks

log = logging.getLogger(__name__)

GATHER_S = 0.02
"""From the first of what is settled together to its transaction."""
MOST_TOGETHER = 500
RETRY_S = 1.0
STOP_S = 3.0

OnSettled = Callable[[str, Health | None, int], None]
"""Takes an endpoint's id, how it is now (None: it was removed), and how many of its failures were settled."""


class Settler:
    """Call ``start`` and ``stop`` once each."""

    settled = Counter("postray_webhook_posts_settled_total", "Posts whose outcome the journal has.")
    disabled = Counter("postray_webhooks_disabled_total", "Endpoints that were disabled because they failed.")
    waiting = Gauge(
        "postray_webhook_posts_unsettled", "Posts whose outcome waits for the journal.", lambda self: len(self._posts)
    )

    def __init__(
        self, journal: Journal, on_settled: OnSettled, *, schedule_s: Sequence[float], tells: bool, tasks: Tasks
    ) -> None:
        self._journal = journal
        self._on_settled = on_settled
        self._schedule_s = schedule_s
        self._tells = tells
        self._tasks = tasks
        self._life = 0
        self._posts: list[PostEnded] = []
        self._bundles: list[BundleEnded] = []
        self._changed = asyncio.Event()
        self._stopping = False
        self._running: asyncio.Task[None] | None = None
        self.last_error: str | None = None
        """Why the journal does not take what there is; None when it does."""

    def start(self, life: int) -> None:
        self._life = life
        self._running = self._tasks.spawn("settling", self._run())

    async def stop(self) -> None:
        """Settle what there is; give up after ``STOP_S``."""
        self._stopping = True
        self._changed.set()
        if self._running is not None:
            await asyncio.wait({self._running}, timeout=STOP_S)

    def add(self, post: PostEnded | None, bundles: Sequence[BundleEnded]) -> None:
        """Settle a post, and bundles that ended, soon."""
        if post is not None:
            self._posts.append(post)
        self._bundles += bundles
        if self._posts or self._bundles:
            self._changed.set()

    async def _run(self) -> None:
        while True:
            await self._changed.wait()
            if not self._stopping:
                await asyncio.sleep(GATHER_S)
            if not await self._settle():
                if self._stopping:
                    return
                await asyncio.sleep(RETRY_S)
            elif not (self._posts or self._bundles):
                self._changed.clear()
                if self._stopping:
                    return

    async def _settle(self) -> bool:
        """Settle some; returns whether the journal took it."""
        posts, bundles = self._posts[:MOST_TOGETHER], self._bundles[:MOST_TOGETHER]
        try:
            settled = await self._journal.webhook_posting.settle(
                self._life, posts, bundles, schedule_s=self._schedule_s, tells=self._tells
            )
        except Unavailable as error:
            if self.last_error is None:
                log.warning("settling waits reason=%r", error.reason)
            self.last_error = error.reason
            return False
        self.last_error = None
        del self._posts[: len(posts)]
        del self._bundles[: len(bundles)]
        self.settled += len(posts)
        for event in settled.disabled:
            self._disabled(event)
        failures: dict[str, int] = {}
        for post in posts:
            failures[post.webhook_id] = failures.get(post.webhook_id, 0) + (not post.result.is_taken)
        for webhook_id, count in failures.items():
            self._on_settled(webhook_id, settled.healths.get(webhook_id), count)
        return True

    def _disabled(self, event: WebhookDisabled) -> None:
        self.disabled += 1
        log.warning(
            "webhook disabled webhook=%s tenant=%s url=%s reason=%r",
            event.webhook_id,
            event.tenant_id,
            event.url,
            event.reason,
        )
