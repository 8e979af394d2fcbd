"""The journal's part for the keys of tokens (cluster/tracking/tokens.py). They are sealed, and none is deleted."""

from cluster.journal.database import JournalPart


class TokenKeyRows(JournalPart):
    """The keys, as they are sealed."""

    async def all(self) -> list[tuple[int, bytes]]:
        """(id, sealed key), the newest last."""
        return [(id, bytes(sealed)) for id, sealed in await self._database.rows("token_keys")]

    async def add(self, known: int, sealed_key: bytes) -> None:
        """Add a key after the ``known`` ones; nothing happens when another process has added one meanwhile."""
        await self._database.execute("add_token_key", known=known, sealed_key=sealed_key)
