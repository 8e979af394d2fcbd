"""The nodes scenario: clusters of 1, 2, 4 and 8 Ray nodes of this machine, one after the other, with the same work for
each node: mail comes at a rate that is in proportion to the nodes.

Each node has one delivery actor and one API process. Between them and Postgres is the relay of ``counts``, which sees
every statement, and the actors count the calls from others. What is done by the clock, whether there is mail or not, is
measured at rest and told apart, and not counted for messages.

The rate is one at which the machine has cores to spare. When all nodes compete for its cores, each gets a part of the
work that one node has alone, so its batches are smaller, and processes push each other out of the caches: that is what
few cores cost, and not what growth costs.
"""

import asyncio
import time
from collections.abc import Callable
from contextlib import AsyncExitStack
from typing import Annotated

import psutil
from msgspec import Meta, Struct

from benchmarks.blocking import to_its_end
from benchmarks.cluster_postray import ClusterPostray
from benchmarks.counts.journal_dialogue import Dialogue, StatementNames, Transaction
from benchmarks.counts.relay import relayed_journal
from benchmarks.load import Load
from benchmarks.mail import Mail, Shape
from benchmarks.phases import Tell
from benchmarks.postray import PostrayDidNotStart
from benchmarks.records import Better, Repeat, Usage
from benchmarks.runner import Measure
from benchmarks.scenarios.sending import COUNTED, Clients, Connections, PerRequest, product_cpu_s
from benchmarks.sink import SinkOptions, Writing
from benchmarks.usage import ProcessWatch
from benchmarks.world import World, known, relayed
from cluster.installation.embedded import EmbeddedPostgres
from cluster.journal.statements import QUERIES

CLUSTERS = (1, 2, 4, 8)
MOST_TIMES = 1.15
"""CPU, statements and calls of a message on the largest cluster, beside those on one node: so many times at most."""
STATEMENTS, CALLS = "statements", "calls"
WARM_UP = 0.2
"""Of the mail of a cluster, sent first."""
WHOLE_S = 60.0
LOOK_S = 0.5


class Options(Struct, frozen=True, kw_only=True):
    """The options of a run."""

    rate: Annotated[int, Meta(ge=1, le=10_000, description="Messages a second for each node.")] = 150
    seconds: Annotated[int, Meta(ge=1, le=3600, description="Of mail, on each cluster.")] = 30
    per_request: PerRequest = 10
    clients: Clients = 8
    connections: Connections = 40
    most_nodes: Annotated[int, Meta(ge=2, le=8, description="Nodes of the largest cluster.")] = 8
    rest_s: Annotated[float, Meta(ge=1, le=600, description="Seconds at rest, for what is done by the clock.")] = 10.0


class Seen(Struct, frozen=True, kw_only=True):
    """What has happened until a moment."""

    at: float
    statements: int
    calls: int


class Costs(Struct, frozen=True, kw_only=True):
    """Of a message on a cluster, and of a second at rest."""

    cpu_us: float
    statements: float
    calls: float
    rest_statements_per_s: float
    rest_calls_per_s: float
    rest_cpu_ms_per_s: float


def costs(
    before: Seen, rested: Seen, began: Seen, ended: Seen, *, messages: int, cpu_s: float, rest_cpu_s: float
) -> Costs:
    """``before`` and ``rested``: the ends of the time at rest; ``began`` and ``ended``: of that with mail."""
    rest_s, took_s = rested.at - before.at, ended.at - began.at
    statements_per_s = (rested.statements - before.statements) / rest_s
    calls_per_s = (rested.calls - before.calls) / rest_s
    return Costs(
        cpu_us=(cpu_s - rest_cpu_s / rest_s * took_s) / messages * 1e6,
        statements=(ended.statements - began.statements - statements_per_s * took_s) / messages,
        calls=(ended.calls - began.calls - calls_per_s * took_s) / messages,
        rest_statements_per_s=statements_per_s,
        rest_calls_per_s=calls_per_s,
        rest_cpu_ms_per_s=rest_cpu_s / rest_s * 1000,
    )


