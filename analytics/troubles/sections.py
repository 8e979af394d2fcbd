"""The sections of a report of troubles. Pure."""

from collections.abc import Callable, Iterator, Mapping, Sequence
from datetime import UTC, datetime
from itertools import chain
from math import ceil

from markupsafe import Markup
from msgspec import Struct

from analytics.charts.bars import bars
from analytics.charts.lines import duration_lines, lines
from analytics.charts.scale import lasting
from analytics.charts.series import Moment, Series, Tone
from analytics.charts.spans import Bar, Lane, spans
from analytics.report.sections import Draw, Section, number, over_time
from analytics.samples import Sample
from analytics.troubles.effects import Rates, Told
from analytics.troubles.recorded import How, Recorded, Span, Trouble, TroubleKind
from analytics.troubles.stretches import averaged, summed

POINTS = 360
LINES = 60
"""Of a table under a picture."""
_CUT = {TroubleKind.FAILURES: "Attempts failed", TroubleKind.HELD: "Mail was held back"}


class _Look(Struct, frozen=True):
    """How a kind of trouble is shown: the name of its row, and a colour."""

    lane: str
    tone: Tone


LOOKS: Mapping[TroubleKind, _Look] = {
    TroubleKind.DELIVERED_FELL: _Look("Delivery", Tone.RED),
    TroubleKind.TAKEN_FELL: _Look("What is accepted", Tone.RED),
    TroubleKind.REFUSED: _Look("What is accepted", Tone.AMBER),
    TroubleKind.OVERDUE: _Look("Queue", Tone.AMBER),
    TroubleKind.SET_ASIDE: _Look("Queue", Tone.VIOLET),
    TroubleKind.BEGAN: _Look("Processes", Tone.RED),
    TroubleKind.RESTARTED: _Look("Processes", Tone.BLUE),
    TroubleKind.STOOD_STILL: _Look("Processes", Tone.AMBER),
    TroubleKind.SILENT: _Look("Processes", Tone.GREY),
    TroubleKind.NODES: _Look("Nodes", Tone.VIOLET),
    TroubleKind.JOURNAL_STARTED: _Look("Journal", Tone.RED),
    TroubleKind.JOURNAL_RECOVERED: _Look("Journal", Tone.VIOLET),
    TroubleKind.JOURNAL_AWAY: _Look("Journal", Tone.AMBER),
    TroubleKind.EVENTS_LATE: _Look("ClickHouse and the recorder", Tone.AMBER),
    TroubleKind.NOT_SAMPLED: _Look("ClickHouse and the recorder", Tone.RED),
    TroubleKind.FAILURES: _Look("Hosts", Tone.AMBER),
    TroubleKind.SLOW: _Look("Hosts", Tone.BLUE),
    TroubleKind.CONNECTIONS: _Look("Hosts", Tone.RED),
    TroubleKind.HELD: _Look("Hosts", Tone.VIOLET),
    TroubleKind.ENDPOINTS: _Look("Endpoints of webhooks", Tone.AMBER),
    TroubleKind.ENDPOINTS_SLOW: _Look("Endpoints of webhooks", Tone.BLUE),
    TroubleKind.POLICY: _Look("Changes", Tone.GREEN),
    TroubleKind.DAYS: _Look("Changes", Tone.GREY),
}


def tiles(recorded: Recorded, troubles: Sequence[Trouble]) -> list[tuple[str, str]]:
    """The figures at the top: names and values."""
    span = recorded.span
    troubled = set[int]()
    for one in troubles:
        troubled.update(range(span.place(one.begin), span.place(one.end) + 1))
    return [
        ("troubles", number(len(troubles))),
        ("of the time without", f"{100 * (1 - len(troubled) / span.places):.0f} %"),
        ("accepted", number(sum(recorded.taken))),
        ("delivered", number(sum(recorded.whole.delivered))),
        ("most waiting", number(max((one.unfinished for one in recorded.samples), default=0))),
        ("most overdue", lasting(max((one.overdue_s for one in recorded.samples), default=0.0))),
    ]


