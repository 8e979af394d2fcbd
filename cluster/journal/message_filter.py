"""Which messages a list has."""

from datetime import datetime

from msgspec import Struct

from cluster.policy.lifecycle import Status


class MessageFilter(Struct, frozen=True, kw_only=True):
    """The filters of GET /v3/messages; None means any."""

    tenant_id: str
    statuses: tuple[Status, ...] = ()
    """Any of these."""
    to_email: str | None = None
    from_email: str | None = None
    subject: str | None = None
    batch_id: str | None = None
    template_id: str | None = None
    category: str | None = None
    start: datetime | None = None
    end: datetime | None = None
    sends_after: datetime | None = None
    """Only messages with a send time later than this."""
    sends_by: datetime | None = None
    """Only messages without a send time, or with one until this."""
    after: str | None = None
    """Keyset: only messages older than this id, newest first."""
    down_to: str | None = None
    """Only messages with this id, or newer ones."""
