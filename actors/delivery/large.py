"""Large messages: composed one at a time, in a thread, within a memory limit.

Composing one takes from some milliseconds to seconds: it has many octets, or its template takes many steps. Neither the
event loop nor the small messages of the same claim must wait for that. A request of kilobytes can ask for many large
messages, so the octets that are composed and not finished are bounded, in all and for each tenant (``held.LargeRoom``).
A message without room is queued here, claimed. Tenants take turns, so none waits for all that another has queued.
"""

from collections.abc import Sequence

from actors.delivery.composing import ComposeOrder, Composer
from actors.delivery.handing_over import HandingOver
from actors.delivery.held import LargeRoom
from actors.delivery.job import Job
from actors.delivery.site_turns import Taken
from cluster.policy.limits.fairness import FairQueue


class LargeMessages:
    def __init__(self, composer: Composer, handing_over: HandingOver, room: LargeRoom) -> None:
        self._composer = composer
        self._handing_over = handing_over
        self._room = room
        self._waiting: FairQueue[tuple[Taken, ComposeOrder]] = FairQueue()

    def take_back(self) -> Sequence[ComposeOrder]:
        """Remove and return what is claimed and not composed yet."""
        return [order for _, order in self._waiting.clear()]

    def add(self, taken: Taken, order: ComposeOrder) -> None:
        """Queue a message to be composed."""
        self._waiting.push(order.deliveries[0].tenant_id, (taken, order))
        self._room.changed.set()

    async def run(self) -> None:
        """Compose queued messages as room allows, until the actor stops."""
        while True:
            await self._room.changed.wait()
            self._room.changed.clear()
            while not self._room.is_full and self._waiting.bring_forward(self._room.has_room_for):
                [(taken, order)] = self._waiting.pop()
                made = await self._composer.compose_large(order)
                for job in made:
                    if isinstance(job, Job):
                        self._room.add(job)
                self._handing_over.take(taken, made)