def all_sections(recorded: Recorded, found: Sequence[Told], all: int) -> list[Section]:
    """The troubles first, then pictures of how it went. ``found`` are told, of ``all``."""
    return [
        _troubles(recorded, found, all),
        _mail(recorded),
        _waiting(recorded),
        _ages(recorded),
        _journal(recorded),
        _failures(recorded),
        _posts(recorded),
    ]


def _troubles(recorded: Recorded, found: Sequence[Told], all: int) -> Section:
    span, title = recorded.span, "Troubles"
    note = (
        "What was not as usual, in order of time. Rates are messages a second that were delivered: in the 30 s before, "
        "meanwhile, and in the 30 s after." + "".join(f" {one}" for one in _left_out(recorded, len(found), all))
    )
    columns = ["what it looked like", "begin", "lasted", "before", "during", "after", "most waiting", "most overdue"]
    lanes: dict[str, list[Bar]] = {}
    whole = span.until - span.since
    for one in found:
        trouble, look = one.trouble, LOOKS[one.trouble.kind]
        begin, end = ((at - span.since) / whole for at in (trouble.begin, trouble.end))
        said = f"{_clock(trouble.begin)}: {_words(one)}"
        lanes.setdefault(look.lane, []).append(Bar(begin=begin, end=end, tone=look.tone, said=said))
    order = dict.fromkeys(look.lane for look in LOOKS.values())
    drawn = [Lane(name=name, bars=lanes[name]) for name in order if name in lanes]
    return Section(
        id="troubles",
        title=title,
        note=note,
        columns=columns,
        rows=[_row(one) for one in found],
        chart=spans(title, _moments(span), drawn) if drawn else Markup(""),
        stays_open=True,
    )


def _left_out(recorded: Recorded, told: int, all: int) -> Iterator[str]:
    if told < all:
        listed = f"Only {number(told)} of {number(all)} are listed and drawn"
        yield f"{listed}: those of sites that were shortest are left out."
    for kind in recorded.cut:
        yield f"{_CUT[kind]} for so long at so many sites that only what lasted longest was looked at."


def _words(one: Told) -> str:
    trouble = one.trouble
    subject = trouble.subject if trouble.subject and trouble.subject not in trouble.words else ""
    return f"{subject}: {trouble.words}" if subject else trouble.words


def _row(one: Told) -> list[str]:
    lasted = one.trouble.end - one.trouble.begin
    return [
        _words(one),
        _clock(one.trouble.begin),
        lasting(lasted) if lasted else "",
        *_rates(one.delivered),
        "" if one.most_waiting is None else number(one.most_waiting),
        "" if one.overdue_s is None else lasting(one.overdue_s),
    ]


def _rates(rates: Rates) -> list[str]:
    return [_said(rate) for rate in (rates.before, rates.during, rates.after)]


def _mail(recorded: Recorded) -> Section:
    step_s = recorded.span.step_s
    series = [
        Series(name=name, tone=tone, values=averaged([count / step_s for count in counts], POINTS))
        for name, tone, counts in (
            ("accepted", Tone.BLUE, recorded.taken),
            ("delivered", Tone.GREEN, recorded.whole.delivered),
        )
    ]
    return _section("mail", "Mail", "Messages a second.", recorded.span, series, lines)


def _waiting(recorded: Recorded) -> Section:
    series = [
        _of_samples(recorded, "not finished", Tone.BLUE, lambda one: one.unfinished),
        _of_samples(recorded, "in memory", Tone.VIOLET, lambda one: one.queued),
        _of_samples(recorded, "in flight", Tone.GREEN, lambda one: one.in_flight),
    ]
    return _section("waiting", "What waits", "Deliveries; the most of each step.", recorded.span, series, lines)


