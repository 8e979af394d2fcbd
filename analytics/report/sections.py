"""The sections of a report, each from the answer to one question. Pure."""

from collections.abc import Callable, Mapping, Sequence

from markupsafe import Markup
from msgspec import Struct

from analytics.charts.bars import bars
from analytics.charts.horizontal import Part, Row, horizontal_bars
from analytics.charts.lines import duration_lines, lines
from analytics.charts.scale import lasting, short
from analytics.charts.series import Moment, Series, Tone
from analytics.charts.svg import legend
from analytics.report.periods import Range
from analytics.report.questions import TOP, Rows

QUANTILES = ("50 %", "75 %", "90 %", "95 %", "99 %", "longest")
DRAWN = {"50 %": Tone.GREEN, "90 %": Tone.AMBER, "99 %": Tone.RED}
_BOUNCES = ("bounce", "blocked")

Draw = Callable[[str, Sequence[Moment], Sequence[Series]], Markup]


class Section(Struct, frozen=True, kw_only=True):
    """A picture and its numbers. ``rows``: texts; the first of each names the row. Without rows there is nothing to
    show, and ``chart`` is empty."""

    id: str
    title: str
    note: str
    columns: Sequence[str]
    rows: Sequence[Sequence[str]]
    legend: Markup = Markup("")
    chart: Markup = Markup("")
    stays_open: bool = False
    """The rows are not folded, however many they are, and have the width of the page."""


class Volumes:
    """The answer to VOLUMES: counts of events by period."""

    def __init__(self, range: Range, answer: Rows) -> None:
        self._starts = [round(at.timestamp()) for at in range.starts()]
        self._counts: dict[tuple[str, bool], dict[int, int]] = {}
        for period, event, machine, count in answer:
            self._counts.setdefault((event, bool(machine)), {})[period] = count

    def of(self, *events: str, machine: bool | None = None) -> list[int]:
        """How many of these events each period has. ``machine``: by programs or by people; None: both."""
        found = [counts for (event, by), counts in self._counts.items() if event in events and machine in (None, by)]
        return [sum(counts.get(start, 0) for counts in found) for start in self._starts]

    def sum(self, *events: str) -> int:
        return sum(self.of(*events))

    @property
    def is_empty(self) -> bool:
        return not self._counts


def tiles(volumes: Volumes, times: Rows) -> list[tuple[str, str]]:
    """The figures at the top: names and values."""
    delivered, bounced = volumes.sum("delivered"), volumes.sum(*_BOUNCES)
    found = [
        ("accepted", number(volumes.sum("processed"))),
        ("delivered", number(delivered)),
        ("bounced", f"{number(bounced)} ({rate(bounced, delivered + bounced)})"),
        ("dropped", number(volumes.sum("dropped"))),
        ("complaints", number(volumes.sum("spam_report"))),
    ]
    if times:
        found.append(("half delivered within", lasting(times[0][2][0])))
    return found


def volumes_by_period(range: Range, volumes: Volumes) -> Section:
    series = [
        Series(name="delivered", tone=Tone.BLUE, values=volumes.of("delivered")),
        Series(name="bounced", tone=Tone.RED, values=volumes.of(*_BOUNCES)),
        Series(name="dropped", tone=Tone.GREY, values=volumes.of("dropped")),
        Series(name="deferred", tone=Tone.AMBER, values=volumes.of("deferred")),
    ]
    note = "Deferred counts attempts, so a recipient may count several times. Bounced includes blocked mail."
    return over_time("volumes", f"Volumes by {range.period.value}", note, range.moments(), series, bars)


def engagement(range: Range, volumes: Volumes) -> Section:
    series = [
        Series(name=f"{name} of {who}", tone=tone, values=volumes.of(event, machine=machine), is_dashed=machine)
        for event, name, tone in (("open", "opens", Tone.BLUE), ("click", "clicks", Tone.VIOLET))
        for who, machine in (("people", False), ("machines", True))
    ]
    note = "All opens and clicks, not only the first of each recipient. Clicks of people are the better measure."
    return over_time("engagement", "Opens and clicks", note, range.moments(), series, lines)


