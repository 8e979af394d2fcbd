"""The schedule of faults: which faults occur and when, determined before a run by its seed alone.

Pure: the same seed, length and kinds give the same schedule. ``storm.py`` performs it. The schedule does not foresee
the state at that time (a process that has not restarted, a database that is down).
"""

from collections.abc import Collection, Iterator, Mapping, Sequence
from enum import StrEnum
from random import Random

from msgspec import Struct


class FaultLane(StrEnum):
    """Faults of one lane follow each other; lanes run in parallel, so that faults of different kinds coincide."""

    KILLS = "kills"
    OUTAGES = "outages"
    SINK = "sink"
    POISON = "poison"
    ENDPOINT = "endpoint"
    DAYS = "days"
    NODES = "nodes"


class FaultKind(StrEnum):
    """The kinds of fault."""

    KILL_API = "kill-api"
    KILL_DELIVERY = "kill-delivery"
    KILL_SCHEDULER = "kill-scheduler"
    KILL_RECORDER = "kill-recorder"
    KILL_SUPERVISOR = "kill-supervisor"
    KILL_WEBHOOKS = "kill-webhooks"
    KILL_MAIL_IN = "kill-mail-in"
    KILL_BACKEND = "kill-backend"
    """SIGKILL of one Postgres backend: the postmaster then ends all others and recovers from the log."""
    KILL_ALL = "kill-all"
    """SIGKILL of all processes of postray at once, including Ray's, then ``postray up`` again."""
    STOP_POSTGRES = "stop-postgres"
    """A normal stop, and a start after a while."""
    FREEZE_POSTGRES = "freeze-postgres"
    """SIGSTOP of all its processes: connections stay open, but get no answers."""
    FREEZE_CLICKHOUSE = "freeze-clickhouse"
    """SIGSTOP of the recorder, which contains the embedded ClickHouse."""
    FREEZE_DELIVERY = "freeze-delivery"
    """SIGSTOP of a delivery actor, for less time than it takes to be considered dead."""
    SINK_DROPS_BEFORE = "sink-drops-before"
    """The sink accepts no message, and drops the connection at its end."""
    SINK_DROPS_AFTER = "sink-drops-after"
    """The sink accepts the message and drops the connection without a reply: an unavoidable duplicate."""
    SINK_REFUSES = "sink-refuses"
    """421, in the greeting and at the end of messages."""
    SINK_DEFERS = "sink-defers"
    """451 at the end of messages."""
    SINK_STALLS_BEFORE = "sink-stalls-before"
    """The sink accepts no message, and never replies again."""
    SINK_STALLS_AFTER = "sink-stalls-after"
    """The sink accepts the message, and never replies."""
    SINK_SLOW = "sink-slow"
    """The reply comes late."""
    POISON = "poison"
    """A message during whose composing every delivery actor is killed (``poison.py``)."""
    ENDPOINT_DROPS_BEFORE = "endpoint-drops-before"
    """The endpoint of webhooks takes no post, and drops the connection."""
    ENDPOINT_DROPS_AFTER = "endpoint-drops-after"
    """The endpoint takes the post and drops the connection without an answer: it will get the events twice."""
    ENDPOINT_FAILS = "endpoint-fails"
    """500."""
    ENDPOINT_STALLS = "endpoint-stalls"
    """The endpoint takes no post, and never answers."""
    ENDPOINT_LATE = "endpoint-late"
    """The answer comes late."""
    PASS_DAYS = "pass-days"
    """Past days go (``days.py``): their partitions are rewritten and dropped."""
    KILL_CLEARING = "kill-clearing"
    """SIGKILL of the scheduler while it lets past days go."""
    KILL_NODE = "kill-node"
    """SIGKILL of a node, all processes at once; after a while another node joins."""
    DRAIN_NODE = "drain-node"
    """``postray drain``, and ``undrain`` after a while."""
    LEAVE_NODE = "leave-node"
    """``postray down --node``, and ``postray up`` after a while."""
    ADD_NODE = "add-node"
    """A node more joins; after a while one is taken away in order."""
    HEAD_AWAY = "head-away"
    """SIGKILL of the head's control service, which comes back after a while with what a Redis remembers."""
    KILL_HEAD = "kill-head"
    """SIGKILL of the head, with which all nodes end; then another cluster, and ``postray up``."""

    CHANGE_RELEASE = "change-release"
    """A node is drained, taken out, and comes back with another release. Only of rolling changes (``rolling.py``)."""


class Pace(Struct, frozen=True):
    """A kind's lane, its share of a round of its lane, and its duration in seconds."""

    lane: FaultLane
    turns: int
    shortest_s: float = 0.0
    longest_s: float = 0.0