def figures(found: dict[int, Costs]) -> dict[str, float]:
    """The figures of clusters, by their nodes, and how the largest compares with the smallest."""
    told: dict[str, float] = {}
    for nodes, one in found.items():
        told |= {
            f"CPU, {nodes}": one.cpu_us,
            f"{STATEMENTS}, {nodes}": one.statements * 1000,
            f"{CALLS}, {nodes}": one.calls * 1000,
            f"at rest: {STATEMENTS}, {nodes}": one.rest_statements_per_s,
            f"at rest: {CALLS}, {nodes}": one.rest_calls_per_s,
            f"at rest: CPU, {nodes}": one.rest_cpu_ms_per_s,
        }
    least, most = found[min(found)], found[max(found)]
    pairs = (
        ("CPU", most.cpu_us, least.cpu_us),
        (STATEMENTS, most.statements, least.statements),
        (CALLS, most.calls, least.calls),
    )
    return told | {f"{name}, times": large / small for name, large, small in pairs if small > 0}


class NodesWorld(World):
    """A cluster with a Postgres of the harness's own behind the relay. ``nodes``: of the cluster."""

    def __init__(self, options: Options, nodes: int) -> None:
        super().__init__(relayed, SinkOptions(writing=Writing.SOON))
        self._options = options
        self._nodes = nodes
        self._own_postgres = EmbeddedPostgres(self.directory / "postgres")
        self._stack = AsyncExitStack()
        self._statements = 0

    @property
    def dsn(self) -> str:
        return self._own_postgres.dsn  # past the relay

    async def begin(self) -> None:
        """Start everything; returns when every actor works. Raises PostrayDidNotStart."""
        names = StatementNames(QUERIES)
        dsn = await to_its_end(self._own_postgres.start)
        relay = relayed_journal(dsn, self.directory / "relay", lambda: Dialogue(names, self._count))
        through = await self._stack.enter_async_context(relay)
        variables = {
            "POSTRAY_SMTP_HELO_NAME": "bench.example.com",
            "POSTRAY_POSTGRES_DSN": through,
            "POSTRAY_DELIVERY_CONNECTIONS_PER_SITE": str(self._options.connections),
            "POSTRAY_CLUSTER_MAX_NODES": str(CLUSTERS[-1]),
            **relayed(await to_its_end(self.sink.start)),
        }
        self._postray = ClusterPostray(self.directory / "data", variables, self._nodes)
        await to_its_end(self._postray.start)
        deadline = time.monotonic() + WHOLE_S
        while idle := await asyncio.to_thread(self._postray.idle):
            if time.monotonic() > deadline:
                raise PostrayDidNotStart(f"not there after {WHOLE_S:.0f} s: {', '.join(idle)}")
            await asyncio.sleep(LOOK_S)

    async def end(self) -> None:
        """End everything; returns when no process is left."""
        async with AsyncExitStack() as steps:  # in reverse order; each runs even if another fails
            steps.push_async_callback(to_its_end, self.close)
            steps.push_async_callback(to_its_end, self._own_postgres.stop)
            steps.push_async_callback(self._stack.aclose)
            if self._postray is not None:
                steps.push_async_callback(to_its_end, self._postray.stop)

    async def seen(self) -> Seen:
        assert isinstance(self._postray, ClusterPostray)
        called = await to_its_end(self._postray.called)
        return Seen(at=time.monotonic(), statements=self._statements, calls=sum(called.values()))

    def watch(self) -> ProcessWatch:
        postgres = psutil.Process(self._own_postgres.pid)

        def parts() -> dict[str, list[int]]:
            backends = [one.pid for one in postgres.children()]
            return self.postray.parts() | {"sink": [self.sink.pid], "postgres": [postgres.pid, *backends]}

        return ProcessWatch(parts)

    def _count(self, transaction: Transaction) -> None:
        self._statements += len(transaction.statements)


