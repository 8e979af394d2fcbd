"""Replaces partitions by what must stay of them: the one way in which bodies and records go.

What stays is copied to a new table in steps, while everything goes on; a trigger notes what others change meanwhile,
and it is copied again. Then one short transaction exchanges the new table for the partitions, which are dropped. It
gets its locks within ``LOCK_MS``, or tries again later. What a process that is killed leaves is not in use: the next
one drops it and begins anew.

What makes this safe: a finished message becomes unfinished only by a retry, and none is retried whose body is going
(``share_retention``). What is unfinished when the gathering begins stays, even when it ends meanwhile.
"""

import asyncio
import logging
import time
from collections.abc import AsyncIterator, Awaitable, Callable, Sequence
from functools import partial
from typing import Any

from msgspec import Struct
from psycopg import AsyncConnection

from cluster.journal.database import Database, JournalPart, Row, Unavailable, execute, rows
from cluster.journal.day_tables import ATTACHMENTS, DAY_TABLES, MESSAGES, OUTCOMES
from cluster.journal.partitions import attach, bounds_check, by_table, lock_partitions
from cluster.journal.rewrite_statements import Copy
from cluster.journal.sessions import LOCK_MS, Act, run, session_lock, tried, value
from cluster.journal.staying import each_block, gather_ended, gather_files, gather_messages
from cluster.policy.happenings import HappeningKind
from cluster.policy.retention import WORTH_SHARE, Cutoffs, Partition, Room, is_outdated, next_rewrite

log = logging.getLogger(__name__)

REWRITE_LOCK = 0x72657772
"""The advisory lock of the process that rewrites: "rewr"."""
AGAIN_S = 2.0
BLOCKS = 500
"""Of a partition that are copied in a transaction: 4 MiB, and the large values of their rows."""
PAGE = 5000
"""Keys that are copied in a transaction."""
CHANGES = 1000
"""Changed rows that are copied again in a transaction. The exchange holds everything up, so it copies fewer."""
TARGETS = tuple(f"new_{table.name}" for table in DAY_TABLES)
"""Each table's copy, as long as it is not in use."""

Look = Callable[[], Awaitable[Room | None]]
"""Tells the room on the disk; None where it is not known."""


class Rewritten(Struct, frozen=True, kw_only=True):
    """A rewrite that is done."""

    sources: tuple[Partition, ...]
    partition: Partition
    freed_bytes: int
    held_s: float
    """For so long at most the exchange had the lock that keeps all others from the table. The files are deleted
    afterwards, which counts too."""


async def _unknown() -> None:
    return None


class NoRoom(Unavailable):
    """There is not enough room on the disk for a copy. ``rewritten`` is what was done nevertheless."""

    rewritten: Sequence[Rewritten] = ()


class _Behind(Exception):
    """Other transactions have changed more rows than the exchange may copy under its lock."""


class _Outdated(Exception):
    """A day was made meanwhile that the new partition would take as well: its sources are to be told anew."""


