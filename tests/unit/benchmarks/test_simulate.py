"""The simulator agrees with what it simulates, and its arithmetic with itself."""

from io import StringIO

import pytest
from rich.console import Console

from benchmarks.phases import Phases
from benchmarks.scenarios import stages
from benchmarks.simulate.cluster import SimulatedCluster
from benchmarks.simulate.command import Options, run, show
from benchmarks.simulate.settling import settle
from benchmarks.simulate.walls import Costs, Machines, beats_us, costs, walls
from cluster.policy.balance.assignment import Assignment
from cluster.policy.routes.destinations import Destination
from cluster.policy.routes.membership import make_ring

COSTS = Costs(actor_us=200, journal_us=30, api_us=20, recorder_us=10, beat_us=300, statements=0.1, wal_bytes=3600)
SMALL = Options(nodes=4, actors_per_node=2, sites=400, rate=10_000.0, connections=8)


def a_cluster(rate: float = 24_000.0, connections: int = 8) -> SimulatedCluster:
    return SimulatedCluster(
        nodes=4,
        actors_per_node=2,
        sites=400,
        rate=rate,
        exponent=1.0,
        capacity=4000.0,
        connections=connections,
        seed=1,
        advance=lambda _: None,
    )


def test_owners_are_those_of_the_ring() -> None:
    cluster = a_cluster()
    cluster.settle(lambda _: None)
    cluster.join()
    cluster.die(2)
    ring = make_ring(cluster.members, cluster.assignment)
    owners = cluster.owners()
    assert cluster.assignment.splits
    assert owners == {place: ring.owner(place) for place in cluster.loads()}


def test_hot_sites_are_split_until_no_actor_stands_at_its_limit() -> None:
    cluster = a_cluster()
    assert max(cluster.loads().values()) / 60 > 0.85 * cluster.capacity
    cluster.settle(lambda _: None)
    assert max(cluster.carried().values()) / 60 < 0.85 * cluster.capacity
    assert sum(cluster.carried().values()) / 60 == pytest.approx(24_000.0)


def test_a_change_is_known_to_all_and_each_site_pauses_for_a_moment() -> None:
    names = [f"delivery-{n}-0" for n in range(10)]
    places = [Destination(f"mx{n}.example") for n in range(20)]
    ring = make_ring(a_cluster().members, Assignment())
    assert ring.members
    before = Assignment(version=1, placed={str(place): names[0] for place in places})
    after = Assignment(version=2, placed={str(place): names[1] for place in places})
    moving = dict.fromkeys(places, (names[0], names[1]))
    found = settle(names, before, after, moving, drain_s=0.1, seed=1)
    assert len(found.pauses_s) == 20
    assert 0 < found.median_pause_s <= found.longest_pause_s < 3
    assert found.longest_pause_s <= found.acknowledged_s + 1
    assert found.statements >= 2 * len(names)
    slow = settle(names, before, after, moving, drain_s=5.0, seed=1)
    assert slow.acknowledged_s > found.acknowledged_s
    assert slow.median_pause_s < slow.longest_pause_s  # each waits for its own transaction alone


def test_the_costs_of_stages_are_divided_among_the_parts() -> None:
    figures = dict.fromkeys(stages.STAGES, 10.0) | {stages.POSTGRES: 15.0, stages.HEARTBEAT: 300.0}
    found = costs(figures, statements=0.1, wal_bytes=3600)
    assert found.journal_us == 15.0
    # Claim and outcome are two thirds of what the statements cost beside Postgres.
    assert found.actor_us == pytest.approx(5 * 10 + 15 * 2 / 3)
    assert found.api_us == pytest.approx(2 * 10 + 15 / 3)
    everything = found.actor_us + found.api_us + found.journal_us + found.recorder_us
    assert everything == pytest.approx(sum(figures[name] for name in stages.STAGES))


def test_the_first_wall_is_the_lowest_and_heartbeats_take_from_the_journal() -> None:
    machines = Machines(nodes=100, actors_per_node=2, journal_cores=2, wal_mb_s=1000, processes=101)
    found = walls(COSTS, machines, busiest=1.1, hottest_per_s=50_000.0, hottest_part=0.08)
    assert [wall.per_s for wall in found] == sorted(wall.per_s for wall in found)
    assert found[0].what == "Postgres: CPU"
    assert found[0].per_s == pytest.approx((2 * 0.85e6 - beats_us(COSTS, machines)) / 30)
    # 301 readers of twice as many rows as were measured.
    assert beats_us(COSTS, machines) == 301 * 300 * 2


def test_a_simulation_tells_all_of_it() -> None:
    told = StringIO()
    console = Console(file=told, width=120)
    found = run(SMALL, COSTS, Phases(console))
    show(console, found)
    assert found.balanced.busiest <= 1.3
    assert 0.5 <= found.joined.share <= 1.1
    assert found.joined.at_once.part < 0.3
    assert found.walls[0].what in told.getvalue()
