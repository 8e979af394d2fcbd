"""The journal's part for how old secrets are."""

from datetime import datetime

from msgspec import Struct

from cluster.journal.database import JournalPart


class SigningKeys(Struct, frozen=True):
    """Some signing keys: how many, and the domains of the oldest of them, at most three."""

    count: int
    domains: tuple[str, ...]


class UnusedToken(Struct, frozen=True):
    """An operator's token."""

    name: str


class SecretAges(JournalPart):
    """Asked by ``postray doctor``."""

    async def signing_keys(self, before: datetime) -> SigningKeys:
        """The keys that sign and were made before this moment."""
        ((count, domains),) = await self._database.rows("old_signing_keys", before=before)
        return SigningKeys(count, tuple(domains))

    async def unused_tokens(self, before: datetime, limit: int) -> list[UnusedToken]:
        """Operators' tokens in force that were neither made nor used since, those unused for longest first."""
        return [
            UnusedToken(name)
            for (name,) in await self._database.rows("unused_operator_tokens", before=before, limit=limit)
        ]
