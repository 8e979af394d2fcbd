"""What the flight recorder tells of a storm: each fault that took place, compared with the troubles that
``postray report --about troubles`` has found in ClickHouse alone. Pure.

A fault is told by a trouble that names what it did, at its time: within EXACT_S where what happened is noted with its
time, and within NEAR_S where the time is that of samples or of counts of events. In a storm there is a trouble at
nearly any time, so the same comparison is made with the faults at other times than they had: what that finds is chance.
"""

from collections import Counter
from collections.abc import Callable, Mapping, Sequence

from msgspec import Struct

from analytics.troubles.recorded import How, TroubleKind
from benchmarks.chaos.faults import OF_NODES, FaultKind
from benchmarks.chaos.records import Done
from benchmarks.chaos.storm import ACTORS, ALL_KILLS, HOOK_MANNERS, MANNERS
from benchmarks.hook_log import Post
from benchmarks.sink_log import Line, Receipt
from cluster.policy.placement import kind_of

NEAR_S = 10.0
EXACT_S = 3.0
EXACT = frozenset(
    {
        *(TroubleKind.BEGAN, TroubleKind.RESTARTED, TroubleKind.STOOD_STILL, TroubleKind.DAYS),
        *(TroubleKind.JOURNAL_STARTED, TroubleKind.JOURNAL_RECOVERED, TroubleKind.JOURNAL_AWAY),
    }
)
"""What is noted with its time."""
MET = 3
"""A receiver's fault took place where it met so many messages; in a storm, many meet none."""
SHIFTS = (0.31, 0.47, 0.67)
"""Parts of the storm by which the faults are moved to find what is chance."""


class FoundTrouble(Struct, frozen=True):
    """A trouble, as the command prints it."""

    kind: TroubleKind
    subject: str
    begin: float
    end: float
    words: str


class FoundTroubles(Struct, frozen=True):
    """What the command prints, as far as it is looked at."""

    troubles: list[FoundTrouble]


class ToldStorm(Struct, frozen=True, kw_only=True):
    """How much of a storm was told."""

    told: int
    of: int
    """Faults that took place."""
    by_chance: float
    """How many would be told if they had been at other times."""
    by_kind: dict[str, str] = {}
    """``told of n``."""
    untold: list[str] = []
    unmet: int = 0
    """Faults of the receiver and the endpoint that nothing met."""
    troubles: dict[str, int] = {}
    """Found, by kind."""

    @property
    def words(self) -> str:
        return f"{self.told} of {self.of}"


_Names = Callable[[FoundTrouble], bool]


def _is(*kinds: TroubleKind, actor: str = "", how: How | None = None) -> _Names:
    def names(trouble: FoundTrouble) -> bool:
        return (
            trouble.kind in kinds
            and (not actor or kind_of(trouble.subject) == actor)
            and (how is None or trouble.words.startswith(how.value))
        )

    return names


def _either(*some: _Names) -> _Names:
    return lambda trouble: any(names(trouble) for names in some)


_JOURNAL: Mapping[FaultKind, _Names] = {
    FaultKind.KILL_BACKEND: _is(TroubleKind.JOURNAL_RECOVERED, TroubleKind.JOURNAL_AWAY),
    FaultKind.STOP_POSTGRES: _is(TroubleKind.JOURNAL_STARTED, TroubleKind.JOURNAL_AWAY),
    FaultKind.FREEZE_POSTGRES: _is(TroubleKind.JOURNAL_AWAY),
}
_SINK: Mapping[FaultKind, _Names] = {
    FaultKind.SINK_DROPS_BEFORE: _is(TroubleKind.FAILURES, how=How.LOST),
    FaultKind.SINK_DROPS_AFTER: _is(TroubleKind.FAILURES, how=How.LOST),
    FaultKind.SINK_REFUSES: _is(TroubleKind.FAILURES, how=How.CLOSED),
    FaultKind.SINK_DEFERS: _is(TroubleKind.FAILURES, how=How.DEFERRED),
    FaultKind.SINK_STALLS_BEFORE: _is(TroubleKind.FAILURES, how=How.TIMED_OUT),
    FaultKind.SINK_STALLS_AFTER: _is(TroubleKind.FAILURES, how=How.TIMED_OUT),
    FaultKind.SINK_SLOW: _is(TroubleKind.SLOW),
}


def naming(kind: FaultKind) -> _Names:
    """Which troubles name a fault."""
    if kind in _JOURNAL:
        return _JOURNAL[kind]
    if kind in _SINK:
        return _SINK[kind]
    if kind in HOOK_MANNERS:
        return _is(TroubleKind.ENDPOINTS, TroubleKind.ENDPOINTS_SLOW)
    if kind in ALL_KILLS:
        return _is(TroubleKind.BEGAN)
    if kind in OF_NODES:
        return _is(TroubleKind.NODES)
    if kind is FaultKind.PASS_DAYS:
        return _is(TroubleKind.DAYS)
    if kind is FaultKind.POISON:
        return _either(_is(TroubleKind.SET_ASIDE), _is(TroubleKind.RESTARTED, actor="delivery"))
    if kind in (FaultKind.FREEZE_CLICKHOUSE, FaultKind.FREEZE_DELIVERY):
        found = _is(TroubleKind.STOOD_STILL, TroubleKind.SILENT, actor=ACTORS[kind])
        return _either(found, _is(TroubleKind.NOT_SAMPLED)) if kind is FaultKind.FREEZE_CLICKHOUSE else found
    return _either(_is(TroubleKind.RESTARTED, actor=ACTORS[kind]), _is(TroubleKind.BEGAN))


