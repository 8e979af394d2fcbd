"""The statuses of emails, and those of messages that they stand for. Pure."""

from collections.abc import Mapping
from datetime import datetime
from enum import StrEnum

from cluster.journal.message_filter import MessageFilter
from cluster.policy.lifecycle import Status


class EmailStatus(StrEnum):
    """The status of an email."""

    QUEUED = "queued"
    SCHEDULED = "scheduled"
    """Queued, with a send time to come."""
    SENT = "sent"
    """With the delivery stack, or accepted by a relay."""
    DELIVERING = "delivering"
    DELIVERED = "delivered"
    FAILED = "failed"
    BOUNCED = "bounced"
    CANCELLED = "cancelled"
    SANDBOX = "sandbox"


_SHOWN: Mapping[Status, EmailStatus] = {
    Status.QUEUED: EmailStatus.QUEUED,
    Status.PROCESSING: EmailStatus.SENT,
    Status.RENDERED: EmailStatus.SENT,
    Status.SENDING: EmailStatus.DELIVERING,
    Status.SENT: EmailStatus.SENT,
    Status.DELIVERED: EmailStatus.DELIVERED,
    Status.FAILED: EmailStatus.FAILED,
    Status.BOUNCED: EmailStatus.BOUNCED,
    Status.CANCELLED: EmailStatus.CANCELLED,
    Status.SANDBOX: EmailStatus.SANDBOX,
}


def status_of(status: Status, send_at: datetime | None, now: datetime) -> EmailStatus:
    """The status of an email whose message has this status and send time."""
    if status is Status.QUEUED and send_at is not None and send_at > now:
        return EmailStatus.SCHEDULED
    return _SHOWN[status]


def filter_of(tenant_id: str, status: EmailStatus | None, now: datetime) -> MessageFilter:
    """The messages whose emails have this status now; all for None."""
    if status is None:
        return MessageFilter(tenant_id=tenant_id)
    if status is EmailStatus.SCHEDULED:
        return MessageFilter(tenant_id=tenant_id, statuses=(Status.QUEUED,), sends_after=now)
    statuses = tuple(own for own, shown in _SHOWN.items() if shown is status)
    return MessageFilter(tenant_id=tenant_id, statuses=statuses, sends_by=now if status is EmailStatus.QUEUED else None)
