"""The journal's part for operators: what is in force, what is suspended, what was done to sites, ending what is queued,
and the whole truth about one message.

Policies and suspensions are rows that every process follows: the journal is how a command reaches them all. Actions are
for people to read, and the oldest go as new ones come.
"""

from collections.abc import Sequence
from datetime import UTC, datetime, timedelta
from typing import Literal

from msgspec import Struct
from psycopg import AsyncConnection

from cluster.ids import first_id
from cluster.journal.database import Database, Row, execute, rows
from cluster.journal.intake import tally
from cluster.journal.queue import finish
from cluster.journal.records import Ended, Outcome, Tell
from cluster.policy.lifecycle import Status, Transition, after

ACTIONS_KEPT_DAYS = 30
MOST_LANES = 1000
"""Lanes that one listing names."""
MOST_COUNTED = 100_000
"""Deliveries of one lane that are counted; a count that has reached it says "at least"."""
HIGHEST_NO = 2**31 - 1
"""A recipient number above all."""

Maker = Literal["operator", "automation"]


class Policies(Struct, frozen=True, kw_only=True):
    """What an operator has put in force."""

    version: int
    shaping: str
    """shaping.toml."""
    routing: bytes
    """routing.toml, sealed (cluster.vault)."""


class Suspension(Struct, frozen=True, kw_only=True):
    """What is not sent to, or for whom. An empty site is every site, an empty tenant every tenant."""

    site: str
    tenant_id: str
    until: datetime
    reason: str
    made_by: Maker
    created_at: datetime


class SiteAction(Struct, frozen=True, kw_only=True):
    """Something that automation or an operator did to a site. What does not apply is empty."""

    at: datetime
    source: str = ""
    site: str = ""
    tenant_id: str = ""
    action: str
    """One word or two: suspended, slowed, resumed."""
    detail: str = ""
    reply: str = ""
    """The reply that was the reason."""
    made_by: Maker


class QueueFilter(Struct, frozen=True, kw_only=True):
    """Which queued deliveries are meant; None means any."""

    message_id: str | None = None
    domain: str | None = None
    tenant_id: str | None = None
    batch_id: str | None = None
    pool: str | None = None
    accepted_before: datetime | None = None


class Queued(Struct, frozen=True, array_like=True):
    """An unfinished delivery that a filter matches. One that is being sent is left alone."""

    message_id: str
    recipient_no: int
    recipient: str
    tenant_id: str
    batch_id: str | None
    domain: str
    alone: bool
    status: str

    @property
    def sending(self) -> bool:
        return Status(self.status) is Status.SENDING


class QueueMark(Struct, frozen=True, array_like=True):
    """A place in the queue, between two deliveries."""

    message_id: str = ""
    recipient_no: int = -1


class QueuePart(Struct, frozen=True):
    """What a filter matches in one part of the queue, and where the next part begins; None after the last."""

    queued: list[Queued]
    next: QueueMark | None


class Fate(Struct, frozen=True, kw_only=True):
    """A message, and how it ended if it did."""

    tenant_id: str
    batch_id: str | None
    created_at: datetime
    send_at: datetime | None
    personal: bytes
    status: Status | None
    finished_at: datetime | None
    error_message: str | None
    batch_paused: bool


class Standing(Struct, frozen=True, kw_only=True):
    """Where one recipient of an unfinished message stands."""

    recipient_no: int
    recipient: str
    domain: str
    pool: str
    status: Status
    attempts: int
    due_at: datetime | None
    """When the scheduler looks at it next: due, or its lease or its lifetime over. None when it is finished."""
    expires_at: datetime
    lane: str | None
    paused: bool
    held: bool
    """An actor has it, or had it when that died."""
    actor: str | None
    """That actor; None when it is gone."""
    error_message: str | None
    strikes: int = 0
    """Lives of delivery actors that ended while they were at work on the message."""
    route: str = ""
    """The route that an operator has moved it to."""
    accepted_pool: str | None = None
    """The pool that its request names; None: not known."""


