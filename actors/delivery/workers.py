"""When a pool opens connections: as jobs wait, up to what the site may have.

Each is a worker of one next hop. What a worker does is the courier's (courier.py).
"""

import asyncio
from collections.abc import Callable

from actors.delivery.idle_connections import tell
from actors.delivery.pool_group import HopGroup
from actors.delivery.throttle import Throttle
from actors.delivery.turns import RateTurns
from cluster.policy.limits.connections import AddressStates, wanted
from cluster.policy.routes.next_hop import NextHop

SLOW_S = 0.5
"""A transaction that takes longer is worth another connection for what waits behind it, even if it never ends."""


class Workers:
    """``addresses`` counts the connections of all sites. ``start`` begins the work of a worker."""

    # There is one for each site, of which there may be very many.
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
        """No more come."""

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
        """Whether a next hop has jobs and no worker, and there is no place for one."""
        if len(self.groups) == 1 or self.may_be_more:
            return False
        return any(group.jobs and not group.workers for group in self.groups.values())

    def serve(self, group: HopGroup) -> None:
        """Have the jobs of a next hop taken: by an idle worker of its own, or by one that is hired."""
        if self.is_stopping:
            return
        while group.idle:
            if tell(group.idle.popleft(), True):
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
        """Open a connection, unless it is too early for one."""
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
        """Send an idle connection of another next hop away."""
        for group in self.groups.values():
            while group is not starved and group.idle:
                if tell(group.idle.popleft(), False):
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
            # All are busy, and none with waiting for a turn, in which another connection would only wait as well.
            is_held_up = group.workers and not group.connecting and now - group.taken_at >= SLOW_S
            if group.jobs and is_held_up and not self._turns.waiting and self.count < self._throttle.connections():
                self.hire(group)
        self.serve_waiting()

    def serve_waiting(self) -> None:
        """A place is free: the next hops with jobs get it, those without a worker first."""
        for group in sorted(self.groups.values(), key=lambda group: group.workers > 0):
            if group.jobs:
                self.serve(group)
            elif not group.workers:
                del self.groups[group.hop]
        if not self.groups and self._timer is not None:
            self._timer.cancel()  # it would only keep the pool of a site that has been let go of
            self._timer = None

    def gone(self, group: HopGroup) -> None:
        """A worker has no connection any more."""
        self.count -= 1
        group.workers -= 1

    def left(self, group: HopGroup) -> None:
        """A worker has gone. Its next hop is the last to be asked whether it wants another."""
        self.groups[group.hop] = self.groups.pop(group.hop)
        self.serve_waiting()
