"""The journal's part for the Postgres server itself."""

from datetime import datetime

from msgspec import Struct

from cluster.journal.database import JournalPart


class ServerFacts(Struct, frozen=True, kw_only=True):
    """A Postgres server: its version, and the settings that the promises rest on."""

    version: int
    """As server_version_num: 180001 is 18.1."""
    fsync: bool
    full_page_writes: bool
    synchronous_commit: str
    max_locks_per_transaction: int
    max_connections: int
    connections: int
    is_standby: bool
    now: datetime
    """By its clock."""


class ServerBegan(Struct, frozen=True, kw_only=True):
    """Since when a Postgres server runs."""

    started_at: datetime
    recovered_at: datetime | None
    """When its own processes began: later than ``started_at`` after the crash of one. None where that may not be
    known."""


class Server(JournalPart):
    """Asked by ``postray doctor`` and the flight recorder."""

    async def began(self) -> ServerBegan:
        ((started_at, recovered_at),) = await self._database.rows("server_began")
        return ServerBegan(started_at=started_at, recovered_at=recovered_at)

    async def facts(self) -> ServerFacts:
        ((version, fsync, pages, commit, locks, most, connections, standby, now),) = await self._database.rows(
            "server_facts"
        )
        return ServerFacts(
            version=version,
            fsync=fsync,
            full_page_writes=pages,
            synchronous_commit=commit,
            max_locks_per_transaction=locks,
            max_connections=most,
            connections=connections,
            is_standby=standby,
            now=now,
        )