def time_to_deliver(range: Range, times: Rows, sampled: int) -> Section:
    """``times``: the answer to TIMES. ``sampled``: of how many messages one was looked at."""
    by_start = {start: quantiles for start, _, quantiles in times[1:]}
    found = [by_start.get(round(at.timestamp())) for at in range.starts()]
    series = [
        Series(
            name=f"{name} within",
            tone=tone,
            values=[quantiles[QUANTILES.index(name)] if quantiles else None for quantiles in found],
        )
        for name, tone in DRAWN.items()
    ]
    moments = range.moments()
    whole = [["whole range", number(count), *map(lasting, quantiles)] for _, count, quantiles in times[:1]]
    counts = {start: count for start, count, _ in times[1:]}
    rows = [
        [moment.name, number(counts[round(at.timestamp())]), *map(lasting, quantiles)]
        for at, moment, quantiles in zip(range.starts(), moments, found, strict=True)
        if quantiles
    ]
    title = "Time to deliver"
    note = "From acceptance to delivery, of what was accepted and delivered within the range, by when it was delivered."
    if sampled > 1:
        note += f" One message in {sampled} was looked at."
    if not rows:
        return _empty("times", title, note)
    return Section(
        id="times",
        title=title,
        note=note,
        columns=["period", "recipients", *QUANTILES],
        rows=[*whole, *rows],
        legend=legend(series),
        chart=duration_lines(title, moments, series),
    )


def sites(answer: Rows) -> Section:
    """``answer``: to the TOP of SITES."""
    title, note = "Mailbox providers and sites", "Share delivered of what was delivered or bounced."
    shown, rows = [], []
    for others, name, delivered, bounced, deferred in answer:
        label = _label(others, name, "sites", "no site")
        share = rate(delivered, delivered + bounced)
        parts = (Part(Tone.BLUE, delivered), Part(Tone.RED, bounced))
        shown.append(Row(name=label, parts=parts, said=f"{short(delivered + bounced)} · {share}"))
        rows.append([label, number(delivered), number(bounced), share, number(deferred)])
    columns = ["site", "delivered", "bounced", "share delivered", "deferred"]
    return _horizontal("sites", title, note, columns, rows, shown, _DELIVERED_AND_BOUNCED)


def classes(answer: Rows, *, of_deferrals: bool) -> Section:
    """``answer``: to CLASSES."""
    found = [(name or "no class", count) for is_deferral, name, count in answer if bool(is_deferral) == of_deferrals]
    if of_deferrals:
        return _shares("deferrals", "Why mail was deferred", "Classes of replies.", "class", found, Tone.AMBER)
    return _shares("bounces", "Why mail bounced", "Classes of bounces and blocked mail.", "class", found, Tone.RED)


def replies(answer: Rows) -> Section:
    """``answer``: to the TOP of REPLIES."""
    title = "What hosts replied"
    note = "Replies to mail that was not taken. Addresses and ids in them are left out: …"
    shown, rows = [], []
    for others, name, deferred, bounced in answer:
        label = _label(others, " ".join(name.split()), "replies", "no text")
        parts = (Part(Tone.AMBER, deferred), Part(Tone.RED, bounced))
        shown.append(Row(name=label, parts=parts, said=short(deferred + bounced)))
        rows.append([label, number(deferred), number(bounced)])
    key = [Series(name="deferred", tone=Tone.AMBER, values=()), Series(name="bounced", tone=Tone.RED, values=())]
    return _horizontal("replies", title, note, ["reply", "deferred", "bounced"], rows, shown, key)


