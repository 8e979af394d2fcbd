"""The journal's part for sessions of the console. The cookies are not stored, only their hashes."""

from datetime import datetime

from msgspec import Struct

from cluster.journal.database import JournalPart


class ConsoleSession(Struct, frozen=True, kw_only=True):
    """An operator who is logged in."""

    token_hash: bytes
    """The SHA-256 of the token that the operator logged in with."""
    operator: str
    """The token's name."""
    created_at: datetime
    expires_at: datetime


class ConsoleSessions(JournalPart):
    """Opens, finds and closes sessions. ``hash`` is the SHA-256 of a session's cookie."""

    async def open(self, hash: bytes, session: ConsoleSession) -> None:
        await self._database.execute(
            "open_console_session",
            hash=hash,
            token_hash=session.token_hash,
            operator=session.operator,
            at=session.created_at,
            expires_at=session.expires_at,
        )

    async def find(self, hash: bytes, at: datetime) -> ConsoleSession | None:
        """The session; None when it was closed, or has expired by ``at``."""
        row = await self._database.row("console_session", hash=hash, at=at)
        if row is None:
            return None
        token_hash, operator, created_at, expires_at = row
        return ConsoleSession(token_hash=token_hash, operator=operator, created_at=created_at, expires_at=expires_at)

    async def close(self, hash: bytes) -> bool:
        """Close a session; returns whether it was there."""
        return bool(await self._database.execute("close_console_session", hash=hash))
