"""Converts the journal's row of a message, with its two encoded records, to the API's form. Pure."""

from collections.abc import Mapping
from datetime import UTC, datetime
from typing import Any

from msgspec import UNSET, Struct, UnsetType, structs

from analytics.queries import MessageEvents, TimelineEvent
from cluster.journal.records import (
    Address,
    Content,
    MessageRow,
    PreparedPersonalization,
    decode_content,
    decode_personalization,
)
from cluster.message.custom_fields import FieldKind, kind_of, merged
from cluster.message.header_fields import NotComposable, one_line
from cluster.message.submitted.reading import opened
from cluster.message.substitution import substitute, substituted_size
from cluster.message.texts import texts_of
from cluster.policy.lifecycle import Status
from cluster.settings import DEFAULT_LIMITS, MessageSettings
from cluster.templates.compiled import CompiledTemplate
from cluster.templates.handlebars.errors import TooMuch
from cluster.tracking.choices import Tracking

NO_BOUNDS: Mapping[str, int] = {}


class MessageSummary(Struct, frozen=True, kw_only=True):
    """A message in a list."""

    id: str
    status: Status
    from_email: str
    from_name: str | None
    subject: str
    to_emails: list[str]
    template_id: str | None
    batch_id: str | None
    categories: list[str]
    created_at: datetime
    delivered_at: datetime | None


class EffectiveTracking(Struct, frozen=True, kw_only=True):
    """What is tracked: the tenant's defaults, the request's settings over them."""

    open_tracking: bool
    click_tracking: bool
    subscription_tracking: bool


class MessageDetail(Struct, frozen=True, kw_only=True):
    """A message with everything known of it."""

    # This repeats the fields of a summary in the order that clients know: inheritance would put them first.

    id: str
    status: Status
    from_email: str
    from_name: str | None
    subject: str
    to_emails: list[str]
    cc_emails: list[str]
    bcc_emails: list[str]
    reply_to: str | None
    """The first of several."""
    categories: list[str]
    template_id: str | None
    batch_id: str | None
    custom_args: dict[str, Any] | None
    custom_headers: dict[str, str] | None
    tracking_settings: EffectiveTracking
    retry_count: int
    next_retry_at: datetime | None
    html_content: str | None
    plain_content: str | None
    content_expired: bool
    """Whether the bodies have gone (retention.bodies_days): html_content, plain_content, custom_args and custom_headers
    are then empty, and to_emails has all recipients."""
    content_withheld: bool
    """Whether the two above, custom_args and custom_headers are null because the key has no scope for them."""
    created_at: datetime
    queued_at: datetime
    send_at: datetime | None
    sent_at: datetime | None
    delivered_at: datetime | None
    error_message: str | None
    events: list[TimelineEvent] | None
    """In order; null when the event store cannot be read now. The other fields come from the journal and are
    current."""
    events_incomplete: bool
    """Whether events may be missing: those in damaged parts of the event store, or all when it cannot be read."""
    not_filled_in: list[str] | UnsetType = UNSET
    """Those of subject, html_content and plain_content that are shown without substitution, because the result would
    exceed the limits of a message, or as null, because the template cannot be rendered; error_message says why. Absent
    when all are as they are sent."""


def summary(row: MessageRow, limits: MessageSettings = DEFAULT_LIMITS) -> MessageSummary:
    """A row in the form of the list."""
    content, personalization = decode_content(row.content), decode_personalization(row.personalization)
    subject = row.subject
    if content.template_id is None:
        given = personalization.subject or content.subject
        subject = _subject(given, personalization.substitutions, limits).text or ""
    return _summary(row, content, personalization, subject)


