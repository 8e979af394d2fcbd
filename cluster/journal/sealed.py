"""The journal's part for values that are sealed with the cluster's secret (cluster/vault.py)."""

from collections.abc import Sequence

from msgspec import Struct

from cluster.journal.database import JournalPart


class SealedColumn(Struct, frozen=True):
    """A column with sealed values, and its statements in sealed.sql."""

    table: str
    column: str
    newest: str
    replace: str
    only_newest_is_used: bool = False


SEALED = (
    SealedColumn("dkim_keys", "sealed_private_key", "newest_sealed_dkim_keys", "replace_sealed_dkim_keys"),
    SealedColumn("policies", "routing", "newest_sealed_policies", "replace_sealed_policies", only_newest_is_used=True),
    SealedColumn("token_keys", "sealed_key", "newest_sealed_token_keys", "replace_sealed_token_keys"),
    SealedColumn("webhooks", "sealed_secret", "newest_webhook_secrets", "replace_webhook_secrets"),
    SealedColumn("webhooks", "sealed_former", "newest_webhook_formers", "replace_webhook_formers"),
    SealedColumn("webhooks", "sealed_oauth", "newest_webhook_oauths", "replace_webhook_oauths"),
)
"""All of them: what is not here is lost when the secret is rotated. A test compares this with the schema."""


class SealedValue(Struct, frozen=True):
    """A value, the key of its row, and what it is, for people."""

    id: int
    what: str
    content: bytes


class SealedValues(JournalPart):
    """Reads and replaces sealed values of every kind."""

    async def newest(self, column: SealedColumn, limit: int, before: int | None = None) -> list[SealedValue]:
        """At most ``limit`` values, the newest first; with ``before``, only those in rows older than this one."""
        found = await self._database.rows(column.newest, limit=limit, before=before)
        return [SealedValue(id, what, bytes(content)) for id, what, content in found]

    async def replace(self, column: SealedColumn, values: Sequence[tuple[int, bytes, bytes]]) -> int:
        """Replace values, given as (row, old content, new content), where they are still the old ones; returns how
        many."""
        return await self._database.execute(
            column.replace,
            ids=[id for id, _, _ in values],
            olds=[old for _, old, _ in values],
            news=[new for _, _, new in values],
        )

    async def used(self, most: int) -> list[SealedValue]:
        """The values that are in use, at most ``most`` of each kind, the newest first."""
        return [
            value for column in SEALED for value in await self.newest(column, 1 if column.only_newest_is_used else most)
        ]