class Rewriting(JournalPart):
    """Rewrites partitions. ``lock_ms`` and ``again_s`` are for tests."""

    def __init__(self, database: Database, *, lock_ms: int = LOCK_MS, again_s: float = AGAIN_S) -> None:
        super().__init__(database)
        self._lock_ms = lock_ms
        self._again_s = again_s

    async def clear(
        self, cutoffs: Cutoffs, worth_share: float = WORTH_SHARE, look: Look = _unknown
    ) -> list[Rewritten] | None:
        """Rewrite what is to be rewritten as of ``cutoffs`` (``next_rewrite``), as far as there is room for the copies;
        returns what was. None: another process does so now. Raises Unavailable, NoRoom."""
        done: list[Rewritten] = []
        async with self._database.connection() as connection, session_lock(connection, REWRITE_LOCK) as is_ours:
            if not is_ours:
                return None
            try:
                if await _leftovers(connection):
                    await self._briefly(connection, _cleaned)
                while copies := await _copies(connection, cutoffs, worth_share):
                    having_room = await _with_room(connection, copies, look)
                    try:
                        await self._round(connection, having_room, cutoffs, look, done)
                    except _Outdated:
                        await self._briefly(connection, _cleaned)
            except Exception as error:
                if not connection.closed:
                    await drop_copies(connection)
                    await self._tried(connection, _cleaned)
                if isinstance(error, NoRoom):
                    error.rewritten = done
                raise
        return done

    async def _round(
        self,
        connection: AsyncConnection[Row],
        copies: Sequence[Copy],
        cutoffs: Cutoffs,
        look: Look,
        done: list[Rewritten],
    ) -> None:
        """One rewrite of each table that needs one; ``done`` gets them."""
        await self._briefly(connection, _emptied)
        await execute(connection, "begin_clearing", bodies=cutoffs.bodies, records=cutoffs.records)
        for copy in copies:
            await self._prepare(connection, copy)
        # Every source is watched by now: what comes later is noted as changed.
        until = max(copy.rewrite.until for copy in copies)
        await gather_messages(connection, MESSAGES.first_value(until))
        if any(_lose_records(copy, cutoffs) for copy in copies):
            await gather_ended(connection, (await partitions_of(connection))[OUTCOMES.name], cutoffs)
        if any(copy.table is ATTACHMENTS for copy in copies):
            await gather_files(connection)
        for copy in copies:
            await _copy(connection, copy, look)
            done.append(await self._exchange(connection, copy))
            log.info(
                "partitions rewritten table=%s first=%s until=%s bodies_before=%s records_before=%s freed_bytes=%d"
                " held_ms=%.0f",
                copy.table.name,
                copy.rewrite.first,
                copy.rewrite.until,
                copy.cutoffs.bodies,
                copy.cutoffs.records,
                done[-1].freed_bytes,
                done[-1].held_s * 1000,
            )
        await self._briefly(connection, _emptied)

    async def _prepare(self, connection: AsyncConnection[Row], copy: Copy) -> None:
        first = None if copy.rewrite.is_oldest else copy.rewrite.first
        async with connection.transaction():
            await run(connection, f"DROP TABLE IF EXISTS {copy.target}")
            await run(connection, f"CREATE TABLE {copy.target} (LIKE {copy.table.name} INCLUDING ALL)")
            check = bounds_check(copy.table, first, copy.rewrite.until)
            await run(connection, f"ALTER TABLE {copy.target} ADD CONSTRAINT within_days CHECK ({check})")
        for source in copy.rewrite.sources:
            await self._briefly(connection, partial(run, statement=copy.watch(source)))

    async def _exchange(self, connection: AsyncConnection[Row], copy: Copy) -> Rewritten:
        """Let the new table take the place of its sources."""
        await _caught_up(connection, copy)
        sizes = [await _size(connection, source.name) for source in copy.rewrite.sources]
        freed_bytes = sum(sizes) - await _size(connection, copy.target)
        locked_at = 0.0

        async def exchanged(connection: AsyncConnection[Row]) -> None:
            nonlocal locked_at
            locked_at = await _exchanged(copy, connection)

        while not await self._tried(connection, exchanged):
            await asyncio.sleep(self._again_s)
            await _caught_up(connection, copy)
        held_s = time.monotonic() - locked_at
        # Copies of rows that were erased meanwhile leave the pages now, and not when autovacuum comes by.
        await run(connection, f"VACUUM (ANALYZE) {copy.name}")
        partition = Partition(
            name=copy.name,
            first=copy.rewrite.first,
            until=copy.rewrite.until,
            is_oldest=copy.rewrite.is_oldest,
            cleared=copy.cutoffs,
        )
        return Rewritten(sources=copy.rewrite.sources, partition=partition, freed_bytes=freed_bytes, held_s=held_s)

    async def _briefly(self, connection: AsyncConnection[Row], act: Act) -> None:
        """Run it in a transaction that waits for each lock for a moment, again and again until it has them all."""
        while not await self._tried(connection, act):
            await asyncio.sleep(self._again_s)

    async def _tried(self, connection: AsyncConnection[Row], act: Act) -> bool:
        """Run it in such a transaction once; returns whether it was done."""
        try:
            return await tried(connection, act, self._lock_ms)
        except _Behind:
            return False


