"""Mail of one day, for tests of what becomes of days."""

from collections.abc import Sequence
from datetime import UTC, date, datetime, timedelta
from typing import Any

from msgspec.structs import replace

from cluster.ids import moment
from cluster.journal.journal import Journal
from cluster.journal.records import Attachment, NewRequest, decode_content, encode
from cluster.policy.lifecycle import Status
from cluster.policy.retention import Cutoffs, Retention, cutoffs
from tests.integration.journal.builders import a_message, a_request, an_outcome, some_messages, waiting
from tests.integration.journal.stored import sql

NOW = datetime.now(UTC)
DAY = NOW.date() + timedelta(days=1)
KEPT = Retention(bodies_days=7, messages_days=30)
FILE = b"1" * 32


def on_day(request: NewRequest, day: date) -> NewRequest:
    """The request as if it came on this day."""
    time = moment(int(datetime(day.year, day.month, day.day, 12, tzinfo=UTC).timestamp() * 1000))

    def moved(id: str) -> str:
        return f"{id[:4]}{time}{id[14:]}"

    messages = tuple(replace(message, id=moved(message.id)) for message in request.messages)
    return replace(request, id=moved(request.id), messages=messages)


def after(days: int) -> Cutoffs:
    """What goes so many days after the end of ``DAY``."""
    return cutoffs(datetime(DAY.year, DAY.month, DAY.day, 1, tzinfo=UTC) + timedelta(days=days + 1), KEPT)


class World:
    """A tenant whose messages are of one day. All of its mail has a file."""

    def __init__(self, journal: Journal, dsn: str, tenant_id: str) -> None:
        self.journal, self.dsn, self.tenant_id = journal, dsn, tenant_id

    async def accept(self, count: int = 1, *, file: bytes = FILE, day: date = DAY, **more: Any) -> list[str]:
        request = a_request(self.tenant_id, *[replace(one, **more) for one in some_messages(count)])
        attachment = Attachment(filename="a.txt", sha256=file, size=6)
        content = encode(replace(decode_content(request.content), attachments=(attachment,)))
        request = on_day(replace(request, content=content, attachments={file: b"a file"}), day)
        await self.journal.intake.accept([request])
        return [message.id for message in request.messages]

    async def end(
        self, ids: Sequence[str], status: Status = Status.DELIVERED, *, at: datetime | None = None, window_s: float = 0
    ) -> None:
        for id in ids:
            [w] = waiting(self.tenant_id, replace(a_message(), id=id))
            await self.journal.queue.commit([an_outcome(w, status)], owner=1, window_s=window_s)
        if at is not None:
            await self.sql("UPDATE outcomes SET finished_at = %s WHERE message_id = ANY (%s)", at, list(ids))

    async def is_whole(self, id: str, file: bytes = FILE) -> bool:
        """Whether the message has all that is needed to send it."""
        row = await self.journal.messages.find(self.tenant_id, id)
        assert row is not None and row.personalization and row.content
        files = await self.journal.messages.attachments(self.tenant_id, [file])
        return not row.content_expired and files == {file: b"a file"}

    async def sql(self, statement: str, *parameters: Any) -> Any:
        return await sql(self.dsn, statement, *parameters)
