"""The recorder: moves events from the journal's event log to ClickHouse, and answers queries from there. A cluster has
one.

It owns the only connection that writes to ClickHouse, and the only thread that may use it. Statistics are read in a
thread and by a connection of their own, so that no insert waits for a question; the SQL door (``analytics/door``) has
others, for queries of analysts. An event leaves the log only after it is on ClickHouse's disk. A crash between the two
inserts it again, which changes nothing (analytics/schema). No other actor waits for the recorder: during an outage of
ClickHouse the log grows on disk and nothing grows here.

``cluster/event_consumer.py`` reads the log; this module handles its pages. It decides nothing about mail and changes no
event. A row of the log that is not a batch of events, or whose values fit no column, would block all rows after it. So
its bytes go to ``data_dir``/rejected, one file per row, as they were in the log (``events.encode_batch``), and the
recorder continues with the next row.
"""

import asyncio
import contextlib
import logging
import time
from collections.abc import Callable, Mapping, Sequence
from concurrent.futures import ThreadPoolExecutor
from functools import partial
from pathlib import Path
from typing import ParamSpec, TypeVar

import msgspec

from actors.log_rows import Found
from actors.sampling.sampler import Sampler
from analytics import queries
from analytics.attempts import ATTEMPTS, AttemptsWanted, attempt_columns, attempts
from analytics.backup import BackupState, ClickHouseBackup, forget_backups
from analytics.client import ClickHouse, ClickHouseRejected, ClickHouseUnavailable
from analytics.damage import Damage, looked_again
from analytics.door.asked import SqlAnswer, SqlWanted
from analytics.door.server import SqlDoor, ask
from analytics.erasing import erase_recipients, erase_tenant
from analytics.feed import FeedFilter, FeedPage, feed
from analytics.history import History, HistoryWanted, history
from analytics.queries import MessageEvents
from analytics.retention import DAY_S, keep_for
from analytics.rows import columns
from analytics.samples import SAMPLES, SITE_SAMPLES, Sample, SiteSample, sample_columns
from analytics.statistics import Count, Names, Statistics, categories, statistics
from analytics.storage import StoredPartition, stored
from analytics.tallies import Tallies, Uncounted
from analytics.timeline import answering
from cluster import metrics
from cluster.context import DEGRADED
from cluster.event_consumer import STOP_MAX_WAIT_S, CannotHandle, EventConsumer, Pacing, erase_rejected
from cluster.events import WebhookAttempt, last_number
from cluster.journal.journal import Journal
from cluster.journal.recipient_erasure import EraseJob
from cluster.journal.records import LogRow
from cluster.metrics import Counter, Gauge, Histogram, Reading
from cluster.near_calls import NearServer
from cluster.policy.limits.estimate import SiteStanding
from cluster.settings import ClickHouseSettings, RetentionSettings

log = logging.getLogger(__name__)

CONSUMER = "recorder"
PACING = Pacing(page_rows=5000, page_interval_s=0.5, busy_interval_s=2.0)
"""Each page is one insert, which makes parts that must be merged: some 40 ms of CPU with the merges, and 6 µs an event.
A request of one message is a row of the log: ``page_rows`` of them are some 2 s of such requests."""
LOOK_FOR_DAMAGE_S = 30.0
"""Interval at which ClickHouse is asked for damaged parts, which also notices that they were restored or deleted."""
MOST_INSERTED = 15_000
"""Events inserted at once, which the last row may exceed: each takes some 2 KB of memory in Python and ClickHouse."""

RETENTION = RetentionSettings()
P = ParamSpec("P")
T = TypeVar("T")
W = TypeVar("W")


