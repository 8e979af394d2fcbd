"""The journal's part for tenants that keep bodies for a shorter time than the settings say, down to none: once a
message is finished and old enough, its body goes, and with the last of its request what they share. It costs their
requests and deliveries nothing: the scheduler looks their messages through, and again those that were unfinished.

Messages have their ids before they are committed, and from several clocks. So one may come when later ones have been
looked at: those of the last two days are looked at again each day, before files go. Which files unfinished mail needs
is asked of the queue itself.
"""

from collections.abc import Sequence
from datetime import UTC, date, datetime, time, timedelta
from typing import Any

from msgspec import Struct
from msgspec.structs import replace
from psycopg import AsyncConnection

from cluster.ids import first_id, made_at, same_moment
from cluster.journal.database import JournalPart, Row, execute, rows
from cluster.journal.day_tables import MESSAGES, day_of, span
from cluster.journal.excerpts import decode_references

AFTER = timedelta(minutes=2)
"""Messages that are younger may still be committed, after others with later ids."""
SOONEST, LATEST = timedelta(minutes=1), timedelta(hours=1)
"""An unfinished message is looked at again after a tenth of its age, within these."""
QUEUED = 5000
"""Messages of the queue that are read in a statement."""
CONTENTS = 20
"""Contents may have megabytes."""


class KeepsLess(Struct, frozen=True):
    """A tenant with a time of its own."""

    tenant_id: str
    bodies_days: int
    looked_upto: str
    """The id up to which its messages were looked at."""
    looked_again: date | None
    """What may have files of earlier days was looked at again."""
    files_before: date | None
    """Its files of earlier days are gone."""

    @property
    def may_go_before(self) -> date | None:
        """Files of earlier days may go, once their messages were looked at again. A message shortly after midnight may
        have a file of the day before, so they go a day later than their messages."""
        return day_of(self.looked_upto) - timedelta(days=1) if self.looked_upto else None

    def as_of(self, now: datetime) -> "KeepsLess":
        """Without what was noted by a clock that was ahead: messages would be passed over until that time comes."""
        is_ahead = self.looked_upto > first_id("msg_", now)
        return replace(
            self,
            looked_upto=first_id("msg_", now - timedelta(days=1)) if is_ahead else self.looked_upto,
            looked_again=_if_past(self.looked_again, now),
            files_before=_if_past(self.files_before, now),
        )


def _if_past(day: date | None, now: datetime) -> date | None:
    return None if day is None or day >= now.date() else day


class TenantBodies(JournalPart):
    """Clears bodies in steps: each is a transaction, and one that is repeated changes nothing."""

    async def tenants(self, now: datetime) -> list[KeepsLess]:
        """Those with a time of their own. What is noted of others is forgotten."""
        await self._database.execute("forget_tenants_keeping_all")
        return [KeepsLess(*row).as_of(now) for row in await self._database.rows("tenants_keeping_less")]

    async def clear_next(self, keeps: KeepsLess, now: datetime, limit: int) -> tuple[int, str]:
        """Look at the next messages of a tenant, at most ``limit``; returns how many, and up to which id it has."""
        before = first_id("msg_", now - max(AFTER, timedelta(days=keeps.bodies_days)))
        found = await self._database.rows(
            "next_to_clear", tenant_id=keeps.tenant_id, after=keeps.looked_upto, before=before, limit=limit
        )
        upto = found[-1][0] if found else keeps.looked_upto
        if len(found) < limit and (not upto or day_of(upto) < day_of(before)):
            upto = before  # so days end for a tenant that sends nothing, too
        if upto != keeps.looked_upto:
            async with self._database.transaction() as connection:
                await _clear(connection, keeps.tenant_id, [id for id, has_body in found if has_body], now)
                await execute(connection, "looked_through", tenant_id=keeps.tenant_id, upto=upto)
        return len(found), upto

    async def clear_waiting(self, tenants: Sequence[KeepsLess], now: datetime, limit: int) -> int:
        """Look again at messages that were unfinished, at most ``limit``; returns how many."""
        found = await self._database.rows("due_to_clear", now=now, limit=limit)
        owners = {owner for owner, _ in found}
        for keeps in (one for one in tenants if one.tenant_id in owners):
            ids = sorted(id for owner, id in found if owner == keeps.tenant_id)
            # The tenant may keep bodies longer by now than when these were looked at.
            before = first_id("msg_", now - timedelta(days=keeps.bodies_days))
            old, young = [id for id in ids if id < before], [id for id in ids if id >= before]
            async with self._database.transaction() as connection:
                await _clear(connection, keeps.tenant_id, old, now)
                await _wait(connection, keeps.tenant_id, young, now)
        return len(found)

    async def look_again(self, keeps: KeepsLess) -> bool:
        """When files of another day may go: begin to look again at the messages of this day and the next one, and of
        those after the last time. False: they were looked at again."""
        day = keeps.may_go_before
        if day is None or (keeps.looked_again is not None and day <= keeps.looked_again):
            return False
        since = day - timedelta(days=1) if keeps.looked_again is None else keeps.looked_again
        after = first_id("msg_", datetime.combine(since, time(), UTC))
        return bool(await self._database.execute("look_again", tenant_id=keeps.tenant_id, after=after, day=day))

    async def clear_files(self, keeps: KeepsLess, limit: int) -> None:
        """Delete a tenant's files that only cleared messages have, in statements of at most ``limit``."""
        before = keeps.may_go_before
        if before is None or (keeps.files_before is not None and before <= keeps.files_before):
            return
        needed = sorted(await self._needed(keeps.tenant_id, MESSAGES.first_value(before + timedelta(days=1))))
        one = {"tenant_id": keeps.tenant_id, "before": before}
        while await self._database.execute("clear_files", **one, needed=needed, limit=limit) == limit:
            pass
        await self._database.execute("files_cleared", **one)

    async def _needed(self, tenant_id: str, before: str) -> set[bytes]:
        """The files of the tenant's messages with ids below ``before`` that keep their bodies."""
        needed: set[bytes] = set()
        page: dict[str, Any] = {"tenant_id": tenant_id, "before": before, "limit": QUEUED}
        after = ""
        while (row := await self._database.row("requests_with_bodies", **page, after=after)) and row[0] is not None:
            after, ids = row
            for some in (ids[start : start + CONTENTS] for start in range(0, len(ids), CONTENTS)):
                for _, content in await self._database.rows("contents", request_ids=some, **span(some)):
                    # Empty where the message goes with its day.
                    needed |= {file.sha256 for file in decode_references(content).attachments} if content else set()
        return needed


async def _clear(connection: AsyncConnection[Row], tenant_id: str, ids: Sequence[str], now: datetime) -> None:
    """Clear those of these messages that are finished, and note the others."""
    if not ids:
        return
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
    await _wait(connection, tenant_id, wait, now)
    await execute(connection, "done_clearing", tenant_id=tenant_id, ids=[id for id in ids if id not in wait])


async def _wait(connection: AsyncConnection[Row], tenant_id: str, ids: Sequence[str], now: datetime) -> None:
    """Note when to look again at these messages."""
    look_ats = [now + min(LATEST, max(SOONEST, (now - made_at(id)) / 10)) for id in ids]
    if ids:
        await execute(connection, "wait_to_clear", tenant_id=tenant_id, ids=list(ids), look_ats=look_ats)
