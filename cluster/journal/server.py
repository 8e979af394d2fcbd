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


class Server(JournalPart):
    """Asked by ``postray doctor``."""

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