def encryption(answer: Rows) -> Section:
    """``answer``: to ENCRYPTION."""
    found = [(version or "in clear", count) for version, count in answer]
    return _shares("tls", "Encryption", "Of delivered mail, by version of TLS.", "version", found, Tone.GREEN)


def named(id: str, title: str, note: str, things: str, answer: Rows, names: Mapping[str, str]) -> Section:
    """``answer``: to the TOP of CATEGORIES or TENANTS. ``names``: what to show in place of some."""
    shown, rows = [], []
    for others, name, delivered, bounced, opens, clicks, complaints in answer:
        label = _label(others, names.get(name, name), things, "no name")
        parts = (Part(Tone.BLUE, delivered), Part(Tone.RED, bounced))
        share = rate(delivered, delivered + bounced)
        shown.append(Row(name=label, parts=parts, said=f"{short(delivered + bounced)} · {share}"))
        rows.append([label, *map(number, (delivered, bounced)), share, *map(number, (opens, clicks, complaints))])
    columns = [id, "delivered", "bounced", "share delivered", "opens of people", "clicks of people", "complaints"]
    return _horizontal(id, title, note, columns, rows, shown, _DELIVERED_AND_BOUNCED)


def number(count: float) -> str:
    return f"{count:,.0f}"


def rate(part: float, whole: float) -> str:
    """In per cent; nothing where there is nothing to divide by."""
    return f"{100 * part / whole:.1f} %" if whole else ""


_DELIVERED_AND_BOUNCED = (
    Series(name="delivered", tone=Tone.BLUE, values=()),
    Series(name="bounced", tone=Tone.RED, values=()),
)


def over_time(
    id: str,
    title: str,
    note: str,
    moments: Sequence[Moment],
    series: Sequence[Series],
    draw: Draw,
    *,
    column: str = "period",
    said: Callable[[float | None], str] = lambda value: number(value or 0),
    every: int = 1,
) -> Section:
    """``column``: what the moments are called in the table, which has a row for each of them, or for one in ``every``.
    ``said``: a value in it."""
    if not any(any(one.values) for one in series):
        return _empty(id, title, note)
    rows = [[moment.name, *(said(one.values[i]) for one in series)] for i, moment in list(enumerate(moments))[::every]]
    return Section(
        id=id,
        title=title,
        note=note,
        columns=[column, *(one.name for one in series)],
        rows=rows,
        legend=legend(series),
        chart=draw(title, moments, series),
    )


def _shares(id: str, title: str, note: str, column: str, found: Sequence[tuple[str, int]], tone: Tone) -> Section:
    """Counts by name, the most first, with their share of all."""
    whole = sum(count for _, count in found)
    cut = list(found[:TOP])
    if rest := found[TOP:]:
        cut.append((_label(len(rest), "", "", ""), sum(count for _, count in rest)))
    shown = [
        Row(name=name, parts=(Part(tone, count),), said=f"{short(count)} · {rate(count, whole)}") for name, count in cut
    ]
    rows = [[name, number(count), rate(count, whole)] for name, count in cut]
    return _horizontal(id, title, note, [column, "events", "share"], rows, shown, ())


def _horizontal(
    id: str,
    title: str,
    note: str,
    columns: Sequence[str],
    rows: Sequence[Sequence[str]],
    shown: Sequence[Row],
    key: Sequence[Series],
) -> Section:
    if not rows:
        return _empty(id, title, note)
    return Section(
        id=id,
        title=title,
        note=note,
        columns=columns,
        rows=rows,
        legend=legend(key) if key else Markup(""),
        chart=horizontal_bars(title, shown),
    )


def _empty(id: str, title: str, note: str) -> Section:
    return Section(id=id, title=title, note=note, columns=(), rows=())


def _label(others: int, name: str, things: str, unnamed: str) -> str:
    """What a row is called. ``others``: how many names it stands for, 0 for one that has its own."""
    if others:
        return f"other ({f'{number(others)} {things}'.strip()})"
    return name or unnamed
