"""Keeping every actor at its place: a round looks which nodes and actors there are, and performs the plan
(``cluster/policy/placement.py``). The supervisor calls it every second.

It remembers no place: what there is, is asked of Ray in each round, so the supervisor may die and go on elsewhere.
"""

import asyncio
import logging
from collections.abc import Awaitable, Callable, Sequence

from msgspec import Struct, structs

from cluster.context import DEGRADED, Facts, Home
from cluster.journal.journal import Unavailable
from cluster.metrics import Counter, Gauge
from cluster.peers import PeerGone
from cluster.policy.placement import Kind, Node, Place, Plan, kind_of, plan
from cluster.tasks import Tasks
from cluster.topology import SUPERVISOR

log = logging.getLogger(__name__)

NODES = "nodes"
"""The name of this part in what the supervisor tells."""
FIRST_WAIT_S = 1.0
LONGEST_WAIT_S = 60.0
"""The waits between starts of one name: each is twice the one before."""
FORGOTTEN_S = 2 * LONGEST_WAIT_S
"""A start so long ago does not count: whatever ended that actor, it had started."""


class _Starts(Struct, frozen=True):
    """How often a name was started of late, and when the last time was (seconds of the loop's clock)."""

    count: int
    at: float

    @property
    def wait_s(self) -> float:
        return min(FIRST_WAIT_S * 2.0 ** (self.count - 1), LONGEST_WAIT_S)


class Keeping:
    """``kinds``: what is asked for. ``min_nodes``: with fewer, the cluster is degraded. ``stop_s``: how long an actor
    that is to go may take to stop. ``look``, ``start`` and ``end`` are those of ``Links``. ``confirm`` raises
    Unavailable unless this is the supervisor that may act: it is asked before anything is started or ended."""

    started = Counter("postray_placement_started_total", "Actors started at their places while postray ran.")
    ended = Counter("postray_placement_ended_total", "Actors ended because they had no place any more.")
    nodes = Gauge("postray_nodes", "Live nodes that take actors.", lambda self: len(self._nodes))

    def __init__(
        self,
        kinds: Sequence[Kind],
        home: Home,
        *,
        min_nodes: int,
        stop_s: float,
        look: Callable[[], Awaitable[Facts]],
        start: Callable[[Place], Awaitable[None]],
        end: Callable[[str, float], Awaitable[None]],
        confirm: Callable[[], Awaitable[None]],
        make_tasks: Callable[[], Tasks] = Tasks,
    ) -> None:
        self._kinds = kinds
        self._home = home
        self._min_nodes = min_nodes
        self._stop_s = stop_s
        self._look = look
        self._start = start
        self._end = end
        self._confirm = confirm
        self._tasks = make_tasks()
        self._ending: set[str] = set()
        self._starts: dict[str, _Starts] = {}
        self._nodes: tuple[Node, ...] = ()
        self._plan: Plan | None = None
        self.facts = Facts(nodes=(), living=())
        """What the last round has seen."""
        self.left: frozenset[str] = frozenset()
        """The ids of nodes that were taken out."""
        self.is_answered = True
        """Whether Ray answered in the last round. While it does not, nothing can be started."""
        self._problem: str | None = "not looked at yet"

    @property
    def actors(self) -> list[str]:
        """The names of all actors that have a place; none before the first round."""
        return [place.name for place in self._plan.places] if self._plan is not None else []

    def problems(self) -> dict[str, str | None]:
        """What is missing, by the names of what is, and ``NODES``."""
        found = {NODES: self._problem}
        if self._plan is not None:
            placed = {place.kind for place in self._plan.places}
            for name, reason in self._plan.missing.items():
                # A node without room for one more of a kind is no reason to send clients away.
                found[name] = f"{DEGRADED}{reason}" if kind_of(name) in placed else reason
        return found

    async def round(self) -> None:
        """Look, and start and end what the plan says. What is ended is not waited for."""
        try:
            self.facts = facts = await self._look()
            self.is_answered = True
            made = self._planned(facts, self.left)
            self._tell(facts.nodes)
            self._plan = made
            if not made.is_done:
                await self._confirm()
            for name in made.stop:
                if name not in self._ending and name != SUPERVISOR:  # another process moves this one
                    self._ending.add(name)
                    log.warning("ending an actor that has no place actor=%s", name)
                    self._tasks.spawn(f"end {name}", self._end_one(name))
            now = asyncio.get_running_loop().time()
            self._starts = {name: one for name, one in self._starts.items() if now - one.at < FORGOTTEN_S}
            for place in made.start:
                before = self._starts.get(place.name)
                if before is not None and now - before.at < before.wait_s:
                    continue
                self._starts[place.name] = _Starts(before.count + 1 if before is not None else 1, now)
                log.warning("starting actor=%s node=%s", place.name, place.node_id)
                await self._start(place)
                self.started += 1
        except PeerGone as gone:
            self.is_answered = False
            self._say(f"{DEGRADED}places are not kept: {gone}")
        except Unavailable as error:
            self._say(f"{DEGRADED}places are not kept: journal unavailable: {error.reason}")

    async def without(self, node_id: str) -> tuple[Facts, Plan]:
        """The nodes and actors, and where these would be if a node were taken out. Raises PeerGone."""
        facts = await self._look()
        return facts, self._planned(facts, self.left | {node_id})

    def can_be_without(self, node_id: str) -> bool:
        """Whether all that runs on a node can run on others, by what the last round has seen."""
        missing = self._planned(self.facts, self.left | {node_id}).missing
        return missing.keys() <= self._planned(self.facts, self.left).missing.keys()

    def _planned(self, facts: Facts, left: frozenset[str]) -> Plan:
        ordered = sorted(facts.nodes, key=lambda node: (node.id != self._home.node_id, node.id))
        marked = [structs.replace(node, is_left=node.id in left) for node in ordered]
        last = self._plan.places if self._plan is not None else ()
        return plan(marked, self._kinds, facts.living, home=self._home.machine, last=last)

    async def stop(self) -> None:
        await self._tasks.stop()

    async def _end_one(self, name: str) -> None:
        try:
            await self._end(name, self._stop_s)
            self.ended += 1
        except PeerGone as gone:  # the next round finds it again, if it is there
            log.info("not ended actor=%s reason=%r", name, gone.reason)
        finally:
            self._ending.discard(name)

    def _tell(self, nodes: Sequence[Node]) -> None:
        nodes = [node for node in nodes if node.cpus and node.id not in self.left]  # others take no actors
        former = {node.id for node in self._nodes}
        self._nodes = tuple(nodes)
        for node in nodes:
            if node.id not in former:
                log.info("node joined node=%s machine=%s cpus=%g", node.id, node.machine, node.cpus)
        for node_id in sorted(former - {node.id for node in nodes}):
            log.warning("node gone node=%s", node_id)
        if len(nodes) < self._min_nodes:
            self._say(f"{DEGRADED}{len(nodes)} of {self._min_nodes} nodes (cluster.min_nodes)")
        else:
            self._say(None)

    def _say(self, problem: str | None) -> None:
        if problem != self._problem:
            log.log(logging.WARNING if problem else logging.INFO, "part=%s problem=%r", NODES, problem)
        self._problem = problem
