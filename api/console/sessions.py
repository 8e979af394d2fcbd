"""Who is logged in: a session is a row in the journal under the hash of a random cookie, so every API process knows it,
a logout ends it everywhere, and it ends with the token that it was opened with."""

import hmac
import secrets
from collections.abc import Callable
from datetime import UTC, datetime, timedelta

from msgspec import Struct

from api.admin.access import Operators
from cluster.journal.console_sessions import ConsoleSession, ConsoleSessions
from cluster.keys import key_hash

LIFE = timedelta(hours=12)
_COOKIE_BYTES = 32
_LONGEST_COOKIE = 100


class LoggedIn(Struct, frozen=True, kw_only=True):
    """The operator of a request."""

    operator: str
    """The name of the token."""
    csrf: str
    """What every form of the session carries. It cannot be told without the cookie."""
    hash: bytes
    """Of the cookie."""


class Sessions:
    """Opens, finds and ends sessions."""

    def __init__(
        self,
        sessions: ConsoleSessions,
        operators: Operators,
        clock: Callable[[], datetime] = lambda: datetime.now(UTC),
    ) -> None:
        self._sessions = sessions
        self._operators = operators
        self._clock = clock

    async def open(self, token: str) -> tuple[str, LoggedIn]:
        """Log in with an operator's token; returns the cookie. Raises Unauthenticated, Unavailable."""
        name = await self._operators.name_of(token)
        cookie, now = secrets.token_urlsafe(_COOKIE_BYTES), self._clock()
        session = ConsoleSession(token_hash=key_hash(token), operator=name, created_at=now, expires_at=now + LIFE)
        await self._sessions.open(key_hash(cookie), session)
        return cookie, _logged_in(cookie, name)

    async def find(self, cookie: str) -> LoggedIn | None:
        """Whose cookie this is; None for one that was never given, or whose session or token has ended. Raises
        Unavailable."""
        if not 0 < len(cookie) <= _LONGEST_COOKIE:
            return None
        session = await self._sessions.find(key_hash(cookie), self._clock())
        if session is None or await self._operators.name_by_hash(session.token_hash) is None:
            return None
        return _logged_in(cookie, session.operator)

    async def close(self, session: LoggedIn) -> None:
        """Log out. Raises Unavailable."""
        await self._sessions.close(session.hash)


def new_token() -> str:
    """A token for the form of the login, which has no session yet."""
    return secrets.token_urlsafe(_COOKIE_BYTES)


def is_same(one: str, other: str) -> bool:
    """Whether two secrets are the same, in a time that does not tell where they differ."""
    return hmac.compare_digest(one.encode(), other.encode())


def _logged_in(cookie: str, operator: str) -> LoggedIn:
    csrf = hmac.digest(cookie.encode(), b"postray console form", "sha256").hex()
    return LoggedIn(operator=operator, csrf=csrf, hash=key_hash(cookie))
