"""The tracking scenario: opens and clicks of delivered mail, as the recipients of a large mailing make them, at one API
process. Their events are counted in the messages' timelines, so an answer without its event is found.
"""

import asyncio
import itertools
import json
import time
from collections.abc import Iterator, Sequence
from typing import Annotated

import psycopg
from msgspec import Meta

from benchmarks.load import Load
from benchmarks.mail import Mail, Shape
from benchmarks.phases import Tell
from benchmarks.records import Better, Repeat
from benchmarks.runner import Measure
from benchmarks.scenarios.sending import SendingWorld, WorldOptions
from benchmarks.series import percentile, thinned
from cluster.journal.journal import Journal
from cluster.tracking.keys import TokenKeys
from cluster.tracking.tokens import Recipient, RecipientTokens, Target, TokenKey, click_suffix, open_suffix
from cluster.vault import Vault, secret_key

OPENS, CLICKS, BOTH = "opens", "clicks", "both"
LINKS = 8
BROWSER = "User-Agent: Mozilla/5.0 (X11; Linux x86_64) AppleWebKit/537.36 (KHTML, like Gecko) Chrome/142.0.0.0\r\n"
RECIPIENTS = "SELECT t.number, m.id, m.to_emails[1] FROM messages m JOIN tenants t ON t.id = m.tenant_id ORDER BY m.id"


class Options(WorldOptions, frozen=True, kw_only=True):
    """The options of a run."""

    seconds: Annotated[float, Meta(ge=1, le=300, description="Of each phase of a repeat.")] = 5.0
    rate: Annotated[float, Meta(ge=1, le=20_000, description="Opens and clicks a second, for the latencies.")] = 1000.0
    clients: Annotated[int, Meta(ge=1, le=256, description="Connections.")] = 32
    messages: Annotated[int, Meta(ge=10, le=100_000, description="Messages that are opened.")] = 1000


class Tracking:
    """The tracking scenario."""

    name = "tracking"
    title = "Opens and clicks of delivered mail: answers a second, and their latency at a fixed rate"
    notes = (
        "The load shares the machine's cores with the one API process and with the recorder, which stores the events.",
        "Every answer is counted again as an event in the timeline of its message.",
    )

    def __init__(self, options: Options) -> None:
        self.settings = options
        self._sending = SendingWorld(options)
        self._message_ids: list[str] = []
        self._paths: dict[str, list[tuple[str, int]]] = {}
        """By phase: a path, and the status of its answer."""
        self._stored = 0
        """Events of earlier repeats."""

    @property
    def measures(self) -> tuple[Measure, ...]:
        return (
            Measure(OPENS, "/s", Better.HIGHER, 5000.0),
            Measure(CLICKS, "/s", Better.HIGHER, 3000.0),
            Measure("p50", "ms", Better.LOWER),
            Measure("p99", "ms", Better.LOWER, 20.0 if self.settings.rate == 1000.0 else None),
        )

    async def open(self, tell: Tell) -> None:
        await self._sending.open(tell)
        world = self._sending.world
        load = self._sending.load(self.settings.clients)
        await load.open()
        try:
            await load.as_fast_as_answered(self._sending.bodies(Mail(Shape()), self.settings.messages, 100))
        finally:
            load.close()
        await world.all_arrived(load.promised, lambda n: tell(f"{n} of {load.promised} at the sink", 0))
        await world.recorded()
        await self._make_paths()

    async def _make_paths(self) -> None:
        """The URLs as the recipients of the delivered messages have them."""
        world = self._sending.world
        journal = Journal(world.dsn, application="benchmark", connections=1)
        await journal.open()
        try:
            keys = TokenKeys(journal, Vault(secret_key("", world.postray.data_dir)))
            await keys.load()
        finally:
            await journal.close()
        with psycopg.connect(world.dsn) as connection:
            rows = connection.execute(RECIPIENTS).fetchall()
        self._message_ids = [message_id for _, message_id, _ in rows]
        self._paths = paths(keys.newest, rows)

    async def close(self) -> None:
        await self._sending.close()

    async def measure(self, share: float, tell: Tell) -> Repeat:
        world, options = self._sending.world, self.settings
        load = self._sending.load(options.clients)
        await load.open()
        watch = world.watch()
        await watch.start()
        began, seconds = time.monotonic(), share * options.seconds
        try:
            tell("opens", 0)
            opens = await _as_fast_as_answered(load, self._paths[OPENS], options.clients, seconds)
            tell("clicks", 0.3)
            clicks = await _as_fast_as_answered(load, self._paths[CLICKS], options.clients, seconds)
            tell(f"{options.rate:g}/s", 0.6)
            samples = await _at_rate(load, self._paths[BOTH], options.rate, seconds)
            usage = await watch.stop()
            took_s = time.monotonic() - began
            await world.recorded()
            stored = await self._events(load)
        finally:
            load.close()
        counted, self._stored = stored - self._stored, stored
        return Repeat(
            figures={
                OPENS: opens / seconds,
                CLICKS: clicks / seconds,
                "p50": percentile(samples, 0.5),
                "p99": percentile(samples, 0.99),
            },
            seconds=round(took_s, 3),
            promised=opens + clicks + len(samples),
            counted=counted,
            usage=usage,
            latencies_ms={self.name: thinned(samples)},
        )

    async def _events(self, load: Load) -> int:
        """Opens and clicks in the timelines of all messages."""
        count = 0
        for message_id in self._message_ids:
            _, answer = await load.get(f"/v3/messages/{message_id}")
            count += sum(event["event_type"] in ("open", "click") for event in json.loads(answer)["events"])
        return count


