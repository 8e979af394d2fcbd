"""The statistics scenario: the queries of the statistics routes, over 30 days of events.

A separate ClickHouse is filled with events: one tenant has half of the mail, 49 others the rest, each with 27
categories. What happens after the end is put at the beginning, as if it were of earlier mail. All but the last seconds
is counted beforehand, as the recorder does it; the queries count the rest themselves. Each repeat runs each query
several times, one after the other, for the busiest tenant.
"""

import shutil
import tempfile
import time
from collections.abc import Callable
from pathlib import Path
from typing import Annotated

from msgspec import Meta, Struct

from analytics.client import ClickHouse
from analytics.metrics import Kind
from analytics.statistics import Names, Statistics, categories, statistics
from analytics.tallies import LONGEST_SPAN_S, Tallies
from benchmarks.blocking import to_its_end
from benchmarks.phases import Tell
from benchmarks.records import Better, Repeat
from benchmarks.runner import Measure
from benchmarks.series import percentile, thinned
from cluster.settings import ClickHouseSettings

EVENTS = 50_000_000
TARGET_MS = 100.0
"""At the 95th percentile."""
DAYS = 30
DAY_S = 86_400
EACH_MESSAGE = 5
AT_ONCE = 500_000
TENANT = "tnt_0"

FILL = """
INSERT INTO events (event_id, at, tenant_id, message_id, event, recipient, recipient_domain, categories, attempt, site,
    reason, bounce_class)
WITH
    intDiv(number, 5) AS message, number % 5 AS place, cityHash64(message) AS chance,
    {first:Int64} + toInt64(message * {span_ms:UInt64} / {messages:UInt64}) AS sent,
    [0, 200, 900, toUInt64(-1e7 * log((cityHash64(number) % 1000000 + 1) / 1000001)), 4000000][place + 1] AS later,
    multiIf(
        place = 0, 'processed',
        place = 1 AND chance % 10 = 0, 'deferred',
        place <= 2, multiIf(chance % 50 = 3, 'bounce', chance % 50 = 14, 'blocked', chance % 50 = 25, 'dropped',
            'delivered'),
        place = 4 AND chance % 3 = 0, 'click', 'open') AS event_name,
    event_name IN ('delivered', 'deferred', 'bounce', 'blocked') AS is_attempt
SELECT 'evt_0' || leftPad(toString(number), 25, '0'),
    fromUnixTimestamp64Milli({first:Int64} + toInt64((sent + later - {first:Int64}) % {span_ms:UInt64}), 'UTC'),
    'tnt_' || toString(if(intDiv(chance, 7) % 2 = 0, 0, intDiv(chance, 7) % 50)),
    'msg_0' || leftPad(toString(message), 25, '0'), event_name,
    'reader' || toString(chance % 1000000) || '@d' || toString(chance % 1000) || '.example',
    'd' || toString(chance % 1000) || '.example',
    ['kind' || toString(intDiv(chance, 11) % 20), 'list' || toString(intDiv(chance, 13) % 7)],
    is_attempt,
    if(is_attempt, ['google.com', 'yahoodns.net', 'mx.example', 'olc.protection.outlook.com'][chance % 4 + 1], ''),
    if(event_name = 'dropped', ['unsubscribes', 'bounces', 'group 12', 'cancelled'][intDiv(chance, 17) % 4 + 1], ''),
    if(event_name IN ('bounce', 'blocked'), ['bad_mailbox', 'spam', 'mailbox_full'][intDiv(chance, 19) % 3 + 1], '')
FROM numbers({start:UInt64}, {count:UInt64})
"""
NOTE = """
INSERT INTO quarters
SELECT toStartOfFifteenMinutes(at) AS quarter, 0, 0, true, true FROM events GROUP BY quarter
"""


class Options(Struct, frozen=True, kw_only=True):
    """The options of a run."""

    events: Annotated[int, Meta(ge=1000, le=200_000_000, description="Of 30 days.")] = EVENTS
    times: Annotated[int, Meta(ge=5, le=1000, description="How often a repeat runs each query.")] = 40
    folder: Annotated[
        str, Meta(description="Where the events are kept for another run; by default they are deleted at the end.")
    ] = ""


