"""The journal's part for replays of events."""

from collections.abc import Sequence
from datetime import datetime
from typing import Any

import msgspec
from msgspec import Struct

from cluster.journal.database import JournalPart, execute
from cluster.journal.webhook_owing import NewBundle, insert_bundles

MOST_PENDING = 10
"""Replays of one endpoint that are not finished."""
MOST_WAITING = 50_000
"""A replay rests while more events wait for its endpoint: what is owed is bounded."""
MOST_COUNTED = 1000
"""Bundles in which they are counted; a replay rests while there are as many."""


class ReplayFilter(Struct, frozen=True, omit_defaults=True):
    """Which events are sent again. Times in milliseconds since the epoch."""

    first_ms: int | None = None
    last_ms: int | None = None
    events: tuple[str, ...] = ()
    message_id: str | None = None


class Replay(Struct, frozen=True, kw_only=True):
    """A replay, and how far it is."""

    id: str
    position: str
    """In the feed (``analytics.feed``)."""
    events: int
    """Found so far."""
    created_at: datetime
    finished_at: datetime | None
    error: str
    """Why it ended before it was done."""


class PendingReplay(Struct, frozen=True):
    """A replay to go on with."""

    id: str
    webhook_id: str
    tenant_id: str
    stored_filters: dict[str, Any]
    position: str
    rests: bool
    """Whether so much waits for its endpoint that it does not go on now."""
    is_recorded: bool
    """Whether all that was logged before it began is recorded."""

    def filters(self) -> ReplayFilter:
        """Raises msgspec.ValidationError."""
        return msgspec.convert(self.stored_filters, ReplayFilter)


class WebhookReplays(JournalPart):
    """Makes and continues replays."""

    async def add(self, tenant_id: str, webhook_id: str, id: str, filters: ReplayFilter, now: datetime) -> bool:
        """Returns False when the endpoint has ``MOST_PENDING`` that are not finished, or is gone."""
        added = await self._database.execute(
            "add_replay",
            id=id,
            tenant_id=tenant_id,
            webhook_id=webhook_id,
            filters=msgspec.json.encode(filters).decode(),
            created_at=now,
            most=MOST_PENDING,
        )
        return added > 0

    async def of(self, tenant_id: str, webhook_id: str, id: str) -> Replay | None:
        """One replay."""
        found = await self._database.rows("replay", tenant_id=tenant_id, webhook_id=webhook_id, id=id)
        return Replay(**dict(zip(_COLUMNS, found[0], strict=True))) if found else None

    async def latest(self, tenant_id: str, webhook_id: str, limit: int = 100) -> list[Replay]:
        """The latest replays of an endpoint, the newest first."""
        found = await self._database.rows("replays", tenant_id=tenant_id, webhook_id=webhook_id, limit=limit)
        return [Replay(**dict(zip(_COLUMNS, row, strict=True))) for row in found]

    async def pending(self, after: str, limit: int) -> list[PendingReplay]:
        """The oldest replays that are not finished, after the one with this id."""
        found = await self._database.rows(
            "pending_replays", after=after, limit=limit, most_waiting=MOST_WAITING, most_counted=MOST_COUNTED
        )
        return [PendingReplay(*row) for row in found]

    async def advance(
        self, replay: PendingReplay, bundles: Sequence[NewBundle], position: str, *, is_done: bool
    ) -> None:
        """Add a page's bundles and note how far the replay is: both or neither. Nothing happens where another process
        has done this page, or the endpoint is gone."""
        async with self._database.transaction() as connection:
            moved = await execute(
                connection,
                "advance_replay",
                id=replay.id,
                before=replay.position,
                position=position,
                count=sum(bundle.count for bundle in bundles),
                is_done=is_done,
            )
            if moved and bundles:
                await insert_bundles(connection, bundles)

    async def end(self, id: str, error: str) -> None:
        """End a replay that cannot go on. ``error`` says why."""
        await self._database.execute("end_replay", id=id, error=error)


_COLUMNS = Replay.__struct_fields__
"""In the order in which the statements select them."""
