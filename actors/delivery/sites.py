"""The sites of a delivery actor: made when there is work for them, shaped and suspended by the active policy, dropped
when they are idle.

Memory, measured: an idle site takes 5.3 KB, its pool, limits and counts included, until it is dropped within a second
or two of its last connection. At most as many sites are at work as deliveries fit into the actor's window.
"""

import asyncio
from collections import deque
from collections.abc import Callable, Iterator
from datetime import datetime

from msgspec import Struct

from actors.delivery.courier import Courier
from actors.delivery.held import HeldDeliveries, key_of
from actors.delivery.ownership import Ownership
from actors.delivery.site import ReadyDelivery, Site, Withdrawn
from actors.delivery.site_totals import SiteTotals
from actors.delivery.site_turns import SiteTurns
from cluster.lookup.ttl_cache import TtlCache
from cluster.metrics import Gauge
from cluster.policy.limits.shaping import TenantLimits
from cluster.policy.limits.warm_up import Allowance
from cluster.policy.replies.automation import Adjustments
from cluster.policy.replies.putting_off import PuttingOff
from cluster.policy.replies.verdict import Judgement
from cluster.policy.routes.destinations import Destination
from cluster.routing.active_policy import ActivePolicy
from cluster.routing.site_state import LastReply, SiteEnded

DROPPED_KEPT = 5000
"""Dropped sites kept for operators to look up: some 0.8 KB each."""
DROPPED_KEPT_S = 86_400.0
ENDED_KEPT = 2000
"""Counts of dropped sites kept for the next sample of the flight recorder: some 0.4 KB each. When more end between two
samples, the counts of the oldest are missing there."""
TOUCHED_KEPT = 10_000
"""Idle sites whose limits automation has changed are kept, so that the change is not lost, up to this many sites."""


class Dropped(Struct, frozen=True):
    """What is kept of a dropped site for operators."""

    putting_off: PuttingOff | None
    last_reply: tuple[LastReply, ...]
    """One, or none."""


