"""The journal's part for a cluster that grows by itself: how many nodes are wanted, and which one is on its way out."""

from msgspec import Struct

from cluster.journal.database import JournalPart


class Wanted(Struct, frozen=True, array_like=True):
    """``nodes``: 0 until something was decided. ``going``: a node's id, or empty."""

    nodes: int
    going: str


class GrowthRow(JournalPart):
    """The supervisor writes it, so that the next life of it goes on with what was begun."""

    async def wanted(self) -> Wanted:
        row = await self._database.row("wanted_nodes")
        assert row is not None
        return Wanted(*row)

    async def want(self, wanted: Wanted) -> None:
        await self._database.execute("want_nodes", nodes=wanted.nodes, going=wanted.going)
