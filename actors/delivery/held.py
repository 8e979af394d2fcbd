"""What one actor holds in memory: deliveries from their offer to their end, the octets of large messages, and the room
that is left for both.
"""

import asyncio
from collections import Counter
from collections.abc import Iterable, Sequence

from actors.delivery.job import Job
from cluster.journal.records import Claimed, DueDelivery
from cluster.metrics import Gauge

FEW = 20
"""A tenant that holds less than one part in so many of all the room has few."""
BEYOND = 8
"""What tenants with few hold beyond the room is at most one part of it in so many."""
MOST_BYTES = 256 * 1024 * 1024
"""Of large messages that are composed and have not ended."""
MOST_BYTES_OF_TENANT = 96 * 1024 * 1024

Key = tuple[str, int]
"""A message's id, and the number of the recipient."""


def key_of(delivery: DueDelivery | Claimed) -> Key:
    return delivery.message_id, delivery.recipient_no


class LargeRoom:
    """The octets of large messages that are composed and have not ended: bounded, in all and for each tenant."""

    def __init__(self, *, most_bytes: int = MOST_BYTES, most_bytes_of_tenant: int = MOST_BYTES_OF_TENANT) -> None:
        self._most_bytes = most_bytes
        self._most_bytes_of_tenant = most_bytes_of_tenant
        self._held: dict[Key, tuple[str, int]] = {}
        """The tenant and the size of what is composed, by its deliveries."""
        self._bytes: Counter[str] = Counter()
        self.changed = asyncio.Event()
        """There may be more room."""

    def __len__(self) -> int:
        """How many large messages are composed and have not ended."""
        return len(self._held)

    @property
    def is_full(self) -> bool:
        """Whether nothing more may be composed. One more is let in as long as the bound is not reached."""
        self._bytes = +self._bytes
        return self._bytes.total() >= self._most_bytes

    def has_room_for(self, tenant_id: str) -> bool:
        """Whether one more of a tenant may be composed, as far as its own share goes."""
        return self._bytes[tenant_id] < self._most_bytes_of_tenant

    def add(self, job: Job) -> None:
        """This is composed."""
        # With one of its deliveries: the octets are the same for all.
        first = job.deliveries[0]
        size = len(job.data) + len(job.downgraded or b"")
        self._held[first.message_id, first.recipient_no] = (first.tenant_id, size)
        self._bytes[first.tenant_id] += size

    def ended(self, deliveries: Iterable[DueDelivery | Claimed]) -> None:
        """Nothing of these is held any more."""
        if not self._held:
            return
        for delivery in deliveries:
            if (held := self._held.pop((delivery.message_id, delivery.recipient_no), None)) is not None:
                tenant_id, size = held
                self._bytes[tenant_id] -= size
                self.changed.set()


class HeldDeliveries:
    """A tenant with few finds room where a flood of others has taken it all: to be parked and fetched again would take
    its mail longer than to be sent."""

    held = Gauge("postray_held_deliveries", "Deliveries in the memory of a delivery actor.", len)

    def __init__(self, most: int) -> None:
        """``most``: deliveries, beside those of tenants with few."""
        self.most = most
        self._few = max(1, most // FEW)
        self._beyond = max(1, most // BEYOND)
        self._tenants: dict[Key, str] = {}
        self._of_tenant: Counter[str] = Counter()
        self._claiming: dict[Key, DueDelivery | None] = {}
        """What is being claimed, and what was offered of it meanwhile."""
        self.large = LargeRoom()
        self.is_closed = False
        """The actor stops: nothing more is taken, and nothing more is claimed."""

    def __len__(self) -> int:
        return len(self._tenants)

    def __contains__(self, key: object) -> bool:
        return key in self._tenants

    def add(self, key: Key, tenant_id: str) -> None:
        if key not in self._tenants:
            self._tenants[key] = tenant_id
            self._of_tenant[tenant_id] += 1

    def release(self, deliveries: Iterable[DueDelivery | Claimed]) -> None:
        """These are held no more."""
        deliveries = list(deliveries)
        self.discard(map(key_of, deliveries))
        self.large.ended(deliveries)

    def discard(self, keys: Iterable[Key]) -> None:
        for key in keys:
            tenant_id = self._tenants.pop(key, None)
            if tenant_id is not None:
                left = self._of_tenant[tenant_id] = self._of_tenant[tenant_id] - 1
                if not left:
                    del self._of_tenant[tenant_id]

    @property
    def room(self) -> int:
        """How many more may be held, of any tenant."""
        return 0 if self.is_closed else max(0, self.most - len(self._tenants))

    def has_room_for(self, tenant_id: str) -> bool:
        """Whether one more of a tenant may be held."""
        return len(self._tenants) < self.most or self.has_few_of(tenant_id)

    def has_few_of(self, tenant_id: str) -> bool:
        """Whether a tenant holds so little that it need not wait until others have left."""
        return self._of_tenant[tenant_id] < self._few and len(self._tenants) < self.most + self._beyond

    # While a claim is under way

    def claiming(self, wanted: Sequence[DueDelivery]) -> None:
        """A claim of these begins."""
        self._claiming.update((key_of(waiting), None) for waiting in wanted)

    def offered_again(self, waiting: DueDelivery) -> None:
        """A delivery that is held was offered once more. The claim that is under way may miss it: its row was in the
        hands of the one who offers it, who knows that we have it from now on."""
        key = key_of(waiting)
        if key in self._claiming:
            self._claiming[key] = waiting

    def claim_ended(self, wanted: Sequence[DueDelivery]) -> list[DueDelivery]:
        """A claim of these has ended, whatever came of it. Returns what of them was offered meanwhile."""
        offered = [self._claiming.pop(key_of(waiting)) for waiting in wanted]
        return [waiting for waiting in offered if waiting is not None]
