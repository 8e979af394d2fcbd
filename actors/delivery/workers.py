"""When a pool opens connections: as jobs queue up, within the site's limits.

Each connection belongs to a worker of one next hop. courier.py has what a worker does.
"""

import asyncio
from collections.abc import Callable

from actors.delivery.idle_connections import wake_worker
from actors.delivery.pool_group import HopGroup
from actors.delivery.throttle import Throttle
from actors.delivery.turns import RateTurns
from cluster.policy.limits.connections import AddressStates, wanted
from cluster.policy.routes.next_hop import NextHop

SLOW_S = 0.5
"""If a next hop has begun no job for this long, another connection is opened for its queued jobs."""


class Workers:
    """``addresses`` counts the connections of all sites. ``start`` starts a worker."""

    # There is one for each site, and there may be very many sites.
    __slots__ = (
        "_addresses",
        "_loop",
        "_start",
        "_throttle",
        "_timer",
        "_turns",
        "count",
        "groups",
        "is_stopping",
    )

    def __init__(
        self, throttle: Throttle, turns: RateTurns, addresses: AddressStates, start: Callable[[HopGroup], None]
    ) -> None:
        self._loop = asyncio.get_running_loop()
        self._throttle = throttle
        self._turns = turns
        self._addresses = addresses
        self._start = start
        self._timer: asyncio.TimerHandle | None = None
        self.groups: dict[NextHop, HopGroup] = {}
        self.count = 0
        """Connections open, being opened or being closed."""
        self.is_stopping = False
        """No more workers are started."""

    def group(self, hop: NextHop) -> HopGroup:
        group = self.groups.get(hop)
        if group is None:
            group = self.groups[hop] = HopGroup(hop)
        return group

    @property
    def are_too_many(self) -> bool:
        return self.count > self._throttle.connections()

    @property
    def may_be_more(self) -> bool:
        return self.count < self._throttle.connections()

    def others_starve(self) -> bool:
        """Whether a next hop has jobs and no worker, and the site's limit allows no more."""
        if len(self.groups) == 1 or self.may_be_more:
            return False
        return any(group.jobs and not group.workers for group in self.groups.values())

    def serve(self, group: HopGroup) -> None:
        """Find workers for the jobs of a next hop: wake an idle one or start new ones."""
        if self.is_stopping:
            return
        while group.idle:
            if wake_worker(group.idle.popleft(), True):
                return
        limit = self._throttle.connections()
        while group.workers < wanted(len(group.jobs) + self._throttle.behind(), limit, self._addresses.open):
            if self.count >= limit:
                if not group.workers:
                    self._make_room(group)
                return
            if not self.hire(group):
                return
        if group.jobs and self.count < limit:
            self._look_again(SLOW_S)

    def hire(self, group: HopGroup) -> bool:
        """Start a worker unless it is too early for another connection. Returns whether it was started."""
        wait = max(self._throttle.opening_wait_s(), group.not_before - self._loop.time())
        if wait > 0:
            self._look_again(wait)
            return False
        self._throttle.take_opening()
        self.count += 1
        group.workers += 1
        group.connecting += 1
        self._start(group)
        return True

    def _make_room(self, starved: HopGroup) -> None:
        """Close an idle connection of another next hop."""
        for group in self.groups.values():
            while group is not starved and group.idle:
                if wake_worker(group.idle.popleft(), False):
                    return

    def _look_again(self, wait_s: float) -> None:
        if self._timer is not None:
            if self._timer.when() <= self._loop.time() + wait_s:
                return
            self._timer.cancel()
        self._timer = self._loop.call_later(wait_s, self._look)

    def _look(self) -> None:
        self._timer = None
        now = self._loop.time()
        for group in self.groups.values():
            # All workers are busy. If one waits for a rate turn, another connection would only wait too.
            is_held_up = group.workers and not group.connecting and now - group.taken_at >= SLOW_S
            if group.jobs and is_held_up and not self._turns.waiting and self.count < self._throttle.connections():
                self.hire(group)
        self.serve_waiting()

    def serve_waiting(self) -> None:
        """A slot is free: next hops with jobs get it, those without a worker first."""
        for group in sorted(self.groups.values(), key=lambda group: group.workers > 0):
            if group.jobs:
                self.serve(group)
            elif not group.workers:
                del self.groups[group.hop]
        if not self.groups and self._timer is not None:
            self._timer.cancel()  # otherwise it keeps the pool of a dropped site in memory
            self._timer = None

    def gone(self, group: HopGroup) -> None:
        """A worker's connection is closed."""
        self.count -= 1
        group.workers -= 1

    def left(self, group: HopGroup) -> None:
        """A worker has ended. Its next hop comes last for the free slot."""
        self.groups[group.hop] = self.groups.pop(group.hop)
        self.serve_waiting()
