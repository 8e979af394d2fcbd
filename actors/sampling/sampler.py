"""Takes a sample every ten seconds: asks the delivery actors, the supervisor and the journal, and hands the rows on.

Each is asked within a bound of time. One that does not answer is named in the sample, which is taken all the same: the
recorder tells what happened while the journal or an actor was away.
"""

import asyncio
import logging
import time
from collections import deque
from collections.abc import Awaitable, Callable, Mapping, Sequence

from msgspec.structs import replace

from actors.sampling.counting import Key, SiteCounting, site_samples, standings
from actors.sampling.lanes import ParkedCounts
from actors.sampling.whole import WholeCounting, whole_sample
from actors.supervisor import Collected
from analytics.client import ClickHouseRejected, ClickHouseUnavailable
from analytics.samples import Happened, Sample, SiteSample
from cluster.journal.happenings import Happening
from cluster.journal.journal import Journal, Unavailable
from cluster.journal.queue import QueueAges
from cluster.journal.server import ServerBegan
from cluster.metrics import Counter, Gauge
from cluster.peers import Call, PeerGone, call_within
from cluster.policy.limits.estimate import SiteStanding
from cluster.policy.routes.membership import ACTOR_ALIVE_S
from cluster.routing.deliverers import Deliverers
from cluster.routing.site_state import SAMPLED_EVERY_S
from cluster.tasks import Tasks
from cluster.topology import SUPERVISOR

log = logging.getLogger(__name__)

LATE_S = 0.02
"""How long after its time a sample begins. A timer may fire a millisecond early, which is in the interval before."""
MOST_SITES = 2000
"""In a sample."""
KEPT = 7
"""Samples kept in memory: those of the last minute. With 2,000 sites some 10 MB."""
ANSWER_S = 4.0
"""For the sites of a delivery actor."""
METRICS_S = 8.0
"""For the metrics of all actors, which the supervisor collects."""
JOURNAL_S = 4.0
NOTES_KEPT_S = 86_400.0
"""What was noted is in the journal for so long, and the first sample of a process tells of all of it."""
NOTED_AGAIN_S = 60.0
"""What was noted so long before the last sample that was stored is told again: it may have been committed after it."""
MOST_NOTES = 2000
"""In a sample."""
Store = Callable[[Sequence[SiteSample], Sample], Awaitable[None]]
"""Raises ClickHouseUnavailable, ClickHouseRejected."""


