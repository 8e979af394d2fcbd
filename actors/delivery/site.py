"""One share of source → site on one delivery actor: what waits for it, its connections, its limits, its back-off.

Plain state and decisions about it. ``sites`` makes and drops it, ``claims`` takes from it, ``courier`` sends its jobs.
"""

from collections.abc import Callable
from math import ceil, ldexp

from msgspec import Struct

from actors.delivery.job import Job
from actors.delivery.pool import Pool
from actors.delivery.site_stats import SiteStats
from actors.delivery.tenants import Tenants
from actors.delivery.throttle import Throttle
from cluster.journal.records import DueDelivery
from cluster.policy.limits.fairness import FairQueue, room
from cluster.policy.limits.shaping import Limits, TenantLimits
from cluster.policy.limits.warm_up import Allowance
from cluster.policy.replies.automation import Adjustments
from cluster.policy.routes.destinations import Destination
from cluster.policy.routes.next_hop import NextHop, Unreachable

CLAIMED_PER_CONNECTION = 6
"""Jobs claimed for each connection: one on the wire, the others composed and ready, so that no connection waits for
the journal, and many are claimed together. More would only take longer to become uncancellable."""

AHEAD_S = 0.5
"""Under a rate limit, what leaves within this is claimed: composed and ready, but not long before its turn."""

WAITING_S = 4.0
"""Under a rate limit, no more than leaves within this waits here: what is parked comes sooner than that, and the room
is for those who can use it."""
FEW = 10
"""So many may always."""

STALLED_S = 45.0
"""Its waiting deliveries are given back after this; what is on the wire ends by its own time limits."""

HURRIED_S = 2.0
"""The same, when the sites together have all the room there is: others wait for it."""

CROWDED = 0.9
"""Of all the room: more is too little for whoever comes."""

PROBES = 2
"""What waits here while no connection can be made: the rest would only take the room of those who can send."""

LEAD = 16
"""Deliveries by which light tenants, or the others, may be ahead where both wait: they are claimed together."""

FIRST_BACK_OFF_S = 1.0
LONGEST_BACK_OFF_S = 60.0


class ReadyDelivery(Struct, frozen=True):
    """A delivery and the next hop that it goes to."""

    waiting: DueDelivery
    hop: NextHop | Unreachable


def same_transaction(one: ReadyDelivery, other: ReadyDelivery) -> bool:
    """Whether two deliveries are of one message, and can go to the next hop together."""
    return one.waiting.message_id == other.waiting.message_id and one.hop == other.hop


class Withdrawn(Struct, frozen=True):
    """What is not to be sent from a site now, and goes back to the journal."""

    site: "Site"
    waiting: list[ReadyDelivery]
    jobs: list[Job]
    """Claimed for it, and not begun."""


