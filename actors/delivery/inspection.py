"""What an operator sees of a delivery actor: its sites, and where a message's deliveries are in its memory."""

from collections.abc import Container

from actors.delivery.held import Key, key_of
from actors.delivery.site import Site
from actors.delivery.sites import Sites
from cluster.policy.replies.verdict import Judgement
from cluster.routing.site_state import Held, SiteState


def find_sites(sites: Sites, pattern: str, limit: int, actor: str, now: float, epoch_offset: float) -> list[SiteState]:
    """The sites whose names contain ``pattern``, those with most deliveries first. ``now``: loop time. A loop time plus
    ``epoch_offset`` is seconds since the epoch."""
    found = [site for site in sites if pattern in site.destination.site]
    found.sort(key=lambda site: len(site.queue) + site.in_flight, reverse=True)
    return [state_of(site, actor, now, epoch_offset) for site in found[:limit]]


def state_of(site: Site, actor: str, now: float, epoch_offset: float) -> SiteState:
    """``now`` and ``epoch_offset``: as for ``find_sites``."""
    place = site.destination
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
