"""Collects the metrics of a node's actors, for GET /metrics.

Each actor is asked on its own node alone, so the sums over the scrapes of all nodes have everything once. Actors are
asked in parallel and within a time; the scrape is partial where one does not answer, and says so.
"""

import asyncio
import logging
import time
from collections.abc import Awaitable, Callable

from cluster import metrics
from cluster.context import Context, Facts, Links
from cluster.installation.owners import SERVER_FOLDER
from cluster.intake.backpressure import MIB
from cluster.metrics import Gauge, GaugesByName, Reading
from cluster.monitoring.machine import MachineMetrics
from cluster.monitoring.postgres import PostgresMetrics
from cluster.peers import Call, PeerGone, call_within

log = logging.getLogger(__name__)

LOOK_EVERY_S = 5.0
"""Which actors the node has is asked again after this."""
ANSWER_S = 2.0
"""Timeout for an actor, and for the question which actors there are."""
PART = 0.4
"""The part of a scrape's time that each of these two may take, where it has less."""
PATIENCE_S = 10.0
"""How long a scrape waits that does not say so."""
FRESH_S = 0.5
"""What was collected is told again for so long: anyone may ask, and each collection asks all actors."""


class Scraping:
    """``look``: which nodes and actors there are. ``clock``: monotonic seconds."""

    known = Gauge("postray_scrape_actors", "Actors that this node has.", lambda scraping: len(scraping._actors))
    answers = GaugesByName(
        "postray_actor_answers",
        "1 when the actor told its metrics, 0 when it did not: it is gone, or did not answer in time.",
        "actor",
        lambda scraping: scraping._answered,
    )
    took = Gauge(
        "postray_scrape_collection_seconds", "How long it took to collect this.", lambda scraping: scraping._took_s
    )

    def __init__(
        self,
        node_id: str,
        look: Callable[[], Awaitable[Facts]],
        call: Call,
        machine: MachineMetrics,
        postgres: PostgresMetrics,
        *,
        clock: Callable[[], float],
    ) -> None:
        self._node_id = node_id
        self._look = look
        self._call = call
        self._machine = machine
        self._postgres = postgres
        self._clock = clock
        self._actors: tuple[str, ...] = ()
        self._looked_at = -LOOK_EVERY_S
        self._answered: dict[str, int] = {}
        self._took_s = 0.0
        self._collecting = asyncio.Lock()
        self._collected_at = -FRESH_S
        self._collected: dict[str, list[Reading]] = {}

    async def readings(self, patience_s: float = PATIENCE_S) -> dict[str, list[Reading]]:
        """By actor; what is told of the node is under "". ``patience_s``: how long the scrape waits for its answer."""
        async with self._collecting:
            if self._clock() - self._collected_at >= FRESH_S:
                await self._collect(min(ANSWER_S, patience_s * PART))
            return self._collected

    async def _collect(self, answer_s: float) -> None:
        began = self._clock()
        if began - self._looked_at >= LOOK_EVERY_S:
            await self._find_actors(answer_s)
        answers = await asyncio.gather(*(self._readings_of(actor, answer_s) for actor in self._actors))
        self._answered = {actor: int(answer is not None) for actor, answer in zip(self._actors, answers, strict=True)}
        self._collected_at = self._clock()
        self._took_s = self._collected_at - began
        machine = await asyncio.to_thread(self._of_machine)  # a disk may let one wait
        told = {actor: answer for actor, answer in zip(self._actors, answers, strict=True) if answer is not None}
        self._collected = {"": [*metrics.own(self), *machine], **told}

    def _of_machine(self) -> list[Reading]:
        return [*metrics.own(self._machine), *metrics.own(self._postgres)]

    async def _find_actors(self, answer_s: float) -> None:
        try:
            async with asyncio.timeout(answer_s):
                facts = await self._look()
        except (PeerGone, TimeoutError) as error:
            # Ray's control service is away. The actors that were there are asked: they are called without it.
            log.warning("not known which actors there are reason=%r", str(error))
            return
        self._actors = tuple(sorted(one.name for one in facts.living if one.node_id == self._node_id))
        self._looked_at = self._clock()

    async def _readings_of(self, actor: str, answer_s: float) -> list[Reading] | None:
        """None when it does not answer."""
        try:
            readings: list[Reading] = await call_within(answer_s, self._call, actor, "metrics")
        except PeerGone as gone:
            log.info("no metrics actor=%s reason=%r", actor, gone.reason)
            return None
        except Exception:
            # A defect of one actor must not hide the metrics of the others.
            log.exception("no metrics actor=%s", actor)
            return None
        return readings


def scraping_of(context: Context, links: Links) -> Scraping:
    """That of a process's node."""
    machine = MachineMetrics(context.data_path, context.settings.http.min_free_disk_mb * MIB)
    postgres = PostgresMetrics(context.data_path / SERVER_FOLDER)
    return Scraping(context.node_id, links.look, links.call, machine, postgres, clock=time.monotonic)
