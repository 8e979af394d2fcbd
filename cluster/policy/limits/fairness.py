"""A queue that serves its tenants in turn.

Deficit round robin (Shreedhar and Varghese, 1996) where every delivery costs the same, which is plain round robin:
a tenant with a million deliveries waiting gets one turn a round, as does a tenant with one.
"""

from collections import OrderedDict, deque
from collections.abc import Callable, Iterator
from heapq import nlargest
from itertools import islice
from typing import Generic, TypeVar

Item = TypeVar("Item")

LOOKED_AT = 100
"""The number of tenants that are examined for one turn; takes about 10 µs."""


def room(waiting: int, of_tenant: int, tenants: int, bound: int) -> int:
    """How many more deliveries of a tenant may join a queue of ``bound`` places in which ``tenants`` (this one
    included) have ``waiting`` deliveries, ``of_tenant`` of them its own. A tenant may use ``1 / (tenants + 1)`` of the
    queue, so that a new tenant always finds room."""
    return max(0, min(bound - waiting, max(1, bound // (tenants + 1)) - of_tenant))


class FairQueue(Generic[Item]):
    """First in, first out within a tenant; the tenants that are not held take turns. Every operation is O(1), or linear
    in the number of items it returns."""

    def __init__(self) -> None:
        self._queues: OrderedDict[str, deque[Item]] = OrderedDict()
        self._held_back: dict[str, deque[Item]] = {}
        self._ready = 0
        self._size = 0

    def __len__(self) -> int:
        return self._size

    @property
    def ready(self) -> int:
        """Items of tenants that are not held back."""
        return self._ready

    def waiting_of(self, tenant: str) -> int:
        """The number of this tenant's waiting items."""
        return len(self._held_back.get(tenant) or self._queues.get(tenant) or ())

    @property
    def tenants(self) -> int:
        """How many tenants have waiting items."""
        return len(self._queues) + sum(map(bool, self._held_back.values()))

    def longest(self, count: int) -> list[tuple[str, int]]:
        """The tenants with the most waiting items, and how many. Examines all tenants."""
        waiting = (
            (tenant, len(queue)) for queues in (self._queues, self._held_back) for tenant, queue in queues.items()
        )
        return nlargest(count, (one for one in waiting if one[1]), key=lambda one: one[1])

    def items(self) -> Iterator[tuple[Item, int]]:
        """Every item, with the number of its tenant's items before it."""
        for queue in (*self._queues.values(), *self._held_back.values()):
            for ahead, item in enumerate(queue):
                yield item, ahead

    def push(self, tenant: str, item: Item) -> None:
        self._size += 1
        if tenant in self._held_back:
            self._held_back[tenant].append(item)
        else:
            self._queues.setdefault(tenant, deque()).append(item)
            self._ready += 1

    def pop(self, alike: Callable[[Item, Item], bool] = lambda _, __: False, at_most: int = 1) -> list[Item]:
        """The next item of the tenant whose turn it is, and the items directly behind it that are ``alike``.

        Raises IndexError when nothing is ready.
        """
        if not self._queues:
            raise IndexError("nothing is ready")
        tenant, queue = self._queues.popitem(last=False)
        items = [queue.popleft()]
        while queue and len(items) < at_most and alike(items[0], queue[0]):
            items.append(queue.popleft())
        if queue:
            self._queues[tenant] = queue
        self._ready -= len(items)
        self._size -= len(items)
        return items

    def bring_forward(self, chosen: Callable[[str], bool]) -> bool:
        """Give the next turn to the first chosen tenant among the ``LOOKED_AT`` next ones. Returns whether there is
        one."""
        for tenant in islice(self._queues, LOOKED_AT):
            if chosen(tenant):
                self._queues.move_to_end(tenant, last=False)
                return True
        return False

    def hold(self, tenant: str) -> None:
        """Give this tenant no turn until ``release``; items pushed meanwhile wait as well."""
        if tenant not in self._held_back:
            queue = self._held_back[tenant] = self._queues.pop(tenant, deque())
            self._ready -= len(queue)

    def release(self, tenant: str) -> None:
        """End a ``hold``."""
        queue = self._held_back.pop(tenant, None)
        if queue:
            self._queues[tenant] = queue
            self._ready += len(queue)

    def drop(self, tenant: str) -> list[Item]:
        """Remove and return all items of a tenant."""
        queue = self._held_back.get(tenant)
        if queue is None:
            queue = self._queues.pop(tenant, deque())
            self._ready -= len(queue)
        items = list(queue)
        queue.clear()
        self._size -= len(items)
        return items

    def remove(self, chosen: Callable[[Item], bool]) -> list[Item]:
        """Remove and return every chosen item. Examines all items."""
        removed: list[Item] = []
        for queues in (self._queues, self._held_back):
            for tenant, queue in list(queues.items()):
                kept = deque(item for item in queue if not chosen(item))
                if len(kept) == len(queue):
                    continue
                removed += (item for item in queue if chosen(item))
                self._size -= len(queue) - len(kept)
                self._ready -= len(queue) - len(kept) if queues is self._queues else 0
                if kept or queues is self._held_back:
                    queues[tenant] = kept
                else:
                    del queues[tenant]
        return removed

    def clear(self) -> list[Item]:
        """Remove and return all items."""
        return [item for tenant in (*self._held_back, *list(self._queues)) for item in self.drop(tenant)]
