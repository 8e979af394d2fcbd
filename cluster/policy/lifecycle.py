"""The one transition table of a delivery, and how the statuses of its deliveries make a message's status.

A *delivery* is one recipient of one message. Rule 1: a (status, transition) pair that is absent from ``TRANSITIONS``
is an error, never a no-op. The journal's statements that make the transitions name them in their headers
(cluster/journal); tests check the headers against the table, and the table against the headers.
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


NEW = "new"
"""The name of the state before a delivery's first status."""


class Transition(StrEnum):
    """What takes a delivery from one status to another. Each transition leads to one status, from any start."""

    SUBMITTED = "submitted"
    """The API took the message: the 202."""
    SANDBOXED = "sandboxed"
    """The API took the message in sandbox mode: it is never sent."""
    LEASED = "leased"
    """The delivery actor that owns the destination holds the delivery under a lease: the scheduler offered it, or the
    owner fetched it from its lane."""
    PARKED = "parked"
    """The owner had no room: the delivery waits in a lane."""
    CLAIMED = "claimed"
    """The owner claimed the delivery for an SMTP transaction: from here on it cannot be cancelled."""
    LEASE_EXPIRED = "lease_expired"
    """The owner of the lease made no progress in time, or died."""
    UNCLAIMED = "unclaimed"
    """The owner released the delivery because it could not learn whether its claim was committed."""
    DEFERRED = "deferred"
    """The attempt failed temporarily; the delivery is retried later."""
    PAUSED = "paused"
    """Its batch was paused."""
    RESUMED = "resumed"
    """Its batch was resumed."""
    REROUTED = "rerouted"
    """An operator moved it to another pool or route."""
    RETRIED = "retried"
    """A client asked for another attempt at a delivery that is finished, or stuck with an actor."""
    ACCEPTED = "accepted"
    """The recipient's own mail exchanger took responsibility (RFC 5321 §4.2.5)."""
    RELAYED = "relayed"
    """A smarthost took responsibility, whose later hops are not visible to us; or a mail exchanger did, which may still
    report a failure (``delivery.dsn_window_s``)."""
    REJECTED = "rejected"
    """The destination refused it permanently."""
    EXPIRED = "expired"
    """Its lifetime ended after at least one attempt."""
    EXPIRED_UNTRIED = "expired_untried"
    """Its lifetime ended before any attempt."""
    GAVE_UP = "gave_up"
    """The message cannot be composed."""
    CONFIRMED = "confirmed"
    """No report came in the time after the host took responsibility (``delivery.dsn_window_s``)."""
    RETURNED = "returned"
    """A host took responsibility, and later reported that the recipient does not get it (RFC 3464)."""
    SUPPRESSED = "suppressed"
    """The recipient was on a suppression list when it was claimed."""
    SET_ASIDE = "set_aside"
    """Delivery actors died while they worked on it (policy/limits/strikes.py)."""
    FAILED = "failed"
    """A client or an operator marked it as failed."""
    CANCELLED = "cancelled"
    """A client cancelled it or its batch."""


UNFINISHED = (Status.QUEUED, Status.PROCESSING, Status.RENDERED, Status.SENDING)
"""In order of progress. No transition leads to RENDERED: composing is a part of SENDING. The name remains for clients
that filter by it."""

FINISHED = (
    Status.SENT,
    Status.DELIVERED,
    Status.BOUNCED,
    Status.FAILED,
    Status.CANCELLED,
    Status.SANDBOX,
)

_HELD = (Status.PROCESSING, Status.SENDING)
"""Held by a delivery actor under a lease."""
_IDLE = (Status.QUEUED, Status.PROCESSING)
"""No SMTP transaction can be under way."""
_RUNNING = (*_IDLE, Status.SENDING)
"""Unfinished, in the statuses that the journal uses."""

