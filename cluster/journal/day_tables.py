"""The tables that are divided by day (UTC): which they are, and the values that their days begin with.

An id contains its time, so a day's ids are those between two midnights. What belongs to a message is divided by the
message's id. Attachments have no id and are divided by the day of the request that brought them.
"""

from collections.abc import Iterable
from datetime import UTC, date, datetime, time
from typing import Literal

from msgspec import Struct

from cluster.ids import Prefix, made_at, moment, moment_ms
from cluster.policy.retention import Cutoffs, of_attachments, of_records

MARGIN_MS = 3_600_000
"""The ids of a request and of its messages were made within this time: those of older versions not at one moment."""


class DayTable(Struct, frozen=True, kw_only=True):
    """A table that is divided by day."""

    name: str
    column: str
    """By which it is divided."""
    prefix: Prefix | None = None
    """Of the ids in this column; None: it is a date."""
    body: str | None = None
    """The column with bodies, where these go before the rows."""
    reference: Literal["message_id", "request_id"] | None = "message_id"
    """What the column refers to; None for attachments, which are found in the content of requests."""

    def first_value(self, day: date) -> str:
        """The least value of this day in the column."""
        if self.prefix is None:
            return day.isoformat()
        return self.prefix + moment(int(datetime.combine(day, time(), UTC).timestamp() * 1000))

    def cutoffs(self, cutoffs: Cutoffs) -> Cutoffs:
        """What goes of this table."""
        if self.reference is None:
            return of_attachments(cutoffs)
        return cutoffs if self.body is not None else of_records(cutoffs)


MESSAGES = DayTable(name="messages", column="id", prefix="msg_", body="personal")
REQUESTS = DayTable(name="requests", column="id", prefix="req_", body="content", reference="request_id")
IMAGE_OPENS = DayTable(name="image_opens", column="message_id", prefix="msg_")
COMPLAINTS = DayTable(name="complaints", column="message_id", prefix="msg_")
OUTCOMES = DayTable(name="outcomes", column="message_id", prefix="msg_")
ATTACHMENTS = DayTable(name="attachments", column="day", reference=None)

DAY_TABLES = (MESSAGES, REQUESTS, IMAGE_OPENS, COMPLAINTS, OUTCOMES, ATTACHMENTS)
"""In the order in which they are rewritten: outcomes tell which messages ended lately, so they are the last to go with
the messages."""


def day_of(id: str) -> date:
    """The day of an identifier."""
    return made_at(id).date()


def span(ids: Iterable[str]) -> dict[str, str]:
    """Parameters that tell a statement between which moments all of these ids, and those of their requests or messages,
    were made. It then opens the partitions of these days only, before it looks up any row."""
    ids = list(ids)
    first, last = (moment_ms(min(ids)), moment_ms(max(ids))) if ids else (0, 0)
    if first is None or last is None:
        return {"since": "", "upto": "~"}
    return {"since": moment(max(0, first - MARGIN_MS)), "upto": moment(last + MARGIN_MS)}
