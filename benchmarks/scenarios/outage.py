"""The outage scenario: the journal's hot tables before a long outage, at its top, while it drains, and afterwards.

It uses the real journal over an embedded Postgres, and moves mail by the statements of the product. Nothing but what
postray does by itself brings the tables back.
"""

import asyncio
import time
from collections.abc import Mapping, Sequence
from contextlib import AsyncExitStack
from statistics import median
from typing import Annotated

import psycopg
from msgspec import Meta, Struct

from actors.upkeep import Upkeep
from benchmarks.hot_tables import HOT, Costs, Explained, Size, costs, sizes
from benchmarks.lone_journal import lone_journal
from benchmarks.outage_mail import OutageMail
from benchmarks.phases import Tell
from benchmarks.records import Better, Repeat
from benchmarks.runner import Measure
from cluster.journal.records import DueDelivery
from cluster.policy.upkeep import MIB, SMALL
from cluster.tasks import end_all

MOST = 1.2
"""Of what there was before."""
SMALL_MIB = SMALL / MIB
"""What is smaller counts as so large: an index of two pages may well become one of eight."""
POINTS = ("before", "at the top", "halfway", "after")
ASKED = 64
"""Deliveries in a claim, and messages in a request, whose pages are counted."""
UNITS = {
    **dict.fromkeys((f"{table}: {part}" for table in HOT for part in ("rows", "indexes")), "MiB"),
    "claim": "pages/msg",
    "claim p50": "ms",
    "intake": "pages/msg",
    "intake: log": "WAL bytes/msg",
    "anything due": "pages",
    "lanes": "pages",
    "100 rows of the log": "pages",
    "backlog": "pages",
}
COME_BACK = tuple(UNITS)[:6]
"""What must be afterwards as it was before."""
FLAT = ("intake", "intake: log", "backlog")
"""What must not grow with what waits."""
PART = 50_000
"""Messages that are accepted between two changes of what is scheduled."""
LOOK_S = 1.0
LOOKED_AT = 20
"""Sizes go up and down between two vacuums: those of so many last seconds count, and their median."""


class Options(Struct, frozen=True, kw_only=True):
    """The options of a run."""

    messages: Annotated[int, Meta(ge=1000, le=20_000_000, description="To hosts that are down.")] = 1_000_000
    domains: Annotated[int, Meta(ge=1, le=10_000, description="That are down.")] = 50
    tries: Annotated[int, Meta(ge=0, le=20, description="Of each message, in vain.")] = 1
    scheduled: Annotated[int, Meta(ge=0, le=1_000_000, description="Messages for another day, at any time.")] = 10_000
    rate: Annotated[float, Meta(ge=10, le=5000, description="Steady mail to other hosts, messages a second.")] = 300
    seconds: Annotated[
        float, Meta(ge=1, le=600, description="Of steady mail alone before; afterwards twice as long.")
    ] = 60


class Moment(Struct, frozen=True):
    """What was measured at one point of the cycle."""

    sizes: dict[str, Size]
    costs: Costs
    claim_ms: float


class Outage:
    """The outage scenario."""

    name = "outage"
    title = "The journal's hot tables over a long outage"
    notes = (
        "Pages are counted by EXPLAIN (ANALYZE, BUFFERS, WAL), in memory or not; the statements are undone.",
        "Steady mail goes on all the time. No consumer reads the event log during the outage.",
    )

    def __init__(self, options: Options) -> None:
        self.settings = options
        self._stack = AsyncExitStack()

    @property
    def measures(self) -> tuple[Measure, ...]:
        found = [Measure(f"{what}, {point}", unit, Better.LOWER) for what, unit in UNITS.items() for point in POINTS]
        found += [Measure(f"{what}, after / before", "times", Better.LOWER, MOST) for what in COME_BACK]
        found += [Measure(f"{what}, at the top / before", "times", Better.LOWER, MOST) for what in FLAT]
        found += [Measure(f"longest {what} afterwards", "ms", Better.LOWER) for what in ("claim", "acceptance")]
        return tuple(found)

    async def open(self, tell: Tell) -> None:
        """Does nothing: each repeat has a new journal."""

    async def close(self) -> None:
        await self._stack.aclose()

    async def measure(self, share: float, tell: Tell) -> Repeat:
        began = time.monotonic()
        messages = max(1000, round(share * self.settings.messages))
        try:
            alone = await self._stack.enter_async_context(lone_journal("outage", connections=8, max_wait_s=60))
            journal, dsn = alone.journal, alone.dsn
            mail = OutageMail(journal, await journal.tenants.create("bench"), self.settings.domains)
            upkeep = asyncio.create_task(Upkeep(journal).run())
            self._stack.push_async_callback(end_all, [upkeep])
            cycle = Cycle(dsn, mail, self.settings, tell)
            self._stack.callback(cycle.close)
            found = await cycle.run(messages)
            counted = await asyncio.to_thread(_finished, dsn)
        finally:
            await self._stack.aclose()
        return Repeat(
            figures=found,
            seconds=round(time.monotonic() - began, 3),
            promised=mail.accepted - self.settings.scheduled,
            counted=counted,
        )


