"""The attempts to deliver an email, from the timeline of its message. Pure.

An attempt is one SMTP transaction, or one that did not come about. Recipients of a message that share a transaction
have an event each, all of one moment.
"""

from collections.abc import Iterable
from datetime import datetime, timedelta
from typing import Any, Literal

from msgspec import Struct

from analytics.queries import TimelineEvent

Result = Literal["delivered", "deferred", "bounced"]
_RESULTS: dict[str, Result] = {
    "delivered": "delivered",
    "deferred": "deferred",
    "bounce": "bounced",
    "blocked": "bounced",
}


class AttemptTls(Struct, frozen=True, kw_only=True):
    """The encryption of the connection."""

    version: str
    """Such as ``TLSv1.3``."""
    cipher: str


class AttemptRecipient(Struct, frozen=True, kw_only=True):
    """What became of a recipient in an attempt."""

    email: str
    attempt: int
    """1 for its first one."""
    result: Result
    reply: str | None
    """As the host sent it; null when there was none."""
    reason: str | None
    next_attempt_at: str | None


class Attempt(Struct, frozen=True, kw_only=True):
    """One SMTP transaction."""

    host: str | None
    """The mail host; null when none was reached."""
    ip: str | None
    source_ip: str | None
    tls: AttemptTls | None
    """Null when the connection was not encrypted."""
    started_at: datetime
    ended_at: datetime
    duration_ms: int
    """From MAIL FROM to the last reply."""
    reply: str | None
    """To the first of the recipients."""
    recipients: list[AttemptRecipient]


def attempts_of(events: Iterable[TimelineEvent]) -> list[Attempt]:
    """The attempts in order, from the events of a message in order."""
    shared: dict[tuple[Any, ...], list[TimelineEvent]] = {}
    for event in events:
        if event.event_type in _RESULTS and "attempt" in event.metadata:
            said = event.metadata
            name = (event.timestamp, said.get("mx_host"), said.get("mx_ip"), said.get("source_ip"))
            shared.setdefault(name, []).append(event)
    return [_attempt(of_one) for of_one in shared.values()]


def _attempt(events: list[TimelineEvent]) -> Attempt:
    first = events[0]
    ended_at = datetime.fromisoformat(first.timestamp)
    duration_ms = int(first.metadata.get("duration_ms", 0))
    version = _text(first, "tls_version")
    return Attempt(
        host=_text(first, "mx_host"),
        ip=_text(first, "mx_ip"),
        source_ip=_text(first, "source_ip"),
        tls=AttemptTls(version=version, cipher=_text(first, "tls_cipher") or "") if version else None,
        started_at=ended_at - timedelta(milliseconds=duration_ms),
        ended_at=ended_at,
        duration_ms=duration_ms,
        reply=first.smtp_response,
        recipients=[_recipient(event) for event in events],
    )


def _recipient(event: TimelineEvent) -> AttemptRecipient:
    return AttemptRecipient(
        email=event.recipient_email,
        attempt=int(event.metadata["attempt"]),
        result=_RESULTS[event.event_type],
        reply=event.smtp_response,
        reason=event.bounce_reason or _text(event, "reason"),
        next_attempt_at=_text(event, "next_attempt_at"),
    )


def _text(event: TimelineEvent, name: str) -> str | None:
    value = event.metadata.get(name)
    return str(value) if value is not None else None