def _lose_records(copy: Copy, cutoffs: Cutoffs) -> bool:
    first = min(source.first for source in copy.rewrite.sources)
    return copy.table is not ATTACHMENTS and first < cutoffs.records


async def partitions_of(connection: AsyncConnection[Row]) -> dict[str, list[Partition]]:
    return by_table(await rows(connection, "day_partitions"))


async def _copies(connection: AsyncConnection[Row], cutoffs: Cutoffs, worth_share: float) -> list[Copy]:
    """The next rewrite of each table, in the order of ``DAY_TABLES``."""
    found = await partitions_of(connection)
    copies = []
    for table in DAY_TABLES:
        rewrite = next_rewrite(found[table.name], table.cutoffs(cutoffs), worth_share)
        if rewrite is not None:
            cursor = await connection.execute(
                "SELECT attname::text FROM pg_attribute"
                " WHERE attrelid = %s::regclass AND attnum > 0 AND NOT attisdropped ORDER BY attnum",
                [table.name],
            )
            copies.append(Copy(table, rewrite, [name for (name,) in await cursor.fetchall()]))
    return copies


async def _with_room(connection: AsyncConnection[Row], copies: Sequence[Copy], look: Look) -> Sequence[Copy]:
    """Those copies for which there is room. Days of which only keys are read need little. Of the others none comes
    before one that precedes it: outcomes go with their messages or later. Raises NoRoom when there is none."""
    room = await look()
    if room is None:
        return copies
    found, lacking = [], ""
    for copy in copies:
        if copy.is_by_keys:
            if room.is_enough_to_drop:
                found.append(copy)
            else:
                lacking = lacking or f"half of what is kept free, {room.kept_free_bytes}"
        elif not lacking:
            needed = sum([await _size(connection, source.name) for source in copy.rewrite.sources])
            if room.is_enough(needed):
                found.append(copy)
            else:
                lacking = f"{needed} for {copy.name} beside {room.kept_free_bytes}, which are kept free"
    if not found:
        raise NoRoom(f"of the disk {room.free_bytes} bytes are free, but rewriting a day needs {lacking}")
    return found


async def _leftovers(connection: AsyncConnection[Row]) -> bool:
    """Whether a process that was killed has left anything."""
    return bool(
        await value(
            connection,
            f"SELECT EXISTS (SELECT FROM unnest(ARRAY{list(TARGETS)}) AS name WHERE to_regclass(name) IS NOT NULL)"
            " OR EXISTS (SELECT FROM pg_trigger WHERE tgname = 'note_changes') OR EXISTS (SELECT FROM changed_rows)",
        )
    )


async def _cleaned(connection: AsyncConnection[Row]) -> None:
    cursor = await connection.execute("SELECT tgrelid::regclass::text FROM pg_trigger WHERE tgname = 'note_changes'")
    for (partition,) in await cursor.fetchall():
        await run(connection, f"DROP TRIGGER note_changes ON {partition}")
    await drop_copies(connection)
    await _emptied(connection)


async def drop_copies(connection: AsyncConnection[Row]) -> None:
    """Drop the copies that never came into use; the caller has ``REWRITE_LOCK``."""
    await run(connection, f"DROP TABLE IF EXISTS {', '.join(TARGETS)}")


async def _emptied(connection: AsyncConnection[Row]) -> None:
    await run(connection, "TRUNCATE staying_messages, staying_files, changed_rows")


async def _copy(connection: AsyncConnection[Row], copy: Copy, look: Look) -> None:
    """Raises NoRoom."""

    async def look_again() -> None:
        room = await look()
        if room is not None and not (room.is_enough_to_drop if copy.is_by_keys else room.is_enough(0)):
            raise NoRoom(f"the disk has become full, {room.free_bytes} bytes are free; {copy.name} waits")

    for source in copy.rewrite.sources:
        if not copy.is_by_keys:
            await each_block(connection, source, copy.blocks(source), BLOCKS, {}, look_again)
            continue
        async for page in _pages(connection, copy):
            await look_again()
            await connection.execute(copy.keys(source).encode(), page, prepare=False)


