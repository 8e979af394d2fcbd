"""Growing by itself: a round looks what delivery actors use, and performs what ``cluster/policy/growth.py`` decides.
The supervisor calls it every few seconds.

A node that is to go is drained, as by ``postray drain``; when it holds nothing it is taken out, as by ``postray down
--node``, and what there is one of starts elsewhere. Then it is no longer asked for, and Ray's autoscaler ends it once
it has been idle for its own time.
"""

import logging
from collections.abc import Awaitable, Callable, Mapping, Sequence
from typing import Protocol

from msgspec.structs import replace

from actors.keeping import Keeping
from cluster.context import Left
from cluster.journal.growth import Wanted
from cluster.journal.journal import Journal, Unavailable
from cluster.metrics import Counter, Gauge, Reading
from cluster.nodes import WantedNodes
from cluster.peers import PeerGone
from cluster.policy.growth import Growth, Sender, Terms, Used, bundles, grown
from cluster.policy.placement import Node, kind_of
from cluster.policy.routes.membership import ACTOR_ALIVE_S
from cluster.topology import DELIVERY, SPECS, SUPERVISOR

log = logging.getLogger(__name__)

ASKED_S = 30.0
"""What is asked for is asked again after this: the control service may have forgotten it."""
USE, LATE = "postray_delivery_use_ratio", "postray_delivery_late_seconds"

AskFor = Callable[[Sequence[float]], Awaitable[None]]


class Nodes(Protocol):
    """The supervisor, which takes nodes out and brings them back."""

    async def leave(self, node_id: str) -> Left: ...

    async def bring_back(self, node_ids: list[str]) -> None: ...


class Growing:
    """``ask_for`` is that of ``Links``. ``clock``: monotonic seconds."""

    wanted = Gauge("postray_nodes_wanted", "Nodes wanted that send.", lambda growing: growing._state.wanted)
    asked = Counter("postray_nodes_asked_for_total", "Nodes asked for, since delivery was short of processes.")
    released = Counter("postray_nodes_released_total", "Nodes drained and given back, since others do.")

    def __init__(
        self, journal: Journal, keeping: Keeping, terms: Terms, ask_for: AskFor, *, clock: Callable[[], float]
    ) -> None:
        self._journal = journal
        self._keeping = keeping
        self._terms = terms
        self._ask_for = ask_for
        self._clock = clock
        self._state = Growth()
        self._asked: tuple[float, ...] = ()
        self._asked_at = -ASKED_S
        self._problem = ""

    async def begin(self) -> None:
        """Go on with what the last life has decided. Raises Unavailable."""
        known = await self._journal.growth.wanted()
        self._state = Growth(wanted=known.nodes, going=known.going)

    def told(self) -> WantedNodes:
        state, terms = self._state, self._terms
        return WantedNodes(
            wanted=state.wanted,
            there=state.there,
            least=terms.min_nodes,
            most=terms.max_nodes,
            going=state.going,
            reason="; ".join(filter(None, (state.reason, self._problem))),
        )

    async def round(self, nodes: Nodes, readings: Mapping[str, Sequence[Reading]]) -> None:
        """Look, decide and perform. ``readings``: of the delivery actors that have answered."""
        try:
            await self._look(nodes, readings)
            self._problem = ""
        except (PeerGone, Unavailable) as error:
            self._problem = f"not performed: {error}"
            log.warning("growth is not performed reason=%r", str(error))

    async def _look(self, nodes: Nodes, readings: Mapping[str, Sequence[Reading]]) -> None:
        senders = [node for node in self._keeping.facts.nodes if node.cpus and node.has_role(SPECS[DELIVERY].role)]
        if not senders:
            return  # Ray has not answered yet, or all are gone: there is nothing to count by
        live = (await self._journal.membership.live(ACTOR_ALIVE_S)).members
        draining = {member.name for member in live if member.draining}
        looked = [self._sender(node, draining, readings) for node in senders]
        before, state = self._state, grown(self._state, looked, self._terms, self._clock(), self._may_go)
        if self._runs_on(state.going, SUPERVISOR):
            # It has moved there meanwhile.
            state = replace(state, going="", there=state.there + 1, wanted=state.there + 1)
        if (state.wanted, state.going) != (before.wanted, before.going):
            await self._journal.singletons.confirm()
            if before.going and not state.going and any(node.id == before.going for node in senders):
                await self._take_back(nodes, before.going)
            await self._journal.growth.want(Wanted(state.wanted, state.going))
            log.warning(
                "nodes wanted=%d before=%d there=%d going=%s reason=%r",
                state.wanted,
                before.wanted,
                state.there,
                state.going or "-",
                state.reason,
            )
            self.asked += max(0, state.wanted - max(before.wanted, state.there)) if before.wanted else 0
        self._state = state
        if state.going:
            await self._see_off(nodes, state.going)
        await self._ask([node.cpus for node in senders], missing=max(0, state.wanted - state.there))

    def _sender(self, node: Node, draining: set[str], readings: Mapping[str, Sequence[Reading]]) -> Sender:
        names = [
            one.name for one in self._keeping.facts.living if one.node_id == node.id and kind_of(one.name) == DELIVERY
        ]
        return Sender(
            id=node.id,
            actors=tuple(used for name in names if (used := _used(readings.get(name, ()))) is not None),
            is_out=node.id in self._keeping.left or (bool(names) and draining.issuperset(names)),
        )

    def _may_go(self, node_id: str) -> bool:
        is_head = any(node.id == node_id and node.is_head for node in self._keeping.facts.nodes)
        return not is_head and not self._runs_on(node_id, SUPERVISOR) and self._keeping.can_be_without(node_id)

    def _runs_on(self, node_id: str, name: str) -> bool:
        return any(one.name == name and one.node_id == node_id for one in self._keeping.facts.living)

    async def _take_back(self, nodes: Nodes, node_id: str) -> None:
        await nodes.bring_back([node_id])
        await self._journal.membership.undrain_node(node_id)

    async def _see_off(self, nodes: Nodes, node_id: str) -> None:
        """The next step of a node's way out: draining, and taking it out when it holds nothing."""
        if node_id in self._keeping.left:
            return
        load = next((one for one in await self._journal.membership.nodes() if one.node_id == node_id), None)
        if load is not None and not load.draining:
            await self._journal.membership.drain_node(node_id, [node.id for node in self._keeping.facts.nodes])
        elif load is None or not load.held:
            left = await nodes.leave(node_id)
            if left.stays:
                raise PeerGone(node_id, left.stays)
            self.released += 1

    async def _ask(self, senders: Sequence[float], *, missing: int) -> None:
        """Ask for the nodes that stay, and for those that are missing. ``senders``: the CPUs of nodes that send."""
        left = self._keeping.left
        # While it lives, Ray would take one that was taken out for one of those that are missing.
        stay = [node.cpus for node in self._keeping.facts.nodes if node.cpus and (missing or node.id not in left)]
        asked = bundles(stay, senders, missing)
        now = self._clock()
        if asked == self._asked and now < self._asked_at + ASKED_S:
            return
        await self._ask_for(asked)
        if asked != self._asked:
            log.info("asked for nodes cpus=%s", asked)
        self._asked, self._asked_at = asked, now


def _used(readings: Sequence[Reading]) -> Used | None:
    """None for an actor that has not answered, or whose release does not tell."""
    values = {reading.name: reading.values[""] for reading in readings if reading.name in (USE, LATE)}
    return Used(values[USE], values[LATE]) if len(values) == 2 else None