def detail(
    row: MessageRow,
    timeline: MessageEvents | None,
    limits: MessageSettings = DEFAULT_LIMITS,
    *,
    withheld: bool = False,
    template: CompiledTemplate | None = None,
    bounds: Mapping[str, int] = NO_BOUNDS,
) -> MessageDetail:
    """A row with its timeline. Texts that would exceed ``limits`` are not substituted. ``withheld`` leaves out the
    fields that only some keys may read. ``template`` is the version that the message is rendered from. ``bounds`` are
    smaller than the usual ones of ``CompiledTemplate.fill``: raises TooMuch when they do not suffice."""
    content, personalization = decode_content(row.content), decode_personalization(row.personalization)
    if not withheld:
        content = opened(content)
    shown = _shown(row, content, personalization, template, limits, bounds, withheld=withheld)
    return MessageDetail(
        **structs.asdict(_summary(row, content, personalization, shown["subject"].text or "")),
        cc_emails=_emails(personalization.cc),
        bcc_emails=_emails(personalization.bcc),
        reply_to=content.reply_to[0].email if content.reply_to else None,
        custom_args=None if withheld else {**content.custom_args, **personalization.custom_args},
        custom_headers=None if withheld else _headers(content, personalization),
        tracking_settings=_tracking(content.tracking),
        retry_count=row.retry_count,
        next_retry_at=_utc(row.next_retry_at),
        html_content=shown["html_content"].text,
        plain_content=shown["plain_content"].text,
        content_expired=row.content_expired,
        content_withheld=withheld,
        queued_at=row.created_at.astimezone(UTC),
        send_at=_utc(row.send_at),
        sent_at=_finished(row, Status.SENT, Status.DELIVERED),
        error_message=row.error_message,
        events=timeline.events if timeline is not None else None,
        events_incomplete=timeline is None or timeline.incomplete,
        not_filled_in=[name for name, text in shown.items() if not text.filled] or UNSET,
    )


class _Shown(Struct, frozen=True):
    text: str | None
    filled: bool
    """Whether the message has it, or does not have it, in this form."""


def _summary(
    row: MessageRow, content: Content, personalization: PreparedPersonalization, subject: str
) -> MessageSummary:
    from_ = personalization.from_ or content.from_
    return MessageSummary(
        id=row.id,
        status=row.status,
        from_email=from_.email,
        from_name=from_.name,
        subject=subject,
        to_emails=_emails(personalization.to),
        template_id=content.template_id,
        batch_id=row.batch_id,
        categories=list(content.categories),
        created_at=row.created_at.astimezone(UTC),
        delivered_at=_finished(row, Status.DELIVERED),
    )


def _shown(
    row: MessageRow,
    content: Content,
    personalization: PreparedPersonalization,
    template: CompiledTemplate | None,
    limits: MessageSettings,
    bounds: Mapping[str, int],
    *,
    withheld: bool,
) -> dict[str, _Shown]:
    """The texts of a message by the names of their fields."""
    fields = {"html_content": "text/html", "plain_content": "text/plain"}
    values = personalization.substitutions
    try:
        texts = texts_of(content, personalization, template, **bounds)
    except (NotComposable, TooMuch):
        if bounds and template is not None:
            raise
        return {"subject": _Shown(row.subject, True), **{name: _Shown(None, withheld) for name in fields}}
    shown = {"subject": _subject(texts.subject, values, limits)}
    parts = {} if withheld else {part.type: part.value for part in texts.parts}
    for name, type_ in fields.items():
        text = parts.get(type_)
        shown[name] = _Shown(None, True) if text is None else _filled(text, values, limits.max_part_bytes)
    return shown


def _subject(given: str, values: Mapping[str, str], limits: MessageSettings) -> _Shown:
    filled = _filled(given, values, limits.max_subject_bytes)
    return _Shown(one_line(filled.text or ""), filled.filled)


def _headers(content: Content, personalization: PreparedPersonalization) -> dict[str, str]:
    """Those that are sent."""
    headers = merged(content.headers, personalization.headers)
    return {name: value for name, value in headers.items() if kind_of(name.lower()) is not FieldKind.IGNORED}


def _filled(text: str, values: Mapping[str, str], most: int) -> _Shown:
    """The text after substitution, unless that would have more than ``most`` octets."""
    if not values:
        return _Shown(text, True)
    # A key has at least one character, and a character of a value at most four octets.
    if 4 * len(text) * sum(map(len, values.values())) > most and substituted_size(text, values) > most:
        return _Shown(text, False)
    return _Shown(substitute(text, values), True)


def _emails(addresses: tuple[Address, ...]) -> list[str]:
    return [address.email for address in addresses]


def _utc(moment: datetime | None) -> datetime | None:
    return moment.astimezone(UTC) if moment else None


def _finished(row: MessageRow, *statuses: Status) -> datetime | None:
    return _utc(row.finished_at) if row.status in statuses else None


def _tracking(acting: Tracking | None) -> EffectiveTracking:
    return EffectiveTracking(
        open_tracking=acting is not None and acting.opens,
        click_tracking=acting is not None and acting.clicks,
        subscription_tracking=acting is not None and acting.subscription is not None,
    )