class Sites:
    """``clock``: monotonic seconds; ``now``: seconds since the epoch."""

    known = Gauge("postray_sites", "Sites in memory.", len)

    def __init__(
        self,
        active_policy: ActivePolicy,
        ownership: Ownership,
        held: HeldDeliveries,
        turns: SiteTurns,
        courier: Courier,
        *,
        clock: Callable[[], float],
        now: Callable[[], float],
    ) -> None:
        self._active_policy = active_policy
        self._ownership = ownership
        self._held = held
        self._turns = turns
        self._courier = courier
        self._clock = clock
        self._now = now
        self._sites: dict[Destination, Site] = {}
        self._ended: deque[tuple[float, SiteEnded]] = deque(maxlen=ENDED_KEPT)
        """When it was dropped, the oldest first."""
        self._totals = SiteTotals(self._sites.values, clock)
        self._dropped: TtlCache[Destination, Dropped] = TtlCache(DROPPED_KEPT, clock)
        self.wants_allowance = asyncio.Event()
        """Set when a site of a source in warm-up was made: it may send nothing until an allowance is granted."""

    def __iter__(self) -> Iterator[Site]:
        return iter(list(self._sites.values()))

    def __len__(self) -> int:
        return len(self._sites)

    def names(self) -> list[str]:
        """The names of all sites, and of those dropped within the last day, as far as they are kept."""
        dropped = self._dropped.keys()
        return list({place.site for place in (*self._sites, *dropped)})

    def put_off(self) -> Iterator[tuple[Destination, Dropped]]:
        """The dropped sites whose mail waits for another attempt."""
        now, places = self._clock(), self._dropped.keys()
        for place in places:
            dropped = self._dropped.get(place)
            if dropped is not None and dropped.putting_off is not None and dropped.putting_off.binds(now):
                yield place, dropped

    def ended_since(self, since: float) -> tuple[SiteEnded, ...]:
        """The counts of the sites that were dropped after this time, as far as they are kept."""
        return tuple(ended for at, ended in self._ended if at > since)

    def get(self, place: Destination) -> Site | None:
        return self._sites.get(place)

    def of(self, place: Destination) -> Site:
        """The site of a destination, made if it does not exist."""
        site = self._sites.get(place)
        if site is None:
            site = self._sites[place] = self._make(place)
        return site

    def queue(self, ready: ReadyDelivery, place: Destination) -> bool:
        """Queue a delivery at its site if we own it and it has room. Returns whether it is queued."""
        if not self._ownership.owns(place):
            return False
        site = self.of(place)
        if not site.offer(ready):
            return False
        tenant_id = ready.waiting.tenant_id
        self._held.add(key_of(ready.waiting), tenant_id)
        self._turns.look_at(site, tenant_id)
        return True

    def _make(self, place: Destination) -> Site:
        site = Site(
            place,
            self._active_policy.limits(place.site, place.source),
            Adjustments(self._active_policy.triggers(place.site, place.source), self._clock(), shares=place.shares),
            self._clock,
            self._held.most,
            self._courier.pool_for,
            _tenant_limits_at(place, self._active_policy),
            self._allowance(place),
        )
        if (came_at := self._ownership.came_at(place)) is not None:
            site.took_over(came_at)
        if (dropped := self._dropped.get(place)) is not None:
            site.putting_off = dropped.putting_off
            self._dropped.forget(place)
        self.suspend_if_due(site)
        return site

    def _allowance(self, place: Destination) -> Allowance | None:
        """The allowance of a source in warm-up for a site, with nothing granted yet; a grant is requested at once. None
        if the source has no warm-up."""
        if self._active_policy.source(place.source).warm_up is None:
            return None
        self.wants_allowance.set()
        day = self._active_policy.today()
        return Allowance(day, self._active_policy.routing.cap(place.source, place.site, day))

    # The active policy

    def shape(self, site: Site) -> None:
        """Apply the active policy's limits, triggers and warm-up to a site."""
        place = site.destination
        site.shape(self._active_policy.limits(place.site, place.source), _tenant_limits_at(place, self._active_policy))
        site.adjustments.follow(self._active_policy.triggers(place.site, place.source))
        site.allowance = site.allowance or self._allowance(place)

    def suspend_if_due(self, site: Site) -> Withdrawn:
        """Suspend a site, or tenants at it, if the active policy does."""
        name = site.destination.site
        withdrawn = Withdrawn(site, [], [])
        if (until := self._active_policy.suspended_until(name, "")) is not None:
            withdrawn = site.suspend("", self._loop_time(until))
            site.pool.disconnect()
        for tenant_id in self._active_policy.suspended_tenants(name):
            if (until := self._active_policy.suspended_until(name, tenant_id)) is not None:
                withdrawn.waiting.extend(site.suspend(tenant_id, self._loop_time(until)).waiting)
        return withdrawn

    def is_shut(self, place: Destination, tenant_id: str) -> bool:
        """Whether nothing of a tenant may be sent to a destination for now. False for a source that is used up for the
        day: its deliveries are leased, since another source may send them."""
        if any(self._active_policy.suspended_until(place.site, who) for who in ("", tenant_id)):
            return True
        site = self._sites.get(place)
        return site is not None and (site.is_stalled or site.is_suspended)

    def _loop_time(self, at: datetime) -> float:
        return self._clock() + at.timestamp() - self._now()

    # The end of a site

    def drop_if_idle(self, site: Site) -> bool:
        """Drop a site without work. One that automation has changed is kept unless there are too many. Returns whether
        it was dropped."""
        now = self._clock()
        if not site.is_idle or now < site.blocked_until:
            return False
        if not site.adjustments.is_untouched(now) and len(self._sites) <= TOUCHED_KEPT:
            return False
        place = site.destination
        del self._sites[place]
        if site.stats.transactions or any(site.stats.counts.values()):
            self._ended.append((now, _counts_of(site)))
        self._totals.ended(site)
        self._dropped.put(place, Dropped(site.putting_off, site.stats.last_replies()[:1]), DROPPED_KEPT_S)
        self._turns.forget(site)
        self._ownership.forget(place)
        return True


def _counts_of(site: Site) -> SiteEnded:
    place, stats = site.destination, site.stats
    return SiteEnded(
        source=place.source,
        site=place.site,
        share=place.share,
        began=stats.began,
        accepted=stats.counts[Judgement.ACCEPTED],
        deferred=stats.counts[Judgement.DEFERRED],
        bounced=stats.counts[Judgement.BOUNCED],
        transactions=stats.transactions,
        spent_s=stats.spent_s,
        last_reply=next(iter(stats.last_replies()), None),
        binds=site.bound()[0],
    )


def _tenant_limits_at(place: Destination, active_policy: ActivePolicy) -> Callable[[str], TenantLimits]:
    """Gives a tenant's limits at a destination by the policy that is active when it is called."""
    return lambda tenant_id: active_policy.shaping.tenant_limits(place.site, tenant_id, source=place.source)
