"""The journal's part for membership: the live delivery actors, the ring that each has acknowledged, and draining."""

import asyncio
from collections.abc import AsyncIterator, Collection, Sequence
from contextlib import asynccontextmanager

from msgspec import Struct

from cluster.journal.database import JournalPart, Row, Unavailable, execute, rows
from cluster.journal.records import DeliveryActor
from cluster.journal.sessions import session_lock
from cluster.policy.routes.membership import Member

START_LOCK = 0x75703031  # any constant will do: "up01"
START_LOOK_S = 0.2
START_WAIT_S = 120.0
"""How long a start may wait for another one."""


class NodeLoad(Struct, frozen=True, array_like=True):
    """A node with delivery actors, or one that drains: how many deliveries its actors hold, and the processes of it
    that take no more requests, or mail, from outside."""

    node_id: str
    draining: bool
    held: int
    closed: Sequence[str] = ()


class LiveMembers(Struct, frozen=True):
    """The live delivery actors, and the version of the assignment that is in force."""

    members: list[Member]
    version: int


class Membership(JournalPart):
    """The delivery actors of the cluster. One without a heartbeat for ``alive_s`` seconds counts as dead."""

    async def heartbeat(
        self, name: str, epoch: int, ring: str, alive_s: float, sources: Sequence[str] = ()
    ) -> LiveMembers | None:
        """Record that this life is alive, the ring it has acknowledged and the sources it can send from. Returns the
        live members, this one included.

        None means that another life of this actor has begun, and this one must end.
        """
        found = await self._database.rows(
            "heartbeat", name=name, epoch=epoch, ring=ring, sources=list(sources), alive_s=alive_s
        )
        return _live(found) if found else None

    async def live(self, alive_s: float) -> LiveMembers:
        """The live delivery actors, those that are draining included."""
        return _live(await self._database.rows("live_members", alive_s=alive_s))

    @asynccontextmanager
    async def starting(self) -> AsyncIterator[None]:
        """Within this context no other start of the cluster's actors is within its own. Waits for one that is. Raises
        Unavailable, also where that does not end in time, as when its process stands still."""
        until = asyncio.get_running_loop().time() + START_WAIT_S
        async with self._database.connection() as connection:
            while True:
                async with session_lock(connection, START_LOCK) as is_ours:
                    if is_ours:
                        yield
                        return
                if asyncio.get_running_loop().time() > until:
                    found = await rows(connection, "holder", lock=START_LOCK)
                    held = "; ".join(f"from {address}, since {since:%Y-%m-%d %H:%M:%S %Z}" for address, since in found)
                    raise Unavailable(f"another postray up is starting this cluster and does not end: {held}")
                await asyncio.sleep(START_LOOK_S)

    async def actors(self, alive_s: float) -> list[DeliveryActor]:
        """The live actors that are not draining."""
        return (await self.owners(alive_s))[0]

    async def owners(self, alive_s: float) -> tuple[list[DeliveryActor], int]:
        """The live actors that are not draining, and the version of the assignment that is in force."""
        found = await self._database.rows("delivery_actors", alive_s=alive_s)
        actors = [DeliveryActor(name, epoch, frozenset(sources)) for name, epoch, sources, _ in found]
        return actors, max((version for *_, version in found), default=0)

    async def living(self, alive_s: float) -> list[str]:
        """The names of the live actors, those that are draining included."""
        return [name for name, *_ in await self._database.rows("live_members", alive_s=alive_s)]

    async def lost(self, alive_s: float) -> list[DeliveryActor]:
        """The registered actors that count as dead."""
        return [DeliveryActor(*row) for row in await self._database.rows("lost_actors", alive_s=alive_s)]

    async def drain_node(self, node_id: str, live: Collection[str] = ()) -> None:
        """Have a node drain: its delivery actors, its API processes, or both. ``live``: all nodes that live, where that
        is known; others are forgotten."""
        async with self._database.transaction() as connection:
            if live:
                await execute(connection, "forget_draining_nodes", node_ids=[*live, node_id])
            await execute(connection, "drain_node", node_id=node_id)
            await execute(connection, "drain_actors", node_id=node_id)

    async def undrain_node(self, node_id: str) -> bool:
        """A node drains no more; returns whether it did."""
        async with self._database.transaction() as connection:
            await execute(connection, "undrain_actors", node_id=node_id)
            return await execute(connection, "undrain_node", node_id=node_id) > 0

    async def is_draining(self, node_id: str) -> bool:
        row = await self._database.row("is_draining", node_id=node_id)
        assert row is not None
        return bool(row[0])

    async def tell_closed(self, node_id: str, name: str) -> None:
        """A process of a node that drains takes nothing more from outside."""
        await self._database.execute("tell_closed", node_id=node_id, name=name)

    async def nodes(self) -> list[NodeLoad]:
        """The nodes that delivery actors run on, and those that drain."""
        return [NodeLoad(*row) for row in await self._database.rows("held_by_nodes")]

    async def register(self, name: str, node_id: str) -> tuple[int, int]:
        """Begin a new life of a delivery actor. Returns its epoch, and how many leases of the former life went back to
        the queue."""
        async with self._database.transaction() as connection:
            taken_back = 0
            for (former,) in await rows(connection, "epoch_of", name=name):
                taken_back = await execute(connection, "take_back", epoch=former)
            ((epoch,),) = await rows(connection, "new_epoch")
            await execute(connection, "register_actor", name=name, epoch=epoch, node_id=node_id)
        return epoch, taken_back

    async def retire(self, name: str, epoch: int) -> int:
        """End a life and put its leases back in the queue; returns how many."""
        async with self._database.transaction() as connection:
            taken_back = await execute(connection, "take_back", epoch=epoch)
            await execute(connection, "forget_actor", name=name, epoch=epoch)
        return taken_back


def _live(found: Sequence[Row]) -> LiveMembers:
    members = [Member(name, ring, draining, tuple(sources)) for name, ring, draining, sources, _ in found]
    return LiveMembers(members, max((version for *_, version in found), default=0))