async def _pages(connection: AsyncConnection[Row], copy: Copy) -> AsyncIterator[dict[str, object]]:
    """The parameters of each page of the keys of what stays."""
    names = ["after_tenant", "after_hash"] if copy.table is ATTACHMENTS else ["after"]
    at: dict[str, object] = dict.fromkeys(names, "") | ({"after_hash": b""} if copy.table is ATTACHMENTS else {})
    while True:
        page = {**at, "limit": PAGE}
        cursor = await connection.execute(copy.page_end().encode(), page, prepare=False)
        last = await cursor.fetchone()
        if last is None:
            return
        yield page
        at = dict(zip(names, last, strict=True))


async def _caught_up(connection: AsyncConnection[Row], copy: Copy) -> None:
    """Copy what others have changed until few changes are left."""
    while await _copy_changes(connection, copy) == CHANGES:
        pass


async def _copy_changes(connection: AsyncConnection[Row], copy: Copy) -> int:
    """Copy again what others have changed; returns how many changes."""
    async with connection.transaction():
        changes = await rows(connection, "changed_rows", table_name=copy.table.name, limit=CHANGES)
        if changes:
            facts: dict[str, Any] = {
                "tenant_ids": [tenant_id for _, tenant_id, _, _ in changes],
                "keys": [key for _, _, key, _ in changes],
            }
            cursor = await connection.execute(copy.forget_changed().encode(), facts, prepare=False)
            # What came as new in an earlier page stays as such, whatever was changed of it since.
            new = set(await cursor.fetchall())
            facts["new"] = [is_new or (tenant_id, key) in new for _, tenant_id, key, is_new in changes]
            for source in copy.rewrite.sources:
                await connection.execute(copy.copy_changed(source).encode(), facts, prepare=False)
            await execute(connection, "forget_changed_rows", ids=[id for id, _, _, _ in changes])
    return len(changes)


async def _exchanged(copy: Copy, connection: AsyncConnection[Row]) -> float:
    """Returns when it had its lock. Raises _Behind, _Outdated."""
    table, rewrite = copy.table, copy.rewrite
    cursor = await connection.execute(
        "SELECT relname::text FROM pg_index JOIN pg_class c ON c.oid = indexrelid WHERE indrelid = %s::regclass",
        [copy.target],
    )
    indexes = [index for (index,) in await cursor.fetchall()]
    await lock_partitions(connection)
    # Waits for each transaction that has changed a row of the table and has not committed yet.
    await run(connection, f"LOCK TABLE ONLY {table.name} IN ACCESS EXCLUSIVE MODE")
    locked_at = time.monotonic()
    if is_outdated(rewrite, (await partitions_of(connection))[table.name]):
        raise _Outdated
    if await _copy_changes(connection, copy) == CHANGES:
        raise _Behind
    # In one flight: on a busy machine every wait for an answer is long, and all others wait for this one.
    async with connection.pipeline():
        for source in rewrite.sources:
            await run(connection, f"ALTER TABLE {table.name} DETACH PARTITION {source.name}")
            await run(connection, f"DROP TABLE {source.name}")
            await execute(connection, "drop_partition_entry", name=source.name)
        for index in indexes:
            await run(connection, f"ALTER INDEX {index} RENAME TO {copy.name}{index.removeprefix(copy.target)}")
        await run(connection, f"ALTER TABLE {copy.target} RENAME TO {copy.name}")
        await attach(connection, table, copy.name, None if rewrite.is_oldest else rewrite.first, rewrite.until)
        await run(connection, f"ALTER TABLE {copy.name} DROP CONSTRAINT within_days")
        await execute(
            connection,
            "add_partition",
            name=copy.name,
            table_name=table.name,
            first=rewrite.first,
            until=rewrite.until,
            is_oldest=rewrite.is_oldest,
            bodies_before=copy.cutoffs.bodies,
            records_before=copy.cutoffs.records,
        )
        await execute(connection, "note_rewriting", kind=HappeningKind.REWRITTEN)
    return locked_at


async def _size(connection: AsyncConnection[Row], name: str) -> int:
    return int(await value(connection, f"SELECT pg_total_relation_size('{name}'::regclass)"))