def paths(key: TokenKey, recipients: Sequence[tuple[int, str, str]]) -> dict[str, list[tuple[str, int]]]:
    """For each phase, what recipients ask for. ``recipients``: tenant number, message id and address."""
    pixel = open_suffix()
    links = [click_suffix(Target(f"https://www.example.com/articles/2026/{link}?a=b", link)) for link in range(LINKS)]
    opens: list[tuple[str, int]] = []
    clicks: list[tuple[str, int]] = []
    for tenant_number, message_id, email in recipients:
        who = Recipient(tenant_number=tenant_number, message_id=message_id, recipient_no=0, email=email)
        tokens = RecipientTokens(key, who)
        opens.append((f"/t/o/{tokens.token(pixel)}.gif", 200))
        clicks += [(f"/t/c/{tokens.token(link)}", 302) for link in links]
    both = [one for pair in zip(itertools.cycle(opens), clicks, strict=False) for one in pair]
    return {OPENS: opens, CLICKS: clicks, BOTH: both}


async def _as_fast_as_answered(load: Load, asked: Sequence[tuple[str, int]], clients: int, seconds: float) -> int:
    """How many were answered. Each client asks again when it is answered."""
    ends = time.monotonic() + seconds
    turns: Iterator[tuple[str, int]] = itertools.cycle(asked)

    async def one_client() -> int:
        answered = 0
        while time.monotonic() < ends:
            path, status = next(turns)
            await load.get(path, status, BROWSER)
            answered += 1
        return answered

    return sum(await asyncio.gather(*(one_client() for _ in range(clients))))


async def _at_rate(load: Load, asked: Sequence[tuple[str, int]], rate: float, seconds: float) -> list[float]:
    """The milliseconds of each answer, from its turn."""
    began = time.perf_counter()
    samples: list[float] = []

    async def one(path: str, status: int, turn: float) -> None:
        await load.get(path, status, BROWSER)
        samples.append((time.perf_counter() - turn) * 1000)

    async with asyncio.TaskGroup() as group:
        for number, (path, status) in zip(range(round(rate * seconds)), itertools.cycle(asked), strict=False):
            turn = began + number / rate
            await asyncio.sleep(max(0.0, turn - time.perf_counter()))
            group.create_task(one(path, status, turn))
    return samples
