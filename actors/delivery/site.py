"""One share of a site on one delivery actor: what waits for it, its connections, and its back-off.

Plain state and decisions about it; the deliverer moves the work.
"""

from collections.abc import Callable
from math import ldexp

from actors.delivery.pool import Pool
from cluster.journal.records import Waiting
from cluster.policy.destinations import Destination
from cluster.policy.fairness import FairQueue, finds_room

CLAIMED_PER_CONNECTION = 3
"""Jobs claimed for each connection: one on the wire, the others composed and ready, so that no connection waits for
the journal. More would only take longer to become uncancellable."""

FIRST_BACK_OFF_S = 1.0
LONGEST_BACK_OFF_S = 60.0


class Site:
    """Made by the deliverer for a destination that has work, dropped when it has been idle."""

    def __init__(
        self, destination: Destination, clock: Callable[[], float], bound: int, make_pool: Callable[["Site"], Pool]
    ) -> None:
        """``clock``: seconds that never go back. ``bound``: how many deliveries may wait here."""
        self.destination = destination
        self.queue: FairQueue[Waiting] = FairQueue()
        self.pool = make_pool(self)
        self.claiming = 0
        self.blocked_until = 0.0
        self._bound = bound
        self._clock = clock
        self._failures = 0

    @property
    def is_idle(self) -> bool:
        return not self.queue and not self.claiming and not self.pool.outstanding and not self.pool.connections

    def offer(self, waiting: Waiting) -> bool:
        """Let it wait here, if its tenant's share of the room is not used up."""
        tenants = self.queue.tenants + (not self.queue.waiting_of(waiting.tenant_id))
        if not finds_room(len(self.queue), self.queue.waiting_of(waiting.tenant_id), tenants, self._bound):
            return False
        self.queue.push(waiting.tenant_id, waiting)
        return True

    def wanted(self) -> int:
        """How many deliveries to claim now."""
        if not self.queue or self._clock() < self.blocked_until:
            return 0
        # After a failure one delivery at a time is the probe.
        places = 1 if self._failures else self.pool.limit * CLAIMED_PER_CONNECTION
        return max(0, min(len(self.queue), places - self.claiming - self.pool.outstanding))

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