class Sampler:
    """Call ``start`` and ``stop`` once each. ``store`` writes to ClickHouse."""

    stored = Counter("postray_samples_total", "Samples of the flight recorder that were stored.")
    dropped = Counter(
        "postray_samples_dropped_total",
        "Samples of the flight recorder that ClickHouse did not take.",
    )
    failed = Counter("postray_samples_failed_total", "Times at which a defect kept the flight recorder from a sample.")
    took = Gauge("postray_sample_seconds", "How long the last sample took to gather.", lambda sampler: sampler._took_s)

    def __init__(
        self,
        journal: Journal,
        call: Call,
        store: Store,
        *,
        now: Callable[[], float] = time.time,
        clock: Callable[[], float] = time.monotonic,
        every_s: int = SAMPLED_EVERY_S,
        most_sites: int = MOST_SITES,
    ) -> None:
        """``now``: seconds since the epoch. ``clock``: monotonic seconds."""
        self._journal = journal
        self._call = call
        self._store = store
        self._now = now
        self._clock = clock
        self._every_s = every_s
        self._most_sites = most_sites
        self._deliverers = Deliverers(journal, call, ANSWER_S)
        self._parked = ParkedCounts(journal.queue_control, clock)
        self._sites = SiteCounting()
        self._whole = WholeCounting()
        self._names: list[str] = []
        self._suspended: frozenset[str] = frozenset()
        self._last_at: float | None = None
        self._noted_until: float | None = None
        """When the notes were read that the last stored sample has, by ``clock``."""
        self._took_s = 0.0
        self._tasks = Tasks()
        self._history: deque[Mapping[Key, SiteSample]] = deque(maxlen=KEPT)

    async def start(self) -> None:
        self._tasks.spawn("samples", self._keep_sampling())
        self._tasks.spawn("parked", self._parked.run())

    async def stop(self) -> None:
        await self._tasks.stop()

    def standings(self, wanted: Sequence[Key]) -> list[SiteStanding]:
        """How these sites stand by the samples of the last minute; those that had no work are left out, and all when
        the last sample is older than that."""
        if self._last_at is None or self._clock() - self._last_at > KEPT * self._every_s:
            return []
        return standings(self._history, wanted)

    def parked(self) -> Mapping[str, int]:
        """How many deliveries are parked in each lane, as of the last look at it."""
        return self._parked.counts

    async def _keep_sampling(self) -> None:
        while True:
            # The samples of all runs have the same times, so that those of an hour can be laid side by side.
            await asyncio.sleep(self._every_s - self._now() % self._every_s + LATE_S)
            try:
                await self.sample()
            except Exception:
                # A defect here would otherwise end the process, again and again, and with it the recording of events.
                log.exception("no sample was taken")
                self.failed += 1

    async def sample(self) -> None:
        """Take a sample and store it. Drops it when ClickHouse does not take it."""
        began = self._clock()
        sites, whole = await self._taken(began)
        self._took_s = self._clock() - began
        self._history.append({(one.source, one.site): one for one in sites})
        try:
            await self._store(sites, whole)
            if whole.journal_ms is not None:
                self._noted_until = began
            self.stored += len(sites) + 1
        except (ClickHouseUnavailable, ClickHouseRejected) as error:
            self.dropped += len(sites) + 1
            log.warning("samples dropped count=%d reason=%r", len(sites) + 1, error.reason)

    async def _taken(self, began: float) -> tuple[list[SiteSample], Sample]:
        at = int(self._now() // self._every_s * self._every_s)
        interval_s = self._every_s if self._last_at is None else began - self._last_at
        self._last_at = began
        found = await self._asked_journal()
        journal_ms = None if found is None else (self._clock() - began) * 1000
        (sampled, silent), collected = await asyncio.gather(
            self._deliverers.sample(self._names, self._sites.since(), self._most_sites), self._collected()
        )
        self._sites.forget(self._names)
        counts = self._sites.of_interval(sampled)
        sites = site_samples(
            sampled,
            counts,
            self._parked.counts,
            self._suspended,
            at=at,
            interval_s=interval_s,
            most=self._most_sites,
        )
        whole = whole_sample(
            self._whole.of_interval(collected.readings, self._now()),
            counts,
            sampled,
            at=at,
            interval_s=interval_s,
            left_out=sum(answer.left_out for answer in sampled.values()),
        )
        if found is not None:
            ages, began_at, happened = found
            oldest_s = 0.0 if ages.oldest_at is None else max(0.0, self._now() - ages.oldest_at.timestamp())
            recovered_at = began_at.recovered_at
            whole = replace(
                whole,
                unfinished=ages.unfinished,
                oldest_s=oldest_s,
                overdue_s=ages.overdue_s,
                journal_started=round(began_at.started_at.timestamp()),
                journal_recovered=None if recovered_at is None else round(recovered_at.timestamp()),
                happened=happened,
            )
        missing = {*silent, *collected.missing}
        return sites, replace(whole, journal_ms=journal_ms, silent=tuple(sorted(missing)))

    async def _asked_journal(self) -> tuple[QueueAges, ServerBegan, tuple[Happened, ...]] | None:
        """How the queue stands, since when the server runs, and what processes noted; also which actors there are, and
        what is suspended. None when the journal is away: then the actors are those that were known last."""
        try:
            async with asyncio.timeout(JOURNAL_S):
                ages = await self._journal.queue.ages()
                began = await self._journal.server.began()
                noted = await self._journal.happenings.since(self._age_of_notes_s(), MOST_NOTES)
                self._names = [actor.name for actor in await self._journal.membership.actors(ACTOR_ALIVE_S)]
                suspensions = await self._journal.suspensions.active()
        except (Unavailable, TimeoutError) as error:
            log.warning("the journal is not sampled reason=%r", error)
            return None
        self._suspended = frozenset(one.site for one in suspensions if not one.tenant_id)
        return ages, began, tuple(sorted(map(_happened, noted)))

    def _age_of_notes_s(self) -> float:
        """A process that begins does not know what the one before it has told."""
        if self._noted_until is None:
            return NOTES_KEPT_S
        return min(NOTES_KEPT_S, self._clock() - self._noted_until + NOTED_AGAIN_S)

    async def _collected(self) -> Collected:
        try:
            collected: Collected = await call_within(METRICS_S, self._call, SUPERVISOR, "collected_metrics")
        except PeerGone as gone:
            return Collected(readings={}, missing={SUPERVISOR: gone.reason})
        return collected


def _happened(one: Happening) -> Happened:
    return one.kind, one.actor, round(one.began_at * 1000), round(one.ended_at * 1000)
