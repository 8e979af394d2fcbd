"""``python -m benchmarks simulate``: what a cluster of many nodes would do, and which part of it is full first."""

import zlib
from collections.abc import Sequence
from pathlib import Path
from typing import Annotated, Any

import click
import msgspec
from msgspec import Meta, Struct
from rich.console import Console
from rich.table import Table

from benchmarks import report
from benchmarks.phases import Phases, Tell
from benchmarks.records import Record
from benchmarks.simulate.cluster import Moved, SimulatedCluster, Spread, moved
from benchmarks.simulate.settling import STATEMENTS_A_BEAT, Settling, beat_bytes, settle
from benchmarks.simulate.walls import Costs, Machines, Wall, beats_us, costs, per_core, walls
from benchmarks.tuning import options
from cluster.policy.balance.balancing import MOVED_AT_ONCE
from cluster.policy.routes.destinations import Destination
from cluster.policy.routes.membership import ACTOR_ALIVE_S

STAGES = Path(__file__).parents[1] / "results/stages.json"
REPORT_EVERY_S = 10.0
CLOCK_STATEMENTS = 38.0
"""Statements a second of an installation at rest, by what there is one of, as the scenario ``nodes`` counts them."""
CLOCK_STATEMENTS_EACH = 7.7
"""The same of each delivery actor and API process, heartbeats and loads among them."""
FILE = click.Path(dir_okay=False, path_type=Path)
KNOWN = click.Path(exists=True, dir_okay=False, path_type=Path)


class Options(Struct, frozen=True, kw_only=True):
    """The cluster, its mail, and the machine of its journal."""

    nodes: Annotated[int, Meta(ge=2, le=1000, description="Nodes with delivery actors and an API process.")] = 100
    actors_per_node: Annotated[int, Meta(ge=1, le=64, description="Delivery actors on each.")] = 2
    sites: Annotated[int, Meta(ge=10, le=1_000_000, description="Sites, in Zipf's order.")] = 100_000
    rate: Annotated[float, Meta(ge=1, le=10_000_000, description="Messages a second.")] = 100_000.0
    exponent: Annotated[float, Meta(ge=0, le=2, description="The nth site gets 1/n^exponent of the first's.")] = 1.0
    connections: Annotated[int, Meta(ge=1, le=1000, description="A site's limit: it bounds its shares.")] = 64
    drain_s: Annotated[float, Meta(ge=0.001, le=600, description="A transaction's time, on average.")] = 0.5
    statements: Annotated[float, Meta(ge=0.001, le=10, description="Statements a message: see counts.")] = 0.093
    wal_bytes: Annotated[float, Meta(ge=1, le=1e6, description="Of Postgres's log a message: see counts.")] = 3620.0
    journal_cores: Annotated[int, Meta(ge=1, le=512, description="Cores of the journal's machine.")] = 32
    wal_mb_s: Annotated[float, Meta(ge=1, le=100_000, description="What its disk writes, in MB/s.")] = 1000.0
    seed: Annotated[int, Meta(ge=0, description="The same seed, the same cluster.")] = 1


class Changed(Struct, frozen=True, kw_only=True):
    """A node that joins or dies: what the hash moves at once, then the balance, and how much the busiest carries."""

    at_once: Moved
    later: tuple[Moved, ...]
    unbalanced: Spread
    balanced: Spread
    share: float = 0.0
    """What a new node carries in the end, as a multiple of its fair share."""
    settling: Settling


class Simulated(Struct, frozen=True, kw_only=True):
    """The record of a simulation."""

    options: Options
    costs: Costs
    by_hash: Spread
    balanced: Spread
    changes: tuple[Moved, ...]
    named: int
    split_sites: int
    shares: int
    assignment_bytes: int
    report_bytes: int
    joined: Changed
    died: Changed
    statements_per_s: dict[str, float]
    bytes_per_s: dict[str, float]
    journal_cores: dict[str, float]
    walls: tuple[Wall, ...]


