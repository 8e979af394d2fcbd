"""What one actor holds in memory: deliveries from their offer to their end, the octets of large messages, and the
limits for both.
"""

import asyncio
from collections import Counter
from collections.abc import Iterable, Sequence

from actors.delivery.job import Job
from cluster.journal.records import Claimed, DueDelivery
from cluster.metrics import Gauge

FEW = 20
"""A tenant has few deliveries if it holds less than ``1 / FEW`` of the limit."""
BEYOND = 8
"""Tenants with few deliveries may together exceed the limit by ``1 / BEYOND`` of it."""
MOST_BYTES = 256 * 1024 * 1024
"""Octets of large messages that are composed and not finished."""
MOST_BYTES_OF_TENANT = 96 * 1024 * 1024

Key = tuple[str, int]
"""Message id and recipient number."""


def key_of(delivery: DueDelivery | Claimed) -> Key:
    return delivery.message_id, delivery.recipient_no


class LargeRoom:
    """The octets of large messages that are composed and not finished: bounded in all and for each tenant."""

    def __init__(self, *, most_bytes: int = MOST_BYTES, most_bytes_of_tenant: int = MOST_BYTES_OF_TENANT) -> None:
        self._most_bytes = most_bytes
        self._most_bytes_of_tenant = most_bytes_of_tenant
        self._held: dict[Key, tuple[str, int]] = {}
        """Tenant and octets, by the first delivery of a message."""
        self._bytes: Counter[str] = Counter()
        self.changed = asyncio.Event()
        """Set when there may be more room."""

    def __len__(self) -> int:
        """How many large messages are composed and not finished."""
        return len(self._held)

    @property
    def is_full(self) -> bool:
        """Whether nothing more may be composed. One more may be as long as the limit is not reached, whatever its
        size."""
        self._bytes = +self._bytes
        return self._bytes.total() >= self._most_bytes

    def has_room_for(self, tenant_id: str) -> bool:
        """Whether the tenant's own limit allows one more to be composed."""
        return self._bytes[tenant_id] < self._most_bytes_of_tenant

    def add(self, job: Job) -> None:
        """Count a composed job."""
        # Under one of its deliveries: they share the octets.
        first = job.deliveries[0]
        size = len(job.data) + len(job.downgraded or b"")
        self._held[key_of(first)] = (first.tenant_id, size)
        self._bytes[first.tenant_id] += size

    def ended(self, deliveries: Iterable[DueDelivery | Claimed]) -> None:
        """These deliveries are finished or given back: free their octets."""
        if not self._held:
            return
        for delivery in deliveries:
            if (held := self._held.pop(key_of(delivery), None)) is not None:
                tenant_id, size = held
                self._bytes[tenant_id] -= size
                self.changed.set()


class HeldDeliveries:
    """The deliveries that are held. A tenant with few still finds room when other tenants have used it all: parking and
    fetching its mail would take longer than sending it."""

    held = Gauge("postray_held_deliveries", "Deliveries in the memory of a delivery actor.", len)

    def __init__(self, most: int) -> None:
        """``most``: limit on deliveries, which tenants with few may exceed."""
        self.most = most
        self._few = max(1, most // FEW)
        self._beyond = max(1, most // BEYOND)
        self._tenants: dict[Key, str] = {}
        self._of_tenant: Counter[str] = Counter()
        self._claiming: dict[Key, DueDelivery | None] = {}
        """The deliveries that are being claimed; a value is set if one was offered again meanwhile."""
        self.large = LargeRoom()
        self.is_closed = False
        """The actor stops: it takes and claims nothing more."""

    def __len__(self) -> int:
        return len(self._tenants)

    def __contains__(self, key: object) -> bool:
        return key in self._tenants

    def add(self, key: Key, tenant_id: str) -> None:
        if key not in self._tenants:
            self._tenants[key] = tenant_id
            self._of_tenant[tenant_id] += 1

    def release(self, deliveries: Iterable[DueDelivery | Claimed]) -> None:
        """Stop holding these, and free their octets."""
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
        """How many more deliveries of any tenant may be held."""
        return 0 if self.is_closed else max(0, self.most - len(self._tenants))

    def has_room_for(self, tenant_id: str) -> bool:
        """Whether one more delivery of a tenant may be held."""
        return len(self._tenants) < self.most or self.has_few_of(tenant_id)

    def has_few_of(self, tenant_id: str) -> bool:
        """Whether a tenant holds so few that it may exceed the limit."""
        return self._of_tenant[tenant_id] < self._few and len(self._tenants) < self.most + self._beyond

    # While a claim is under way

    def claiming(self, wanted: Sequence[DueDelivery]) -> None:
        """A claim of these begins."""
        self._claiming.update((key_of(waiting), None) for waiting in wanted)

    def offered_again(self, waiting: DueDelivery) -> None:
        """A delivery that is held was offered again. A claim that is under way may miss it, since the offering actor
        owned its row until now."""
        key = key_of(waiting)
        if key in self._claiming:
            self._claiming[key] = waiting

    def claim_ended(self, wanted: Sequence[DueDelivery]) -> list[DueDelivery]:
        """A claim of these has ended, with or without success. Returns those that were offered again meanwhile."""
        offered = [self._claiming.pop(key_of(waiting)) for waiting in wanted]
        return [waiting for waiting in offered if waiting is not None]
