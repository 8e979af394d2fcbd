"""The journal's part for operators' tokens."""

from datetime import datetime

from msgspec import Struct

from cluster.ids import new_id
from cluster.journal.database import JournalPart


class OperatorToken(Struct, frozen=True, kw_only=True):
    """An operator's token without its secret."""

    id: str
    name: str
    """Unique among the tokens in use."""
    prefix: str
    """Its first characters, to recognise it by."""
    created_at: datetime
    last_used_at: datetime | None = None
    """To the minute."""
    revoked_at: datetime | None = None


class OperatorTokens(JournalPart):
    """Creates, finds and revokes operators' tokens. Their secrets are not stored."""

    async def create(self, name: str, *, prefix: str, hash: bytes, at: datetime) -> OperatorToken | None:
        """Create a token; None when one of this name is in use. ``hash`` is the SHA-256 of the token."""
        made = OperatorToken(id=new_id("opt_"), name=name, prefix=prefix, created_at=at)
        created = await self._database.execute(
            "create_operator_token", id=made.id, name=name, prefix=prefix, hash=hash, at=at
        )
        return made if created else None

    async def latest(self, limit: int) -> list[OperatorToken]:
        """The newest tokens, the newest first, revoked ones among them."""
        return [_token(*row) for row in await self._database.rows("operator_tokens", limit=limit)]

    async def by_hash(self, hash: bytes) -> OperatorToken | None:
        """The token with this SHA-256 hash that is not revoked; None when there is none."""
        row = await self._database.row("operator_token_by_hash", hash=hash)
        return _token(*row) if row else None

    async def note_use(self, id: str, minute: datetime) -> None:
        """Note that a token was used in this minute."""
        await self._database.execute("note_operator_token_use", id=id, minute=minute)

    async def revoke(self, named: str, at: datetime) -> OperatorToken | None:
        """Revoke the token with this id or name; None when no such token is in use."""
        row = await self._database.row("revoke_operator_token", named=named, at=at)
        return _token(*row) if row else None


def _token(
    id: str,
    name: str,
    prefix: str,
    created_at: datetime,
    last_used_at: datetime | None,
    revoked_at: datetime | None,
) -> OperatorToken:
    return OperatorToken(
        id=id, name=name, prefix=prefix, created_at=created_at, last_used_at=last_used_at, revoked_at=revoked_at
    )
