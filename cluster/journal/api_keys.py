"""The journal's part for API keys."""

from collections.abc import Iterable

from cluster.ids import new_id
from cluster.journal.database import JournalPart
from cluster.journal.records import ApiKey


class ApiKeys(JournalPart):
    """Creates and finds API keys. Their secrets are not stored."""

    async def by_hash(self, hash: bytes) -> ApiKey | None:
        """The key with this SHA-256 hash that is not revoked; None when there is none."""
        row = await self._database.row("key_by_hash", hash=hash)
        if row is None:
            return None
        id, tenant_id, scopes, sandbox = row
        return ApiKey(id=id, tenant_id=tenant_id, scopes=frozenset(scopes), sandbox=sandbox)

    async def create(
        self, tenant_id: str, *, name: str, prefix: str, hash: bytes, scopes: Iterable[str], sandbox: bool
    ) -> str:
        """Create an API key; returns its id. ``hash`` is the SHA-256 of the key."""
        key_id = new_id("key_")
        await self._database.execute(
            "create_key",
            id=key_id,
            tenant_id=tenant_id,
            name=name,
            prefix=prefix,
            hash=hash,
            scopes=sorted(scopes),
            sandbox=sandbox,
        )
        return key_id
