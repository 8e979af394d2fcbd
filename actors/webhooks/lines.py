"""The leased bundles of one endpoint, in the memory of this process, and which of their events are posted next.

A *line* knows how many posts its endpoint gets at the same time: one at first, one more with each success, and one
again after a failure. After a failure it waits for what the journal makes of it (``policy/webhooks/failing.py``).
No I/O.
"""

from collections import deque
from collections.abc import Iterable, Sequence
from datetime import datetime

from msgspec import Raw, Struct

from cluster.journal.webhook_posting import Ask, BundleEnded, LeasedBundle, Left
from cluster.policy.webhooks.failing import Health
from cluster.webhooks.bundles import MOST_EVENTS, joined, split_bundle

MOST_POSTS = 32
"""At the same time, of single events."""
MOST_ARRAYS = 4
"""At the same time, of arrays."""
MOST_POST_BYTES = 512 * 1024
"""Of the bundles in a post, in their stored form; its body has about twice as many. A single bundle may exceed it."""
MOST_HELD_BYTES = 4 * 1024 * 1024
"""Of one line."""
AHEAD = 8
"""Single events that are held for each post at the same time, so that none waits for a lease."""
_SLOTS, _SLOT_S = 12, 5.0


class HeldBundle:
    """A leased bundle. It ends when no post of it is under way and it is not queued any more."""

    __slots__ = (
        "attempts",
        "count",
        "due_at",
        "failed",
        "held_at",
        "id",
        "is_queued",
        "open",
        "since",
        "size",
        "waiting",
    )

    def __init__(self, leased: LeasedBundle, held_at: float) -> None:
        """Raises msgspec.DecodeError."""
        self.id = leased.id
        self.since = leased.since
        self.attempts = leased.attempts
        self.size = len(leased.events)
        self.held_at = held_at
        self.waiting = deque(split_bundle(leased.events))
        """Events that no post has taken."""
        self.count = len(self.waiting)
        self.is_queued = True
        self.open = 0
        """Posts under way."""
        self.failed: list[Raw] = []
        self.due_at = leased.since
        """When the failed ones are due."""

    def left(self) -> tuple[Left, ...]:
        """What is still owed: what failed, and what was not posted."""
        return tuple(
            Left(
                count=len(events),
                attempts=attempts,
                due_at=due_at,
                events=None if len(events) == self.count else joined(events),
            )
            for events, attempts, due_at in (
                (self.failed, self.attempts + 1, self.due_at),
                (list(self.waiting), self.attempts, self.since),
            )
            if events
        )


class Parcel(Struct, frozen=True):
    """What one post takes."""

    bundles: tuple[HeldBundle, ...]
    events: tuple[tuple[HeldBundle, Raw], ...]
    attempt: int
    """1 for their first post."""