class StatisticsQueries:
    """The statistics scenario."""

    name = "statistics"
    title = "The queries of the statistics routes, over 30 days of events"
    notes = (
        "One query after the other, in the engine's process, without HTTP.",
        "CPU is a query's average, over all cores: on a busy machine it says more than its time.",
    )

    def __init__(self, options: Options) -> None:
        self.settings = options
        self._folder = Path(options.folder or tempfile.gettempdir()) / "postray-statistics"
        self._client: ClickHouse | None = None
        self._tallies: Tallies | None = None
        self._end = 0

    @property
    def measures(self) -> tuple[Measure, ...]:
        target = TARGET_MS if self.settings.events >= EVENTS else None
        return tuple(
            Measure(f"{name} {part}", "ms", Better.LOWER, target if part == "p95" else None)
            for name in self._queries()
            for part in ("p50", "p95", "CPU")
        )

    async def open(self, tell: Tell) -> None:
        await to_its_end(lambda: self._open(tell))

    async def close(self) -> None:
        if self._client is not None:
            self._client.close()
        if not self.settings.folder:
            shutil.rmtree(self._folder, ignore_errors=True)

    async def measure(self, share: float, tell: Tell) -> Repeat:
        times = max(1, round(share * self.settings.times))
        return await to_its_end(lambda: self._measure(times, tell))

    def _open(self, tell: Tell) -> None:
        self._folder.mkdir(parents=True, exist_ok=True)
        self._client = client = ClickHouse.open(ClickHouseSettings(), self._folder)
        client.migrate()
        ((stored, latest),) = client.rows("SELECT count(), toUnixTimestamp(max(at)) FROM events")
        self._end = latest if stored else int(time.time())
        messages = self.settings.events // EACH_MESSAGE
        first = (self._end - DAYS * DAY_S) * 1000
        span = {"first": first, "span_ms": DAYS * DAY_S * 1000, "messages": messages}
        for start in range(stored, self.settings.events, AT_ONCE):
            tell("filling ClickHouse", start / self.settings.events)
            client.rows(FILL, start=start, count=min(AT_ONCE, self.settings.events - start), **span)
        if not stored:
            client.command(NOTE)
        # The clock stands at the end of the events, even if they were made for an earlier run.
        behind = time.time() - self._end
        self._tallies = tallies = Tallies(client, lambda: time.time() - behind)
        tell("counting", 0)
        while tallies.count_some(LONGEST_SPAN_S // 32):
            pass

    def _measure(self, times: int, tell: Tell) -> Repeat:
        began = time.monotonic()
        samples: dict[str, list[float]] = {}
        cpu_ms: dict[str, float] = {}
        queries = self._queries()
        for number, (name, ask) in enumerate(queries.items()):
            tell(name, number / len(queries))
            samples[name] = []
            used = time.process_time()
            for _ in range(times):
                asked = time.perf_counter()
                ask()
                samples[name].append((time.perf_counter() - asked) * 1000)
            cpu_ms[f"{name} CPU"] = (time.process_time() - used) * 1000 / times
        return Repeat(
            figures={
                f"{name} {part}": percentile(values, share)
                for name, values in samples.items()
                for part, share in (("p50", 0.5), ("p95", 0.95))
            }
            | cpu_ms,
            seconds=round(time.monotonic() - began, 3),
            promised=times * len(samples),
            counted=sum(map(len, samples.values())),
            latencies_ms={name: thinned(values) for name, values in samples.items()},
        )

    def _queries(self) -> dict[str, Callable[[], object]]:
        ten = tuple(f"kind{number}" for number in range(10))
        return {
            "all by day": lambda: self._ask(Kind.ALL),
            "summary": lambda: self._ask(Kind.ALL, days=1),
            "10 categories by day": lambda: self._ask(Kind.CATEGORY, names=ten),
            "sums of categories": lambda: self._ask(Kind.CATEGORY, days=1, sort_by="delivered", limit=5),
            "providers by day": lambda: self._ask(Kind.PROVIDER),
            "bounces by class": lambda: self._ask(Kind.CLASS),
            "bounces by domain": lambda: self._ask(Kind.CLASS_DOMAIN, names=("bad_mailbox",)),
            "names of categories": self._names,
        }

    def _ask(
        self,
        kind: Kind,
        *,
        days: int = DAYS + 1,
        names: tuple[str, ...] = (),
        sort_by: str = "",
        limit: int | None = None,
    ) -> object:
        assert self._client is not None and self._tallies is not None
        end = (self._end // DAY_S + 1) * DAY_S
        starts = tuple(end - (DAYS + 1 - number) * DAY_S for number in range(days))
        wanted = Statistics(
            tenant_id=TENANT, kind=kind, starts=starts, end=end, names=names, sort_by=sort_by, limit=limit
        )
        return statistics(self._client, wanted, self._tallies.uncounted)

    def _names(self) -> object:
        assert self._client is not None and self._tallies is not None
        return categories(self._client, Names(tenant_id=TENANT, limit=50), self._tallies.uncounted)