def took_place(
    done: Done, began_at: float, sink: Sequence[Line], posts: Sequence[Post], rewritten_at: Sequence[float] = ()
) -> bool:
    """Whether a fault did anything: a process was there for it, mail met it, or days went."""
    begin, end = began_at + done.at_s, began_at + done.ended_s
    if done.kind in MANNERS:
        near = [line for line in sink if isinstance(line, Receipt) and begin <= line.at <= end]
        if done.kind is FaultKind.SINK_SLOW:
            return len(near) >= 2 * MET
        refused = done.kind in (FaultKind.SINK_REFUSES, FaultKind.SINK_DEFERS)
        return sum(not line.accepted if refused else not line.replied for line in near) >= MET
    if done.kind in HOOK_MANNERS:
        met = [post for post in posts if begin <= post.at <= end]
        return bool(met) if done.kind is FaultKind.ENDPOINT_LATE else any(post.status != 200 for post in met)
    if done.kind is FaultKind.PASS_DAYS:
        return any(begin <= at <= end for at in rewritten_at)
    return bool(done.pids)


def with_poison(done: Sequence[Done], began_at: float, killed: Sequence[tuple[float, int]]) -> list[Done]:
    """The faults, with each kill over a poison message in place of the message, which may have to wait. ``killed``:
    when, and which process."""
    kills = [
        Done(kind=FaultKind.POISON, at_s=at - began_at, ended_s=at - began_at, pids=[pid])
        for at, pid in killed
        if at >= began_at
    ]
    return [*(one for one in done if one.kind is not FaultKind.POISON), *kills]


def without_what_was_down(done: Sequence[Done]) -> list[Done]:
    """Without the faults of Postgres that were over before postray was there again after all of it was killed: nothing
    of it was there to be disturbed."""
    down = [one for one in done if one.kind in ALL_KILLS]
    return [
        one
        for one in done
        if one.kind not in _JOURNAL or not any(all.at_s <= one.at_s and one.ended_s <= all.ended_s for all in down)
    ]


def compare(
    done: Sequence[Done],
    began_at: float,
    seconds: float,
    found: Sequence[FoundTrouble],
    sink: Sequence[Line],
    posts: Sequence[Post],
    rewritten_at: Sequence[float] = (),
) -> ToldStorm:
    """``began_at``: of the storm, in seconds since the epoch; ``seconds``: its length; ``rewritten_at``: when
    partitions were, since the epoch."""
    met = without_what_was_down(done)
    real = [one for one in met if took_place(one, began_at, sink, posts, rewritten_at)]
    is_told = [_is_told(one.kind, began_at + _struck_s(one), began_at + one.ended_s, found) for one in real]
    chance = 0
    for part in SHIFTS:
        for one in real:
            at = (_struck_s(one) + part * seconds) % seconds
            chance += _is_told(one.kind, began_at + at, began_at + at + one.ended_s - _struck_s(one), found)
    whole, told = Counter(one.kind.value for one in real), Counter[str]()
    told.update(one.kind.value for one, is_one in zip(real, is_told, strict=True) if is_one)
    return ToldStorm(
        told=sum(is_told),
        of=len(real),
        by_chance=round(chance / len(SHIFTS), 1),
        by_kind={kind: f"{told[kind]} of {count}" for kind, count in sorted(whole.items())},
        untold=[
            f"{one.kind.value} at {one.at_s:.0f} s" for one, is_one in zip(real, is_told, strict=True) if not is_one
        ],
        unmet=len(done) - len(real),
        troubles=dict(sorted(Counter(one.kind.value for one in found).items())),
    )


def _struck_s(done: Done) -> float:
    """When a fault began to do something. A kill waits for a process, and is over with the signal."""
    is_signal = done.kind in ACTORS and done.kind.startswith("kill")
    return done.ended_s if is_signal else done.at_s


def _is_told(kind: FaultKind, begin: float, end: float, found: Sequence[FoundTrouble]) -> bool:
    """``end``: what is told of a fault may begin until then, such as the start of what was killed."""
    names = naming(kind)
    return any(
        # One that began long before does not tell the fault's time.
        names(trouble) and begin - _near_s(trouble) <= trouble.begin <= end + _near_s(trouble)
        for trouble in found
    )


def _near_s(trouble: FoundTrouble) -> float:
    return EXACT_S if trouble.kind in EXACT else NEAR_S
