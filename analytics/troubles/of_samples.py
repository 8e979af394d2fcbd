"""Troubles that the samples of the flight recorder tell. Pure.

A sample tells of the seconds since the one before, so what is found begins up to ten seconds before it is seen. What
has exact times is told by ``of_happenings``.
"""

from collections.abc import Callable, Iterator, Mapping, Sequence
from itertools import pairwise

from analytics.samples import Sample
from analytics.troubles.recorded import Held, Recorded, Trouble, TroubleKind
from cluster.policy.limits.binding import Bound
from cluster.policy.limits.quantities import duration_text

EVERY_S = 10
APART_S = 2.5 * EVERY_S
"""Samples that are farther apart have others missing between them."""
STOOD_S = 1.5
"""An event loop stands still for so long in an interval: less is a busy machine."""
CALLS = 5
"""So many calls of the journal, or requests, that go wrong in an interval are no accident."""
LAG_S = 30.0
OVERDUE_S = 15.0

_Told = Callable[[Sequence[Sample]], str]


def of_samples(recorded: Recorded) -> Iterator[Trouble]:
    """In no order."""
    samples = recorded.samples
    yield from _not_sampled(recorded)
    yield from _by_actor(samples)
    yield from _changes(samples)
    yield from _held(recorded.held)
    yield from _runs(
        samples,
        TroubleKind.JOURNAL_AWAY,
        lambda one: one.journal_ms is None or one.journal_failures >= CALLS or one.journal_slow >= CALLS,
        _of_journal,
    )
    yield from _runs(
        samples,
        TroubleKind.EVENTS_LATE,
        lambda one: one.log_lag_s >= LAG_S,
        lambda some: f"ClickHouse lagged, by up to {duration_text(round(max(one.log_lag_s for one in some)))}",
    )
    yield from _runs(
        samples,
        TroubleKind.REFUSED,
        lambda one: one.refused >= CALLS,
        lambda some: f"{sum(one.refused for one in some):,} requests were not taken",
    )
    yield from _runs(
        samples,
        TroubleKind.OVERDUE,
        lambda one: one.overdue_s >= OVERDUE_S,
        lambda some: f"mail was due for up to {duration_text(round(max(one.overdue_s for one in some)))}",
    )
    yield from _runs(
        samples,
        TroubleKind.CONNECTIONS,
        lambda one: one.connections_failed >= CALLS,
        lambda some: f"{sum(one.connections_failed for one in some):,} connections could not be opened",
    )
    yield from _runs(
        samples,
        TroubleKind.DAYS,
        lambda one: one.partitions > 0,
        lambda some: f"past days went: {sum(one.partitions for one in some)} partitions were rewritten",
    )


def _not_sampled(recorded: Recorded) -> Iterator[Trouble]:
    times = [one.at for one in recorded.samples]
    for before, after in zip(times, times[1:] + ([recorded.span.until] if times else []), strict=True):
        if after - before > APART_S:
            yield Trouble(
                kind=TroubleKind.NOT_SAMPLED,
                begin=float(before),
                end=float(after),
                words=f"no samples for {duration_text(after - before)}: the recorder or ClickHouse was away",
            )


def _by_actor(samples: Sequence[Sample]) -> Iterator[Trouble]:
    stood = {actor for one in samples for actor, stood_s in one.stood_s.items() if stood_s >= STOOD_S}
    for actor in sorted(stood):
        yield from _stood_still(samples, actor)
    for actor in sorted({actor for one in samples for actor in one.silent}):
        yield from _silent(samples, actor)


def _stood_still(samples: Sequence[Sample], actor: str) -> Iterator[Trouble]:
    def stood_s(one: Sample) -> float:
        return one.stood_s.get(actor, 0.0)

    return _runs(
        samples,
        TroubleKind.STOOD_STILL,
        lambda one: stood_s(one) >= STOOD_S,
        lambda some: f"the process of {actor} stood still for {sum(map(stood_s, some)):.1f} s",
        actor,
    )


def _silent(samples: Sequence[Sample], actor: str) -> Iterator[Trouble]:
    return _runs(
        samples, TroubleKind.SILENT, lambda one: actor in one.silent, lambda some: f"{actor} did not answer", actor
    )


def _changes(samples: Sequence[Sample]) -> Iterator[Trouble]:
    nodes = [(one.at, one.nodes) for one in samples]
    yield from _changed(TroubleKind.NODES, nodes, "{} nodes became {}")
    versions = [(one.at, one.policy_version) for one in samples]
    yield from _changed(TroubleKind.POLICY, versions, "shaping and routing changed, from version {} to {}")


def _changed(kind: TroubleKind, values: Sequence[tuple[int, int]], words: str) -> Iterator[Trouble]:
    """``values``: with their times; 0 is not known."""
    for (before, had), (at, has) in pairwise(one for one in values if one[1]):
        if had != has:
            yield Trouble(kind=kind, begin=float(before), end=float(at), words=words.format(had, has))


def _held(held: Sequence[Held]) -> Iterator[Trouble]:
    by_key: dict[tuple[str, str], list[Held]] = {}
    for one in held:
        by_key.setdefault((one.site, one.binds), []).append(one)
    for (site, binds), some in by_key.items():
        run: list[Held] = []
        for one in sorted(some, key=lambda held: held.at):
            if run and one.at - run[-1].at > APART_S:
                yield _of_held(site, binds, run)
                run = []
            run.append(one)
        yield _of_held(site, binds, run)


def _of_held(site: str, binds: str, run: Sequence[Held]) -> Trouble:
    waiting = max(one.waiting for one in run)
    return Trouble(
        kind=TroubleKind.HELD,
        subject=site,
        begin=float(run[0].at - EVERY_S),
        end=float(run[-1].at),
        words=f"{Bound.read(binds).words or binds}; up to {waiting:,} waited",
    )


def _runs(
    samples: Sequence[Sample], kind: TroubleKind, is_so: Callable[[Sample], bool], told: _Told, subject: str = ""
) -> Iterator[Trouble]:
    """The runs of samples of which something is so."""
    run: list[Sample] = []
    for one in samples:
        so = is_so(one)
        if run and (not so or one.at - run[-1].at > APART_S):
            yield _of_run(run, kind, told, subject)
            run = []
        if so:
            run.append(one)
    if run:
        yield _of_run(run, kind, told, subject)


def _of_run(run: Sequence[Sample], kind: TroubleKind, told: _Told, subject: str) -> Trouble:
    begin = run[0].at - min(run[0].interval_s, APART_S)
    return Trouble(kind=kind, subject=subject, begin=begin, end=float(run[-1].at), words=told(run))


def _of_journal(some: Sequence[Sample]) -> str:
    found: Mapping[str, int] = {
        "looks of the recorder had no answer": sum(one.journal_ms is None for one in some),
        "calls failed": sum(one.journal_failures for one in some),
        "calls took longer than a second": sum(one.journal_slow for one in some),
    }
    return "the journal: " + ", ".join(f"{count:,} {what}" for what, count in found.items() if count)
