"""Which sites have something to claim, in the order of their turns, and the events that wake the claim loops.

Deliveries of light tenants are claimed separately, by a claim loop for them alone; the other loops take them when there
is nothing else. So the few messages of a tenant wait neither for the turns of a hundred sites that another tenant has
flooded, nor for a claim of its hundreds; and many light tenants leave the others most of the claims.
"""

import asyncio
from collections.abc import Callable
from math import isfinite

from msgspec import Struct

from actors.delivery.site import ReadyDelivery, Site
from cluster.metrics import Gauge
from cluster.policy.routes.destinations import Destination


class Taken(Struct, frozen=True):
    """Deliveries taken from a site's queue, to be claimed for one transaction."""

    site: Site
    deliveries: list[ReadyDelivery]


class SiteTurns:
    """``is_light``: whether a tenant holds few deliveries."""

    queued = Gauge(
        "postray_sites_queued_deliveries",
        "Deliveries that wait at sites to be claimed.",
        lambda turns: sum(len(site.queue) for site in turns._at_work),
    )
    in_flight = Gauge(
        "postray_sites_in_flight_messages",
        "Messages claimed and not reported yet, at all sites.",
        lambda turns: sum(site.in_flight for site in turns._at_work),
    )
    busy = Gauge(
        "postray_sites_at_work", "Sites with something waiting or under way.", lambda turns: len(turns.at_work())
    )

    def __init__(self, is_light: Callable[[str], bool]) -> None:
        self._is_light = is_light
        # A dict for its order, which is that of the turns. A site that is not in it has nothing to claim now.
        self._turns: dict[Site, None] = {}
        self._light: dict[Site, None] = {}
        """The same for sites with deliveries of light tenants; a site may be in both."""
        self._timers: dict[Site, asyncio.TimerHandle] = {}
        self._at_work: dict[Site, None] = {}
        self.work = asyncio.Event()
        """Set when a site may have something to claim."""
        self.light_work = asyncio.Event()
        """The same for light tenants."""

    def at_work(self) -> list[Site]:
        """The sites with something queued or in flight. The others, which may be many more, have at most open
        connections."""
        for site in list(self._at_work):
            if not site.queue and not site.in_flight:
                del self._at_work[site]
        return list(self._at_work)

    def look_at(self, site: Site, tenant_id: str | None = None) -> None:
        """A site may have something to claim, since something changed. ``tenant_id``: a tenant with more to claim."""
        is_light = tenant_id is not None and self._is_light(tenant_id)
        (self._light if is_light else self._turns).setdefault(site)
        if site not in self._at_work:
            self._at_work[site] = None
            site.progressed()
        self._wake(is_light)

    def look_at_all(self) -> None:
        for site in self._at_work:
            if site.queue:
                self._turns.setdefault(site)
        self._wake(False)

    def next_batch(
        self, limit: int, most: int, may_send: Callable[[Destination], bool], *, light_only: bool = False
    ) -> list[Taken]:
        """Deliveries to claim together, from the sites in turn: at most ``limit`` transactions, and no further one once
        they have ``most`` deliveries."""
        heavy = [] if light_only else self._take_from(self._turns, self._light, limit, most, may_send)
        return heavy or self._take_from(self._light, self._turns, limit, most, may_send)

    def forget(self, site: Site) -> None:
        """The site is dropped."""
        self._turns.pop(site, None)
        self._light.pop(site, None)
        self._at_work.pop(site, None)
        if (timer := self._timers.pop(site, None)) is not None:
            timer.cancel()

    def _take_from(
        self,
        turns: dict[Site, None],
        others: dict[Site, None],
        limit: int,
        most: int,
        may_send: Callable[[Destination], bool],
    ) -> list[Taken]:
        """Take from the sites in ``turns`` the deliveries of tenants of that kind; leave the rest to ``others``."""
        light = turns is self._light
        batch: list[Taken] = []
        deliveries = 0
        for site in list(turns):
            if len(batch) >= limit or deliveries >= most:
                break
            del turns[site]
            if not may_send(site.destination):
                site.is_barred = True
                continue  # this does not depend on the time: each heartbeat looks at all sites again
            if site.is_barred:
                site.came_free()
            wanted = site.wanted()
            if not wanted:
                self._wake_later(site)
            while wanted and site.queue.ready:
                if len(batch) >= limit or deliveries >= most:
                    turns[site] = None  # at the end: the other sites come first next time
                    break
                if not site.gives_turn(self._is_light, light):
                    others.setdefault(site)
                    self._wake(not light)
                    break
                batch.append(Taken(site, site.take(light)))
                deliveries += len(batch[-1].deliveries)
                wanted -= 1
        return batch

    def _wake(self, is_light: bool) -> None:
        self.work.set()
        if is_light:
            self.light_work.set()

    def _wake_later(self, site: Site) -> None:
        """Look again when the site may send by the clock. Any other change calls ``look_at``."""
        if not site.queue or site in self._timers or not isfinite(at := site.wake_at()):
            return
        self._timers[site] = asyncio.get_running_loop().call_at(at, self._look_again, site)

    def _look_again(self, site: Site) -> None:
        del self._timers[site]
        self.look_at(site)
