"""The reads scenario: a message's timeline and a batch's counts, with millions of events stored.

A batch is accepted over HTTP and stays in the journal (it is due in an hour). While postray is down, ClickHouse is
filled with events of other messages, and with a second event for each message of the batch. Then one client sends one
request after the other. With ``beside`` it asks for as many timelines again while queries run through the SQL door.
"""

import asyncio
import time
from collections.abc import AsyncIterator, Iterator
from contextlib import asynccontextmanager
from random import Random
from typing import Annotated

import aiohttp
from msgspec import Meta

from analytics.client import ClickHouse
from benchmarks.blocking import to_its_end
from benchmarks.client import Client
from benchmarks.load import Load
from benchmarks.mail import Mail, Shape
from benchmarks.phases import Tell
from benchmarks.records import Better, Repeat
from benchmarks.runner import Measure
from benchmarks.scenarios.sending import Clients, Messages, SendingWorld, WorldOptions
from benchmarks.series import percentile, thinned
from cluster.installation.local_secrets import SQL_USER
from cluster.settings import ClickHouseSettings

LATER_S = 3600
PER_REQUEST = 1000
EVENTS = 5_000_000
BATCH = 100_000
"""The amounts of the targets."""
TIMELINE = "GET /v3/messages/{id}"
BESIDE = "GET /v3/messages/{id} beside queries"
AGGREGATE = "GET /v3/mail/batch/{id}"
RECORDED, RECORDED_BESIDE = "recorded after the 202", "recorded after the 202 beside queries"
DELAYS = {
    "a timeline's delay by queries": (BESIDE, TIMELINE),
    "a record's delay by queries": (RECORDED_BESIDE, RECORDED),
}
"""Of two 99th percentiles."""
MOST_DELAY_MS = 200.0
HEAVY = "SELECT count(), uniqExact(sipHash64(message_id, recipient)) FROM events WHERE NOT match(recipient, '^x.*y$')"
BEGUN_S = 0.5
"""After this the queries are at work."""

OTHERS = """
INSERT INTO events (event_id, at, tenant_id, message_id, event, recipient, recipient_domain, attempt, site, mx_host,
    mx_ip, tls_version, tls_cipher, smtp_response, duration_ms)
SELECT 'evt_0' || leftPad(toString(number), 25, '0'), now64(3, 'UTC') - toIntervalMillisecond(number % 2000000000),
    'tnt_others', 'msg_0' || leftPad(toString(intDiv(number, 2)), 25, '0'),
    if(number % 2 = 0, 'processed', 'delivered'), 'reader' || toString(number) || '@example.org', 'example.org',
    number % 2, 'example.org', 'mx.example.org', '127.0.0.1', 'TLSv1.3', 'TLS_AES_256_GCM_SHA384', '2.0.0 taken', 12
FROM numbers({events:UInt64})
SETTINGS min_insert_block_size_rows = 500000
"""
"""In blocks of the usual million rows an insert takes more memory than the engine may have."""
DELIVERED = """
INSERT INTO events
SELECT * REPLACE(event_id || '-delivered' AS event_id, at + toIntervalMillisecond(50) AS at, 'delivered' AS event)
FROM (SELECT * FROM events WHERE batch_id = {batch_id:String})
"""


class Options(WorldOptions, frozen=True, kw_only=True):
    """The options of a run."""

    events: Annotated[int, Meta(ge=0, le=100_000_000, description="Events of other messages in ClickHouse.")] = EVENTS
    batch: Messages = BATCH
    timelines: Annotated[int, Meta(ge=10, le=100_000, description="Messages asked for in each repeat.")] = 500
    aggregates: Annotated[int, Meta(ge=10, le=100_000, description="Times that the batch is asked for.")] = 200
    sends: Annotated[int, Meta(ge=10, le=10_000, description="Messages sent, to see when they are recorded.")] = 100
    beside: Annotated[int, Meta(ge=0, le=10, description="Heavy queries through the SQL door, for some timelines.")] = 2
    clients: Clients = 4