@click.command()
@options(Options)
@click.option("--stages", "stages_path", type=KNOWN, default=STAGES, help="The record of the scenario stages.")
@click.option("--json", "json_path", type=FILE, help="Write the record there.")
def simulate(stages_path: Path, json_path: Path | None, **told: Any) -> None:
    """Simulate a large cluster over the product's own decisions.

    Spreads the mail of many sites over many delivery actors, lets a node join and one die, and tells balance, movement,
    the time until all have acknowledged a change, what the journal has to do, and which part is full first. The costs
    of a message are those of a record of `python -m benchmarks stages` (docs/scaling.md).
    """
    console = report.console()
    record = msgspec.json.decode(stages_path.read_bytes(), type=Record)
    settings = msgspec.convert(told, Options)
    try:
        found = costs(
            {figure.name: figure.median for figure in record.figures},
            statements=settings.statements,
            wal_bytes=settings.wal_bytes,
        )
    except KeyError as missing:
        raise click.ClickException(f"{stages_path} has no figure {missing}: measure stages again") from missing
    simulated = run(settings, found, Phases(console))
    show(console, simulated)
    if json_path is not None:
        json_path.write_bytes(msgspec.json.format(msgspec.json.encode(simulated), indent=1) + b"\n")


def run(settings: Options, found: Costs, phases: Phases) -> Simulated:
    with phases.shown():
        with phases.phase("hash", 1.0) as tell:
            cluster = SimulatedCluster(
                nodes=settings.nodes,
                actors_per_node=settings.actors_per_node,
                sites=settings.sites,
                rate=settings.rate,
                exponent=settings.exponent,
                capacity=per_core(found.actor_us),
                connections=settings.connections,
                seed=settings.seed,
                advance=lambda done: tell(f"{settings.sites:,} sites", done),
            )
            by_hash = cluster.spread()
        with phases.phase("balance", 1.0) as tell:
            changes = _balance(cluster, tell)
            balanced, assignment, reports = cluster.spread(), cluster.assignment, cluster.reports()
            shares = {name: one.shares for name, one in assignment.splits.items()}
            hottest = max(_by_site(cluster.loads()).values()) / 60
        with phases.phase("join", 1.0) as tell:
            joined = _change(cluster, settings, None, tell)
        with phases.phase("death", 1.0) as tell:
            died = _change(cluster, settings, cluster.nodes[0], tell)
    encoder = msgspec.msgpack.Encoder()
    machines = Machines(
        nodes=settings.nodes,
        actors_per_node=settings.actors_per_node,
        journal_cores=settings.journal_cores,
        wal_mb_s=settings.wal_mb_s,
        processes=settings.nodes + 1,
    )
    actors = settings.nodes * settings.actors_per_node
    encoded = len(zlib.compress(encoder.encode(assignment)))
    reported = sum(len(zlib.compress(encoder.encode(one))) for one in reports)
    most = per_core(found.actor_us) * max(shares.values(), default=1)
    heartbeats, loads = actors * STATEMENTS_A_BEAT, actors / REPORT_EVERY_S
    at_rest = CLOCK_STATEMENTS + CLOCK_STATEMENTS_EACH * (actors + settings.nodes)
    beats = actors * beat_bytes([f"delivery-{n}-0" for n in range(actors)])
    return Simulated(
        options=settings,
        costs=found,
        by_hash=by_hash,
        balanced=balanced,
        changes=tuple(changes),
        named=len(assignment.placed),
        split_sites=sum(number > 1 for number in shares.values()),
        shares=sum(shares.values()),
        assignment_bytes=encoded,
        report_bytes=reported,
        joined=joined,
        died=died,
        statements_per_s={
            "mail": settings.rate * found.statements,
            "heartbeats": heartbeats,
            "loads": loads,
            "others by the clock": at_rest - heartbeats - loads,
        },
        bytes_per_s={
            "log of mail": settings.rate * found.wal_bytes,
            "heartbeats, read": beats,
            "loads, written and read": 2 * reported / REPORT_EVERY_S,
        },
        journal_cores={
            "mail": settings.rate * found.journal_us / 1e6,
            "heartbeats": beats_us(found, machines) / 1e6,
        },
        walls=tuple(walls(found, machines, balanced.busiest, most, hottest / settings.rate)),
    )


def _balance(cluster: SimulatedCluster, tell: Tell) -> list[Moved]:
    changes = cluster.settle(lambda done: tell(f"assignment {cluster.assignment.version}", done))
    tell(f"assignment {cluster.assignment.version}", 1.0)
    return changes


