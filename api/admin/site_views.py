"""The state of sites for operators: sums the shares of a site on all actors and its parked deliveries. Pure."""

from collections import defaultdict
from collections.abc import Mapping, Sequence
from datetime import UTC, datetime
from heapq import nlargest

from msgspec import Struct

from cluster.journal.suspensions import Suspension
from cluster.policy.limits.advice import ADVICE
from cluster.policy.limits.binding import Bound, binding_of_shares
from cluster.policy.routes.destinations import Destination, parse
from cluster.policy.routes.sites import matches
from cluster.routing.site_state import TENANTS_SHOWN, LastReply, SiteState, TenantWaiting
from cluster.routing.views import SourceState

REPLIES_SHOWN = 5


class ReplyView(Struct, frozen=True, kw_only=True):
    """What a host of the site said, or how the connection to it failed."""

    at: datetime
    host: str
    text: str
    kind: str
    """accepted, deferred or bounced."""


class SiteView(Struct, frozen=True, kw_only=True):
    """A source → site, over the whole cluster."""

    source: str
    """"" when the operating system chooses the address."""
    site: str
    depth: int
    """waiting plus parked: deliveries that are due and not yet being sent."""
    waiting: int
    """In memory."""
    parked: int
    """In the journal, for lack of room. More than 100 in a lane are as of the flight recorder's last look at it, and
    at most 100,000."""
    in_flight: int
    connections: int
    connection_limit: int
    message_rate: float
    """The current limit in messages per second; 0 for none."""
    accepted: int
    """Recipients since the site was last idle; the same for deferred and bounced."""
    deferred: int
    bounced: int
    accepted_per_s: float
    """Over the last minute."""
    binds: Bound
    """The limit that holds back what is sent; "" when none does."""
    waits_for: str
    """The same in words."""
    advice: str
    """What can be done about it."""
    until: datetime | None
    put_off: int
    """Deliveries that wait for another attempt, as far as the actors have put them off since they began."""
    retry_at: datetime | None
    """When the last of these is due."""
    tenants: int
    """How many tenants have deliveries waiting in memory: they take turns."""
    turns: tuple[TenantWaiting, ...]
    """Where there are several: those with the most."""
    suspended: tuple[str, ...]
    """Its suspensions, in words."""
    adjustments: tuple[str, ...]
    """The changes by automation, in words."""
    actors: tuple[str, ...]
    """The actors that have it in memory."""
    last_replies: tuple[ReplyView, ...]
    """Newest first."""


def moment(seconds: float) -> datetime | None:
    """An actor's time in seconds since the epoch; 0 means none."""
    return datetime.fromtimestamp(seconds, UTC) if seconds else None


def lane_of(state: SiteState) -> str:
    """The lane of deliveries that this share has no room for."""
    return str(Destination(state.site, state.source, state.share, state.shares))


def site_views(
    states: Sequence[SiteState],
    parked: Mapping[str, int],
    suspensions: Sequence[Suspension],
    pattern: str,
    source: str,
    sources: Sequence[SourceState] = (),
) -> list[SiteView]:
    """The sites that match, deepest first, including suspended sites without deliveries.

    ``parked`` has the number of deliveries by lane. A ``source`` of "" means any. ``sources`` are those of the active
    routing.
    """
    by_name = {one.name: one for one in sources}
    shares: dict[tuple[str, str], list[SiteState]] = defaultdict(list)
    for state in states:
        shares[state.source, state.site].append(state)
    waiting_in_lanes: dict[tuple[str, str], int] = defaultdict(int)
    for lane, count in parked.items():
        if (place := parse(lane)) is not None:
            waiting_in_lanes[place.source, place.site] += count
    keys = {*shares, *waiting_in_lanes}
    known = {site for _, site in keys}
    keys |= {("", s.site) for s in suspensions if s.site and s.site not in known}
    views = [
        _view(*key, shares[key], waiting_in_lanes[key], suspensions, by_name.get(key[0]))
        for key in keys
        if matches(pattern, key[1]) and source in ("", key[0])
    ]
    return sorted(views, key=lambda view: (-view.depth - view.put_off, -view.in_flight, view.site, view.source))


