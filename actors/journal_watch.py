"""What the journal tells of the whole: how the queue stands, how far the consumers of the event log are, and which
endpoints of webhooks fail.

It is what the cluster has once, so one process looks, the supervisor's: what is told stays true while the process
that would have to act stands still. Every statement takes constant time, whatever waits.
"""

import asyncio
import logging
from collections.abc import Callable, Mapping
from datetime import UTC, datetime
from math import nan

from cluster.journal.journal import Journal, Unavailable
from cluster.journal.queue import QueueAges
from cluster.journal.webhook_posting import FailingEndpoints
from cluster.metrics import Gauge, GaugesByName

log = logging.getLogger(__name__)

LOOK_S = 2.0
OLD_S = 15.0
"""What was seen so long ago is not told any more."""


class JournalWatch:
    """``clock``: monotonic seconds. ``now``: the current time, in UTC."""

    silent = Gauge(
        "postray_journal_silent_seconds",
        "For how long the journal has not answered; looks come every 2 s.",
        lambda watch: watch._clock() - watch._seen_at,
    )
    queued = Gauge(
        "postray_queue_deliveries",
        "Unfinished deliveries; of a long queue some seconds old. NaN when it is not known.",
        lambda watch: watch._of_queue(lambda ages: ages.unfinished),
    )
    oldest = Gauge(
        "postray_queue_oldest_seconds",
        "Age of the oldest unfinished message, scheduled and deferred ones included.",
        lambda watch: watch._of_queue(watch._age_s),
    )
    overdue = Gauge(
        "postray_queue_overdue_seconds",
        "For how long what is due first in the journal has been due, and has not been handed out.",
        lambda watch: watch._of_queue(lambda ages: ages.overdue_s),
    )
    logged = Gauge(
        "postray_event_log_rows",
        "Rows of the event log that are not deleted yet; of a long one some seconds old.",
        lambda watch: watch._logged if watch._is_known() else nan,
    )
    lags = GaugesByName(
        "postray_event_log_lag_seconds",
        "Age of the first row of the event log that a consumer has not passed; 0 when there is none.",
        "consumer",
        lambda watch: watch._lags if watch._is_known() else {},
    )
    endpoints = GaugesByName(
        "postray_webhook_endpoints",
        "Endpoints whose last posts failed, and those that were disabled because they did.",
        "state",
        lambda watch: watch._endpoints(),
    )
    failing = Gauge(
        "postray_webhook_failing_seconds",
        "For how long the endpoint that has failed the longest has failed; disabled ones do not count.",
        lambda watch: watch._failing.longest_s if watch._failing and watch._is_known() else nan,
    )

    def __init__(
        self,
        journal: Journal,
        *,
        clock: Callable[[], float],
        now: Callable[[], datetime] = lambda: datetime.now(UTC),
    ) -> None:
        self._journal = journal
        self._clock = clock
        self._now = now
        self._seen_at = clock()
        self._ages: QueueAges | None = None
        self._logged = 0
        self._lags: Mapping[str, float] = {}
        self._failing: FailingEndpoints | None = None

    async def run(self) -> None:
        """Look until cancelled."""
        while True:
            try:
                await self.look()
            except Unavailable as error:
                log.info("the journal is not looked at reason=%r", error.reason)
            await asyncio.sleep(LOOK_S)

    async def look(self) -> None:
        """Raises Unavailable."""
        ages = await self._journal.queue.ages()
        lags = await self._journal.event_log.lags()
        logged = await self._journal.event_log.size()
        failing = await self._journal.webhook_posting.failing()
        self._ages, self._lags, self._logged, self._failing = ages, lags, logged, failing
        self._seen_at = self._clock()

    def _is_known(self) -> bool:
        return self._ages is not None and self._clock() - self._seen_at < OLD_S

    def _of_queue(self, read: Callable[[QueueAges], float]) -> float:
        return read(self._ages) if self._ages is not None and self._is_known() else nan

    def _age_s(self, ages: QueueAges) -> float:
        return max(0.0, (self._now() - ages.oldest_at).total_seconds()) if ages.oldest_at is not None else 0.0

    def _endpoints(self) -> Mapping[str, float]:
        if self._failing is None or not self._is_known():
            return {}
        return {"failing": self._failing.failing, "disabled": self._failing.disabled}