PACES: Mapping[FaultKind, Pace] = {
    FaultKind.KILL_DELIVERY: Pace(FaultLane.KILLS, 5),
    FaultKind.KILL_API: Pace(FaultLane.KILLS, 3),
    FaultKind.KILL_SCHEDULER: Pace(FaultLane.KILLS, 2),
    FaultKind.KILL_RECORDER: Pace(FaultLane.KILLS, 2),
    FaultKind.KILL_SUPERVISOR: Pace(FaultLane.KILLS, 2),
    FaultKind.KILL_WEBHOOKS: Pace(FaultLane.KILLS, 2),
    FaultKind.KILL_MAIL_IN: Pace(FaultLane.KILLS, 2),
    FaultKind.KILL_BACKEND: Pace(FaultLane.KILLS, 2),
    FaultKind.STOP_POSTGRES: Pace(FaultLane.OUTAGES, 2, 2, 12),
    FaultKind.FREEZE_POSTGRES: Pace(FaultLane.OUTAGES, 2, 2, 6),
    FaultKind.FREEZE_CLICKHOUSE: Pace(FaultLane.OUTAGES, 2, 3, 12),
    FaultKind.FREEZE_DELIVERY: Pace(FaultLane.OUTAGES, 1, 2, 6),
    FaultKind.SINK_DROPS_BEFORE: Pace(FaultLane.SINK, 1, 1, 4),
    FaultKind.SINK_DROPS_AFTER: Pace(FaultLane.SINK, 2, 1, 4),
    FaultKind.SINK_REFUSES: Pace(FaultLane.SINK, 1, 1, 4),
    FaultKind.SINK_DEFERS: Pace(FaultLane.SINK, 1, 1, 4),
    FaultKind.SINK_STALLS_BEFORE: Pace(FaultLane.SINK, 1, 1, 3),
    FaultKind.SINK_STALLS_AFTER: Pace(FaultLane.SINK, 1, 1, 3),
    FaultKind.SINK_SLOW: Pace(FaultLane.SINK, 2, 2, 6),
    FaultKind.POISON: Pace(FaultLane.POISON, 1),
    FaultKind.ENDPOINT_DROPS_BEFORE: Pace(FaultLane.ENDPOINT, 1, 1, 4),
    FaultKind.ENDPOINT_DROPS_AFTER: Pace(FaultLane.ENDPOINT, 1, 1, 4),
    FaultKind.ENDPOINT_FAILS: Pace(FaultLane.ENDPOINT, 1, 1, 4),
    FaultKind.ENDPOINT_STALLS: Pace(FaultLane.ENDPOINT, 1, 1, 3),
    FaultKind.ENDPOINT_LATE: Pace(FaultLane.ENDPOINT, 1, 2, 6),
    FaultKind.PASS_DAYS: Pace(FaultLane.DAYS, 2, 4, 10),
    FaultKind.KILL_CLEARING: Pace(FaultLane.DAYS, 1, 4, 8),
    FaultKind.KILL_NODE: Pace(FaultLane.NODES, 3, 3, 8),
    FaultKind.DRAIN_NODE: Pace(FaultLane.NODES, 2, 3, 8),
    FaultKind.LEAVE_NODE: Pace(FaultLane.NODES, 1, 3, 8),
    FaultKind.ADD_NODE: Pace(FaultLane.NODES, 2, 5, 10),
    FaultKind.CHANGE_RELEASE: Pace(FaultLane.NODES, 0),
}
GAPS_S: Mapping[FaultLane, tuple[float, float]] = {
    FaultLane.KILLS: (2.0, 4.0),
    FaultLane.OUTAGES: (3.0, 9.0),
    FaultLane.SINK: (1.0, 4.0),
    FaultLane.POISON: (15.0, 35.0),
    FaultLane.ENDPOINT: (1.0, 4.0),
    FaultLane.DAYS: (0.5, 2.0),
    FaultLane.NODES: (5.0, 9.0),
}
"""The gap between the end of a fault and the next of its lane. With a kill every 3 s there are 20 in 120 s, even when
some find no process."""
CALM_S = 1.0
"""The time before the first fault: work must be in progress to be disturbed."""
LONGEST_PART = 0.3
"""The longest fault, as a part of the run."""


class Once(Struct, frozen=True):
    """When a lane has this kind once in a run: between which parts of it, and from which length of the run on
    (seconds). In a shorter one there is no time to restart afterwards, which takes some seconds."""

    lane: FaultLane
    earliest: float
    latest: float
    from_s: float
    shortest_s: float = 0.0
    longest_s: float = 0.0