def _change(cluster: SimulatedCluster, settings: Options, dying: int | None, tell: Tell) -> Changed:
    """A node joins, or this one dies; and what the balance makes of it."""
    before, assignment = cluster.owners(), cluster.assignment
    new = cluster.join() if dying is None else []
    gone = cluster.die(dying) if dying is not None else []
    at_once = moved(cluster.loads(), before, cluster.owners())
    unbalanced, former = cluster.spread(), cluster.owners()
    later = _balance(cluster, tell)
    carried = cluster.carried()
    mean = sum(carried.values()) / len(carried)
    # Of a dead node what it had waits for all to know; otherwise what the balance moves.
    since, until = (before, former) if gone else (former, cluster.owners())
    moving = {place: (since[place], name) for place, name in until.items() if place in since and since[place] != name}
    return Changed(
        at_once=at_once,
        later=tuple(later),
        unbalanced=unbalanced,
        balanced=cluster.spread(),
        share=sum(carried[name] for name in new) / len(new) / mean if new else 0.0,
        settling=settle(
            [member.name for member in cluster.members],
            assignment,
            assignment if gone else cluster.assignment,
            dict(list(moving.items())[:MOVED_AT_ONCE]),
            drain_s=settings.drain_s,
            seed=settings.seed,
            gone=gone,
        ),
    )


def _by_site(loads: dict[Destination, float]) -> dict[str, float]:
    sums: dict[str, float] = {}
    for place, per_min in loads.items():
        sums[place.site] = sums.get(place.site, 0.0) + per_min
    return sums


def show(console: Console, found: Simulated) -> None:
    """The record as tables."""
    number = report.number
    told = found.options
    actors = told.nodes * told.actors_per_node
    console.print(f"{told.nodes} nodes, {actors} delivery actors, {told.sites:,} sites, {told.rate:,.0f} messages/s")
    spreads = Table(
        "balance", "busiest / mean", "idlest", "of its limit", "moved", "of all mail", box=None, pad_edge=False
    )
    limit = per_core(found.costs.actor_us) * actors / told.rate
    for name, spread, moves in (
        ("by the hash alone", found.by_hash, ()),
        (f"assigned, after {len(found.changes)} changes", found.balanced, found.changes),
        ("a node joins: at once", found.joined.unbalanced, (found.joined.at_once,)),
        (f"… after {len(found.joined.later)} changes", found.joined.balanced, found.joined.later),
        ("a node dies: at once", found.died.unbalanced, (found.died.at_once,)),
        (f"… after {len(found.died.later)} changes", found.died.balanced, found.died.later),
    ):
        spreads.add_row(
            name, number(spread.busiest), number(spread.idlest), f"{spread.busiest / limit:.0%}", *_moves(moves)
        )
    console.print(spreads)
    console.print(
        f"the new node carries {found.joined.share:.2f} of its fair share; {found.named:,} destinations have a name, "
        f"{found.split_sites} sites are in {found.shares} shares; the assignment has {found.assignment_bytes:,} "
        f"octets, the loads {found.report_bytes:,}"
    )
    settling = Table(
        "change", "known by all, s", "pause, median, s", "longest, s", "statements", box=None, pad_edge=False
    )
    for name, one in (
        ("a node joins", found.joined.settling),
        (f"a node dies, after {ACTOR_ALIVE_S:.0f} s", found.died.settling),
    ):
        settling.add_row(
            name,
            number(one.acknowledged_s),
            number(one.median_pause_s),
            number(one.longest_pause_s),
            f"{one.statements:,}",
        )
    console.print(settling)
    journal = Table("journal", "statements/s", "MB/s", "cores", box=None, pad_edge=False)
    for name in dict.fromkeys((*found.statements_per_s, *found.bytes_per_s, *found.journal_cores)):
        journal.add_row(
            name,
            _cell(found.statements_per_s.get(name)),
            _cell(found.bytes_per_s.get(name, 0.0) / 1e6 or None),
            _cell(found.journal_cores.get(name)),
        )
    console.print(journal)
    full = Table("full at", "messages/s", box=None, pad_edge=False)
    for number_, wall in enumerate(found.walls):
        full.add_row(
            wall.what, f"{wall.per_s:,.0f}", style="red" if wall.per_s < told.rate else "" if number_ else "bold"
        )
    console.print(full)


def _moves(moves: Sequence[Moved]) -> tuple[str, str]:
    if not moves:
        return "", ""
    return f"{sum(one.destinations for one in moves):,}", f"{sum(one.part for one in moves):.1%}"


def _cell(value: float | None) -> str:
    return "" if value is None else report.number(value)
