"""The journal's part that removes deleted rows from the disk: from the pages of tables, and from the files of the
write-ahead log.

Postgres recycles old files of its log: it renames them for later use, and their contents stay until the log overwrites
them. While an erasure ends, and only then, the embedded server is told to delete them instead. New files are filled
with zeros first, which about doubles the cost of writing the log.
"""

import asyncio
import contextlib
from collections.abc import AsyncIterator, Sequence
from contextlib import asynccontextmanager

from psycopg import AsyncConnection, errors

from cluster.journal.database import JournalPart, Row
from cluster.journal.rewriting import REWRITE_LOCK, drop_copies
from cluster.journal.sessions import run, session_lock, value

EMBEDDED = "postray.embedded"
"""The setting that tells the embedded server from one of the operator's own."""
LOCK = 0x45524153
"""The advisory lock of the session that has changed the server's setting."""
SETTING_S = 0.02
"""Pause between two looks whether a changed setting is in force."""
FILE_S = 0.02
"""Pause after each file of the log: mail goes first."""
REWRITE_S = 1.0
"""Pause between two looks whether partitions are still rewritten."""

IS_EMBEDDED = f"SELECT coalesce(current_setting('{EMBEDDED}', true), '') = 'on'"
DELETES_FILES = "SELECT current_setting('wal_recycle') = 'off'"
IS_CHANGED = """
SELECT EXISTS (SELECT FROM pg_file_settings WHERE name = 'wal_recycle' AND sourcefile LIKE '%/postgresql.auto.conf')
"""
"""Reads the server's file: sessions may not have loaded it yet."""
RESTORE = "ALTER SYSTEM RESET wal_recycle"
RELOAD = "SELECT pg_reload_conf()"
LAST_FILE = "SELECT max(name) FROM pg_ls_waldir() WHERE name ~ '^[0-9A-F]{24}$'"
CURRENT_FILE = "SELECT pg_walfile_name(pg_current_wal_insert_lsn())"
NEXT_FILE = "SELECT pg_logical_emit_message(false, 'postray', ''), pg_switch_wal()"
"""Postgres does not switch from a file without records, so one is written first."""


class Compaction(JournalPart):
    """Called after rows were erased."""

    async def compact(self, tables: Sequence[str] = ()) -> None:
        """Remove deleted rows from the pages of these tables (all, when none is named), as autovacuum would later, and
        delete the files of the write-ahead log so far. On an operator's own server no setting is changed: the current
        file is ended and a checkpoint made, as far as the user may. Partitions that are being rewritten are waited for:
        their copies have what was there before. After an interruption, call it again. Raises Unavailable."""
        # No connection is held meanwhile, nor a snapshot, as one would be that waits for the lock.
        while not await self._vacuumed(tables):
            await asyncio.sleep(REWRITE_S)
        async with self._database.connection() as connection:
            if not await value(connection, IS_EMBEDDED):
                for statement in (NEXT_FILE, "CHECKPOINT"):
                    with contextlib.suppress(errors.InsufficientPrivilege):
                        await connection.execute(statement.encode(), prepare=False)
                return
            await connection.execute(b"SELECT pg_advisory_lock(%s)", [LOCK])
            async with _unlocked_after(connection):
                await _change(connection, "ALTER SYSTEM SET wal_recycle = off")
                try:
                    while not await value(connection, DELETES_FILES):
                        await asyncio.sleep(SETTING_S)
                    await _delete_log(connection)
                finally:
                    await _change(connection, RESTORE)

    async def _vacuumed(self, tables: Sequence[str]) -> bool:
        """Whether it was done; not while partitions are rewritten."""
        async with self._database.connection() as connection, session_lock(connection, REWRITE_LOCK) as is_ours:
            if is_ours:
                await drop_copies(connection)
                await run(connection, f"VACUUM {', '.join(tables)}")
            return is_ours

    async def restore(self) -> None:
        """Undo what a process that was killed in ``compact`` left set. Raises Unavailable."""
        async with self._database.connection() as connection:
            if not await value(connection, IS_EMBEDDED) or not await value(connection, IS_CHANGED):
                return
            async with session_lock(connection, LOCK) as is_ours:
                if is_ours:
                    await _change(connection, RESTORE)


async def _delete_log(connection: AsyncConnection[Row]) -> None:
    """Delete all files of the log that exist. Recycled ones, with later names, hold what older ones held, so the log
    advances to the first file that does not exist yet."""
    # The checkpointer deletes the files. After a checkpoint it has the new setting, too.
    await connection.execute(b"CHECKPOINT", prepare=False)
    last = await value(connection, LAST_FILE)
    while await value(connection, CURRENT_FILE) <= last:
        await connection.execute(NEXT_FILE.encode(), prepare=False)
        await asyncio.sleep(FILE_S)
    await connection.execute(b"CHECKPOINT", prepare=False)


async def _change(connection: AsyncConnection[Row], statement: str) -> None:
    """Change a setting of the whole server. Its processes load it soon."""
    for one in (statement, RELOAD):
        await connection.execute(one.encode(), prepare=False)


@asynccontextmanager
async def _unlocked_after(connection: AsyncConnection[Row]) -> AsyncIterator[None]:
    try:
        yield
    finally:
        await connection.execute(b"SELECT pg_advisory_unlock(%s)", [LOCK])