class Site:
    """Made for a destination that has work, dropped when it has been idle."""

    def __init__(
        self,
        destination: Destination,
        limits: Limits,
        adjustments: Adjustments,
        clock: Callable[[], float],
        bound: int,
        make_pool: Callable[["Site"], Pool],
        tenant_limits: Callable[[str], TenantLimits],
        allowance: Allowance | None = None,
    ) -> None:
        """``clock``: seconds that never go back. ``bound``: how many deliveries may wait here. ``allowance``: of a
        source in warm-up."""
        self.destination = destination
        self.queue: FairQueue[ReadyDelivery] = FairQueue()
        self.adjustments = adjustments
        self.throttle = Throttle(destination, limits, adjustments, clock, lambda: self.queue.ready)
        self.pool = make_pool(self)
        self.allowance = allowance
        self.blocked_until = 0.0
        self.suspended_until = 0.0
        """Loop time, as all times here."""
        self.stats = SiteStats(clock)
        self._tenants = Tenants(destination, tenant_limits, self.queue)
        self._bound = bound
        self._clock = clock
        self._claiming = 0
        self._failures = 0
        self._progressed_at = clock()
        self._is_shut = False
        self._lead = 0
        """By how many deliveries light tenants are ahead of the others."""

    @property
    def is_idle(self) -> bool:
        return not self.pool.connections and not self.queue and not self.in_flight

    @property
    def in_flight(self) -> int:
        """Transactions claimed for and not yet reported."""
        return self._claiming + self.pool.outstanding

    @property
    def is_suspended(self) -> bool:
        return self._clock() < self.suspended_until

    @property
    def is_used_up(self) -> bool:
        """Whether its source may send no more to it today."""
        return self.allowance is not None and self.allowance.is_exhausted

    def shape(self, limits: Limits, tenant_limits: Callable[[str], TenantLimits]) -> None:
        """Other limits from now on."""
        self.throttle.limits = limits
        self._tenants.shape(tenant_limits, self._clock())

    # Waiting

    def room(self, tenant_id: str) -> int:
        """How many more deliveries of a tenant may wait here."""
        if self.is_suspended or self.is_used_up or self._tenants.is_suspended(tenant_id, self._clock()):
            return 0
        if self._is_shut:
            return 0
        if self._failures:
            return max(0, PROBES - len(self.queue))
        of_tenant = self.queue.waiting_of(tenant_id)
        rate = self.throttle.message_rate()
        bound = min(self._bound, max(FEW, ceil(rate * WAITING_S))) if rate else self._bound
        return room(len(self.queue), of_tenant, self.queue.tenants + (not of_tenant), bound)

    def offer(self, ready: ReadyDelivery) -> bool:
        """Let it wait here, if its tenant's share of the room is not used up."""
        tenant_id = ready.waiting.tenant_id
        if not self.room(tenant_id):
            return False
        self.queue.push(tenant_id, ready)
        return True

    def suspend(self, tenant_id: str, until: float) -> Withdrawn:
        """Send nothing more before ``until`` (of one tenant, or with "" nothing at all). What waited is to be given
        back; without a tenant also what was claimed and not begun."""
        if not tenant_id:
            self.suspended_until = until
            return Withdrawn(self, self.queue.clear(), self.pool.take_back())
        self._tenants.suspend(tenant_id, until)
        return Withdrawn(self, self.queue.drop(tenant_id), [])

    def resume(self, tenant_id: str) -> None:
        """End what ``suspend`` began."""
        self.adjustments.lift(tenant_id)
        if not tenant_id:
            self.suspended_until = 0.0
        else:
            self._tenants.suspend(tenant_id, 0.0)

    # Claiming

    def wanted(self) -> int:
        """For how many transactions to claim now."""
        now = self._clock()
        if not self.queue or now < self.blocked_until or now < self.suspended_until:
            return 0
        self._tenants.release(now)
        if self.throttle.message_rate() and self.throttle.message_wait_s() > AHEAD_S:
            return 0
        if not self.is_low:
            return 0
        wanted = min(self.queue.ready, self._places() - self.in_flight)
        if self.allowance is not None:
            wanted = min(wanted, self.allowance.remaining)
        return max(0, wanted)

    @property
    def is_low(self) -> bool:
        """Whether of what was claimed so much has come to its end that it is time for another claim: what is left keeps
        the connections busy for a while, and a claim for a few costs as much as one for many."""
        places = self._places()
        free = places - self.in_flight
        return free >= places // 3 or self.queue.ready <= free

    def _places(self) -> int:
        """How many transactions may be claimed and not reported."""
        if self._failures:
            return 1  # one delivery at a time is the probe
        places = self.throttle.connections() * CLAIMED_PER_CONNECTION
        rate = self.throttle.message_rate()
        return min(places, max(1, ceil(rate * AHEAD_S))) if rate else places

    def gives_turn(self, is_light: Callable[[str], bool], light: bool) -> bool:
        """Whether the next turn is one of the light tenants', or of the others. Both kinds have as many deliveries sent
        while both wait, however many recipients their messages have; within a kind, tenants take turns."""
        if (self._lead if light else -self._lead) > LEAD:
            if self.queue.bring_forward(lambda tenant_id: is_light(tenant_id) is not light):
                return False
            self._lead = 0
        return self.queue.bring_forward(lambda tenant_id: is_light(tenant_id) is light)

    def take(self, light: bool = False) -> list[ReadyDelivery]:
        """The next deliveries to claim, for one transaction, of the tenant whose turn it is; a light one or another."""
        at_most = self.throttle.limits.recipients_per_transaction
        if self.allowance is not None:
            at_most = min(at_most, self.allowance.remaining)
        taken = self.queue.pop(same_transaction, at_most)
        self._lead += len(taken) if light else -len(taken)
        self._claiming += 1
        if self.allowance is not None:
            self.allowance.take(len(taken))
        self._tenants.began(taken[0].waiting.tenant_id, self._clock())
        return taken

    def claimed(self) -> None:
        """What ``take`` returned has been submitted, or is not to be sent."""
        self._claiming -= 1

    def divided(self, tenant_id: str) -> None:
        """What ``take`` returned comes to its end in one part more."""
        self._tenants.began(tenant_id, self._clock())

    def taken_apart(self, parts: int, tenant_id: str) -> None:
        """What ``take`` returned once is submitted, and comes to its end, in so many parts."""
        self._claiming += parts - 1
        for _ in range(parts - 1):
            self.divided(tenant_id)

    def claim_missed(self, count: int) -> None:
        """So many of what ``take`` returned could not be claimed: they are not sent, and cost a warm-up nothing."""
        if self.allowance is not None:
            self.allowance.put_back(count)

    def ended(self, tenant_id: str) -> None:
        """What ``take`` returned has come to its end."""
        self._tenants.ended(tenant_id, self._clock())
        self.progressed()

    def wake_at(self) -> float:
        """When it may be able to send what it is held back from now; infinite when no clock decides that."""
        now = self._clock()
        blocked = max(self.blocked_until, self.suspended_until, now + self.throttle.message_wait_s() - AHEAD_S)
        return blocked if blocked > now else self._tenants.wake_at()

    # How it goes

    @property
    def is_stalled(self) -> bool:
        """Whether its hosts hold us up: none of what is on the wire there has come to an end for long."""
        return self._is_shut or self._is_held_up_for(STALLED_S)

    @property
    def is_busy(self) -> bool:
        """Whether it waits for its hosts to say something."""
        return self.pool.on_the_wire > 0 or self.pool.connecting > 0

    def _is_held_up_for(self, seconds: float) -> bool:
        return self.is_busy and self._clock() - self._progressed_at > seconds

    def surplus(self, held: int) -> list[ReadyDelivery]:
        """What is not to wait here any longer, when all sites together hold so many deliveries: whatever its hosts hold
        up, and, while no connection can be made, all but what it is tried with."""
        self._is_shut = self._is_held_up_for(HURRIED_S if held >= self._bound * CROWDED else STALLED_S)
        kept = 0 if self._is_shut else PROBES
        if not (self._is_shut or self._failures) or len(self.queue) <= kept:
            return []
        waiting = self.queue.clear()
        for ready in waiting[:kept]:
            self.queue.push(ready.waiting.tenant_id, ready)
        return waiting[kept:]

    def progressed(self) -> None:
        """Something on the wire came to an end, or there was nothing on it."""
        self._progressed_at = self._clock()
        self._is_shut = False

    def failed(self, longest_s: float = LONGEST_BACK_OFF_S) -> float:
        """No connection could be made: wait, twice as long each time. Returns for how many seconds."""
        wait = min(ldexp(FIRST_BACK_OFF_S, min(self._failures, 30)), longest_s)
        self._failures += 1
        self.blocked_until = self._clock() + wait
        return wait

    def worked(self) -> None:
        """A connection carried a transaction."""
        self._failures = 0
        self.blocked_until = 0.0

    def try_now(self) -> None:
        """Do not wait any longer before the next connection. How many failed still counts, so that one delivery is the
        probe."""
        self.blocked_until = 0.0

    def waits_for(self) -> tuple[str, float]:
        """Why it sends no more just now, in words, and until when (loop time; 0: not known)."""
        now = self._clock()
        if now < self.suspended_until:
            return "suspended", self.suspended_until
        if self.is_used_up:
            return "the source's warm-up: no more today", 0.0
        if now < self.blocked_until:
            return "backing off: no connection could be made", self.blocked_until
        if self.is_stalled:
            return "its hosts do not answer", 0.0
        if self.queue and not self.queue.ready:
            return "its tenants' limits", self._tenants.wake_at()
        if self.queue and self.throttle.message_rate():
            return "the message rate", 0.0
        if self.queue and self.pool.connections >= self.throttle.connections():
            return "its connections are all in use", 0.0
        return "", 0.0