class Reads:
    """The reads scenario."""

    name = "reads"
    title = "A message's timeline and a batch's counts, with millions of events stored"
    notes = (
        "One client, one request after the other; every message asked for has events, and is another.",
        "Beside queries: the same messages once more, while heavy queries run through the SQL door.",
    )

    def __init__(self, options: Options) -> None:
        self.settings = options
        self._mail = Mail(Shape())
        self._sending = SendingWorld(options)
        self._random = Random(1)
        self._message_ids: tuple[str, ...] = ()
        self._batch_id = ""

    @property
    def measures(self) -> tuple[Measure, ...]:
        meant = self.settings.events >= EVENTS and self.settings.batch >= BATCH
        return (
            Measure(f"{TIMELINE} p50", "ms", Better.LOWER, 10.0 if meant else None),
            Measure(f"{TIMELINE} p99", "ms", Better.LOWER),
            *(self._measures_beside(meant) if self.settings.beside else ()),
            Measure(f"{AGGREGATE} p50", "ms", Better.LOWER, 50.0 if meant else None),
            Measure(f"{AGGREGATE} p99", "ms", Better.LOWER),
        )

    def _measures_beside(self, meant: bool) -> Iterator[Measure]:
        yield Measure(f"{BESIDE} p50", "ms", Better.LOWER, 10.0 if meant else None)
        yield Measure(f"{BESIDE} p99", "ms", Better.LOWER)
        for name in (RECORDED, RECORDED_BESIDE):
            yield Measure(f"{name} p50", "ms", Better.LOWER)
            yield Measure(f"{name} p99", "ms", Better.LOWER)
        for name in DELAYS:
            yield Measure(f"{name} p99", "ms", Better.LOWER, MOST_DELAY_MS if meant else None)

    async def open(self, tell: Tell) -> None:
        await self._sending.open(tell)
        postray = self._sending.world.postray
        answer = await Client(postray.url, postray.key).post("/v3/mail/batch")
        self._batch_id = answer.json()["batch_id"]
        load = self._sending.load(self.settings.clients)
        await load.open()
        tell("accepting the batch", 0)
        try:
            await load.as_fast_as_answered(self._bodies())
        finally:
            load.close()
        self._message_ids = load.message_ids
        tell("filling ClickHouse", 0)
        # On stopping, postray records its remaining events; and only one process may open the engine.
        await to_its_end(postray.stop)
        await to_its_end(self._fill)
        tell("starting again", 0)
        await to_its_end(postray.start)

    async def close(self) -> None:
        await self._sending.close()

    def _bodies(self) -> Iterator[bytes]:
        send_at = int(time.time()) + LATER_S
        for start in range(0, self.settings.batch, PER_REQUEST):
            numbers = range(start, min(start + PER_REQUEST, self.settings.batch))
            yield self._mail.body(numbers, send_at, self._batch_id)

    def _fill(self) -> None:
        client = ClickHouse.open(ClickHouseSettings(), self._sending.world.postray.data_dir)
        try:
            client.migrate()
            client.rows(OTHERS, events=self.settings.events)
            client.rows(DELIVERED, batch_id=self._batch_id)
        finally:
            client.close()

    async def measure(self, share: float, tell: Tell) -> Repeat:
        options, world = self.settings, self._sending.world
        load = self._sending.load(1)
        await load.open()
        watch = world.watch()
        await watch.start()
        began = time.monotonic()
        asked = self._random.sample(self._message_ids, min(len(self._message_ids), round(share * options.timelines)))
        samples: dict[str, list[float]] = {}
        beside: list[tuple[float, bool]] = []
        sends = max(1, round(share * options.sends)) if options.beside else 0
        try:
            tell(TIMELINE, 0)
            timelines = [await self._timeline(load, message_id) for message_id in asked]
            samples[RECORDED] = [await self._recorded(load) for _ in range(sends)]
            if options.beside:
                tell(BESIDE, 0.3)
                async with self._queries(options.beside):
                    beside = [await self._timeline(load, message_id) for message_id in asked]
                    samples[RECORDED_BESIDE] = [await self._recorded(load) for _ in range(sends)]
            tell(AGGREGATE, 0.6)
            aggregates = [await self._aggregate(load) for _ in range(max(1, round(share * options.aggregates)))]
        finally:
            load.close()
        samples |= {TIMELINE: [ms for ms, _ in timelines], AGGREGATE: [ms for ms, _ in aggregates]}
        samples[BESIDE] = [ms for ms, _ in beside]
        figures = {
            f"{name} p{part * 100:g}": percentile(values, part)
            for name, values in samples.items()
            for part in (0.5, 0.99)
            if values
        }
        if options.beside:
            figures |= {
                f"{name} p99": figures[f"{one} p99"] - figures[f"{other} p99"] for name, (one, other) in DELAYS.items()
            }
        return Repeat(
            figures=figures,
            seconds=round(time.monotonic() - began, 3),
            promised=len(timelines) + len(beside),
            counted=sum(whole for _, whole in (*timelines, *beside)),
            usage=await watch.stop(),
            latencies_ms={name: thinned(values) for name, values in samples.items() if values},
        )

    @asynccontextmanager
    async def _queries(self, number: int) -> AsyncIterator[None]:
        """So many queries run all the time. Raises aiohttp.ClientError when one fails."""
        postray = self._sending.world.postray
        login = aiohttp.BasicAuth(SQL_USER, postray.sql_password)

        async def one(session: aiohttp.ClientSession) -> None:
            while True:
                async with session.post(postray.sql, data=HEAVY, auth=login, raise_for_status=True) as answer:
                    await answer.read()

        async with aiohttp.ClientSession() as session:
            running = [asyncio.create_task(one(session)) for _ in range(number)]
            try:
                await asyncio.sleep(BEGUN_S)
                yield
                for query in running:
                    if query.done():
                        query.result()
            finally:
                for query in running:
                    query.cancel()
                await asyncio.gather(*running, return_exceptions=True)

    async def _timeline(self, load: Load, message_id: str) -> tuple[float, bool]:
        """Milliseconds, and whether both events were in the answer."""
        took_s, body = await load.get(f"/v3/messages/{message_id}")
        return took_s * 1000, body.count(b'"event_type"') == 2

    async def _recorded(self, load: Load) -> float:
        """Milliseconds from a message's 202 until its event is in ClickHouse. Raises Refused, TimeoutError."""
        await load.as_fast_as_answered(iter([self._mail.body([0], int(time.time()) + LATER_S)]))
        recorded_at = await self._sending.world.recorded(waiting=True)
        if recorded_at is None:
            raise TimeoutError("an event is not recorded")
        return (recorded_at - load.accepted[-1].at) * 1000

    async def _aggregate(self, load: Load) -> tuple[float, bool]:
        took_s, body = await load.get(f"/v3/mail/batch/{self._batch_id}")
        return took_s * 1000, b"total_messages" in body
