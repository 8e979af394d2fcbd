"""The journal's part for the active policies, which every process follows."""

from msgspec import Struct

from cluster.journal.database import JournalPart


class Policies(Struct, frozen=True, kw_only=True):
    """One version of the policies."""

    version: int
    shaping: str
    """The text of shaping.toml."""
    routing: bytes
    """routing.toml, sealed (cluster.vault)."""


class PolicyVersions(JournalPart):
    """The shaping and routing policies; each change is a new version."""

    async def active(self) -> Policies | None:
        """The active policies; None while none were ever activated."""
        row = await self._database.row("policies")
        return Policies(version=row[0], shaping=row[1], routing=row[2]) if row else None

    async def version(self) -> int:
        """The active version, 0 for none. This is one index lookup."""
        row = await self._database.row("policies_version")
        assert row is not None
        return int(row[0])

    async def activate(self, shaping: str, routing: bytes) -> int:
        """Make these the active policies; returns their version."""
        row = await self._database.row("add_policies", shaping=shaping, routing=routing)
        assert row is not None
        return int(row[0])
