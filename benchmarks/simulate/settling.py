"""How a change of members or of the assignment reaches all delivery actors, over the product's membership. Pure.

Every actor beats at its own time. At a beat it writes what it acknowledges and reads all others, as
``Ownership.beat`` does; between beats its moving sites come to their end.
"""

from collections.abc import Mapping, Sequence
from heapq import heappop, heappush
from random import Random
from statistics import median

from msgspec import Struct, field

from cluster.policy.balance.assignment import Assignment
from cluster.policy.routes.destinations import Destination
from cluster.policy.routes.membership import BEAT_S, NO_RING, Member, MembershipView, beat_after_s, ring_of

LONGEST_S = 600.0
STATEMENTS_A_BEAT = 2
"""The actor's own row, and all rows."""
ROW_BYTES = 18
"""Of a row that is read, beside name, ring and sources: lengths, flags and the version."""


class Settling(Struct, frozen=True, kw_only=True):
    """How a change went."""

    acknowledged_s: float
    """From the change until every actor knows that every other has acknowledged it."""
    pauses_s: tuple[float, ...]
    """For each destination that moved: from the last message that its former owner began to the first that the new one
    may begin."""
    statements: int
    bytes_read: int

    @property
    def longest_pause_s(self) -> float:
        return max(self.pauses_s, default=0.0)

    @property
    def median_pause_s(self) -> float:
        return median(self.pauses_s) if self.pauses_s else 0.0


class _Actor(Struct, kw_only=True):
    view: MembershipView
    knows_since: float | None = None
    holds: dict[Destination, float] = field(default_factory=dict)
    """When the last transaction ends at what is another's now."""


def settle(
    names: Sequence[str],
    before: Assignment,
    after: Assignment,
    moving: Mapping[Destination, tuple[str, str]],
    *,
    drain_s: float,
    seed: int,
    gone: Sequence[str] = (),
) -> Settling:
    """``moving``: the former and the new owner of each destination that moves. ``drain_s``: how long a transaction goes
    on, on average, once its site has moved. ``gone``: actors that have just begun to count as dead."""
    chance = Random(seed)
    actors, rows = _settled([*names, *gone], before)
    for name in gone:
        del actors[name], rows[name]
    leaving: dict[str, list[Destination]] = {}
    awaited = dict(moving)
    for place, (former, _) in moving.items():
        leaving.setdefault(former, []).append(place)
    beats = [(chance.random() * BEAT_S, name) for name in names]
    beats.sort()
    began, may_begin = dict.fromkeys(moving, 0.0), dict[Destination, float]()
    now, count, unsettled = 0.0, 0, set(names)
    while unsettled:
        now, name = heappop(beats)
        assert now < LONGEST_S, f"{len(unsettled)} of {len(names)} have not settled"
        actor = actors[name]
        held = {str(place) for place, until in actor.holds.items() if until > now}
        rows[name] = Member(name, actor.view.acknowledging(held), False)
        actor.view = actor.view.after(list(rows.values()), after)
        count += 1
        if actor.knows_since is None:
            actor.knows_since = now
            for place in leaving.get(name, ()):
                began[place] = now
                actor.holds[place] = now + chance.expovariate(1 / drain_s)
        for place in [place for place, (_, new) in awaited.items() if new == name]:
            if actor.view.may_send(place):
                may_begin[place] = now
                del awaited[place]
        if actor.view.settled:
            unsettled.discard(name)
        heappush(beats, (now + beat_after_s(actor.view.settled, now - actor.knows_since, len(names)), name))
    return Settling(
        acknowledged_s=now,
        pauses_s=tuple(may_begin[place] - began[place] for place in moving),
        statements=count * STATEMENTS_A_BEAT,
        bytes_read=count * beat_bytes(names),
    )


def beat_bytes(names: Sequence[str], sources: int = 0) -> int:
    """What one heartbeat reads, in octets."""
    row = ROW_BYTES + len(NO_RING.name) + 8 * sources
    return sum(len(name) + row for name in names)


def _settled(names: Sequence[str], assignment: Assignment) -> tuple[dict[str, _Actor], dict[str, Member]]:
    """Actors that have all acknowledged what is in force."""
    live = [Member(name, "", False) for name in names]
    ring = ring_of(live, assignment)
    rows = {name: Member(name, ring.name, False) for name in names}
    members = list(rows.values())
    return {name: _Actor(view=MembershipView(name).after(members, assignment)) for name in names}, rows
