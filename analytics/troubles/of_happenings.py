"""Troubles that processes have noted themselves, with their exact times. Pure.

The samples carry the notes (``actors/sampling``), each of them several times: what happened while no sample could be
taken is in the next one.
"""

from collections import Counter, defaultdict
from collections.abc import Callable, Collection, Iterable, Iterator, Sequence
from math import inf

from analytics.samples import Sample
from analytics.troubles.recorded import Recorded, Trouble, TroubleKind
from cluster.policy.happenings import HappeningKind

TOGETHER_S = 30.0
"""Nodes that begin so soon after each other begin together."""
UP_S = 120.0
"""The first start of an actor within so long after is of the same beginning: ``postray up`` waits that long."""
SAME_S = 3.0
"""Times so near are those of one start, as several have told it."""
WITNESSES = 2
"""The journal was away where so many processes had no answer at the same time. One alone waits for something else."""
NEARLY_S = 0.5
"""Calls that fail at once are at the same time as others so near."""
DAYS_APART_S = 5.0
"""Partitions that are rewritten with less between them go in one course."""

Start = tuple[float, str]
Noted = tuple[float, float, str]
"""From and until when, in seconds since the epoch, and the actor."""


def of_happenings(recorded: Recorded) -> Iterator[Trouble]:
    """In no order."""
    yield from _starts(recorded)
    yield from _journal(recorded)
    for begin, end, actor in _noted(recorded, HappeningKind.STOOD_STILL):
        words = f"the process of {actor} stood still for {end - begin:.1f} s"
        yield Trouble(kind=TroubleKind.STOOD_STILL, subject=actor, begin=begin, end=end, words=words)
    for begin, end, actors in _witnessed(_noted(recorded, HappeningKind.JOURNAL_AWAY)):
        words = f"the journal did not answer {len(actors)} processes"
        yield Trouble(kind=TroubleKind.JOURNAL_AWAY, begin=begin, end=end, words=words)
    for group in _groups(_noted(recorded, HappeningKind.REWRITTEN), DAYS_APART_S):
        words = f"past days went: {len(group)} partitions were rewritten"
        yield Trouble(kind=TroubleKind.DAYS, begin=group[0][0], end=max(end for _, end, _ in group), words=words)


def known_exactly(found: Collection[Trouble]) -> Callable[[Trouble], bool]:
    """Whether a trouble that samples tell, in intervals of ten seconds, is one of ``found``."""

    def is_known(one: Trouble) -> bool:
        return any(
            (other.kind, other.subject) == (one.kind, one.subject)
            and other.begin <= one.end + SAME_S
            and one.begin - SAME_S <= other.end
            for other in found
        )

    return is_known


def _noted(recorded: Recorded, kind: HappeningKind) -> list[Noted]:
    """What was noted of a kind, once each, in order of time."""
    return sorted(one for one in _of_kind(recorded.samples, kind) if one[1] >= recorded.span.since)


def _of_kind(samples: Sequence[Sample], kind: HappeningKind) -> set[Noted]:
    """The same, also from before the time of the report."""
    return {
        (began / 1000, ended / 1000, actor)
        for sample in samples
        for noted, actor, began, ended in sample.happened
        if noted == kind
    }


def _groups(noted: Sequence[Noted], apart_s: float) -> Iterator[list[Noted]]:
    """Those that overlap, or have so little between them."""
    group: list[Noted] = []
    until = 0.0
    for one in noted:
        if group and one[0] > until + apart_s:
            yield group
            group = []
        until = max(until, one[1]) if group else one[1]
        group.append(one)
    if group:
        yield group


def _witnessed(noted: Sequence[Noted]) -> Iterator[tuple[float, float, Collection[str]]]:
    """From and until when at least ``WITNESSES`` actors at once had no answer, and all that had none then. What one of
    them waits for longer does not join two such times."""
    changes = sorted(
        [(begin - NEARLY_S, 1, actor) for begin, _, actor in noted]
        + [(end + NEARLY_S, 0, actor) for _, end, actor in noted]
    )
    open_of, began = Counter[str](), 0.0
    seen = set[str]()
    for at, is_begin, actor in changes:
        before = len(open_of)
        open_of[actor] += 1 if is_begin else -1
        open_of = +open_of
        if before < WITNESSES <= len(open_of):
            began, seen = at, set(open_of)
        elif len(open_of) < WITNESSES <= before:
            yield began + NEARLY_S, max(began + NEARLY_S, at - NEARLY_S), seen
        elif is_begin:
            seen.add(actor)


def _starts(recorded: Recorded) -> Iterator[Trouble]:
    since = recorded.span.since
    starts = [one for one in _all_starts(recorded.samples) if one[0] >= since]
    nodes = _apart(begin for begin, _, _ in _noted(recorded, HappeningKind.RAY_BEGAN))
    groups = list(_groups([(at, at, "") for at in nodes if at >= since], TOGETHER_S))
    of_all = set[Start]()
    ends = [*(group[0][0] for group in groups[1:]), inf]
    for group, next_begin in zip(groups, ends, strict=False):
        begin, until = group[0][0], min(next_begin, group[-1][0] + UP_S)
        firsts: dict[str, Start] = {}
        for at, actor in starts:
            if begin - SAME_S <= at < until:
                firsts.setdefault(actor, (at, actor))
        of_all.update(firsts.values())
        end = max([begin, *(at for at, _ in firsts.values())])
        words = f"postray began: {len(firsts)} actors started"
        yield Trouble(kind=TroubleKind.BEGAN, begin=begin, end=end, words=words)
    for at, actor in starts:
        if (at, actor) not in of_all:
            words = f"the process of {actor} was new"
            yield Trouble(kind=TroubleKind.RESTARTED, subject=actor, begin=at, end=at, words=words)


def _journal(recorded: Recorded) -> Iterator[Trouble]:
    def times(kind: HappeningKind, of: Callable[[Sample], int | None]) -> list[float]:
        noted = [begin for begin, _, _ in _noted(recorded, kind)]
        told = [float(at) for at in map(of, recorded.samples) if at is not None]
        return [at for at in _apart([*noted, *told]) if at >= recorded.span.since]

    started = times(HappeningKind.JOURNAL_STARTED, lambda one: one.journal_started)
    for at in started:
        yield Trouble(kind=TroubleKind.JOURNAL_STARTED, begin=at, end=at, words="the journal's server was started")
    for at in times(HappeningKind.JOURNAL_RECOVERED, lambda one: one.journal_recovered):
        if all(abs(at - other) > SAME_S for other in started):
            words = "the journal's server recovered: one of its processes was lost"
            yield Trouble(kind=TroubleKind.JOURNAL_RECOVERED, begin=at, end=at, words=words)


def _apart(times: Iterable[float]) -> list[float]:
    """Each of the times that are told, once."""
    found: list[float] = []
    for at in sorted(times):
        if not found or at - found[-1] > SAME_S:
            found.append(at)
    return found


def _all_starts(samples: Sequence[Sample]) -> list[Start]:
    """When processes began: as they noted it, and as their metrics tell it where they could not. In order of time."""
    by_actor = defaultdict[str, list[float]](list)
    for began, _, actor in _of_kind(samples, HappeningKind.BEGAN):
        by_actor[actor].append(began)
    exact = {(at, actor) for actor, times in by_actor.items() for at in times}
    told = {(float(at), actor) for sample in samples for actor, at in sample.started.items()}
    return sorted(
        exact | {(at, actor) for at, actor in told if all(abs(at - one) > SAME_S for one in by_actor.get(actor, ()))}
    )
