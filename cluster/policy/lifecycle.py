"""The one transition table of a delivery, and the fold of many deliveries into a message's status.

A *delivery* is one recipient of one message on its way. Rule 1: a (status, event) pair that is absent from
``TRANSITIONS`` is an error, never a no-op.
"""

from collections.abc import Iterable
from enum import StrEnum


class Status(StrEnum):
    """The status of a delivery, and of a message (JSON writes it in lower case, as SQL does)."""

    QUEUED = "queued"
    PROCESSING = "processing"
    RENDERED = "rendered"
    SENDING = "sending"
    SENT = "sent"
    DELIVERED = "delivered"
    BOUNCED = "bounced"
    FAILED = "failed"
    CANCELLED = "cancelled"
    SANDBOX = "sandbox"


class Event(StrEnum):
    """What can happen to a delivery."""

    PAGED_IN = "paged_in"
    """A scheduler handed it to the delivery actor that owns its destination, under a lease."""
    CLAIMED = "claimed"
    """The owner claimed it for an SMTP transaction: from here on it can no longer be cancelled."""
    LEASE_EXPIRED = "lease_expired"
    """The owner of a lease made no progress in time, or died."""
    DEFERRED = "deferred"
    """A transient failure: it is tried again later."""
    ACCEPTED = "accepted"
    """The recipient's own mail exchanger took responsibility (RFC 5321 §4.2.5)."""
    RELAYED = "relayed"
    """A smarthost took responsibility; the last hop is not ours to see."""
    REJECTED = "rejected"
    """A permanent failure at the destination."""
    GAVE_UP = "gave_up"
    """It cannot be sent: it could not be composed, it expired, or an operator failed it."""
    CANCELLED = "cancelled"
    RETRIED = "retried"
    """A client asked for another try of a finished delivery."""
    REPORTED = "reported"
    """A delivery status notification (RFC 3464) reported failure after acceptance."""


UNFINISHED = (Status.QUEUED, Status.PROCESSING, Status.RENDERED, Status.SENDING)
"""In order of advance. RENDERED is passed through in memory, inside SENDING; the journal never holds it."""

FINISHED = (
    Status.SENT,
    Status.DELIVERED,
    Status.BOUNCED,
    Status.FAILED,
    Status.CANCELLED,
    Status.SANDBOX,
)

TRANSITIONS: dict[tuple[Status, Event], Status] = {
    (Status.QUEUED, Event.PAGED_IN): Status.PROCESSING,
    (Status.QUEUED, Event.CLAIMED): Status.SENDING,
    (Status.QUEUED, Event.CANCELLED): Status.CANCELLED,
    (Status.QUEUED, Event.GAVE_UP): Status.FAILED,
    (Status.PROCESSING, Event.PAGED_IN): Status.PROCESSING,
    (Status.PROCESSING, Event.CLAIMED): Status.SENDING,
    (Status.PROCESSING, Event.LEASE_EXPIRED): Status.QUEUED,
    (Status.PROCESSING, Event.CANCELLED): Status.CANCELLED,
    (Status.PROCESSING, Event.GAVE_UP): Status.FAILED,
    (Status.SENDING, Event.LEASE_EXPIRED): Status.QUEUED,
    (Status.SENDING, Event.DEFERRED): Status.QUEUED,
    (Status.SENDING, Event.ACCEPTED): Status.DELIVERED,
    (Status.SENDING, Event.RELAYED): Status.SENT,
    (Status.SENDING, Event.REJECTED): Status.BOUNCED,
    (Status.SENDING, Event.GAVE_UP): Status.FAILED,
    (Status.SENT, Event.REPORTED): Status.BOUNCED,
    (Status.DELIVERED, Event.REPORTED): Status.BOUNCED,
    (Status.BOUNCED, Event.RETRIED): Status.QUEUED,
    (Status.FAILED, Event.RETRIED): Status.QUEUED,
}


class ImpossibleTransition(ValueError):
    """An event met a status that it cannot happen in."""

    def __init__(self, status: Status, event: Event) -> None:
        super().__init__(status, event)
        self.status = status
        self.event = event

    def __str__(self) -> str:
        return f"{self.event} cannot happen to a delivery that is {self.status}"


def after(status: Status, event: Event) -> Status:
    """The status that follows ``event``. Raises ImpossibleTransition for a pair outside the table."""
    try:
        return TRANSITIONS[status, event]
    except KeyError:
        raise ImpossibleTransition(status, event) from None


def fold(statuses: Iterable[Status]) -> Status:
    """A message's status from those of its recipients: any unfinished one → the least advanced of these;
    else any delivered, sent, bounced → that, in this order; else failed, then cancelled, then sandbox."""
    present = set(statuses)
    for status in (
        *UNFINISHED,
        Status.DELIVERED,
        Status.SENT,
        Status.BOUNCED,
        Status.FAILED,
        Status.CANCELLED,
        Status.SANDBOX,
    ):
        if status in present:
            return status
    raise ValueError("a message has at least one recipient")
