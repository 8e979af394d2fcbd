"""What each part of a cluster can bear, by the measured costs of a message and of a heartbeat. Pure."""

from collections.abc import Mapping

from msgspec import Struct

from benchmarks.scenarios import stages

ACTOR_STAGES = (stages.COMPOSE, stages.SIGN, stages.SIGN_TWICE, stages.SEND, stages.JUDGE)
"""What a delivery actor does for a message, beside its statements."""
JOURNAL_STAGES = (stages.COMMIT, stages.CLAIM, stages.OUTCOME)
"""The stages with statements: a part of their CPU is Postgres's."""
USED = 0.85
"""The part of a core that a process, or Postgres, can use before what waits grows long."""


class Costs(Struct, frozen=True, kw_only=True):
    """CPU in µs."""

    actor_us: float
    """A message, in a delivery actor."""
    journal_us: float
    """A message, in Postgres."""
    api_us: float
    recorder_us: float
    beat_us: float
    """A heartbeat among a hundred members, in Postgres."""
    statements: float
    """A message, with batches as measured: a claim and an outcome commit for some messages each."""
    wal_bytes: float
    """A message, in Postgres's log."""


class Wall(Struct, frozen=True, kw_only=True):
    """A part of the cluster, and the messages a second at which it is full."""

    what: str
    per_s: float


class Machines(Struct, frozen=True, kw_only=True):
    """What there is for the parts that do not grow with the nodes. ``wal_mb_s``: what the journal's disk takes."""

    nodes: int
    actors_per_node: int
    journal_cores: int
    wal_mb_s: float
    processes: int
    """API processes and others that look at the members once a second."""


def costs(figures: Mapping[str, float], *, statements: float, wal_bytes: float) -> Costs:
    """From the figures of the scenario stages, which has what of them was Postgres's."""
    journal_us = figures[stages.POSTGRES]
    own_us = max(0.0, sum(figures[name] for name in JOURNAL_STAGES) - journal_us)
    # The intake's own part is the API's; claims and outcomes are the actor's.
    intake = figures[stages.COMMIT] / sum(figures[name] for name in JOURNAL_STAGES)
    return Costs(
        actor_us=sum(figures[name] for name in ACTOR_STAGES) + own_us * (1 - intake),
        journal_us=journal_us,
        api_us=figures[stages.DECODE] + figures[stages.DISPATCH] + own_us * intake,
        recorder_us=figures[stages.RECORD],
        beat_us=figures[stages.HEARTBEAT],
        statements=statements,
        wal_bytes=wal_bytes,
    )


def per_core(cost_us: float) -> float:
    """Messages a second that one core bears at this cost."""
    return USED * 1e6 / cost_us


def beats_us(found: Costs, machines: Machines) -> float:
    """CPU of Postgres a second for the heartbeats: each reads all members."""
    members = machines.nodes * machines.actors_per_node
    readers = members + machines.processes
    return readers * found.beat_us * max(1.0, members / 100)


def walls(found: Costs, machines: Machines, busiest: float, hottest_per_s: float, hottest_part: float) -> list[Wall]:
    """The first comes first. ``busiest``: what the busiest actor carries, as a multiple of the mean.
    ``hottest_per_s``: messages a second that all shares of the hottest site can carry; ``hottest_part``: its part of
    all mail."""
    actors = machines.nodes * machines.actors_per_node
    left_us = max(0.0, machines.journal_cores * USED * 1e6 - beats_us(found, machines))
    return sorted(
        [
            Wall(what="Postgres: CPU", per_s=left_us / found.journal_us),
            Wall(what="Postgres: write-ahead log", per_s=machines.wal_mb_s * 1e6 / found.wal_bytes),
            Wall(what="delivery actors: the busiest", per_s=per_core(found.actor_us) * actors / busiest),
            Wall(what="delivery actors: the hottest site", per_s=hottest_per_s / hottest_part),
            Wall(what="API processes, one a node", per_s=per_core(found.api_us) * machines.nodes),
            Wall(what="the recorder", per_s=per_core(found.recorder_us)),
        ],
        key=lambda wall: wall.per_s,
    )
