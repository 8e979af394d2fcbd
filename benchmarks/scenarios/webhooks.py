"""The webhooks scenario: events from the event log to the endpoints that want them. Each is counted at the endpoint,
and events of delivered mail are written to the log as a delivery actor writes them.
"""

import asyncio
import itertools
import time
from collections.abc import Iterator, Sequence
from datetime import UTC, datetime
from pathlib import Path
from typing import Annotated

import psycopg
from msgspec import Meta

from benchmarks.blocking import to_its_end
from benchmarks.hook import HookOptions
from benchmarks.hook_log import Post
from benchmarks.hook_process import HookProcess
from benchmarks.mail import Mail, Shape
from benchmarks.phases import Tell
from benchmarks.records import Better, Repeat
from benchmarks.runner import Measure
from benchmarks.scenarios.sending import SendingWorld, WorldOptions
from benchmarks.series import percentile, thinned
from benchmarks.tail import Tail
from benchmarks.world import relayed
from cluster.events import Delivered, Event, encode_batch
from cluster.ids import new_id, new_ids
from cluster.journal.journal import Journal
from cluster.vault import Vault, secret_key
from cluster.webhooks.endpoints import Dialect, Endpoint
from cluster.webhooks.signing import new_secret

ARRAYS, SINGLE = "events in arrays", "single posts"
OWED_TO_ONE, OWED_TO_MANY = "owed to one", "owed to each of many"
MESSAGES = 1000
IN_ROW = 50
"""Events in a row of the log."""
TICK_S = 0.05
LOOK_S = 0.1
STALLED_S = 30.0
"""After this time without a further event at the endpoint, the missing ones count as lost."""
RECIPIENTS = "SELECT tenant_id, id, to_emails[1] FROM messages ORDER BY id"
APPEND = "COPY event_log (events) FROM STDIN (FORMAT BINARY)"


class Options(WorldOptions, frozen=True, kw_only=True):
    """The options of a run."""

    events: Annotated[int, Meta(ge=1000, le=5_000_000, description="To the endpoint that takes arrays.")] = 100_000
    posts: Annotated[int, Meta(ge=100, le=1_000_000, description="To the endpoints that take single events.")] = 15_000
    owed: Annotated[int, Meta(ge=1000, le=5_000_000, description="Events that one endpoint is owed.")] = 100_000
    owed_to_each: Annotated[int, Meta(ge=1000, le=100_000, description="Events that each of many is owed.")] = 5000
    owing: Annotated[int, Meta(ge=2, le=500, description="Endpoints that are owed events and get none.")] = 50
    endpoints: Annotated[int, Meta(ge=1, le=200, description="That take single events.")] = 20
    rate: Annotated[float, Meta(ge=1, le=20_000, description="Events a second, for the latencies.")] = 500.0
    seconds: Annotated[float, Meta(ge=1, le=300, description="Of the latencies.")] = 10.0


