"""The journal's part for what endpoints become owed, as the event log is read."""

from collections.abc import Iterable, Sequence
from typing import Any

from msgspec import Struct
from psycopg import AsyncConnection

from cluster.journal.database import JournalPart, Row, execute
from cluster.webhooks.told import custom_args_of, smtp_id_of


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
    """Writes bundles, and finds what their events say."""

    async def messages(self, messages: Iterable[tuple[str, str]]) -> dict[str, OwedMessage]:
        """What is known of messages, given by tenant and id: by id. Those that are gone are not in it."""
        keys = list(messages)
        found = await self._database.rows(
            "owed_messages",
            tenant_ids=[tenant_id for tenant_id, _ in keys],
            message_ids=[message_id for _, message_id in keys],
        )
        return {
            id: OwedMessage(smtp_id_of(shared, own, id, from_email), custom_args_of(shared, own), group_id, key_id)
            for id, from_email, key_id, group_id, shared, own in found
        }

    async def owe(self, bundles: Sequence[NewBundle], consumer: str, tx: int, id: int) -> None:
        """Add bundles, and move the consumer's cursor to (tx, id): both or neither, so what was fanned out once is not
        again. Endpoints that were removed are left out."""
        async with self._database.transaction() as connection:
            if bundles:
                await insert_bundles(connection, bundles)
            await execute(connection, "move_cursor", consumer=consumer, tx=tx, id=id)

    async def skip(self, consumer: str) -> None:
        """Move the cursor to the end of the log if there is no endpoint at all."""
        await self._database.execute("skip_log", consumer=consumer)


async def insert_bundles(connection: AsyncConnection[Row], bundles: Sequence[NewBundle]) -> None:
    """Add bundles in the transaction of what makes them. Those of endpoints that were removed are left out."""
    await execute(
        connection,
        "owe",
        webhook_ids=[one.webhook_id for one in bundles],
        bundles=[one.events for one in bundles],
        counts=[one.count for one in bundles],
    )
