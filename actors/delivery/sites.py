"""The sites of a delivery actor: made when there is work for them, served in turn, dropped when they have been idle.

Memory, measured: an idle site takes 6.3 KB, its pool, limits and counts included, until it is dropped within a second
or two of its last connection. There are never more at work than deliveries fit into the actor's window.
"""

import asyncio
from collections.abc import Callable, Iterator
from math import isfinite

from msgspec import Struct

from actors.delivery.site import Ready, Site
from cluster.policy.destinations import Destination


class Taken(Struct, frozen=True):
    """Deliveries taken from a site's queue, to claim for one transaction."""

    site: Site
    deliveries: list[Ready]


class Sites:
    """``make`` makes one; ``wake`` is called when one of them may have something to claim again."""

    def __init__(self, make: Callable[[Destination], Site], wake: Callable[[], None]) -> None:
        self._make = make
        self._wake = wake
        self._sites: dict[Destination, Site] = {}
        # In the order of their turns; a dict for its order. What is not in it has nothing to claim just now.
        self._turns: dict[Site, None] = {}
        self._timers: dict[Site, asyncio.TimerHandle] = {}
        self._at_work: dict[Site, None] = {}

    def __iter__(self) -> Iterator[Site]:
        return iter(list(self._sites.values()))

    def __len__(self) -> int:
        return len(self._sites)

    def at_work(self) -> list[Site]:
        """Those with something waiting or under way. The others, which may be many more, have a connection open at
        most."""
        for site in list(self._at_work):
            if not site.queue and not site.in_flight:
                del self._at_work[site]
        return list(self._at_work)

    def get(self, place: Destination) -> Site | None:
        return self._sites.get(place)

    def of(self, place: Destination) -> Site:
        """The site, made if need be."""
        site = self._sites.get(place)
        if site is None:
            site = self._sites[place] = self._make(place)
        return site

    def look_at(self, site: Site) -> None:
        """Something changed for a site: it may have something to claim."""
        self._turns.setdefault(site)
        if site not in self._at_work:
            self._at_work[site] = None
            site.progressed()
        self._wake()

    def look_at_all(self) -> None:
        for site in self._at_work:
            if site.queue:
                self._turns.setdefault(site)
        self._wake()

    def next_batch(self, limit: int, may_send: Callable[[Destination], bool]) -> list[Taken]:
        """Deliveries to claim together, for about ``limit`` transactions, from the sites in turn."""
        batch: list[Taken] = []
        for site in list(self._turns):
            if len(batch) >= limit:
                break
            del self._turns[site]
            if not may_send(site.destination):
                continue  # that it may again, nobody's clock tells: all are looked at with each heartbeat
            wanted = site.wanted()
            if wanted > limit - len(batch):
                self._turns[site] = None  # at the end: the others come first next time
            elif not wanted:
                self._wake_later(site)
            for _ in range(min(wanted, limit - len(batch))):
                if not site.queue.ready:
                    break
                batch.append(Taken(site, site.take()))
        return batch

    def _wake_later(self, site: Site) -> None:
        """Look again when the clock allows; whatever else may hold it back tells by itself."""
        if not site.queue or site in self._timers or not isfinite(at := site.wake_at()):
            return
        self._timers[site] = asyncio.get_running_loop().call_at(at, self._look_again, site)

    def _look_again(self, site: Site) -> None:
        del self._timers[site]
        self.look_at(site)

    def drop(self, site: Site) -> None:
        """Forget it; it must be idle."""
        del self._sites[site.destination]
        self._turns.pop(site, None)
        self._at_work.pop(site, None)
        if (timer := self._timers.pop(site, None)) is not None:
            timer.cancel()
