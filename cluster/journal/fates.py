"""The journal's part for operators who ask about one message: everything that the journal knows of it."""

from datetime import datetime

from msgspec import Struct

from cluster.journal.database import JournalPart
from cluster.journal.excerpts import decode_suppression_terms
from cluster.journal.expired import stand_in
from cluster.policy.lifecycle import Status


class Fate(Struct, frozen=True, kw_only=True):
    """A message and its outcome, if it has one."""

    tenant_id: str
    batch_id: str | None
    created_at: datetime
    send_at: datetime | None
    personalization: bytes
    status: Status | None
    finished_at: datetime | None
    error_message: str | None
    batch_paused: bool
    group_id: int | None = None
    """The unsubscribe group of the message."""
    bypass: int | None = None
    """The suppression lists that it passes."""


class RecipientState(Struct, frozen=True, kw_only=True):
    """The state of one recipient of an unfinished message."""

    recipient_no: int
    recipient: str
    domain: str
    pool: str
    status: Status
    attempts: int
    due_at: datetime | None
    """When the scheduler handles it next: it is due, or its lease or lifetime ends. None when it is finished."""
    expires_at: datetime
    lane: str | None
    paused: bool
    held: bool
    """A delivery actor owns it, or owned it when that actor died."""
    actor: str | None
    """The name of that actor; None when it is gone."""
    error_message: str | None
    strikes: int = 0
    """How many lives of delivery actors ended while they were at work on the message."""
    route: str = ""
    """The route that an operator has moved it to; "" for none."""
    accepted_pool: str | None = None
    """The pool that its request names; None when it is not known."""


class Fates(JournalPart):
    """Reads the state and the outcome of messages of any tenant."""

    async def find(self, message_id: str) -> Fate | None:
        """The message with this id, of any tenant; None when there is none."""
        row = await self._database.row("fate", message_id=message_id)
        if row is None:
            return None
        tenant_id, batch_id, created_at, send_at, personalization, status, finished_at, error_message, paused = row[:9]
        content, from_email, to_emails, subject, group_id = row[9:]
        if not content or not personalization:
            content, personalization = stand_in(
                from_email=from_email, to_emails=to_emails, subject=subject, group_id=group_id
            )
        group_id, bypass = decode_suppression_terms(content)
        return Fate(
            tenant_id=tenant_id,
            batch_id=batch_id,
            created_at=created_at,
            send_at=send_at,
            personalization=personalization,
            status=Status(status) if status else None,
            finished_at=finished_at,
            error_message=error_message,
            batch_paused=paused,
            group_id=group_id,
            bypass=bypass,
        )

    async def recipients(self, message_id: str) -> list[RecipientState]:
        """The recipients of an unfinished message in their order; empty for a finished one."""
        return [
            RecipientState(
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
            for row in await self._database.rows("standings", message_id=message_id)
        ]
