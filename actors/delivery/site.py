"""One share of source → site on one delivery actor: its queue, its connections, its limits, its backoff.

This module holds state and decides about it. ``sites`` makes and drops a site, ``claims`` takes from it, ``courier``
sends its jobs.
"""

from collections.abc import Callable
from math import ceil, isfinite, ldexp

from msgspec import Struct

from actors.compose.multibuffer import LANES
from actors.delivery.job import Job
from actors.delivery.pool import Pool
from actors.delivery.site_stats import SiteStats
from actors.delivery.tenants import Tenants
from actors.delivery.throttle import Throttle
from cluster.journal.records import DueDelivery
from cluster.policy.limits.binding import Bound, SiteFacts, binding
from cluster.policy.limits.fairness import FairQueue, room
from cluster.policy.limits.shaping import Limits, TenantLimits
from cluster.policy.limits.warm_up import Allowance
from cluster.policy.replies.automation import Adjustments
from cluster.policy.replies.putting_off import PuttingOff, why_put_off
from cluster.policy.replies.verdict import Verdict
from cluster.policy.routes.destinations import Destination
from cluster.policy.routes.next_hop import NextHop, Unreachable

CLAIMED_PER_CONNECTION = 6
"""Jobs claimed for each connection: one on the wire, the others composed and ready, so that no connection waits for the
journal and claims are large. A claimed job cannot be cancelled, so more would only cost the chance to cancel."""

AHEAD_S = 0.5
"""Under a rate limit, jobs are claimed this long before their turn: composed and ready, but not much earlier."""

WAITING_S = 4.0
"""Under a rate limit, the queue holds at most what is sent within this time: parked deliveries arrive faster, and other
sites can use the room."""
FEW = 10
"""The queue may always hold this many, whatever the rate."""

STALLED_S = 45.0
"""The site's queue is given back after this time without progress; what is on the wire ends by its own timeouts."""

HURRIED_S = 2.0
"""The same when the sites together hold nearly all deliveries they may: others wait for the room."""

CROWDED = 0.9
"""Part of the limit on held deliveries above which ``HURRIED_S`` applies."""

PROBES = 2
"""Deliveries queued while no connection can be opened: more would take room from sites that can send."""

LEAD = 16
"""Deliveries by which light tenants, or the others, may be ahead while both wait, since claims are made in batches."""

FIRST_BACK_OFF_S = 1.0
LONGEST_BACK_OFF_S = 60.0


class ReadyDelivery(Struct, frozen=True):
    """A delivery with a resolved next hop."""

    waiting: DueDelivery
    hop: NextHop | Unreachable


def same_transaction(one: ReadyDelivery, other: ReadyDelivery) -> bool:
    """Whether two deliveries belong to one message and have the same next hop."""
    return one.waiting.message_id == other.waiting.message_id and one.hop == other.hop


class Withdrawn(Struct, frozen=True):
    """Deliveries that must not be sent from a site now, and go back to the journal."""

    site: "Site"
    waiting: list[ReadyDelivery]
    jobs: list[Job]
    """Jobs that are claimed and not begun."""


