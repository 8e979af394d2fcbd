"""The journal's part for what recipients do with messages. Their events are written in groups, not one by one."""

from collections.abc import Mapping, Sequence

from msgspec import Struct
from psycopg import AsyncConnection

from cluster.events import MOST_TOGETHER, Clicked, Event, Opened, encode_batch
from cluster.journal.database import JournalPart, Row, execute, rows
from cluster.journal.day_tables import span
from cluster.tracking.tokens import Recipient


class EngagedMessage(Struct, frozen=True, kw_only=True):
    """What an event says of its message, and what tells a machine from a person."""

    tenant_id: str
    batch_id: str | None = None
    categories: tuple[str, ...] = ()
    delivered_at: float | None = None
    """Seconds since the epoch; None where it is not known of this recipient."""
    is_unfinished: bool = False
    """The delivery to this recipient has no outcome yet."""


class RecipientEvent(Struct, frozen=True, gc=False):
    """An event of a recipient, who has this number in the message."""

    event: Opened | Clicked
    recipient_no: int


ImageKey = tuple[str, int, str]
"""A message, the number of its recipient, and an image."""


class Engagement(JournalPart):
    """Finds the messages of events, and writes the events."""

    async def messages(self, recipients: Sequence[Recipient]) -> list[EngagedMessage | None]:
        """The message of each; None for one that was erased, or whose tenant is deleted."""
        found = await self._database.rows(
            "engaged",
            tenant_numbers=[one.tenant_number for one in recipients],
            message_ids=[one.message_id for one in recipients],
            recipient_nos=[one.recipient_no for one in recipients],
            **span(one.message_id for one in recipients),
        )
        messages: list[EngagedMessage | None] = [None] * len(recipients)
        for no, tenant_id, batch_id, categories, delivered_at, is_unfinished in found:
            messages[no - 1] = EngagedMessage(
                tenant_id=tenant_id,
                batch_id=batch_id,
                categories=tuple(categories or ()),
                delivered_at=delivered_at,
                is_unfinished=is_unfinished,
            )
        return messages

    async def write(self, events: Sequence[RecipientEvent]) -> int:
        """Write events; returns how many. Of opens by an image, only the first of each recipient is written. The call
        may be repeated: what was written is not written again, or has the same ids."""
        opens = {key: one for one in reversed(events) if (key := _image_key(one)) is not None}
        async with self._database.transaction() as connection:
            first = await _note_opens(connection, opens) if opens else set()
            written: list[Event] = [
                one.event for one in events if (key := _image_key(one)) is None or (key in first and opens[key] is one)
            ]
            batches = [
                encode_batch(written[start : start + MOST_TOGETHER]) for start in range(0, len(written), MOST_TOGETHER)
            ]
            if batches:
                await execute(connection, "append_log", batches=batches)
        return len(written)


def _image_key(one: RecipientEvent) -> ImageKey | None:
    """What is noted of an open by an image."""
    event = one.event
    return (event.message_id, one.recipient_no, event.image) if isinstance(event, Opened) and event.image else None


async def _note_opens(connection: AsyncConnection[Row], opens: Mapping[ImageKey, RecipientEvent]) -> set[ImageKey]:
    """Those that were not noted before."""
    found = await rows(
        connection,
        "open_images",
        tenant_ids=[one.event.tenant_id for one in opens.values()],
        message_ids=[message_id for message_id, _, _ in opens],
        recipient_nos=[recipient_no for _, recipient_no, _ in opens],
        images=[image for _, _, image in opens],
    )
    return {(message_id, recipient_no, image) for message_id, recipient_no, image in found}