class Operations(Database):
    """What operators do."""

    async def policies(self) -> Policies | None:
        """What is in force; None while nothing was ever put in force."""
        row = await self._row("policies")
        return Policies(version=row[0], shaping=row[1], routing=row[2]) if row else None

    async def policies_version(self) -> int:
        """The version of what is in force, 0 for nothing: one look at an index."""
        row = await self._row("policies_version")
        assert row is not None
        return int(row[0])

    async def add_policies(self, shaping: str, routing: bytes) -> int:
        """Put these in force; their version."""
        row = await self._row("add_policies", shaping=shaping, routing=routing)
        assert row is not None
        return int(row[0])

    async def suspend(self, site: str, tenant_id: str, until: datetime, reason: str, made_by: Maker) -> bool:
        """Suspend a site, a tenant, or one at the other, and note the action. False: an operator's word stands, which
        automation does not change."""
        async with self._transaction() as connection:
            if not await execute(
                connection, "suspend", site=site, tenant_id=tenant_id, until=until, reason=reason, made_by=made_by
            ):
                return False
            detail = f"until {until.astimezone(UTC):%Y-%m-%d %H:%M:%S} UTC" + (f": {reason}" if reason else "")
            action = SiteAction(
                at=datetime.now(UTC), site=site, tenant_id=tenant_id, action="suspended", detail=detail, made_by=made_by
            )
            await _record(connection, [action])
        return True

    async def resume(self, site: str | None, tenant_id: str | None, made_by: Maker) -> list[Suspension]:
        """End every suspension of this site and of this tenant (None: of any), and note it; what was ended."""
        async with self._transaction() as connection:
            found = [_suspension(row) for row in await rows(connection, "resume", site=site, tenant_id=tenant_id)]
            now = datetime.now(UTC)
            ended = [suspension for suspension in found if suspension.until > now]
            await _record(
                connection,
                [
                    SiteAction(at=now, site=s.site, tenant_id=s.tenant_id, action="resumed", made_by=made_by)
                    for s in ended
                ],
            )
        return ended

    async def suspensions(self) -> list[Suspension]:
        """Those that are not over."""
        return [_suspension(row) for row in await self._rows("suspensions")]

    async def record_site_actions(self, actions: Sequence[SiteAction]) -> None:
        """Note what was done."""
        async with self._transaction() as connection:
            await _record(connection, actions)

    async def site_actions(self, site: str | None, limit: int) -> list[SiteAction]:
        """What was done to a site, or to any (None), the newest first."""
        found = await self._rows("actions_of_site" if site is not None else "site_actions", site=site, limit=limit)
        return [
            SiteAction(
                at=at.astimezone(UTC),
                source=source,
                site=name,
                tenant_id=tenant_id,
                action=action,
                detail=detail,
                reply=reply,
                made_by=made_by,
            )
            for at, source, name, tenant_id, action, detail, reply, made_by in found
        ]

    async def parked(self, lanes: Sequence[str]) -> dict[str, int]:
        """How many deliveries are parked in these lanes, and in the first thousand that hold something."""
        async with self._connection() as connection:
            named = {lane for (lane,) in await rows(connection, "lane_names", limit=MOST_LANES)}
            found = await rows(connection, "parked", lanes=sorted(named | set(lanes)), bound=MOST_COUNTED)
        return {lane: count for lane, count in found if count}

    async def queue_part(self, filter: QueueFilter, start: QueueMark, size: int) -> QueuePart:
        """What matches among the next ``size`` deliveries of the queue, in the order of acceptance."""
        before = first_id("msg_", filter.accepted_before) if filter.accepted_before else None
        # ids begin with letters; nothing in the queue is behind "~"
        end = QueueMark(before or "~")
        if filter.message_id is not None:
            start = max(start, QueueMark(filter.message_id), key=_place)
            end = min(end, QueueMark(filter.message_id, HIGHEST_NO), key=_place)
        async with self._connection() as connection:
            marks = await rows(
                connection, "queue_mark", message_id=start.message_id, recipient_no=start.recipient_no, skip=size - 1
            )
            mark = QueueMark(*marks[0]) if marks else end
            last = min(end, mark, key=_place)
            found = await rows(
                connection,
                "queue_part",
                message_id=start.message_id,
                recipient_no=start.recipient_no,
                last_id=last.message_id,
                last_no=last.recipient_no,
                domain=filter.domain,
                tenant_id=filter.tenant_id,
                batch_id=filter.batch_id,
                pool=filter.pool,
            )
        return QueuePart([Queued(*row) for row in found], None if last is end else last)

    async def give_up(self, queued: Sequence[Queued], reason: str, tell: Tell) -> int:
        """End deliveries that are not claimed, and that nobody is at work on just now; returns how many."""
        async with self._transaction() as connection:
            # As every command: first the message, then its deliveries; the other way round two could wait for each
            # other.
            if several := [q for q in queued if not q.alone]:
                await rows(
                    connection,
                    "lock_messages",
                    tenant_ids=[q.tenant_id for q in several],
                    message_ids=[q.message_id for q in several],
                )
            locked = await rows(
                connection,
                "lock_unclaimed",
                message_ids=[q.message_id for q in queued],
                recipient_nos=[q.recipient_no for q in queued],
            )
            if not locked:
                return 0
            at = datetime.now(UTC)
            changes = await finish(connection, [_given_up(row, reason) for row in locked], at)
            ended = [
                Ended(tenant_id, message_id, recipient, batch_id, tuple(categories))
                for message_id, _, tenant_id, recipient, batch_id, _, _, categories in locked
            ]
            await execute(connection, "append_log", batches=[tell(ended)])
            await tally(connection, self.shard, changes, at)
        return len(locked)

    async def fate(self, message_id: str) -> Fate | None:
        """A message of any tenant."""
        row = await self._row("fate", message_id=message_id)
        if row is None:
            return None
        tenant_id, batch_id, created_at, send_at, personal, status, finished_at, error_message, paused = row
        return Fate(
            tenant_id=tenant_id,
            batch_id=batch_id,
            created_at=created_at,
            send_at=send_at,
            personal=personal,
            status=Status(status) if status else None,
            finished_at=finished_at,
            error_message=error_message,
            batch_paused=paused,
        )

    async def standings(self, message_id: str) -> list[Standing]:
        """Where the recipients of an unfinished message stand, in their order; none of a finished one."""
        return [
            Standing(
                recipient_no=row[0],
                recipient=row[1],
                domain=row[2],
                pool=row[3],
                status=Status(row[4]),
                attempts=row[5],
                due_at=row[6],
                expires_at=row[7],
                lane=row[8],
                paused=row[9],
                held=row[10],
                actor=row[11],
                error_message=row[12],
                strikes=row[13],
                route=row[14],
                accepted_pool=row[15],
            )
            for row in await self._rows("standings", message_id=message_id)
        ]