class Webhooks:
    """The webhooks scenario."""

    name = "webhooks"
    title = (
        "Webhooks: events a second to one endpoint, single posts a second, latency at a fixed rate, and fan-out alone"
    )
    notes = (
        "The endpoint is an aiohttp server in a process of its own, on the cores that postray has.",
        "Events are written to the log by the harness; each is counted at the endpoint.",
        "Fan-out: endpoints are paused, and events of the log a second are counted once each of them is owed them.",
    )

    def __init__(self, options: Options) -> None:
        self.settings = options
        self._sending = SendingWorld(options, lambda sink: relayed(sink) | ALLOWED)
        self._hook: HookProcess | None = None
        self._timed: HookProcess | None = None
        self._recipients: list[tuple[str, str, str]] = []
        self._urls: dict[str, str] = {}

    @property
    def measures(self) -> tuple[Measure, ...]:
        return (
            Measure(ARRAYS, "/s", Better.HIGHER, 10_000.0),
            Measure(SINGLE, "/s", Better.HIGHER, 1500.0),
            Measure(OWED_TO_ONE, "/s", Better.HIGHER),
            Measure(OWED_TO_MANY, "/s", Better.HIGHER),
            Measure("p50", "ms", Better.LOWER, 1000.0 if self.settings.rate == 500.0 else None),
            Measure("p99", "ms", Better.LOWER),
        )

    async def open(self, tell: Tell) -> None:
        await self._sending.open(tell)
        world = self._sending.world
        load = self._sending.load(8)
        await load.open()
        try:
            await load.as_fast_as_answered(self._sending.bodies(Mail(Shape()), MESSAGES, 100))
        finally:
            load.close()
        await world.all_arrived(load.promised, lambda n: tell(f"{n} of {load.promised} at the sink", 0))
        await world.recorded()
        with psycopg.connect(world.dsn) as connection:
            self._recipients = connection.execute(RECIPIENTS).fetchall()
        self._hook = HookProcess(_folder(world.directory, "hook"), HookOptions(logs_events=False))
        self._timed = HookProcess(_folder(world.directory, "timed"))
        self._urls = {
            "hook": f"http://{await to_its_end(self._hook.start)}",
            "timed": f"http://{await to_its_end(self._timed.start)}",
        }
        world.beside |= {"hook": self._hook.pid, "timed hook": self._timed.pid}

    async def close(self) -> None:
        for hook in (self._hook, self._timed):
            if hook is not None:
                await to_its_end(hook.stop)
        await self._sending.close()

    async def measure(self, share: float, tell: Tell) -> Repeat:
        assert self._hook is not None and self._timed is not None
        world, options = self._sending.world, self.settings
        watch = world.watch()
        await watch.start()
        began = time.monotonic()
        tell("arrays", 0)
        events = round(share * options.events)
        arrays_s, arrays = await self._drained(self._hook, [f"{self._urls['hook']}/array"], events, is_batch=True)
        tell("single posts", 0.3)
        urls = [f"{self._urls['hook']}/single/{number}" for number in range(options.endpoints)]
        each = round(share * options.posts / len(urls))
        single_s, single = await self._drained(self._hook, urls, each, is_batch=False)
        tell("fan-out", 0.5)
        to_one = await self._owed(round(share * options.owed), 1)
        to_many = await self._owed(round(share * options.owed_to_each), options.owing)
        tell(f"{options.rate:g}/s", 0.6)
        samples, sent = await self._at_rate(share * options.seconds)
        usage = await watch.stop()
        return Repeat(
            figures={
                ARRAYS: arrays / arrays_s,
                SINGLE: single / single_s,
                OWED_TO_ONE: to_one,
                OWED_TO_MANY: to_many,
                "p50": percentile(samples, 0.5),
                "p99": percentile(samples, 0.99),
            },
            seconds=round(time.monotonic() - began, 3),
            promised=events + each * len(urls) + sent,
            counted=min(arrays, events) + min(single, each * len(urls)) + len(samples),
            copies=max(0, arrays - events) + max(0, single - each * len(urls)),
            usage=usage,
            latencies_ms={self.name: thinned(samples)},
        )

    async def _drained(
        self, hook: HookProcess, urls: Sequence[str], events: int, *, is_batch: bool
    ) -> tuple[float, int]:
        """Write events to the log at once; returns the seconds until each endpoint has them all, and how many came."""
        tail, expected = hook.tail(), events * len(urls)
        tail.take()
        async with _endpoints(self, urls, is_batch=is_batch):
            rows = list(self._rows(events))
            began = time.time()
            await asyncio.to_thread(self._append, rows)
            posts = await _arrived(tail, expected)
        return max(post.at for post in posts) - began, sum(post.count for post in posts)

    async def _owed(self, events: int, endpoints: int) -> float:
        """Write events to the log at once; returns how many of them a second became owed to all of the endpoints, which
        are paused. Raises RuntimeError when some never do."""
        urls = [f"{self._urls['hook']}/paused/{number}" for number in range(endpoints)]
        async with _endpoints(self, urls, is_batch=True, is_paused=True) as paused:
            rows = list(self._rows(events))
            began = changed_at = time.monotonic()
            await asyncio.to_thread(self._append, rows)
            owed = 0
            while owed < events * endpoints:
                if time.monotonic() - changed_at > STALLED_S:
                    raise RuntimeError(f"of {events * endpoints} events, endpoints are owed {owed}")
                await asyncio.sleep(LOOK_S)
                owed, before = await paused.owed(), owed
                if owed != before:
                    changed_at = time.monotonic()
            return events / (changed_at - began)

    async def _at_rate(self, seconds: float) -> tuple[list[float], int]:
        """The milliseconds from each event to its endpoint, and how many were written."""
        assert self._timed is not None
        tail, rate = self._timed.tail(), self.settings.rate
        tail.take()
        written: dict[str, float] = {}
        async with _endpoints(self, [f"{self._urls['timed']}/array"], is_batch=True):
            began = time.monotonic()
            while (passed := time.monotonic() - began) < seconds:
                count = round(passed * rate) - len(written)
                if count:
                    events = self._events(count)
                    written |= dict.fromkeys([event.id for event in events], time.time())
                    await asyncio.to_thread(self._append, [encode_batch(events)])
                await asyncio.sleep(TICK_S)
            posts = await _arrived(tail, len(written))
        first: dict[str, float] = {}
        for post in posts:
            for event in post.events:
                first.setdefault(event.event_id, post.at)
        return [(at - written[id]) * 1000 for id, at in first.items()], len(written)

    def _rows(self, events: int) -> Iterator[bytes]:
        for start in range(0, events, IN_ROW):
            yield encode_batch(self._events(min(IN_ROW, events - start)))

    def _events(self, count: int) -> list[Event]:
        now = time.time()
        recipients = itertools.cycle(self._recipients)
        return [
            Delivered(
                id=id,
                at=now,
                tenant_id=tenant_id,
                message_id=message_id,
                recipient=email,
                categories=("benchmark",),
                attempt=1,
                site="example.com",
                mx_host="mx.example.com",
                mx_ip="192.0.2.25",
                tls_version="TLSv1.3",
                tls_cipher="TLS_AES_256_GCM_SHA384",
                smtp_response="250 2.0.0 Ok: queued as 4Z1xYz0abcdef",
                duration_ms=42,
            )
            for id, (tenant_id, message_id, email) in zip(new_ids("evt_", count), recipients, strict=False)
        ]

    def _append(self, rows: Sequence[bytes]) -> None:
        with (
            psycopg.connect(self._sending.world.dsn, autocommit=True) as connection,
            connection.cursor().copy(APPEND) as copy,
        ):
            copy.set_types(["bytea"])
            for row in rows:
                copy.write_row((row,))


