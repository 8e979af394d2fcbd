"""What an operator sees of a delivery actor: its sites, and where a message's deliveries are in its memory."""

from collections.abc import Container
from heapq import nlargest

from actors.delivery.held import Key, key_of
from actors.delivery.site import Site
from actors.delivery.sites import Dropped, Sites
from cluster.policy.replies.putting_off import PuttingOff
from cluster.policy.replies.verdict import Judgement
from cluster.policy.routes.destinations import Destination
from cluster.routing.site_state import TENANTS_SHOWN, Held, SiteState, TenantWaiting


def find_sites(sites: Sites, pattern: str, limit: int, actor: str, now: float, epoch_offset: float) -> list[SiteState]:
    """The sites whose names contain ``pattern``, those with most deliveries first. ``now``: loop time. A loop time plus
    ``epoch_offset`` is seconds since the epoch."""
    found = nlargest(limit, (site for site in sites if pattern in site.destination.site), key=_depth)
    states = [state_of(site, actor, now, epoch_offset, TENANTS_SHOWN) for site in found]
    for place, dropped in sites.put_off():
        if len(states) == limit:
            break
        if pattern in place.site:
            states.append(_state_of_dropped(place, dropped, actor, now, epoch_offset))
    return states


def _depth(site: Site) -> int:
    return len(site.queue) + site.in_flight


def _state_of_dropped(place: Destination, dropped: Dropped, actor: str, now: float, epoch_offset: float) -> SiteState:
    """A site that has no work before its next attempts are due."""
    putting_off = dropped.putting_off or PuttingOff()
    bound = putting_off.binds(now)
    return SiteState(
        actor=actor,
        source=place.source,
        site=place.site,
        share=place.share,
        shares=place.shares,
        waiting=0,
        in_flight=0,
        connections=0,
        connection_limit=0,
        message_rate=0.0,
        accepted=0,
        deferred=0,
        bounced=0,
        accepted_per_s=0.0,
        waits_for=bound.words,
        until=0.0,
        adjustments=(),
        last_replies=dropped.last_reply,
        binds=bound,
        put_off=putting_off.waiting,
        retry_at=putting_off.retry_at + epoch_offset,
    )


def state_of(site: Site, actor: str, now: float, epoch_offset: float, turns: int = 0) -> SiteState:
    """``now`` and ``epoch_offset``: as for ``find_sites``. ``turns``: of so many tenants it is told how much waits."""
    place = site.destination
    putting_off, tenants = site.putting_off, site.queue.tenants
    longest = site.queue.longest(turns) if turns and tenants > 1 else ()
    bound, until = site.bound()
    stats, throttle, allowance = site.stats, site.throttle, site.allowance
    counts = stats.counts
    return SiteState(
        actor=actor,
        source=place.source,
        site=place.site,
        share=place.share,
        shares=place.shares,
        waiting=len(site.queue),
        in_flight=site.in_flight,
        connections=site.pool.connections,
        connection_limit=throttle.connections(),
        message_rate=throttle.message_rate(),
        accepted=counts[Judgement.ACCEPTED],
        deferred=counts[Judgement.DEFERRED],
        bounced=counts[Judgement.BOUNCED],
        accepted_per_s=stats.accepted_per_s(),
        waits_for=bound.words,
        until=until + epoch_offset if until else 0.0,
        adjustments=(*site.adjustments.described(now), *site.pool.limits_described()),
        last_replies=stats.last_replies(),
        binds=bound,
        ready=site.queue.ready,
        began=stats.began,
        transactions=stats.transactions,
        spent_s=stats.spent_s,
        connections_per_ip=throttle.connections_per_address(),
        connection_rate=throttle.opening_rate(),
        warm_up_cap=None if allowance is None else allowance.cap,
        warm_up_left=None if allowance is None or allowance.cap is None else allowance.remaining,
        put_off=putting_off.waiting if putting_off is not None else 0,
        retry_at=putting_off.retry_at + epoch_offset if putting_off is not None and putting_off.waiting else 0.0,
        turns=tuple(TenantWaiting(tenant_id, waiting) for tenant_id, waiting in longest),
        tenants=tenants,
    )


def find_held(message_id: str, sites: Sites, held: Container[Key]) -> list[Held]:
    """Deliveries of a message: queued ones and claimed ones."""
    found = []
    for site in sites:
        for ready, ahead in site.queue.items():
            if ready.waiting.message_id == message_id and key_of(ready.waiting) in held:
                found.append(_held(site, ready.waiting.recipient_no, "waiting", ahead))
        for job, is_on_the_wire in site.pool.jobs():
            state = "on the wire" if is_on_the_wire else "claimed"
            found += [_held(site, d.recipient_no, state) for d in job.deliveries if d.message_id == message_id]
    return found


def _held(site: Site, recipient_no: int, state: str, ahead: int = 0) -> Held:
    place = site.destination
    return Held(recipient_no=recipient_no, site=place.site, source=place.source, state=state, ahead=ahead)
