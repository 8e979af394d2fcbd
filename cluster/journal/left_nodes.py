"""The journal's part for nodes that were taken out (``postray down --node``)."""

from collections.abc import Collection

from cluster.journal.database import JournalPart


class LeftNodes(JournalPart):
    """Nothing runs on these nodes until they are brought back. A node has a new id when its Ray is started anew."""

    async def leave(self, node_id: str, live: Collection[str]) -> None:
        """Take a node out. ``live``: all that live; others are forgotten."""
        await self._database.execute("forget_left_nodes", node_ids=list(live))
        await self._database.execute("leave_node", node_id=node_id)

    async def bring_back(self, node_ids: Collection[str]) -> None:
        await self._database.execute("bring_back_nodes", node_ids=list(node_ids))

    async def all(self) -> frozenset[str]:
        return frozenset(node_id for (node_id,) in await self._database.rows("left_nodes"))