ALLOWED = {"POSTRAY_WEBHOOKS_ALLOW_NETWORKS": '["127.0.0.0/8"]'}


class _endpoints:
    """Endpoints of the tenant while they are measured."""

    def __init__(self, scenario: Webhooks, urls: Sequence[str], *, is_batch: bool, is_paused: bool = False) -> None:
        world = scenario._sending.world
        self._journal = Journal(world.dsn, application="benchmark", connections=1)
        now, vault = datetime.now(UTC), Vault(secret_key("", world.postray.data_dir))
        self._all = [
            Endpoint(
                id=new_id("wh_"),
                tenant_id=scenario._recipients[0][0],
                dialect=Dialect.POSTRAY,
                url=url,
                is_batch=is_batch,
                is_paused=is_paused,
                sealed_secret=vault.seal(new_secret().encode()),
                created_at=now,
                updated_at=now,
            )
            for url in urls
        ]

    async def owed(self) -> int:
        """How many events wait for them."""
        standings = await self._journal.webhooks.standings([endpoint.id for endpoint in self._all])
        return sum(standing.waiting for standing in standings.values())

    async def __aenter__(self) -> "_endpoints":
        await self._journal.open()
        for endpoint in self._all:
            await self._journal.webhooks.add(endpoint, 1000)
        await asyncio.sleep(1.0)  # the process of webhooks reads them within this time
        return self

    async def __aexit__(self, *_: object) -> None:
        for endpoint in self._all:
            await self._journal.webhooks.remove(endpoint.tenant_id, endpoint.id)
        await self._journal.close()


async def _arrived(tail: Tail[Post], expected: int) -> list[Post]:
    """The posts once there are so many events in them, or none has come for ``STALLED_S``."""
    posts: list[Post] = []
    changed_at = time.monotonic()
    while sum(post.count for post in posts) < expected and time.monotonic() - changed_at < STALLED_S:
        await asyncio.sleep(LOOK_S)
        if more := tail.take():
            posts += more
            changed_at = time.monotonic()
    return posts


def _folder(directory: Path, name: str) -> Path:
    folder = directory / name
    folder.mkdir()
    return folder
