"""One share of a site on one delivery actor: what waits for it, its connections, and its back-off.

Plain state and decisions about it; the deliverer moves the work.
"""

from collections.abc import Callable
from math import ldexp

from actors.delivery.pool import Pool
from cluster.journal.records import Waiting
from cluster.policy.destinations import Destination
from cluster.policy.fairness import FairQueue, room
from cluster.policy.rate import Gcra

CLAIMED_PER_CONNECTION = 3
"""Jobs claimed for each connection: one on the wire, the others composed and ready, so that no connection waits for
the journal. More would only take longer to become uncancellable."""

BURST_S = 0.1
"""Work for this long may be claimed at once under a rate limit: a claim for each message would cost too much."""

STALLED_S = 45.0
"""Its waiting deliveries are given back after this; what is on the wire ends by its own time limits."""

FIRST_BACK_OFF_S = 1.0
LONGEST_BACK_OFF_S = 60.0


class Site:
    """Made by the deliverer for a destination that has work, dropped when it has been idle."""

    def __init__(
        self,
        destination: Destination,
        clock: Callable[[], float],
        bound: int,
        rate: float,
        make_pool: Callable[["Site"], Pool],
    ) -> None:
        """``clock``: seconds that never go back. ``bound``: how many deliveries may wait here. ``rate``: messages a
        second that this share of the site may have; 0 sets no limit."""
        self.destination = destination
        self.queue: FairQueue[Waiting] = FairQueue()
        self.pool = make_pool(self)
        self._rate = Gcra(rate, max(1, round(rate * BURST_S))) if rate else None
        self.claiming = 0
        self.blocked_until = 0.0
        self._bound = bound
        self._clock = clock
        self._failures = 0
        self._progressed_at = clock()

    @property
    def is_idle(self) -> bool:
        return not self.queue and not self.claiming and not self.pool.outstanding and not self.pool.connections

    def room(self, tenant_id: str) -> int:
        """How many more deliveries of a tenant may wait here."""
        of_tenant = self.queue.waiting_of(tenant_id)
        return room(len(self.queue), of_tenant, self.queue.tenants + (not of_tenant), self._bound)

    def offer(self, waiting: Waiting) -> bool:
        """Let it wait here, if its tenant's share of the room is not used up."""
        if not self.room(waiting.tenant_id):
            return False
        self.queue.push(waiting.tenant_id, waiting)
        return True

    def wanted(self) -> int:
        """How many deliveries to claim now."""
        if not self.queue or self._clock() < self.blocked_until:
            return 0
        # After a failure one delivery at a time is the probe.
        places = 1 if self._failures else self.pool.limit * CLAIMED_PER_CONNECTION
        wanted = min(len(self.queue), places - self.claiming - self.pool.outstanding)
        if self._rate is not None:
            wanted = min(wanted, self._rate.available(self._clock()))
        return max(0, wanted)

    def take(self) -> Waiting:
        """The next delivery to claim, of the tenant whose turn it is."""
        self.claiming += 1
        if self._rate is not None:
            self._rate.take(1, self._clock())
        return self.queue.pop()

    def rate_wait_s(self) -> float:
        """How long the rate limit holds back what waits here; 0 when it is not the limit that does."""
        if self._rate is None or not self.queue:
            return 0.0
        return self._rate.wait_s(self._clock())

    @property
    def is_stalled(self) -> bool:
        """Whether it has work on the wire, and none of it has come to an end for long: its hosts hold us up."""
        return self.pool.outstanding > 0 and self._clock() - self._progressed_at > STALLED_S

    def progressed(self) -> None:
        """Something on the wire came to an end, or there was nothing on it."""
        self._progressed_at = self._clock()

    def failed(self) -> float:
        """No connection could be made: wait, twice as long each time. Returns for how many seconds."""
        wait = min(ldexp(FIRST_BACK_OFF_S, self._failures), LONGEST_BACK_OFF_S)
        self._failures += 1
        self.blocked_until = self._clock() + wait
        return wait

    def worked(self) -> None:
        """A connection carried a transaction."""
        self._failures = 0
        self.blocked_until = 0.0