def _place(mark: QueueMark) -> tuple[str, int]:
    return mark.message_id, mark.recipient_no


async def _record(connection: AsyncConnection[Row], actions: Sequence[SiteAction]) -> None:
    if not actions:
        return
    await execute(
        connection,
        "record_site_actions",
        ats=[a.at for a in actions],
        sources=[a.source for a in actions],
        sites=[a.site for a in actions],
        tenant_ids=[a.tenant_id for a in actions],
        actions=[a.action for a in actions],
        details=[a.detail for a in actions],
        replies=[a.reply for a in actions],
        makers=[a.made_by for a in actions],
    )
    before = datetime.now(UTC) - timedelta(days=ACTIONS_KEPT_DAYS)
    await execute(connection, "trim_site_actions", before=before, limit=max(100, 2 * len(actions)))


def _suspension(row: Row) -> Suspension:
    site, tenant_id, until, reason, made_by, created_at = row
    return Suspension(
        site=site,
        tenant_id=tenant_id,
        until=until.astimezone(UTC),
        reason=reason,
        made_by=made_by,
        created_at=created_at.astimezone(UTC),
    )


def _given_up(row: Row, reason: str) -> Outcome:
    message_id, recipient_no, tenant_id, _, _, alone, status, _ = row
    return Outcome(
        tenant_id=tenant_id,
        message_id=message_id,
        recipient_no=recipient_no,
        status=after(Status(status), Transition.FAILED),
        alone=alone,
        error_message=reason,
    )
