"""A queue that serves its tenants in turn.

Deficit round robin (Shreedhar and Varghese, 1996) with every delivery of the same cost, which is plain round robin:
a tenant with a million waiting gets one turn a round, as does a tenant with one.
"""

from collections import OrderedDict, deque
from typing import Generic, TypeVar

Item = TypeVar("Item")


def room(waiting: int, of_tenant: int, tenants: int, bound: int) -> int:
    """How many more deliveries of a tenant may join a queue of ``bound`` places where ``tenants`` (this one included)
    have ``waiting``, of which ``of_tenant`` are its own. A tenant may take one part in ``tenants + 1``, so that a
    newcomer always finds some."""
    return max(0, min(bound - waiting, max(1, bound // (tenants + 1)) - of_tenant))


class FairQueue(Generic[Item]):
    """First in, first out within a tenant; tenants take turns. Every operation is O(1)."""

    def __init__(self) -> None:
        self._lanes: OrderedDict[str, deque[Item]] = OrderedDict()
        self._size = 0

    def __len__(self) -> int:
        return self._size

    def waiting_of(self, tenant: str) -> int:
        """How many of this tenant's wait."""
        return len(self._lanes.get(tenant, ()))

    @property
    def tenants(self) -> int:
        """How many tenants have something waiting."""
        return len(self._lanes)

    def push(self, tenant: str, item: Item) -> None:
        self._lanes.setdefault(tenant, deque()).append(item)
        self._size += 1

    def pop(self) -> Item:
        """The next item of the tenant whose turn it is. Raises IndexError when empty."""
        if not self._lanes:
            raise IndexError("the queue is empty")
        tenant, lane = self._lanes.popitem(last=False)
        item = lane.popleft()
        if lane:
            self._lanes[tenant] = lane
        self._size -= 1
        return item
