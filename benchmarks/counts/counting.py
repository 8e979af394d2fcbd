"""The cost of a message in numbers that are equal on every machine: statements, round trips, bytes, flights, calls.

Times are not counted. Where a timer decides how much is batched (the batch window before a commit, the pause before
fetching from lanes), the mail host decides instead: it replies to all connections at one moment, once earlier outcomes
are committed and every connection has a message again. So batches are equally large on slow and fast machines. Periodic
work (heartbeats, looking for due deliveries) is counted separately, per second.
"""

import asyncio
import time
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from functools import partial

from analytics.rows import columns
from api.build import SENDING
from benchmarks import order_letter
from benchmarks.composing import LINKS, compose, order_kinds, tracked_kinds
from benchmarks.counts.calls import Calls
from benchmarks.counts.journal_dialogue import Transaction
from benchmarks.counts.product import API, DELIVERY, Product, running
from benchmarks.counts.telling import Amounts, CountedRun, Counts, ObservedCounts, spread, tell
from benchmarks.load import Load
from benchmarks.mail import Mail, Shape
from benchmarks.scenarios.everything_on import TRACKING
from benchmarks.scenarios.templates import stored_template
from cluster.events import decode_batch

FIRST, SINGLE, BULK, PER_REQUEST = 1, 64, 2, 1000
"""Requests with one message: the first alone, so that the key is cached; then all at once. Then requests with many
messages, one after the other."""
MESSAGES = FIRST + SINGLE + BULK * PER_REQUEST
WINDOW = 1000
"""Deliveries beyond the delivery actor's window are parked, and fetched from lanes."""
CONNECTIONS = 20
CLOCK_S = 6.0
"""Long enough that one beat more or less of each part, at the ends, does not matter."""
LOOK_S = 0.01
STUCK_S = 60.0
LEFT = "SELECT count(*) FROM deliveries"
PARKED = "SELECT count(*) FROM deliveries WHERE lane IS NOT NULL"
BATCHES = "SELECT events FROM event_log ORDER BY id"
WAL = "SELECT (pg_current_wal_insert_lsn() - '0/0'::pg_lsn)::bigint"
EVENTS = "SELECT sum(octet_length(events))::bigint FROM event_log"


class Stuck(Exception):
    """There was no progress for ``STUCK_S``: the expected event does not occur."""

    def __init__(self, where: str) -> None:
        super().__init__(where)


async def count() -> Counts:
    """Count once; takes about ten seconds. Raises Stuck."""
    calls = Calls()
    calls.start()
    try:
        async with running(CONNECTIONS, WINDOW) as product:
            return await _Counting(product, calls).whole()
    finally:
        calls.stop()