ONCE: Mapping[FaultKind, Once] = {
    FaultKind.KILL_ALL: Once(FaultLane.KILLS, 0.4, 0.6, 40.0),
    FaultKind.KILL_HEAD: Once(FaultLane.NODES, 0.3, 0.4, 60.0),
    FaultKind.HEAD_AWAY: Once(FaultLane.NODES, 0.45, 0.55, 30.0, 6, 12),
}
"""Where a lane could have several, it has the first of them."""


def lane_of(kind: FaultKind) -> FaultLane:
    return ONCE[kind].lane if kind in ONCE else PACES[kind].lane


OF_NODES = frozenset(kind for kind in FaultKind if lane_of(kind) is FaultLane.NODES)
"""The kinds that only a cluster of several nodes has."""
DEALT = tuple(kind for kind in FaultKind if kind is not FaultKind.CHANGE_RELEASE)
"""The kinds that a storm may have."""
OF_HEADS: Mapping[bool, FaultKind] = {True: FaultKind.HEAD_AWAY, False: FaultKind.KILL_HEAD}
"""What happens to a head that remembers, and to one that does not: everything ends with the latter."""


def possible(kinds: Collection[FaultKind], nodes: int, *, remembers: bool) -> list[FaultKind]:
    """Those that a run on so many nodes can have; ``remembers``: whether the cluster's head has a Redis."""
    impossible = {OF_HEADS[not remembers]} if nodes else OF_NODES
    return [kind for kind in kinds if kind not in impossible]


class ChaosFault(Struct, frozen=True):
    """One fault. Times are in seconds from the start of the storm."""

    at_s: float
    kind: FaultKind
    duration_s: float
    pick: float
    """In [0, 1): selects one of several processes of the kind."""

    @property
    def lane(self) -> FaultLane:
        return lane_of(self.kind)


def schedule(seed: int, seconds: float, kinds: Collection[FaultKind] = tuple(FaultKind)) -> list[ChaosFault]:
    """Every fault of a run, in order of time. All end before ``seconds``."""
    random = Random(seed)
    faults = [
        # Each lane has its own generator: leaving out one kind does not change the other lanes.
        fault
        for lane in FaultLane
        for fault in _lane(Random(random.random()), lane, seconds, kinds)
    ]
    return sorted(faults, key=lambda fault: (fault.at_s, fault.kind))


def after_delay(faults: Sequence[ChaosFault], now_s: float) -> Sequence[ChaosFault]:
    """The faults of a lane that are still to come, which may be late. What a run has once is not put off by others:
    when its time has come, those before it are left out."""
    due = (i for i, fault in enumerate(faults) if fault.kind in ONCE and fault.at_s <= now_s)
    return faults[next(due, 0) :]


def _lane(random: Random, lane: FaultLane, seconds: float, kinds: Collection[FaultKind]) -> Iterator[ChaosFault]:
    deck = [kind for kind, pace in PACES.items() if pace.lane is lane and kind in kinds for _ in range(pace.turns)]
    whole = next((kind for kind, once in ONCE.items() if once.lane is lane and kind in kinds), None)
    once = ONCE[whole] if whole is not None else Once(lane, 0.4, 0.6, 0.0)
    once_at_s = round(random.uniform(once.earliest, once.latest) * seconds, 2)
    waits = whole is not None and seconds >= once.from_s
    at_s = CALM_S
    for kind in _dealt(random, deck):
        at_s = round(at_s + random.uniform(*GAPS_S[lane]), 2)
        if whole is not None and waits and at_s + PACES[kind].longest_s >= once_at_s:
            waits = False
            fault = _fault(random, at_s, whole, once, seconds)
        else:
            fault = _fault(random, at_s, kind, PACES[kind], seconds)
        if fault.at_s + fault.duration_s >= seconds:
            return
        yield fault
        at_s += fault.duration_s
    if whole is not None and waits:
        yield _fault(random, once_at_s, whole, once, seconds)


def _fault(random: Random, at_s: float, kind: FaultKind, pace: Pace | Once, seconds: float) -> ChaosFault:
    longest_s = min(pace.longest_s, seconds * LONGEST_PART)
    duration_s = round(random.uniform(min(pace.shortest_s, longest_s), longest_s), 2)
    return ChaosFault(at_s, kind, duration_s, random.random())


def _dealt(random: Random, deck: list[FaultKind]) -> Iterator[FaultKind]:
    """An endless series of kinds, in rounds: each round has all turns of every kind, in random order."""
    while deck:
        yield from random.sample(deck, len(deck))


def longest_outage_s(faults: Collection[ChaosFault]) -> float:
    """The longest time for which the journal or a delivery actor is unavailable."""
    kinds = (FaultKind.STOP_POSTGRES, FaultKind.FREEZE_POSTGRES, FaultKind.FREEZE_DELIVERY)
    return max((fault.duration_s for fault in faults if fault.kind in kinds), default=0.0)
