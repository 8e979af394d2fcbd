"""Large messages on their way: composed one at a time, beside the event loop, within a bound of memory.

Composing one takes from some milliseconds to seconds, which the loop and the small messages in the same claim must not
wait for. And a request of kilobytes can ask for many of them: so what is composed and has not ended yet is bounded, in
all and for each tenant. What has no room waits here, claimed; one tenant's wait holds up no other tenant.
"""

import asyncio
from collections import Counter
from collections.abc import Awaitable, Callable, Iterable, Sequence

from actors.delivery.composing import Made, Order
from actors.delivery.job import Job
from actors.delivery.sites import Taken
from cluster.journal.records import Claimed, Waiting

MOST_BYTES = 256 * 1024 * 1024
"""Of large messages that are composed and have not ended."""
MOST_BYTES_OF_TENANT = 96 * 1024 * 1024

Key = tuple[str, int]


class LargeMessages:
    """``compose`` makes one; ``hand_over`` takes what it made."""

    def __init__(
        self,
        compose: Callable[[Order], Awaitable[Made]],
        hand_over: Callable[[Taken, Made], None],
        *,
        most_bytes: int = MOST_BYTES,
        most_bytes_of_tenant: int = MOST_BYTES_OF_TENANT,
    ) -> None:
        self._compose = compose
        self._hand_over = hand_over
        self._most_bytes = most_bytes
        self._most_bytes_of_tenant = most_bytes_of_tenant
        self._waiting: list[tuple[Taken, Order]] = []
        self._held: dict[Key, tuple[str, int]] = {}
        """The tenant and the size of what is composed, by its deliveries."""
        self._bytes: Counter[str] = Counter()
        self._changed = asyncio.Event()

    def take_back(self) -> Sequence[Order]:
        """What is claimed and not composed yet; it waits here no more."""
        waiting, self._waiting = self._waiting, []
        return [order for _, order in waiting]

    def add(self, taken: Taken, order: Order) -> None:
        """Compose this in its turn."""
        self._waiting.append((taken, order))
        self._changed.set()

    def ended(self, deliveries: Iterable[Waiting | Claimed]) -> None:
        """Nothing of these is held any more."""
        if not self._held:
            return
        for delivery in deliveries:
            if (held := self._held.pop((delivery.message_id, delivery.recipient_no), None)) is not None:
                tenant_id, size = held
                self._bytes[tenant_id] -= size
                self._changed.set()

    async def run(self) -> None:
        """Compose, as there is room."""
        while True:
            await self._changed.wait()
            self._changed.clear()
            while (index := self._next()) is not None:
                taken, order = self._waiting.pop(index)
                made = await self._compose(order)
                self._hold(made)
                self._hand_over(taken, made)

    def _next(self) -> int | None:
        """The place of the first that has room. One more is let in as long as the bounds are not reached."""
        self._bytes = +self._bytes
        if self._bytes.total() >= self._most_bytes:
            return None
        for index, (_, order) in enumerate(self._waiting):
            if self._bytes[order.deliveries[0].tenant_id] < self._most_bytes_of_tenant:
                return index
        return None

    def _hold(self, made: Made) -> None:
        for job in made:
            if isinstance(job, Job):
                # With one of its deliveries: the octets are the same for all.
                first = job.deliveries[0]
                size = len(job.data) + len(job.downgraded or b"")
                self._held[first.message_id, first.recipient_no] = (first.tenant_id, size)
                self._bytes[first.tenant_id] += size