def _ages(recorded: Recorded) -> Section:
    series = [
        _of_samples(recorded, "overdue", Tone.RED, lambda one: one.overdue_s),
        _of_samples(recorded, "ClickHouse's lag", Tone.AMBER, lambda one: one.log_lag_s),
    ]
    note = "For how long what is due first has been due, and how old the first event is that ClickHouse does not have."
    return _section("ages", "How late", note, recorded.span, series, duration_lines)


def _journal(recorded: Recorded) -> Section:
    series = [
        _of_samples(recorded, "calls that failed", Tone.RED, lambda one: one.journal_failures),
        _of_samples(recorded, "calls of more than a second", Tone.AMBER, lambda one: one.journal_slow),
        _of_samples(recorded, "requests not taken", Tone.VIOLET, lambda one: one.refused),
    ]
    return _section("journal", "Journal", "In ten seconds.", recorded.span, series, bars)


def _failures(recorded: Recorded) -> Section:
    tones = {
        How.LOST: Tone.RED,
        How.TIMED_OUT: Tone.AMBER,
        How.CLOSED: Tone.VIOLET,
        How.DEFERRED: Tone.BLUE,
        How.SLOWED: Tone.GREEN,
    }
    series = []
    for how, tone in {**tones, How.OTHER: Tone.GREY}.items():
        some = [one.counts for one in recorded.failures if (one.how if one.how in tones else How.OTHER) is how]
        if some:
            sums = [0] * recorded.span.places
            for place, count in chain.from_iterable(counts.items() for counts in some):
                sums[place] += count
            series.append(Series(name=how.value, tone=tone, values=summed(sums, POINTS)))
    note = "Attempts that failed for the host or the way to it, not for the recipient."
    return _section("failures", "What hosts did", note, recorded.span, series, bars)


def _posts(recorded: Recorded) -> Section:
    posts = recorded.posts
    fine = [all - failed - slow for all, failed, slow in zip(posts.all, posts.failed, posts.slow, strict=True)]
    series = [
        Series(name="failed", tone=Tone.RED, values=summed(posts.failed, POINTS)),
        Series(name="took longer than a second", tone=Tone.AMBER, values=summed(posts.slow, POINTS)),
        Series(name="others", tone=Tone.BLUE, values=summed(fine, POINTS)),
    ]
    return _section("webhooks", "Posts to endpoints of webhooks", "Counts.", recorded.span, series, bars)


def _section(id: str, title: str, note: str, span: Span, series: Sequence[Series], draw: Draw) -> Section:
    moments = _moments(span)
    every = ceil(len(moments) / LINES)
    return over_time(id, title, note, moments, series, draw, column="at", said=_said, every=every)


def _said(value: float | None) -> str:
    return "" if value is None else f"{value:,.1f}"


def _width(span: Span) -> int:
    """Places of a point."""
    return ceil(span.places / POINTS)


def _moments(span: Span) -> list[Moment]:
    found = []
    for place in range(0, span.places, _width(span)):
        at = datetime.fromtimestamp(span.begin(place), UTC)
        found.append(Moment(f"{at:%H:%M:%S}" if span.step_s < 60 else f"{at:%d %H:%M}", f"{at:%Y-%m-%d %H:%M:%S}"))
    return found


def _of_samples(recorded: Recorded, name: str, tone: Tone, value: Callable[[Sample], float]) -> Series:
    """The greatest of each point; a point with no sample has that of the one before, if that is not long ago."""
    span, width = recorded.span, _width(recorded.span)
    values: list[float | None] = [None] * ceil(span.places / width)
    reach = max(1, ceil(25 / (span.step_s * width)))
    for one in recorded.samples:
        first = span.place(one.at) // width
        values[first] = max(value(one), values[first] or 0.0)
    filled = list(values)
    for i, there in enumerate(values):
        if there is None:
            filled[i] = next((one for one in reversed(values[max(0, i - reach) : i]) if one is not None), None)
    return Series(name=name, tone=tone, values=filled)


def _clock(at: float) -> str:
    return f"{datetime.fromtimestamp(at, UTC):%H:%M:%S}"