class Nodes:
    """The nodes scenario."""

    name = "nodes"
    title = "Clusters of 1, 2, 4 and 8 nodes of this machine, with the same work for each node"
    notes = (
        COUNTED,
        "CPU: of the product's processes, those of Ray and Postgres included. CPU, statements and calls of a message: "
        "without those at rest. Each cluster is warmed up by itself: --warm-up has no effect.",
    )

    def __init__(self, options: Options) -> None:
        self.settings = options
        self._clusters = [nodes for nodes in CLUSTERS if nodes <= options.most_nodes]

    @property
    def measures(self) -> tuple[Measure, ...]:
        units = (("CPU", "µs/msg"), (STATEMENTS, "1/1000 msg"), (CALLS, "1/1000 msg"))
        at_rest = ((f"at rest: {STATEMENTS}", "1/s"), (f"at rest: {CALLS}", "1/s"), ("at rest: CPU", "ms/s"))
        return (
            *(Measure(f"{name}, times", "", Better.LOWER, MOST_TIMES) for name, _ in units),
            *(
                Measure(f"{name}, {nodes}", unit, Better.LOWER)
                for name, unit in (*units, *at_rest)
                for nodes in self._clusters
            ),
        )

    async def open(self, tell: Tell) -> None:
        """Each cluster is opened when it is measured."""

    async def close(self) -> None:
        """Each cluster is closed when it was measured."""

    async def measure(self, share: float, tell: Tell) -> Repeat:
        if share < 1:
            return Repeat(figures={}, seconds=0.0)
        began = time.monotonic()
        found: dict[int, Costs] = {}
        promised = counted = copies = 0
        usage: dict[str, Usage] = {}
        for nodes in self._clusters:
            world = NodesWorld(self.settings, nodes)
            try:
                tell(f"{nodes} nodes: starting", 0.0)
                await world.begin()
                one = await self._on(world, nodes, tell)
                found[nodes] = one[0]
                load = one[1]
                promised += load.promised
                counted += known(world.arrivals, load.message_ids)
                copies += world.arrivals.surplus
                usage |= {f"{part}, {nodes}": took for part, took in one[2].items()}
            finally:
                await world.end()
        return Repeat(
            figures=figures(found),
            seconds=round(time.monotonic() - began, 3),
            promised=promised,
            counted=counted,
            copies=copies,
            usage=usage,
        )

    async def _on(self, world: NodesWorld, nodes: int, tell: Tell) -> tuple[Costs, Load, dict[str, Usage]]:
        rate = self.settings.rate * nodes
        mail, messages = Mail(Shape()), rate * self.settings.seconds
        warm_up = round(WARM_UP * messages)
        numbers = range(1, warm_up + 1)
        await self._send(world, mail, numbers, rate, lambda told: tell(f"{nodes} nodes: warm-up, {told}", 0.0))
        await world.recorded()
        before, watch = await world.seen(), world.watch()
        await watch.start()
        await asyncio.sleep(self.settings.rest_s)
        at_rest = await watch.stop()
        rested = await world.seen()
        watch = world.watch()
        began = await world.seen()
        await watch.start()
        numbers = range(warm_up + 1, warm_up + messages + 1)
        load = await self._send(world, mail, numbers, rate, lambda told: tell(f"{nodes} nodes: {told}", 0.0))
        await world.recorded()
        usage = await watch.stop()
        ended = await world.seen()
        found = costs(
            before,
            rested,
            began,
            ended,
            messages=load.promised,
            cpu_s=product_cpu_s(usage),
            rest_cpu_s=product_cpu_s(at_rest),
        )
        return found, load, usage

    async def _send(
        self, world: NodesWorld, mail: Mail, numbers: range, rate: int, tell: Callable[[str], None]
    ) -> Load:
        load = Load(world.postray.url, world.postray.key, self.settings.clients)
        await load.open()
        world.forget()
        size = self.settings.per_request
        try:
            bodies = (mail.body(numbers[start : start + size], None) for start in range(0, len(numbers), size))
            await load.at_rate(bodies, rate / size)
        finally:
            load.close()
        await world.all_arrived(load.promised, lambda n: tell(f"{n} of {load.promised} at the sink"))
        return load
