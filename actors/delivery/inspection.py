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
    return [_state_of(site, actor, now, epoch_offset) for site in found[:limit]]


def _state_of(site: Site, actor: str, now: float, epoch_offset: float) -> SiteState:
    place = site.destination
    reason, until = site.waits_for()
    counts = site.stats.counts
    return SiteState(
        actor=actor,
        source=place.source,
        site=place.site,
        share=place.share,
        shares=place.shares,
        waiting=len(site.queue),
        in_flight=site.in_flight,
        connections=site.pool.connections,
        connection_limit=site.throttle.connections(),
        message_rate=site.throttle.message_rate(),
        accepted=counts[Judgement.ACCEPTED],
        deferred=counts[Judgement.DEFERRED],
        bounced=counts[Judgement.BOUNCED],
        accepted_per_s=site.stats.accepted_per_s(),
        waits_for=reason,
        until=until + epoch_offset if until else 0.0,
        adjustments=(*site.adjustments.described(now), *site.pool.limits_described()),
        last_replies=site.stats.last_replies(),
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
