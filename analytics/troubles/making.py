"""Makes a report of troubles: asks the questions one after the other, finds the troubles, and puts the page together.
``postray report --about troubles`` loads it as an entry point (``cluster/entry_points.py``)."""

from collections import Counter, defaultdict
from collections.abc import Callable, Iterable, Mapping, Sequence
from datetime import UTC, datetime
from typing import Any

import msgspec

from analytics.report.page import page
from analytics.report.periods import Range
from analytics.report.questions import Ask, Rows
from analytics.samples import SAMPLES, Sample, without_recipients
from analytics.troubles import questions
from analytics.troubles.effects import Told, all_troubles, longest, told
from analytics.troubles.recorded import Failures, Flow, Held, How, Posts, Recorded, Span, TroubleKind
from analytics.troubles.sections import all_sections, tiles
from cluster.policy.replies.bounce_class import BounceClass

_BY_CLASS: Mapping[str, How] = {
    BounceClass.CONNECTION_LOST: How.LOST,
    BounceClass.NO_ANSWER: How.NO_ANSWER,
    BounceClass.TLS_FAILURE: How.TLS,
    BounceClass.DNS_FAILURE: How.DNS,
    BounceClass.RATE_LIMITED: How.SLOWED,
    BounceClass.GREYLISTED: How.DEFERRED,
    BounceClass.SPAM: How.BLOCKED,
    BounceClass.BLOCKLISTED: How.BLOCKED,
    BounceClass.POLICY: How.BLOCKED,
    BounceClass.AUTHENTICATION: How.BLOCKED,
}
_CLOSING = 421
"""RFC 5321 §3.8: the host closes the connection."""


def make(
    ask: Ask, since: datetime, until: datetime, *, tell: Callable[[str], None] = lambda text: None
) -> tuple[str, bytes]:
    """The HTML page of a time, and what it found as JSON. Both say where something is left out. ``tell`` is called
    before each question with what it is about. Raises what ``ask`` raises."""
    span = Span(since=int(since.timestamp()), until=max(int(until.timestamp()), int(since.timestamp()) + 1))
    recorded = read(ask, span, tell)
    troubles = all_troubles(recorded)
    found = told(recorded, longest(troubles))
    range = Range(datetime.fromtimestamp(span.since, UTC), datetime.fromtimestamp(span.until, UTC))
    sections = [] if recorded.is_empty else all_sections(recorded, found, len(troubles))
    text = page(range, "What went wrong", tiles(recorded, troubles) if sections else [], sections)
    left_out = len(troubles) - len(found)
    said = {"troubles": [_said(one) for one in found], "left_out": left_out, "cut": recorded.cut}
    return text, msgspec.json.encode(said)


def read(ask: Ask, span: Span, tell: Callable[[str], None]) -> Recorded:
    """What was recorded of a time."""
    parameters = {"since": str(span.since), "until": str(span.until), "step": str(span.step_s)}

    def put(about: str, query: str) -> Rows:
        tell(about)
        return ask(query, parameters)

    samples = [_sample(row) for row in put("samples", questions.SAMPLES_OF)]
    flow = put("mail", questions.FLOW)
    sites = put("sites", questions.SITES)
    failures = put("failures", questions.FAILURES)
    held = put("what was held back", questions.HELD)
    read = ((TroubleKind.FAILURES, failures), (TroubleKind.HELD, held))
    posts = put("webhooks", questions.POSTS)
    return Recorded(
        span=span,
        samples=samples,
        taken=_series(span, flow, 1),
        whole=_flow(span, flow),
        set_aside=_series(span, flow, 5),
        sites={site: _flow(span, rows) for site, rows in _by(sites, lambda row: row[1]).items()},
        failures=[
            Failures(site=site, how=how, counts=_sums(rows, 5), said=_masked(rows[0][6]))
            for (site, how), rows in _by(
                failures[: questions.MOST_ROWS], lambda row: (row[1], _how(row[2], row[3], bool(row[4])))
            ).items()
        ],
        held=[Held(*row) for row in held[: questions.MOST_ROWS]],
        cut=[kind for kind, rows in read if len(rows) > questions.MOST_ROWS],
        posts=Posts(all=_series(span, posts, 1), failed=_series(span, posts, 2), slow=_series(span, posts, 3)),
    )


def _sample(row: Sequence[Any]) -> Sample:
    values = iter(row)
    fields: dict[str, Any] = {}
    for name in SAMPLES.columns:
        value = next(values)
        if name in ("started", "stood_s"):
            value = dict(zip(value, next(values), strict=True))
        if name == "happened":
            value = [(kind, actor, int(began), int(ended)) for kind, actor, began, ended in value]
        fields[name] = tuple(value) if isinstance(value, list) else value
    return Sample(**fields)


def _flow(span: Span, rows: Rows) -> Flow:
    """Of FLOW or of SITES, which have it in the same columns."""
    return Flow(delivered=_series(span, rows, 2), attempted=_series(span, rows, 3), spent_ms=_series(span, rows, 4))


def _series(span: Span, rows: Iterable[Sequence[Any]], column: int) -> list[int]:
    sums = _sums(rows, column)
    return [sums[place] for place in range(span.places)]


def _sums(rows: Iterable[Sequence[Any]], column: int) -> Counter[int]:
    """By place."""
    found = Counter[int]()
    for row in rows:
        found[row[0]] += int(row[column])
    return found


def _by(rows: Rows, key: Callable[[Sequence[Any]], Any]) -> dict[Any, list[Sequence[Any]]]:
    found: dict[Any, list[Sequence[Any]]] = defaultdict(list)
    for row in rows:
        found[key(row)].append(row)
    return found


def _how(bounce_class: str, code: int, is_late: bool) -> How:
    if is_late:
        return How.TIMED_OUT
    if code == _CLOSING:
        return How.CLOSED
    return _BY_CLASS.get(bounce_class, How.DEFERRED if 400 <= code < 500 else How.OTHER)


def _masked(said: str) -> str:
    return " ".join(without_recipients(said, "deferred").split())


def _said(one: Told) -> dict[str, Any]:
    trouble = one.trouble
    return {
        "kind": trouble.kind,
        "subject": trouble.subject,
        "begin": trouble.begin,
        "end": trouble.end,
        "words": trouble.words,
        "delivered_per_s": one.delivered,
        "taken_per_s": one.taken,
        "most_waiting": one.most_waiting,
        "overdue_s": one.overdue_s,
    }