_MOVES: tuple[tuple[tuple[Status | None, ...], Transition, Status], ...] = (
    ((None,), Transition.SUBMITTED, Status.QUEUED),
    ((None,), Transition.SANDBOXED, Status.SANDBOX),
    # From SENDING when the lease has expired: the actor that held it made no progress in time.
    (_RUNNING, Transition.LEASED, Status.PROCESSING),
    (_RUNNING, Transition.PARKED, Status.QUEUED),
    (_IDLE, Transition.CLAIMED, Status.SENDING),
    (_HELD, Transition.LEASE_EXPIRED, Status.QUEUED),
    (_HELD, Transition.UNCLAIMED, Status.QUEUED),
    ((Status.SENDING,), Transition.DEFERRED, Status.QUEUED),
    (_IDLE, Transition.PAUSED, Status.QUEUED),
    ((Status.QUEUED,), Transition.RESUMED, Status.QUEUED),
    (_IDLE, Transition.REROUTED, Status.QUEUED),
    ((*_HELD, Status.BOUNCED, Status.FAILED), Transition.RETRIED, Status.QUEUED),
    # A host's reply is a fact. It counts in any status, even when the lease has passed to another owner meanwhile.
    (_RUNNING, Transition.ACCEPTED, Status.DELIVERED),
    (_RUNNING, Transition.RELAYED, Status.SENT),
    ((Status.SENT,), Transition.CONFIRMED, Status.DELIVERED),
    ((Status.DELIVERED, Status.SENT), Transition.RETURNED, Status.BOUNCED),
    (_RUNNING, Transition.REJECTED, Status.BOUNCED),
    (_RUNNING, Transition.EXPIRED, Status.BOUNCED),
    (_RUNNING, Transition.EXPIRED_UNTRIED, Status.FAILED),
    (_RUNNING, Transition.GAVE_UP, Status.FAILED),
    (_RUNNING, Transition.SUPPRESSED, Status.FAILED),
    (_RUNNING, Transition.SET_ASIDE, Status.FAILED),
    (_RUNNING, Transition.FAILED, Status.FAILED),
    # From no status when the message is accepted into a cancelled batch.
    ((None, *_IDLE), Transition.CANCELLED, Status.CANCELLED),
)

TRANSITIONS: dict[tuple[Status | None, Transition], Status] = {
    (start, transition): end for starts, transition, end in _MOVES for start in starts
}
"""None is the state before acceptance: the journal does not have the delivery yet."""


class ImpossibleTransition(ValueError):
    """A transition was applied to a status that it cannot start from."""

    def __init__(self, status: Status | None, transition: Transition) -> None:
        super().__init__(status, transition)
        self.status = status
        self.transition = transition

    def __str__(self) -> str:
        return f"{self.transition} cannot happen to a delivery that is {self.status or NEW}"


def after(status: Status | None, transition: Transition) -> Status:
    """The status that follows ``transition``. Raises ImpossibleTransition for a pair outside the table."""
    try:
        return TRANSITIONS[status, transition]
    except KeyError:
        raise ImpossibleTransition(status, transition) from None


def can(status: Status | None, transition: Transition) -> bool:
    """Whether the transition can start from this status."""
    return (status, transition) in TRANSITIONS


def diagram() -> str:
    """The table as a drawing, a line for each transition; docs/design.md shows it."""
    starts = [" | ".join(start or NEW for start in statuses) for statuses, _, _ in _MOVES]
    width = max(map(len, starts))
    reach = max(len(transition) for transition in Transition)
    return "\n".join(
        f"{start:<{width}} ── {transition} {'─' * (reach - len(transition))}─▶ {end}"
        for start, (_, transition, end) in zip(starts, _MOVES, strict=True)
    )


def fold(statuses: Iterable[Status]) -> Status:
    """A message's status from those of its recipients: the least advanced of the unfinished ones; if there are none,
    the first that is present of delivered, sent, bounced, failed, cancelled, sandbox.

    Raises ValueError when ``statuses`` is empty.
    """
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
