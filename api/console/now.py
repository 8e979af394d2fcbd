"""The page ``now``: what is wrong first, then how much waits and goes, and what holds each site back. Pure: facts in,
what a page shows out."""

from collections.abc import Iterator, Mapping, Sequence
from datetime import datetime

from markupsafe import Markup
from msgspec import Struct

from analytics.charts.horizontal import Part, Row, horizontal_bars
from analytics.charts.scale import lasting
from analytics.charts.series import Series, Tone
from analytics.charts.svg import legend
from analytics.history import History
from api.admin.nodes import NodeView
from api.admin.site_views import SiteView
from api.console.history import Curve, whole_curves
from api.console.words import age, moment, number
from cluster.context import keeps_from_work
from cluster.journal.queue import QueueAges
from cluster.journal.suspensions import Suspension
from cluster.routing.views import SourceState

SITES_SHOWN = 50
BARS = 12


class NowFacts(Struct, frozen=True, kw_only=True):
    """What the services answered; None where one did not, then ``faults`` says why."""

    at: datetime
    parts: Mapping[str, str | None] | None = None
    """Each part of this postray, and its problem."""
    queue: QueueAges | None = None
    sites: Sequence[SiteView] | None = None
    silent: Sequence[str] = ()
    nodes: Sequence[NodeView] | None = None
    suspensions: Sequence[Suspension] | None = None
    sources: Sequence[SourceState] | None = None
    faults: Sequence[str] = ()
    history: History | None = None


class Trouble(Struct, frozen=True, kw_only=True):
    """Something to look at. ``is_grave``: mail does not flow for it."""

    is_grave: bool
    what: str
    detail: str
    site: str = ""
    """Of which site."""


class Tile(Struct, frozen=True):
    """A number and its name."""

    name: str
    value: str


class NowView(Struct, frozen=True, kw_only=True):
    """What the page shows."""

    at: datetime
    troubles: Sequence[Trouble]
    tiles: Sequence[Tile]
    sites: Sequence[SiteView]
    more: int
    """Sites that are not in the list."""
    curves: Sequence[Curve]
    depths: Markup
    legend: Markup


def now_view(facts: NowFacts) -> NowView:
    sites = [site for site in facts.sites or () if site.depth or site.in_flight or site.put_off or site.suspended]
    return NowView(
        at=facts.at,
        troubles=sorted(_troubles(facts, sites), key=lambda trouble: not trouble.is_grave),
        tiles=list(_tiles(facts, facts.sites)),
        sites=sites[:SITES_SHOWN],
        more=max(0, len(sites) - SITES_SHOWN),
        curves=whole_curves(facts.history) if facts.history is not None else [],
        depths=_depths(sites[:BARS]),
        legend=legend(_DEPTHS),
    )


def _troubles(facts: NowFacts, sites: Sequence[SiteView]) -> Iterator[Trouble]:
    for fault in facts.faults:
        yield Trouble(is_grave=True, what="Not known now", detail=fault)
    for part, problem in sorted((facts.parts or {}).items()):
        if problem is not None:
            yield Trouble(is_grave=keeps_from_work(problem), what=part, detail=problem)
    for actor in facts.silent:
        yield Trouble(is_grave=True, what=actor, detail="does not answer: what it holds is missing on this page")
    for source in facts.sources or ():
        if source.passed_over:
            waits = f"; the mail of {', '.join(source.waiting_pools)} waits" if source.waiting_pools else ""
            yield Trouble(
                is_grave=bool(source.waiting_pools),
                what=f"source {source.name}",
                detail=f"no machine has its addresses{waits}",
            )
    for one in facts.suspensions or ():
        if not one.site:
            whose = f"tenant {one.tenant_id}" if one.tenant_id else "all mail"
            detail = f"until {moment(one.until)} by {one.made_by}{': ' + one.reason if one.reason else ''}"
            yield Trouble(is_grave=not one.tenant_id, what=f"Suspended: {whose}", detail=detail)
    for site in sites:
        if words := held_back(site):
            yield Trouble(is_grave=bool(site.suspended), what=name_of(site), detail=words, site=site.site)


def held_back(site: SiteView) -> str:
    """What binds a site that has mail waiting, in words; "" for one that nothing holds back."""
    if not site.waits_for or not (site.depth or site.put_off or site.suspended):
        return ""
    until = f", until {moment(site.until)}" if site.until is not None else ""
    waiting = [f"{number(site.depth)} waiting"] if site.depth or not site.put_off else []
    waiting += [f"{number(site.put_off)} put off"] if site.put_off else []
    turns = f"; {number(site.tenants)} tenants take turns" if site.tenants > 1 else ""
    return f"{', '.join(waiting)}: {site.waits_for}{until}{turns}"


def name_of(site: SiteView) -> str:
    return f"{site.site} from {site.source}" if site.source else site.site


def _tiles(facts: NowFacts, sites: Sequence[SiteView] | None) -> Iterator[Tile]:
    if (queue := facts.queue) is not None:
        yield Tile("in the queue, about", number(queue.unfinished))
        yield Tile("longest wait of due mail in the journal", lasting(queue.overdue_s) if queue.overdue_s else "0 s")
        yield Tile(
            "age of the oldest unfinished message", age(queue.oldest_at, facts.at) if queue.oldest_at else "none"
        )
    if sites is not None:
        yield Tile("accepted by hosts a second", number(round(sum(site.accepted_per_s for site in sites), 1)))
        yield Tile("sites with mail", number(sum(1 for site in sites if site.depth or site.in_flight or site.put_off)))
    if facts.nodes is not None:
        yield Tile("being sent", number(sum(node.counts.in_flight for node in facts.nodes)))
        yield Tile("connections to hosts", number(sum(node.counts.smtp_connections for node in facts.nodes)))
        yield Tile("nodes", number(len(facts.nodes)))


_DEPTHS = (
    Series(name="waiting in memory", tone=Tone.AMBER, values=()),
    Series(name="parked in the journal", tone=Tone.GREY, values=()),
    Series(name="being sent", tone=Tone.BLUE, values=()),
)


def _depths(sites: Sequence[SiteView]) -> Markup:
    rows = [
        Row(
            name=name_of(site),
            parts=[Part(Tone.AMBER, site.waiting), Part(Tone.GREY, site.parked), Part(Tone.BLUE, site.in_flight)],
            said=number(site.depth + site.in_flight),
        )
        for site in sites
        if site.depth + site.in_flight
    ]
    return horizontal_bars("Deliveries of the deepest sites", rows) if rows else Markup()