class Site:
    """Made for a destination that has work, dropped when it is idle."""

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
        """``clock``: monotonic seconds. ``bound``: how many deliveries may be queued here. ``allowance``: only for a
        source in warm-up."""
        self.destination = destination
        self.queue: FairQueue[ReadyDelivery] = FairQueue()
        self.adjustments = adjustments
        self.throttle = Throttle(destination, limits, adjustments, clock, lambda: self.queue.ready)
        self.pool = make_pool(self)
        self.allowance = allowance
        self.blocked_until = 0.0
        self.suspended_until = 0.0
        """Loop time, like all times here."""
        self.stats = SiteStats(clock)
        self._tenants = Tenants(destination, tenant_limits, self.queue)
        self._bound = bound
        self._clock = clock
        self._claiming = 0
        self._failures = 0
        self._failed_for = Bound.BACK_OFF
        self.putting_off: PuttingOff | None = None
        """None: nothing was put off here."""
        self._progressed_at = clock()
        self._is_shut = False
        self._lead = 0
        """How many deliveries light tenants are ahead of the others."""
        self.is_barred = False
        """Whether another actor may still be sending to it."""

    @property
    def is_idle(self) -> bool:
        return not self.pool.connections and not self.queue and not self.in_flight

    @property
    def in_flight(self) -> int:
        """Transactions that are claimed and not yet reported."""
        return self._claiming + self.pool.outstanding

    @property
    def is_suspended(self) -> bool:
        return self._clock() < self.suspended_until

    @property
    def is_used_up(self) -> bool:
        """Whether the source's warm-up allows no more today."""
        return self.allowance is not None and self.allowance.is_exhausted

    def shape(self, limits: Limits, tenant_limits: Callable[[str], TenantLimits]) -> None:
        """Set new limits."""
        self.throttle.limits = limits
        self._tenants.shape(tenant_limits, self._clock())

    def took_over(self, at: float) -> None:
        """Another actor could send to it until then. What that one has sent counts here: one message, and one new
        connection, in the last moment."""
        self.throttle.took_over(at)
        self._tenants.took_over(at, self._clock())

    def came_free(self) -> None:
        """Until now another actor could send to it."""
        self.is_barred = False
        self.took_over(self._clock())

    # Waiting

    def room(self, tenant_id: str) -> int:
        """How many more deliveries of a tenant may be queued here."""
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
        """Queue a delivery if its tenant's share of the room allows. Returns whether it is queued."""
        tenant_id = ready.waiting.tenant_id
        if not self.room(tenant_id):
            return False
        self.queue.push(tenant_id, ready)
        self._tenants.queued(tenant_id, self._clock())
        return True

    def suspend(self, tenant_id: str, until: float) -> Withdrawn:
        """Send nothing before ``until`` for one tenant, or with "" for all. Returns the queued deliveries, to be given
        back; with "" also the jobs that are claimed and not begun."""
        if not tenant_id:
            self.suspended_until = until
            return Withdrawn(self, self.queue.clear(), self.pool.take_back())
        self._tenants.suspend(tenant_id, until)
        return Withdrawn(self, self.queue.drop(tenant_id), [])

    def resume(self, tenant_id: str) -> None:
        """End a suspension; ``tenant_id`` as for ``suspend``."""
        self.adjustments.lift(tenant_id)
        if not tenant_id:
            self.suspended_until = 0.0
        else:
            self._tenants.suspend(tenant_id, 0.0)

    # Claiming

    def is_held_back(self, tenant_id: str) -> bool:
        """Whether something paces what leaves here for a tenant: a rate, a warm-up or failures."""
        if self._failures or self.allowance is not None or self._tenants.is_held(tenant_id):
            return True
        return self.throttle.message_rate() > 0 and self.throttle.message_wait_s() > 0

    def wanted(self) -> int:
        """How many transactions to claim now."""
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
        # Signatures are made in rounds, and a round of a few costs as much as a full one. So while more is queued, a
        # few that are left over wait for the next claim, if this one becomes only a little smaller by it.
        rounds, left_over = divmod(wanted, LANES)
        if wanted < self.queue.ready and left_over <= rounds:
            wanted -= left_over
        return max(0, wanted)

    @property
    def is_low(self) -> bool:
        """Whether enough claimed transactions have ended to claim again. The rest keeps the connections busy for a
        while, and a claim of a few costs as much as one of many. With twenty connections, two fifths are six rounds of
        signatures."""
        places = self._places()
        free = places - self.in_flight
        return free >= places * 2 // 5 or self.queue.ready <= free

    def _places(self) -> int:
        """How many transactions may be claimed and not yet reported."""
        if self._failures:
            return 1  # one delivery at a time is the probe
        places = self.throttle.connections() * CLAIMED_PER_CONNECTION
        rate = self.throttle.message_rate()
        return min(places, max(1, ceil(rate * AHEAD_S))) if rate else places

    def gives_turn(self, is_light: Callable[[str], bool], light: bool) -> bool:
        """Whether the next turn goes to a light tenant (``light``), or to one of the others. While both kinds wait,
        both get the same number of deliveries, however many recipients their messages have. Within a kind, tenants take
        turns."""
        if (self._lead if light else -self._lead) > LEAD:
            if self.queue.bring_forward(lambda tenant_id: is_light(tenant_id) is not light):
                return False
            self._lead = 0
        return self.queue.bring_forward(lambda tenant_id: is_light(tenant_id) is light)

    def take(self, light: bool = False) -> list[ReadyDelivery]:
        """Remove and return the next deliveries to claim: one transaction of the tenant whose turn it is. ``light``:
        whether that tenant is light."""
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
        """What ``take`` returned has been submitted, or will not be sent."""
        self._claiming -= 1

    def divided(self, tenant_id: str) -> None:
        """What ``take`` returned ends in one more part."""
        self._tenants.began(tenant_id, self._clock())

    def taken_apart(self, parts: int, tenant_id: str) -> None:
        """What one ``take`` returned is submitted, and ends, in ``parts`` parts."""
        self._claiming += parts - 1
        for _ in range(parts - 1):
            self.divided(tenant_id)

    def claim_missed(self, count: int) -> None:
        """``count`` deliveries that ``take`` returned were not claimed: they do not count for a warm-up."""
        if self.allowance is not None:
            self.allowance.put_back(count)

    def ended(self, tenant_id: str) -> None:
        """What ``take`` returned has ended, or one part of it."""
        self._tenants.ended(tenant_id, self._clock())
        self.progressed()

    def wake_at(self) -> float:
        """When the site may be able to send again; infinite if that does not depend on the time."""
        now = self._clock()
        blocked = max(self.blocked_until, self.suspended_until, now + self.throttle.message_wait_s() - AHEAD_S)
        return blocked if blocked > now else self._tenants.wake_at()

    # How it goes

    @property
    def is_stalled(self) -> bool:
        """Whether the hosts are unresponsive: nothing on the wire there has ended for a long time."""
        return self._is_shut or self._is_held_up_for(STALLED_S)

    @property
    def is_busy(self) -> bool:
        """Whether the site waits for replies of its hosts."""
        return self.pool.on_the_wire > 0 or self.pool.connecting > 0

    def _is_held_up_for(self, seconds: float) -> bool:
        return self.is_busy and self._clock() - self._progressed_at > seconds

    def surplus(self, held: int) -> list[ReadyDelivery]:
        """Remove and return what should not be queued here any longer: everything if the hosts are unresponsive; all
        but the probes while no connection can be opened. ``held``: deliveries that all sites together hold."""
        self._is_shut = self._is_held_up_for(HURRIED_S if held >= self._bound * CROWDED else STALLED_S)
        kept = 0 if self._is_shut else PROBES
        if not (self._is_shut or self._failures) or len(self.queue) <= kept:
            return []
        waiting = self.queue.clear()
        for ready in waiting[:kept]:
            self.queue.push(ready.waiting.tenant_id, ready)
        return waiting[kept:]

    def progressed(self) -> None:
        """Something on the wire has ended, or nothing was on it."""
        self._progressed_at = self._clock()
        self._is_shut = False

    def failed(self, longest_s: float = LONGEST_BACK_OFF_S, why: Bound = Bound.BACK_OFF) -> float:
        """No connection could be opened: back off, twice as long each time. Returns the seconds."""
        self._failed_for = why
        wait = min(ldexp(FIRST_BACK_OFF_S, min(self._failures, 30)), longest_s)
        self._failures += 1
        self.blocked_until = self._clock() + wait
        return wait

    def worked(self) -> None:
        """A connection carried a transaction."""
        self._failures = 0
        self.blocked_until = 0.0

    def try_now(self) -> None:
        """End the backoff. The count of failures stays, so that one delivery at a time is sent as a probe."""
        self.blocked_until = 0.0

    def heard(self, verdict: Verdict, *, is_said: bool, attempts: int, due_in_s: float | None) -> None:
        """The outcome of an attempt at a delivery. ``is_said``: a host's reply says so. ``attempts``: of the delivery,
        this one included. ``due_in_s``: when it is tried again; None: it is not."""
        if due_in_s is not None:
            self.putting_off = self.putting_off or PuttingOff()
            due_at = self._clock() + due_in_s
            self.putting_off.put_off(why_put_off(verdict, is_said=is_said), attempts=attempts, due_at=due_at)
        elif self.putting_off is not None:
            self.putting_off.settled(attempts=attempts)

    def bound(self) -> tuple[Bound, float]:
        """What binds, and until when (loop time; 0: unknown)."""
        now = self._clock()
        found = binding(
            SiteFacts(
                waiting=len(self.queue),
                ready=self.queue.ready,
                jobs_waiting=self.pool.waiting,
                connections=self.pool.connections,
                connection_limit=self.throttle.connections(),
                message_rate=self.throttle.message_rate(),
                message_wait_s=self.throttle.message_wait_s(),
                opening_wait_s=self.throttle.opening_wait_s(),
                addresses_full=self.pool.fills_addresses(),
                is_suspended=now < self.suspended_until,
                is_used_up=self.is_used_up,
                backs_off_for=self._failed_for if self._failures else Bound.NOTHING,
                put_off_for=self.putting_off.binds(now) if self.putting_off else Bound.NOTHING,
                is_stalled=self.is_stalled,
            )
        )
        match found:
            case Bound.SUSPENSION:
                return found, self.suspended_until
            case Bound.BACK_OFF | Bound.DNS | Bound.TLS if now < self.blocked_until:
                return found, self.blocked_until
            case Bound.TENANT_LIMITS:
                until = self._tenants.wake_at()
                return found, until if isfinite(until) else 0.0
        return found, 0.0