class _Counting:
    """One count, over a running product."""

    def __init__(self, product: Product, calls: Calls) -> None:
        self._product = product
        self._calls = calls
        self._next = 1

    async def whole(self) -> Counts:
        product = self._product
        start = tuple(product.transactions)
        with self._transactions() as idle:
            idle_s = await _pause(CLOCK_S)
        before = self._amounts()
        with self._transactions() as all_of_it:
            await self._post(FIRST, per_request=1)
            with self._transactions() as single:
                await self._post(SINGLE, per_request=1)
            with self._transactions() as bulk:
                await self._post(BULK * PER_REQUEST, per_request=PER_REQUEST)
                await self._until(lambda: product.ask(PARKED) >= MESSAGES - WINDOW, "what found no room is not parked")
                await self._until(partial(self._are_at_host, CONNECTIONS), "connections have no message")
            standing = self._amounts()
            with self._transactions() as busy:
                busy_s = await _pause(CLOCK_S)
            by_the_clock = self._amounts() - standing
            with self._transactions() as delivery:
                await self._deliver(MESSAGES)
        seen = ObservedCounts(start=start, idle=idle, busy=busy, single=single, bulk=bulk, delivery=delivery)
        # By the number of ticks, not by the time: on a busy machine periodic work is late.
        caused = self._amounts() - before - by_the_clock * seen.share_of_busy(all_of_it)
        run = CountedRun(idle_s=idle_s, busy_s=busy_s, single=SINGLE, bulk=BULK, messages=MESSAGES)
        counts = (
            spread(caused, MESSAGES)
            | self._recorder()
            | self._composing()
            | tell(seen, run, intake=f"{API}-{SENDING}", delivery=DELIVERY)
        )
        everything = await self._everything(seen.share_of_busy, by_the_clock)
        return counts | {f"everything.{name}": value for name, value in everything.items()}

    async def _everything(self, share_of_busy: Callable[[Sequence[Transaction]], float], clock: Amounts) -> Counts:
        """What a message costs that has everything, as in the scenario of that name: a request with many, after one
        whose template and content are read first. ``clock``: the amounts of periodic work in the busy stretch."""
        product = self._product
        template_id = await stored_template(product.url, product.key, order_letter.linked_texts(LINKS))
        mail = Mail(Shape(), letter=order_letter.stored(template_id), tracking=TRACKING)
        await self._post(FIRST, per_request=1, mail=mail)
        await self._deliver(FIRST)
        before = self._amounts()
        with self._transactions() as transactions:
            await self._post(PER_REQUEST, per_request=PER_REQUEST, mail=mail)
            await self._deliver(PER_REQUEST)
        caused = self._amounts() - before - clock * share_of_busy(transactions)
        return spread(caused, PER_REQUEST)

    # The load

    async def _post(self, messages: int, per_request: int, mail: Mail | None = None) -> None:
        """Each request on its own connection if it holds one message; otherwise one after the other."""
        numbers = range(self._next, self._next + messages)
        self._next += messages
        mail = mail or Mail(Shape())
        bodies = [mail.body(numbers[start : start + per_request]) for start in range(0, messages, per_request)]
        load = Load(self._product.url, self._product.key, clients=len(bodies) if per_request == 1 else 1)
        await load.open()
        try:
            await load.as_fast_as_answered(iter(bodies))
        finally:
            load.close()

    async def _deliver(self, messages: int) -> None:
        """Deliver everything that is left, one message per connection at a time."""
        product = self._product
        while messages:
            at_once = min(CONNECTIONS, messages)
            await self._until(partial(self._are_at_host, at_once), "connections have no message")
            product.host.release()
            messages -= at_once
            await self._until(partial(self._are_left, messages), "outcomes are not committed")

    def _are_at_host(self, messages: int) -> bool:
        return len(self._product.host.waiting) == messages

    def _are_left(self, messages: int) -> bool:
        return self._product.ask(LEFT) == messages

    async def _until(self, holds: Callable[[], bool], otherwise: str) -> None:
        deadline = time.monotonic() + STUCK_S
        while not holds():
            if time.monotonic() > deadline:
                raise Stuck(otherwise)
            await _pause(LOOK_S)

    # The counts

    def _recorder(self) -> Counts:
        """The cost of converting a message's events into ClickHouse's columns, without ClickHouse itself."""
        batches = [row[0] for row in self._product.journal.execute(BATCHES.encode(), binary=True)]
        before = Amounts(self._calls.by_package())
        columns([event for batch in batches for event in decode_batch(batch)])
        calls = Amounts(self._calls.by_package()) - before
        return {"recorder.calls_per_message": calls["calls.analytics"] / MESSAGES}

    def _composing(self) -> Counts:
        """What composing calls for a message of a stored template, for the same mail with substitutions, and for one
        with links, tracked and not."""
        found: Counts = {}
        for name, kind in (order_kinds() | tracked_kinds()).items():
            compose(kind)  # the first message makes what all share
            before = Amounts(self._calls.by_package())
            compose(kind)
            calls = Amounts(self._calls.by_package()) - before
            found[f"composing.{name}.calls_per_message"] = sum(calls.values()) / len(kind.personalizations)
        return found

    @contextmanager
    def _transactions(self) -> Iterator[list[Transaction]]:
        """The transactions that end within the block."""
        found: list[Transaction] = []
        before = len(self._product.transactions)
        yield found
        found += self._product.transactions[before:]

    def _amounts(self) -> Amounts:
        """All amounts that only grow."""
        product, flights = self._product, self._product.flights
        return Amounts(
            {
                "actors.offers": product.called["offer"],
                "actors.offer_bytes": product.called_bytes["offer"],
                "journal.bytes_from": sum(one.bytes_answered for one in product.dialogues),
                "journal.bytes_to": sum(one.bytes_asked for one in product.dialogues),
                "journal.event_bytes": product.ask(EVENTS),
                "journal.wal_bytes": product.ask(WAL),
                "smtp.envelope_bytes": flights.bytes_sent - product.host.bytes,
                "smtp.flights": flights.flights,
                "smtp.message_bytes": product.host.bytes,
                "smtp.reply_bytes": flights.bytes_received,
                "threads.hops": self._calls.of("ThreadPoolExecutor.submit"),
                **self._calls.by_package(),
                **self._calls.files(),
            }
        )


async def _pause(seconds: float) -> float:
    """Like ``asyncio.sleep``, which is Python code and would be counted. Returns how long it took, in seconds: longer
    on a busy machine."""
    loop = asyncio.get_running_loop()
    begun = loop.time()
    over = loop.create_future()
    timer = loop.call_later(seconds, over.set_result, None)
    try:
        await over
    finally:
        timer.cancel()
    return loop.time() - begun
