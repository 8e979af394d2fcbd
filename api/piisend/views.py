"""Emails as they are shown: the same messages as in /v3, in another form. Pure: the time is an argument."""

from collections.abc import Sequence
from datetime import UTC, datetime

from msgspec import UNSET, Struct, UnsetType

from api.messages.views import MessageDetail, MessageSummary
from api.piisend.attempts import Attempt, attempts_of
from api.piisend.statuses import EmailStatus, status_of
from cluster.journal.records import Address, Content, MessageRow, decode_content, decode_personalization
from cluster.message.submitted.reading import opened
from cluster.policy.lifecycle import Status


class AcceptedEmail(Struct, frozen=True, kw_only=True):
    """The promise for an email."""

    id: str
    status: EmailStatus
    """``queued``, ``scheduled`` or ``sandbox``."""
    scheduled_at: datetime | None
    resent_from: str | UnsetType = UNSET
    """The email that was sent again; absent in the answer to a new one."""


class CancelledEmail(Struct, frozen=True, kw_only=True):
    """An email that will never be sent."""

    id: str
    status: EmailStatus


class EmailSummary(Struct, frozen=True, kw_only=True):
    """An email in a list. Times are UTC."""

    id: str
    status: EmailStatus
    from_: str
    to: list[str]
    subject: str
    template_id: str | None
    created_at: datetime
    scheduled_at: datetime | None
    sent_at: datetime | None
    """When it was accepted by the recipient's host or by a relay."""
    delivered_at: datetime | None


class EmailList(Struct, frozen=True, kw_only=True):
    """Emails, newest first."""

    data: list[EmailSummary]
    total: int
    limit: int
    offset: int
    total_is_exact: bool | UnsetType = UNSET
    """``false`` when there are more than ``total``; absent otherwise."""


class AttachedFile(Struct, frozen=True, kw_only=True):
    """What is known of an attachment."""

    filename: str
    content_type: str
    size: int
    """In bytes."""


class EmailDetail(Struct, frozen=True, kw_only=True):
    """An email with everything known of it. Times are UTC."""

    id: str
    status: EmailStatus
    from_: str
    from_name: str | None
    to: list[str]
    cc: list[str]
    bcc: list[str]
    """Of mail that was sent by /v3."""
    reply_to: list[str]
    subject: str
    html: str | None
    text: str | None
    template_id: str | None
    attachments: list[AttachedFile]
    track_opens: bool
    track_clicks: bool
    enable_unsubscribe: bool
    created_at: datetime
    scheduled_at: datetime | None
    sent_at: datetime | None
    delivered_at: datetime | None
    next_attempt_at: datetime | None
    error: str | None
    resent_from: str | None
    """The email that this one is sent again from."""
    attempts: list[Attempt] | None
    """In order; null when the events cannot be read now. The other fields are current."""
    attempts_incomplete: bool
    """Whether attempts may be missing."""
    content_expired: bool
    """Whether html, text and attachments are not kept any more (retention.bodies_days); to has all recipients then."""


def accepted(
    id: str, send_at: datetime | None, *, sandbox: bool, resent_from: str | UnsetType = UNSET
) -> AcceptedEmail:
    """The answer to an email with this send time; None is now."""
    status = EmailStatus.SCHEDULED if send_at is not None else EmailStatus.QUEUED
    return AcceptedEmail(
        id=id,
        status=EmailStatus.SANDBOX if sandbox else status,
        scheduled_at=_utc(send_at),
        resent_from=resent_from,
    )


def summarised(row: MessageRow, shown: MessageSummary, now: datetime) -> EmailSummary:
    """A message of a list."""
    return EmailSummary(
        id=row.id,
        status=status_of(row.status, row.send_at, now),
        from_=shown.from_email,
        to=shown.to_emails,
        subject=shown.subject,
        template_id=shown.template_id,
        created_at=shown.created_at,
        scheduled_at=_utc(row.send_at),
        sent_at=_utc(row.finished_at) if row.status in (Status.SENT, Status.DELIVERED) else None,
        delivered_at=shown.delivered_at,
    )


def detailed(row: MessageRow, shown: MessageDetail, now: datetime) -> EmailDetail:
    """One message, whose bodies the caller may read."""
    content, own = decode_content(row.content), decode_personalization(row.personalization)
    tracking = shown.tracking_settings
    return EmailDetail(
        id=row.id,
        status=status_of(row.status, row.send_at, now),
        from_=shown.from_email,
        from_name=shown.from_name,
        to=shown.to_emails,
        cc=shown.cc_emails,
        bcc=shown.bcc_emails,
        reply_to=_emails(content.reply_to),
        subject=shown.subject,
        html=shown.html_content,
        text=shown.plain_content,
        template_id=shown.template_id,
        attachments=_files(opened(content)),
        track_opens=tracking.open_tracking,
        track_clicks=tracking.click_tracking,
        enable_unsubscribe=tracking.subscription_tracking,
        created_at=shown.created_at,
        scheduled_at=shown.send_at,
        sent_at=shown.sent_at,
        delivered_at=shown.delivered_at,
        next_attempt_at=shown.next_retry_at,
        error=shown.error_message,
        resent_from=own.resent_from or None,
        attempts=attempts_of(shown.events) if shown.events is not None else None,
        attempts_incomplete=shown.events_incomplete,
        content_expired=row.content_expired,
    )


def _files(content: Content) -> list[AttachedFile]:
    return [AttachedFile(filename=one.filename, content_type=one.type, size=one.size) for one in content.attachments]


def _emails(addresses: Sequence[Address]) -> list[str]:
    return [address.email for address in addresses]


def _utc(moment: datetime | None) -> datetime | None:
    return moment.astimezone(UTC) if moment is not None else None
