"""The journal's part for what endpoints are owed: added as the event log is read, and dropped when it is too old."""

from collections.abc import Iterable, Sequence
from typing import Any

from msgspec import Struct
from psycopg import AsyncConnection

from cluster.events import Event, WebhookDisabled
from cluster.journal.database import JournalPart, Row, execute, rows
from cluster.journal.day_tables import span
from cluster.journal.records import LogRow
from cluster.webhooks.told import custom_args_of, smtp_id_of

MOST_INSERTED_BYTES = 8 * 1024 * 1024
"""Of bundles, in one statement; the last of them may exceed it."""


class OwedMessage(Struct, frozen=True):
    """What events say of their message."""

    smtp_id: str
    custom_args: dict[str, Any]
    asm_group_id: int
    key_id: str
    """Of the API key or token that sent it; "" in messages from before it was kept."""


class NewBundle(Struct, frozen=True):
    """A bundle of events for an endpoint (``cluster.webhooks.bundles``)."""

    webhook_id: str
    count: int
    events: bytes


class WebhookOwing(JournalPart):
    """Adds bundles, finds what their events say, and drops bundles that waited too long."""

    async def messages(self, events: Iterable[Event | WebhookDisabled]) -> dict[str, OwedMessage]:
        """What is known of the messages of events, by their ids. Those that are gone are not in it."""
        keys = dict.fromkeys((one.tenant_id, one.message_id) for one in events if not isinstance(one, WebhookDisabled))
        found = await self._database.rows(
            "owed_messages",
            tenant_ids=[tenant_id for tenant_id, _ in keys],
            message_ids=[message_id for _, message_id in keys],
            **span(message_id for _, message_id in keys),
        )
        return {
            id: OwedMessage(smtp_id_of(shared, own, id, from_email), custom_args_of(shared, own), group_id, key_id)
            for id, from_email, key_id, group_id, shared, own in found
        }

    async def owe(self, bundles: Iterable[NewBundle], consumer: str, page: Sequence[LogRow]) -> bool:
        """Add the bundles of a page of the log, and move the consumer's cursor over it: both or neither, so what was
        fanned out once is not again. Returns False, and adds nothing, where another process has passed some of its
        rows. Endpoints that were removed are left out. The bundles are in the order of their endpoints' ids."""
        first, last = page[0], page[-1]
        async with self._database.transaction() as connection:
            # First of all: another process with rows of this page waits here, and then finds the cursor moved.
            moved = await execute(
                connection,
                "pass_page",
                consumer=consumer,
                first_tx=first.tx,
                first_id=first.id,
                tx=last.tx,
                id=last.id,
            )
            if moved:
                await insert_bundles(connection, bundles)
        return moved > 0

    async def skip(self, consumer: str) -> None:
        """Move the cursor to the end of the log if there is no endpoint at all."""
        await self._database.execute("skip_log", consumer=consumer)

    async def drop_late(self, keep_s: float) -> dict[str, int]:
        """Drop some of what has waited longer; returns the number of events, by endpoint. Call it until it is empty."""
        return dict(await self._database.rows("drop_late_bundles", keep_s=keep_s))

    async def drop_surplus(self, keep_bytes: int) -> dict[str, int]:
        """Drop the oldest that waits for the endpoints of a tenant, beyond so many bytes; returns the number of events,
        by endpoint."""
        ((size,),) = await self._database.rows("bundles_size")
        if size <= keep_bytes:
            return {}
        async with self._database.searching() as connection:
            return dict(await rows(connection, "drop_surplus_bundles", keep_bytes=keep_bytes))


async def insert_bundles(connection: AsyncConnection[Row], bundles: Iterable[NewBundle]) -> None:
    """Add bundles, in the order of their endpoints' ids, in the transaction of what makes them. Those of endpoints that
    were removed are left out."""
    part: list[NewBundle] = []
    size = 0
    for bundle in bundles:
        part.append(bundle)
        size += len(bundle.events)
        if size >= MOST_INSERTED_BYTES:
            await _insert(connection, part)
            part, size = [], 0
    if part:
        await _insert(connection, part)


async def _insert(connection: AsyncConnection[Row], bundles: Sequence[NewBundle]) -> None:
    """What bundles have in common is sent once."""
    places: dict[int, int] = {}
    contents: list[bytes] = []
    for bundle in bundles:
        if id(bundle.events) not in places:
            contents.append(bundle.events)
            places[id(bundle.events)] = len(contents)
    await execute(
        connection,
        "owe",
        webhook_ids=[one.webhook_id for one in bundles],
        contents=contents,
        places=[places[id(one.events)] for one in bundles],
        counts=[one.count for one in bundles],
    )
