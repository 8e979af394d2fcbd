"""The journal's part for tenants that keep bodies for a shorter time than the settings say, down to none: once a
message is finished and old enough, its body goes, and with the last of its request what they share. It costs their
requests and deliveries nothing: the scheduler looks their messages through, each once, and again those that were
unfinished.
"""

from collections.abc import Sequence
from datetime import date, datetime, timedelta
from typing import Any

from msgspec import Struct
from psycopg import AsyncConnection

from cluster.ids import first_id, made_at, same_moment
from cluster.journal.database import JournalPart, Row, execute, rows
from cluster.journal.day_tables import day_of, span
from cluster.journal.excerpts import decode_references

AFTER = timedelta(minutes=2)
"""Messages that are younger may still be committed, after others with later ids."""
SOONEST, LATEST = timedelta(minutes=1), timedelta(hours=1)
"""An unfinished message is looked at again after a tenth of its age, within these."""
CONTENTS = 20
"""Contents may have megabytes."""


class KeepsLess(Struct, frozen=True):
    """A tenant with a time of its own."""

    tenant_id: str
    bodies_days: int
    looked_upto: str
    """The last message that was looked at."""
    files_before: date | None
    """Its files of earlier days are gone."""


class TenantBodies(JournalPart):
    """Clears bodies in steps: each is a transaction, and one that is repeated changes nothing."""

    async def tenants(self) -> list[KeepsLess]:
        """Those with a time of their own. What is noted of others is forgotten."""
        await self._database.execute("forget_tenants_keeping_all")
        return [KeepsLess(*row) for row in await self._database.rows("tenants_keeping_less")]

    async def clear_next(self, keeps: KeepsLess, now: datetime, limit: int) -> tuple[int, str]:
        """Look at the next messages of a tenant, at most ``limit``; returns how many, and the last one."""
        before = first_id("msg_", now - max(AFTER, timedelta(days=keeps.bodies_days)))
        found = await self._database.rows(
            "next_to_clear", tenant_id=keeps.tenant_id, after=keeps.looked_upto, before=before, limit=limit
        )
        ids = [id for (id,) in found]
        if not ids:
            return 0, keeps.looked_upto
        async with self._database.transaction() as connection:
            await _clear(connection, keeps.tenant_id, ids, now)
            await execute(connection, "looked_through", tenant_id=keeps.tenant_id, upto=ids[-1])
        return len(ids), ids[-1]

    async def clear_waiting(self, now: datetime, limit: int) -> int:
        """Look again at messages that were unfinished, at most ``limit``; returns how many."""
        found = await self._database.rows("due_to_clear", now=now, limit=limit)
        for tenant_id in sorted({tenant_id for tenant_id, _ in found}):
            async with self._database.transaction() as connection:
                await _clear(connection, tenant_id, sorted(id for owner, id in found if owner == tenant_id), now)
        return len(found)

    async def clear_files(self, keeps: KeepsLess, limit: int) -> int:
        """Delete a tenant's files that only cleared messages have; returns how many, at most ``limit``. A message
        shortly after midnight may have a file of the day before, so they go a day later than their messages."""
        if not keeps.looked_upto:
            return 0
        before = day_of(keeps.looked_upto) - timedelta(days=1)
        if keeps.files_before is not None and before <= keeps.files_before:
            return 0
        needed: set[bytes] = set()
        after = ""
        while page := await self._database.rows(
            "contents_waiting", tenant_id=keeps.tenant_id, after=after, limit=CONTENTS
        ):
            needed |= {
                file.sha256 for _, content in page if content for file in decode_references(bytes(content)).attachments
            }
            after = page[-1][0]
        removed = await self._database.execute(
            "clear_files", tenant_id=keeps.tenant_id, before=before, needed=sorted(needed), limit=limit
        )
        if removed < limit:
            await self._database.execute("files_cleared", tenant_id=keeps.tenant_id, before=before)
        return removed


async def _clear(connection: AsyncConnection[Row], tenant_id: str, ids: Sequence[str], now: datetime) -> None:
    """Clear those of these messages that are finished, and note the others."""
    key: dict[str, Any] = {"tenant_id": tenant_id, **span(ids)}
    locked = [id for id, _ in await rows(connection, "lock_to_clear", ids=list(ids), **key)]
    # A further statement sees what was committed before the locks were taken.
    cleared = await rows(connection, "clear_messages", ids=locked, **key) if locked else []
    if cleared:
        moments = {request_id: same_moment(id) for id, request_id in cleared}
        firsts, lasts = zip(*moments.values(), strict=True)
        shared = {"request_ids": list(moments), "firsts": list(firsts), "lasts": list(lasts)}
        await execute(connection, "clear_requests", **shared, **key)
    done = {id for id, _ in cleared}
    there = {id for (id,) in await rows(connection, "there_to_clear", ids=list(ids), **key)}
    wait = sorted(there - done)
    if wait:
        look_ats = [now + min(LATEST, max(SOONEST, (now - made_at(id)) / 10)) for id in wait]
        await execute(connection, "wait_to_clear", tenant_id=tenant_id, ids=wait, look_ats=look_ats)
    await execute(connection, "done_clearing", tenant_id=tenant_id, ids=[id for id in ids if id not in wait])