class Cycle:
    """One outage, from before it until long after its end."""

    def __init__(self, dsn: str, mail: OutageMail, options: Options, tell: Tell) -> None:
        self._dsn = dsn
        self._mail = mail
        self._options = options
        self._tell = tell
        self._explained = Explained(dsn)
        self._scheduled: list[DueDelivery] = []
        self._renewed = 0

    def close(self) -> None:
        self._explained.close()

    async def run(self, messages: int) -> dict[str, float]:
        """The figures."""
        mail, options = self._mail, self._options
        self._tell("messages of former days", 0)
        await mail.finished_before(messages)
        self._scheduled = await mail.scheduled(options.scheduled) if options.scheduled else []
        moments = []
        async with mail.steady(options.rate):
            moments.append(await self._settled("before", 0.1, options.seconds))
            mail.leave_log()
            await self._fail(messages)
            moments.append(await self._moment([sizes(self._dsn)]))
            mail.read_log()
            self._tell("drained", 0.6)
            await mail.drain(messages // 2)
            moments.append(await self._moment([sizes(self._dsn)]))
            await mail.drain(messages)
            await mail.until_log_is_read()
            moments.append(await self._settled("after", 0.8, 2 * options.seconds))
        return figures(moments) | {
            "longest claim afterwards": max(mail.claims_ms),
            "longest acceptance afterwards": max(mail.accepts_ms),
        }

    async def _fail(self, messages: int) -> None:
        """The outage. What was scheduled before it is delivered meanwhile, and as much is scheduled anew."""
        starts = range(0, messages, PART)
        for number, start in enumerate(starts, 1):
            self._tell("hosts are down", 0.2 + 0.2 * number / len(starts))
            await self._mail.queue_up(min(PART, messages - start))
            left = self._options.scheduled * (len(starts) - number) // len(starts)
            # The new ones are behind those that are left.
            gone = self._scheduled[: max(0, self._options.scheduled - left - self._renewed)]
            if gone:
                await self._mail.deliver(gone)
                self._scheduled = self._scheduled[len(gone) :] + await self._mail.scheduled(len(gone))
                self._renewed += len(gone)
        for number in range(self._options.tries):
            self._tell("tried in vain", 0.4 + 0.2 * number / self._options.tries)
            await self._mail.try_all()

    async def _settled(self, what: str, share: float, seconds: float) -> Moment:
        """After some time of steady mail alone."""
        self._mail.claims_ms.clear()
        self._mail.accepts_ms.clear()
        seen = []
        ends = time.monotonic() + seconds
        while time.monotonic() < ends:
            self._tell(what, share)
            await asyncio.sleep(LOOK_S)
            seen.append(await asyncio.to_thread(sizes, self._dsn))
        return await self._moment(seen[-LOOKED_AT:])

    async def _moment(self, seen: Sequence[Mapping[str, Size]]) -> Moment:
        waiting = await self._mail.accept(self._mail.request(ASKED))
        found = await costs(self._explained, waiting, self._mail.request(ASKED))
        await self._mail.deliver(waiting)
        claim_ms = median(self._mail.claims_ms)
        middle = {
            name: Size(median(one[name].rows for one in seen), median(one[name].indexes for one in seen))
            for name in HOT
        }
        return Moment(middle, found, claim_ms)


def figures(moments: Sequence[Moment]) -> dict[str, float]:
    """By the names of the measures. Pure."""
    found = {
        f"{what}, {point}": value
        for point, moment in zip(POINTS, moments, strict=True)
        for what, value in _values(moment).items()
    }
    ratios = {
        f"{what}, after / before": _least(what, found[f"{what}, after"]) / _least(what, found[f"{what}, before"])
        for what in COME_BACK
    }
    ratios |= {
        f"{what}, at the top / before": found[f"{what}, at the top"] / max(found[f"{what}, before"], 1) for what in FLAT
    }
    return found | ratios


def _least(what: str, value: float) -> float:
    return max(value, SMALL_MIB) if UNITS[what] == "MiB" else value


def _values(moment: Moment) -> dict[str, float]:
    found = {f"{name}: rows": size.rows for name, size in moment.sizes.items()}
    found |= {f"{name}: indexes": size.indexes for name, size in moment.sizes.items()}
    return found | {
        "claim": moment.costs.claim.pages / ASKED,
        "claim p50": moment.claim_ms,
        "intake": moment.costs.intake.pages / ASKED,
        "intake: log": moment.costs.intake.wal_bytes / ASKED,
        "anything due": moment.costs.due.pages,
        "lanes": moment.costs.lanes.pages,
        "100 rows of the log": moment.costs.read.pages,
        "backlog": moment.costs.backlog.pages,
    }


def _finished(dsn: str) -> int:
    with psycopg.connect(dsn, autocommit=True) as connection:
        row = connection.execute("SELECT count(*) FROM outcomes").fetchone()
    assert row is not None
    return int(row[0])
