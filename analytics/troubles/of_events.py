"""Troubles that the events tell: how mail flowed, and what hosts and endpoints did. Pure."""

from collections.abc import Iterator, Sequence
from math import ceil

from analytics.samples import Sample
from analytics.troubles.recorded import Failures, Flow, Recorded, Span, Trouble, TroubleKind
from analytics.troubles.stretches import Stretch, bursts, falls, joined, rises

WINDOW_S = 5
"""What is looked at together."""
MEMORY_S = 60
"""What was usual is that of so long before."""
FAILED, FAILED_SHARE = 3, 0.05
"""So many failures of a kind in a window, and this part of all attempts, are no accident."""
APART_S = 3
"""Failures with so little between them have one cause."""
SLOWER, SLOWER_MS = 3.0, 300.0
"""A transaction that takes so many times as long as usual, and so much longer, is slow."""
ENDED_PART = 0.2
"""Fewer than this part of what came before comes where clients have simply stopped to send."""


def of_events(recorded: Recorded) -> Iterator[Trouble]:
    """In no order."""
    span = recorded.span
    yield from _delivered_fell(recorded)
    yield from _taken_fell(recorded)
    for failures in recorded.failures:
        flow = recorded.sites.get(failures.site, recorded.whole)
        yield from _failures(span, failures, flow)
    for site, flow in recorded.sites.items():
        yield from _slow(span, site, flow)
    yield from _endpoints(recorded)
    for first, last in joined([count > 0 for count in recorded.set_aside], _steps(span, APART_S)):
        count = sum(recorded.set_aside[first : last + 1])
        words = f"{count} messages were set aside: delivery processes had ended while at work on them"
        yield _trouble(span, TroubleKind.SET_ASIDE, (first, last), words)


def _steps(span: Span, seconds: float) -> int:
    return max(1, ceil(seconds / span.step_s))


def _trouble(span: Span, kind: TroubleKind, stretch: Stretch, words: str, subject: str = "") -> Trouble:
    first, last = stretch
    return Trouble(kind=kind, subject=subject, begin=span.begin(first), end=span.end(last), words=words)


def _falls(span: Span, values: Sequence[int]) -> list[Stretch]:
    return falls(values, window=_steps(span, WINDOW_S), memory=max(4, _steps(span, MEMORY_S)))


def _rate(span: Span, values: Sequence[int], first: int, last: int) -> float:
    return span.rate(values, first, last) or 0.0


def _before(span: Span, values: Sequence[int], first: int) -> float:
    return _rate(span, values, first - _steps(span, MEMORY_S), first - 1)


def _words(span: Span, values: Sequence[int], stretch: Stretch, what: str) -> str:
    rate, before = _rate(span, values, *stretch), _before(span, values, stretch[0])
    if not rate:
        return f"{what} stood still, from {before:,.0f} a second"
    return f"{what} fell from {before:,.0f} to {rate:,.1f} a second"


def _delivered_fell(recorded: Recorded) -> Iterator[Trouble]:
    """Where there was something to deliver: it had been accepted before, or came meanwhile."""
    span, delivered = recorded.span, recorded.whole.delivered
    for stretch in _falls(span, delivered):
        first, last = stretch
        came = sum(recorded.taken[first : last + 1])
        samples = recorded.sampled(span.begin(first), span.end(last) + WINDOW_S)
        if came > 2 * sum(delivered[first : last + 1]) or any(map(_has_work, samples)):
            words = _words(span, delivered, stretch, "delivery")
            yield _trouble(span, TroubleKind.DELIVERED_FELL, stretch, words)


def _has_work(sample: Sample) -> bool:
    return sample.queued > 0 or sample.in_flight > 0 or sample.overdue_s > 1


def _taken_fell(recorded: Recorded) -> Iterator[Trouble]:
    """Where it came back, or requests were refused: otherwise clients had nothing more to send."""
    span, taken = recorded.span, recorded.taken
    for stretch in _falls(span, taken):
        first, last = stretch
        refused = sum(one.refused for one in recorded.sampled(span.begin(first), span.end(last) + 10))
        after = _rate(span, taken, last + 1, last + _steps(span, MEMORY_S))
        if refused or after > ENDED_PART * _before(span, taken, first):
            yield _trouble(span, TroubleKind.TAKEN_FELL, stretch, _words(span, taken, stretch, "what was accepted"))


def _failures(span: Span, failures: Failures, flow: Flow) -> Iterator[Trouble]:
    if sum(failures.counts.values()) < FAILED:
        return
    counts = [failures.counts.get(place, 0) for place in range(span.places)]
    found = bursts(
        counts,
        flow.attempted,
        window=_steps(span, WINDOW_S),
        least=FAILED,
        share=FAILED_SHARE,
        apart=_steps(span, APART_S),
    )
    for first, last in found:
        count = sum(counts[first : last + 1])
        words = f"{failures.how.value}: {count:,} of {sum(flow.attempted[first : last + 1]):,} attempts"
        if failures.said:
            words += f", such as “{failures.said}”"
        yield _trouble(span, TroubleKind.FAILURES, (first, last), words, failures.site)


def _slow(span: Span, site: str, flow: Flow) -> Iterator[Trouble]:
    found = rises(flow.spent_ms, flow.delivered, window=_steps(span, WINDOW_S), times=SLOWER, more=SLOWER_MS)
    for first, last in found:
        mean = sum(flow.spent_ms[first : last + 1]) / max(1, sum(flow.delivered[first : last + 1]))
        words = f"hosts were slow: a transaction took {mean:,.0f} ms"
        yield _trouble(span, TroubleKind.SLOW, (first, last), words, site)


def _endpoints(recorded: Recorded) -> Iterator[Trouble]:
    span, posts = recorded.span, recorded.posts
    for kind, counts, what in (
        (TroubleKind.ENDPOINTS, posts.failed, "posts to endpoints of webhooks failed"),
        (TroubleKind.ENDPOINTS_SLOW, posts.slow, "posts to endpoints of webhooks took longer than a second"),
    ):
        # An endpoint gets few posts, each with many events, and of one that fails fewer still.
        found = bursts(
            counts, posts.all, window=_steps(span, WINDOW_S), least=1, share=0.1, apart=_steps(span, APART_S)
        )
        for first, last in found:
            count, whole = sum(counts[first : last + 1]), sum(posts.all[first : last + 1])
            yield _trouble(span, kind, (first, last), f"{count:,} of {whole:,} {what}")
