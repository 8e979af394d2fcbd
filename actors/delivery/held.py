"""The deliveries that one actor holds in memory, from their offer to their end, and the room that is left."""

from collections import Counter
from collections.abc import Iterable

FEW = 20
"""A tenant that holds less than one part in so many of all the room has few."""
BEYOND = 8
"""What tenants with few hold beyond the room is at most one part of it in so many."""

Key = tuple[str, int]
"""A message's id, and the number of the recipient."""


class HeldDeliveries:
    """A tenant with few finds room where a flood of others has taken it all: to be parked and fetched again would take
    its mail longer than to be sent."""

    def __init__(self, most: int) -> None:
        """``most``: deliveries, beside those of tenants with few."""
        self._most = most
        self._few = max(1, most // FEW)
        self._beyond = max(1, most // BEYOND)
        self._tenants: dict[Key, str] = {}
        self._of_tenant: Counter[str] = Counter()

    def __len__(self) -> int:
        return len(self._tenants)

    def __contains__(self, key: object) -> bool:
        return key in self._tenants

    def add(self, key: Key, tenant_id: str) -> None:
        if key not in self._tenants:
            self._tenants[key] = tenant_id
            self._of_tenant[tenant_id] += 1

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
        return max(0, self._most - len(self._tenants))

    def has_room_for(self, tenant_id: str) -> bool:
        """Whether one more of a tenant may be held."""
        return len(self._tenants) < self._most or self.has_few_of(tenant_id)

    def has_few_of(self, tenant_id: str) -> bool:
        """Whether a tenant holds so little that it need not wait until others have left."""
        return self._of_tenant[tenant_id] < self._few and len(self._tenants) < self._most + self._beyond