def _turns(shares: Sequence[SiteState]) -> tuple[TenantWaiting, ...]:
    waiting: dict[str, int] = defaultdict(int)
    for share in shares:
        for one in share.turns:
            waiting[one.tenant_id] += one.waiting
    return tuple(TenantWaiting(*one) for one in nlargest(TENANTS_SHOWN, waiting.items(), key=lambda one: one[1]))


def suspended(site: str, suspensions: Sequence[Suspension]) -> tuple[str, ...]:
    """The suspensions of a site, in words."""
    return tuple(
        f"{'tenant ' + s.tenant_id if s.tenant_id else 'all tenants'}"
        f"{'' if s.site else ' at every site'} until {s.until:%Y-%m-%d %H:%M:%S} UTC by {s.made_by}"
        f"{': ' + s.reason if s.reason else ''}"
        for s in suspensions
        if s.site in ("", site)
    )


def kept_by_source(source: SourceState | None, site: str) -> str:
    """Why a source sends nothing to a site now, in words; "" when it may send. None is the system's choice of address,
    which always may."""
    match _bound_of_source(source, site):
        case Bound.NO_MACHINE:
            return f"no machine has the addresses of source {source.name if source else ''}"
        case Bound.WARM_UP:
            return f"the warm-up of source {source.name if source else ''}: no more today"
    return ""


def _bound_of_source(source: SourceState | None, site: str) -> Bound:
    if source is None:
        return Bound.NOTHING
    if not source.actors:
        return Bound.NO_MACHINE
    if any(use.site == site and use.granted >= use.cap for use in source.warm_up):
        return Bound.WARM_UP
    return Bound.NOTHING


def _what_binds(
    shares: Sequence[SiteState], site: str, suspensions: Sequence[Suspension], kept: Bound
) -> tuple[Bound, datetime | None]:
    """What holds the site back, and until when: suspensions and the source, otherwise what the actors say that have the
    site in memory."""
    untils = [s.until for s in suspensions if not s.tenant_id and s.site in ("", site)]
    if untils:
        return Bound.SUSPENSION, max(untils)
    if kept:
        return kept, None
    binds = binding_of_shares((Bound.read(share.binds), share.waiting) for share in shares)
    return binds, moment(min((share.until for share in shares if share.binds == binds), default=0.0))


def _view(
    source: str,
    site: str,
    shares: Sequence[SiteState],
    parked: int,
    suspensions: Sequence[Suspension],
    state: SourceState | None,
) -> SiteView:
    waiting = sum(share.waiting for share in shares)
    kept = _bound_of_source(state, site) if waiting + parked else Bound.NOTHING
    if kept is Bound.WARM_UP and any(share.warm_up_left for share in shares):
        kept = Bound.NOTHING  # all is granted for today, and not all is sent
    binds, until = _what_binds(shares, site, suspensions, kept)
    replies: list[LastReply] = sorted(
        (reply for share in shares for reply in share.last_replies), key=lambda reply: reply.at, reverse=True
    )
    return SiteView(
        source=source,
        site=site,
        depth=waiting + parked,
        waiting=waiting,
        parked=parked,
        in_flight=sum(share.in_flight for share in shares),
        connections=sum(share.connections for share in shares),
        connection_limit=sum(share.connection_limit for share in shares),
        message_rate=round(sum(share.message_rate for share in shares), 3),
        accepted=sum(share.accepted for share in shares),
        deferred=sum(share.deferred for share in shares),
        bounced=sum(share.bounced for share in shares),
        accepted_per_s=round(sum(share.accepted_per_s for share in shares), 3),
        binds=binds,
        waits_for=kept_by_source(state, site) if kept and binds is kept else binds.words,
        advice=ADVICE[binds],
        until=until,
        put_off=sum(share.put_off for share in shares),
        retry_at=moment(max((share.retry_at for share in shares), default=0.0)),
        tenants=max((share.tenants for share in shares), default=0),
        turns=_turns(shares),
        suspended=suspended(site, suspensions),
        adjustments=tuple(dict.fromkeys(words for share in shares for words in share.adjustments)),
        actors=tuple(sorted({share.actor for share in shares})),
        last_replies=tuple(
            ReplyView(at=datetime.fromtimestamp(reply.at, UTC), host=reply.host, text=reply.text, kind=reply.kind)
            for reply in replies[:REPLIES_SHOWN]
        ),
    )