class Recorder:
    """Call ``start`` and ``stop`` once each, and the queries at any time between, on the same event loop."""

    inserted = Counter("postray_recorder_events_total", "Events inserted into ClickHouse, repeats among them.")
    inserts = Histogram(
        "postray_recorder_insert_seconds", "Time of an insert that succeeded.", (0.01, 0.05, 0.1, 0.5, 1, 5, 30)
    )
    failed = Counter(
        "postray_recorder_failures_total", "Inserts that failed, since ClickHouse was away or refused them."
    )
    expired = Counter(
        "postray_recorder_expired_events_total", "Events of the log that were older than events are kept, and left out."
    )
    damaged = Gauge(
        "postray_recorder_damaged_parts",
        "Parts of tables that ClickHouse cannot read and has set aside.",
        lambda recorder: len(recorder._damage.parts),
    )

    def __init__(
        self,
        settings: ClickHouseSettings,
        data_dir: Path,
        journal: Journal,
        *,
        connect: Callable[[ClickHouseSettings, Path], ClickHouse] = ClickHouse.open,
        confine: Callable[[], object] = lambda: None,
        pacing: Pacing = PACING,
        look_for_damage_s: float = LOOK_FOR_DAMAGE_S,
        retention: RetentionSettings = RETENTION,
        clock: Callable[[], float] = time.time,
        epoch: int = 0,
    ) -> None:
        """``confine`` is called first in each thread that uses ClickHouse. ``clock``: seconds since the epoch.
        ``epoch``: that of this process's fence."""
        self._epoch = epoch
        self._retention = retention
        self._events_kept_s = retention.events_days * DAY_S
        self._clock = clock
        self._settings = settings
        self._journal = journal
        self._data_dir = data_dir
        self._connect = connect
        self._look_for_damage_s = look_for_damage_s
        self._client: ClickHouse | None = None
        self._asking: ClickHouse | None = None
        """The connection for statistics, which reads only."""
        self._migrated = False
        self._tallies: Tallies | None = None
        self.door: SqlDoor | None = None
        """Answers SQL while the recorder runs; set before ``start``."""
        self.sampler: Sampler | None = None
        """Samples the sites while the recorder runs; set before ``start``."""
        self.near: Path | None = None
        """Where it listens for those of this machine that ask for timelines; set before ``start``."""
        self._near = NearServer(answering(self.timeline))
        self._thread = ThreadPoolExecutor(max_workers=1, thread_name_prefix="clickhouse", initializer=confine)
        self._asking_thread = ThreadPoolExecutor(max_workers=1, thread_name_prefix="statistics", initializer=confine)
        self._backup: ClickHouseBackup | None = None
        self._damage = Damage()
        self._looked_at = 0.0
        self._consumer = EventConsumer(
            CONSUMER,
            journal,
            self._handle,
            self._prepare,
            data_dir=data_dir,
            pacing=pacing,
            poll_interval_s=settings.poll_interval_ms / 1000,
            log=log,
            work="recording",
        )

    async def start(self) -> None:
        """Begin recording. If ClickHouse is unavailable, the connection is retried. Raises ValueError for an invalid
        DSN, OSError when the address of the SQL door is taken."""
        await self._consumer.start()
        if self.near is not None:
            await self._near.start(self.near)
        if self.door is not None:
            await self.door.start()
        if self.sampler is not None:
            await self.sampler.start()

    async def stop(self) -> None:
        """Record what the log holds now, then close. This is limited to some seconds; the rest stays in the log."""
        if self.sampler is not None:
            await self.sampler.stop()
        if self.door is not None:
            await self.door.stop()
        await self._near.stop()
        await self._consumer.stop()
        client, self._client = self._client, None
        # A thread may be in a call that a dead server never answers.
        with contextlib.suppress(TimeoutError):
            await asyncio.wait_for(self._in_asking_thread(self._stop_asking), STOP_MAX_WAIT_S)
        if client is not None:
            with contextlib.suppress(TimeoutError):
                await asyncio.wait_for(self._in_thread(client.close), STOP_MAX_WAIT_S)
        self._asking_thread.shutdown(wait=False, cancel_futures=True)
        self._thread.shutdown(wait=False)

    async def problem(self) -> str | None:
        """Why recording waits, or which stored data is damaged; None if all is well."""
        if waits := self._consumer.problem():
            return waits
        if self._damage.parts:
            return f"{DEGRADED}{self._damage}"
        closed = self.door.problem() if self.door is not None else None
        return f"{DEGRADED}{closed}" if closed else None

    async def metrics(self) -> list[Reading]:
        return metrics.read(self)

    async def timeline(self, tenant_id: str, message_id: str) -> MessageEvents:
        """A message's events, oldest first. Raises ClickHouseUnavailable."""
        held = self.door is not None and self.door.hold()
        events = await self._in_thread(queries.timeline, self.ready(), tenant_id, message_id, held=held)
        return MessageEvents(events, incomplete=self._damage.of_events)

    async def statistics(self, wanted: Statistics) -> list[Count]:
        """The counts of a tenant's events. Raises ClickHouseUnavailable."""
        return await self._asked(statistics, wanted)

    async def categories(self, wanted: Names) -> list[str]:
        """The names of the categories that a tenant has used. Raises ClickHouseUnavailable."""
        return await self._asked(categories, wanted)

    async def feed(self, wanted: FeedFilter, after: str, limit: int) -> FeedPage:
        """The next events of a tenant in the order of the log, as far as the cursor is: what is behind it may be stored
        in part. So no event comes to stand before one that was read. Raises ClickHouseUnavailable, Unavailable, and
        ValueError for what is no position."""
        client = self.ready()
        tx, id = await self._journal.event_log.position(CONSUMER)
        return await self._in_thread(partial(feed, upto=(tx, last_number(id))), client, wanted, after, limit)

    async def attempts(self, wanted: AttemptsWanted) -> list[WebhookAttempt]:
        """The posts to an endpoint, the latest first. Raises ClickHouseUnavailable."""
        return await self._in_thread(attempts, self.ready(), wanted)

    async def store_samples(self, sites: Sequence[SiteSample], whole: Sample) -> None:
        """Raises ClickHouseUnavailable, ClickHouseRejected."""
        client = self.ready()
        await self._in_thread(client.insert, sample_columns(sites), SITE_SAMPLES)
        await self._in_thread(client.insert, sample_columns([whole]), SAMPLES)

    async def history(self, wanted: HistoryWanted) -> History:
        """How it went, by the samples. Raises ClickHouseUnavailable."""
        return await self._in_asking_thread(lambda: history(self._asking_connection(), wanted))

    async def standings(self, wanted: Sequence[tuple[str, str]]) -> list[SiteStanding]:
        """How these sources → sites stand by the samples of the last minute; those without any are left out."""
        return self.sampler.standings(wanted) if self.sampler is not None else []

    async def parked(self) -> Mapping[str, int]:
        """How many deliveries are parked in each lane, as of the last look at it."""
        return self.sampler.parked() if self.sampler is not None else {}

    async def sql(self, wanted: SqlWanted) -> SqlAnswer:
        """What an operator asks in the console, through the SQL door. Raises QueryFailed."""
        return await ask(self.door, wanted)

    async def erase_events(self, tenant_id: str) -> bool:
        """Begin to delete all events of a tenant; returns whether none is left. Call it until then."""
        try:
            is_done = await self._in_thread(erase_tenant, self.ready(), tenant_id)
        except ClickHouseUnavailable as error:
            log.warning("events not erased tenant=%s reason=%r", tenant_id, error.reason)
            return False
        if is_done:
            await self._in_thread(erase_rejected, self._data_dir, tenant_id)
        return is_done

    async def erase_recipients(self, job: EraseJob) -> bool:
        """Begin or go on to delete what there is about recipients. Call it until it returns that nothing is left."""
        asked_ms = int(job.created_at.timestamp() * 1000)
        try:
            is_done = await self._in_thread(
                erase_recipients, self.ready(), job.id, job.tenant_id, job.addresses, job.before, asked_ms
            )
        except ClickHouseUnavailable as error:
            log.warning("events of recipients not erased job=%s reason=%r", job.id, error.reason)
            return False
        if is_done:
            await self._in_thread(erase_rejected, self._data_dir, job.tenant_id, job.addresses)
        return is_done

    async def stored(self) -> list[StoredPartition]:
        """What ClickHouse stores. Raises ClickHouseUnavailable."""
        return await self._in_thread(stored, self.ready())

    async def back_up(self, name: str) -> BackupState:
        """Begin a backup of the embedded engine under this name, once ClickHouse has what the log holds now; a further
        call says how far it is. Raises ClickHouseUnavailable, Unavailable."""
        client = self.ready()
        if self._backup is None or self._backup.name != name:
            end = await self._journal.event_log.end()
            self._backup = ClickHouseBackup(name, self._data_dir, end, time.monotonic())
        position = await self._journal.event_log.position(CONSUMER)
        return await self._in_thread(self._backup.step, client, position, time.monotonic())

    def ready(self) -> ClickHouse:
        """The connection, once ClickHouse has the tables. Raises ClickHouseUnavailable."""
        if self._client is None or not self._migrated:
            raise ClickHouseUnavailable(self._consumer.last_error or "the recorder is not running")
        return self._client

    async def _prepare(self) -> bool:
        """Connect if there is no connection, and look for damage and count for statistics at intervals. Raises
        CannotHandle."""
        if self._client is None or not self._migrated:
            await self._tried_in_thread(self._make_ready)
        if time.monotonic() - self._looked_at > self._look_for_damage_s:
            await self._tried_in_thread(self._look_for_damage)
        if self._tallies is not None and self._tallies.is_due:
            await self._in_thread(self._count, self._tallies)
        return True

    async def _handle(self, rows: list[LogRow]) -> None:
        """Insert a page. Raises CannotHandle."""
        await self._tried_in_thread(self._store, rows)

    async def _tried_in_thread(self, call: Callable[P, None], *args: P.args, **kwargs: P.kwargs) -> None:
        try:
            await self._in_thread(call, *args, **kwargs)
        except ClickHouseUnavailable as error:
            raise CannotHandle(error.reason or type(error).__name__) from error

    async def _in_thread(self, call: Callable[P, T], *args: P.args, **kwargs: P.kwargs) -> T:
        return await asyncio.get_running_loop().run_in_executor(self._thread, lambda: call(*args, **kwargs))

    async def _asked(self, count: Callable[[ClickHouse, W, Uncounted], T], wanted: W) -> T:
        """Raises ClickHouseUnavailable."""
        self.ready()
        tallies = self._tallies
        assert tallies is not None
        return await self._in_asking_thread(lambda: count(self._asking_connection(), wanted, tallies.uncounted))

    async def _in_asking_thread(self, call: Callable[[], T]) -> T:
        return await asyncio.get_running_loop().run_in_executor(self._asking_thread, call)

    # The two methods below run in the thread for statistics.

    def _asking_connection(self) -> ClickHouse:
        self.ready()  # not after stop: the engine must not be opened again
        if self._asking is None:
            self._asking = self._connect(self._settings, self._data_dir)
            self._asking.use_tables()
        return self._asking

    def _stop_asking(self) -> None:
        if self._asking is not None:
            self._asking.close()
            self._asking = None

    # The methods below run in the thread that writes.

    def _make_ready(self) -> None:
        if self._client is None:
            forget_backups(self._data_dir)
            self._client = self._connect(self._settings, self._data_dir)
        if not self._migrated:
            self._client.migrate()
            keep_for(self._client, self._retention)
            self._tallies = Tallies(
                self._client, self._clock, events_kept_s=self._events_kept_s + DAY_S / 2, epoch=self._epoch
            )
            self._migrated = True
            self._look_for_damage()

    def _count(self, tallies: Tallies) -> None:
        try:
            tallies.step()
        except ClickHouseUnavailable as error:
            # Recording goes on: what is not counted is read from the events.
            log.warning("not counted for statistics error=%s", error)

    def _look_for_damage(self) -> None:
        assert self._client is not None
        self._looked_at = time.monotonic()
        self._damage = looked_again(self._client, self._damage)

    def _store(self, rows: list[LogRow]) -> None:
        """Insert the events of these rows. Rows that cannot be inserted are put aside."""
        assert self._client is not None
        found = Found(self._clock() - self._events_kept_s)
        for number, row in enumerate(rows, 1):
            try:
                found.add(row)
            except (msgspec.DecodeError, ValueError, RecursionError) as error:
                self._consumer.put_aside(row, error)
            if len(found.events) >= MOST_INSERTED and number < len(rows):
                # Few bytes of the log may hold many events.
                self._insert(rows[:number], found)
                self._store(rows[number:])
                return
        self._insert(rows, found)

    def _insert(self, rows: list[LogRow], found: Found) -> None:
        """Insert what these rows tell."""
        assert self._client is not None and self._tallies is not None
        self._consumer.confirm()
        try:
            values = columns(found.events, found.positions)
            self._tallies.note(values)
            began = time.monotonic()
            self._client.insert(values)
            self.inserts.observe(time.monotonic() - began)
            if found.attempts:
                self._client.insert(attempt_columns(found.attempts), ATTEMPTS)
            self.inserted += len(found.events)
            self.expired += found.expired
        except (ClickHouseRejected, ValueError, OverflowError) as error:
            self.failed += 1
            if len(rows) == 1:
                self._consumer.put_aside(rows[0], error)
            else:
                for row in rows:
                    self._store([row])
        except ClickHouseUnavailable:
            # The database may have been dropped, to be rebuilt.
            self.failed += 1
            self._migrated = False
            raise
