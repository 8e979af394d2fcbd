"""The journal's part for policies: what is in force, which every process follows."""

from msgspec import Struct

from cluster.journal.database import JournalPart


class Policies(Struct, frozen=True, kw_only=True):
    """What an operator has put in force."""

    version: int
    shaping: str
    """shaping.toml."""
    routing: bytes
    """routing.toml, sealed (cluster.vault)."""


class PolicyVersions(JournalPart):
    """Shaping and routing, a version for each change."""

    async def active(self) -> Policies | None:
        """What is in force; None while nothing was ever put in force."""
        row = await self._database.row("policies")
        return Policies(version=row[0], shaping=row[1], routing=row[2]) if row else None

    async def version(self) -> int:
        """The version of what is in force, 0 for nothing: one look at an index."""
        row = await self._database.row("policies_version")
        assert row is not None
        return int(row[0])

    async def activate(self, shaping: str, routing: bytes) -> int:
        """Put these in force; their version."""
        row = await self._database.row("add_policies", shaping=shaping, routing=routing)
        assert row is not None
        return int(row[0])