class Line:
    """One endpoint. Times are monotonic, in seconds, where they are no datetime."""

    def __init__(self, webhook_id: str, now: float) -> None:
        self.webhook_id = webhook_id
        self.is_array = False
        """Whether a post has several events."""
        self.health = Health()
        self.running = 0
        """Posts under way."""
        self.used_at = now
        self.has_more = False
        """Whether the journal may have more that is due."""
        self._width = 1
        self._unsettled = 0
        """Failures that the journal does not have yet."""
        self._queue: deque[HeldBundle] = deque()
        self._held_bytes = 0
        self._held = 0
        self._queued = 0
        """Events that wait for a post."""
        self._taken = [0] * _SLOTS
        self._slot = int(now / _SLOT_S)

    @property
    def is_idle(self) -> bool:
        return not (self._held or self.running or self._unsettled)

    @property
    def held_bytes(self) -> int:
        """Of bundles that have not ended."""
        return self._held_bytes

    def ask(self, *, is_short: bool) -> Ask | None:
        """How much to lease; None when it has enough. ``is_short``: memory is, so only a line that has nothing gets
        something."""
        if self._unsettled or (self._held and (is_short or self.health.is_failing)):
            return None
        if is_short:
            return Ask(1, 1)
        most = 1 if self.health.is_failing else self._width
        enough = most * MOST_EVENTS if self.is_array else most * AHEAD
        size = MOST_HELD_BYTES - self._held_bytes
        return Ask(enough - self._queued, size) if self._queued <= enough // 2 and size > 0 else None

    def add(self, leased: LeasedBundle, now: float) -> HeldBundle:
        """Queue a bundle. Raises msgspec.DecodeError."""
        bundle = HeldBundle(leased, now)
        if self.is_idle:
            # All that it failed is in the journal, and so is what its owner did since.
            self.health = Health(failures=leased.failures)
        self._queue.append(bundle)
        self._queued += bundle.count
        self._held += 1
        self._held_bytes += bundle.size
        self.used_at = now
        return bundle

    def take(self) -> Parcel | None:
        """What is posted now; None when nothing may be. Call ``ended`` when the post has ended."""
        most = 1 if self.health.is_failing else self._width
        if self._unsettled or self.running >= most or not self._queue:
            return None
        bundles = self._next_array() if self.is_array else [self._queue[0]]
        events: list[tuple[HeldBundle, Raw]] = []
        for bundle in bundles:
            taken = list(bundle.waiting) if self.is_array else [bundle.waiting[0]]
            for _ in taken:
                bundle.waiting.popleft()
            events += [(bundle, event) for event in taken]
            bundle.open += 1
            if not bundle.waiting:
                bundle.is_queued = False
                self._queue.popleft()
        self._queued -= len(events)
        self.running += 1
        return Parcel(tuple(bundles), tuple(events), bundles[0].attempts + 1)

    def ended(
        self, parcel: Parcel, *, failed: Sequence[tuple[HeldBundle, Raw]], failures: int, due_at: datetime, now: float
    ) -> list[BundleEnded]:
        """The posts of a parcel have ended, ``failures`` of them without success. ``failed``: the events that were not
        taken, and ``due_at`` when they are due again. Returns the bundles that have ended with it."""
        self.running -= 1
        self.used_at = now
        self._unsettled += failures
        self._count(len(parcel.events) - len(failed), now)
        if failures:
            self._width = 1
        else:
            self._width = min(self._width + 1, MOST_ARRAYS if self.is_array else MOST_POSTS)
        for bundle, event in failed:
            bundle.failed.append(event)
            bundle.due_at = max(bundle.due_at, due_at)
        for bundle in parcel.bundles:
            bundle.open -= 1
        return self._ends(parcel.bundles)

    def settled(self, health: Health | None, failures: int) -> None:
        """The journal has so many failures, and the endpoint is now like this; None: it was removed."""
        self._unsettled -= failures
        if health is not None:
            self.health = health

    def give_back(self, before: float = float("inf")) -> list[BundleEnded]:
        """Queue nothing any more of the bundles that are held since before then. Returns those that end with it; the
        others end with their last post."""
        given = [bundle for bundle in self._queue if bundle.held_at < before]
        self._queue = deque([bundle for bundle in self._queue if bundle.held_at >= before])
        for bundle in given:
            bundle.is_queued = False
            self._queued -= len(bundle.waiting)
        return self._ends(given)

    def rate(self, now: float) -> float:
        """Events a second that the endpoint took over the last minute."""
        self._count(0, now)
        return sum(self._taken) / (_SLOTS * _SLOT_S)

    def _next_array(self) -> list[HeldBundle]:
        """Bundles for one post: of as many attempts, since those that fail may have a cause of their own."""
        bundles: list[HeldBundle] = []
        count = size = 0
        for bundle in self._queue:
            count += len(bundle.waiting)
            size += bundle.size
            if bundles and (count > MOST_EVENTS or size > MOST_POST_BYTES or bundle.attempts != bundles[0].attempts):
                break
            bundles.append(bundle)
        return bundles

    def _ends(self, bundles: Iterable[HeldBundle]) -> list[BundleEnded]:
        ended = [bundle for bundle in bundles if not bundle.is_queued and not bundle.open]
        for bundle in ended:
            self._held -= 1
            self._held_bytes -= bundle.size
        return [BundleEnded(webhook_id=self.webhook_id, id=bundle.id, left=bundle.left()) for bundle in ended]

    def _count(self, events: int, now: float) -> None:
        slot = int(now / _SLOT_S)
        for passed in range(self._slot + 1, min(slot, self._slot + _SLOTS) + 1):
            self._taken[passed % _SLOTS] = 0
        self._slot = slot
        self._taken[slot % _SLOTS] += events
