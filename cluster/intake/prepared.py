"""A prepared request: what the intake commits, encoded as it is stored. Pure, except for the new ids.

An entry point calls this module after it has validated its input and converted it to the journal's records:
``Content`` for what the messages share, ``PreparedPersonalization`` for what differs in each. A request may have a
thousand messages, so the loop over them is hot.
"""

from collections.abc import Iterable, Sequence
from datetime import UTC, datetime, timedelta

from cluster.ids import new_request_ids
from cluster.journal.records import Content, NewMessage, NewRequest, PreparedPersonalization, Recipient, encode
from cluster.message.header_fields import one_line
from cluster.message.substitution import substitute
from cluster.webhooks.told import encode_told

SOON = timedelta(seconds=5)
"""A send time closer than this means now."""


def send_time(at: int | None, now: datetime) -> datetime | None:
    """Convert a send time in seconds since the epoch; None means now, in the argument and in the result."""
    if at is None or at <= now.timestamp() + SOON.total_seconds():
        return None
    return datetime.fromtimestamp(at, UTC)


def prepared_request(
    content: Content,
    personalizations: Iterable[PreparedPersonalization],
    send_ats: Sequence[datetime | None],
    *,
    tenant_id: str,
    now: datetime,
    lifetime: timedelta,
    files: dict[bytes, bytes],
    batch_id: str | None = None,
    pool: str = "",
    sandbox: bool = False,
    subjects: Sequence[str] | None = None,
    group_id: int | None = None,
    key_id: str | None = None,
) -> NewRequest:
    """A request with one message for each of ``personalizations``, in that order; ``send_ats`` has their send times
    (from ``send_time``). A message expires ``lifetime`` after its send time. ``files`` maps the SHA-256 of each
    attachment to its bytes. The messages of a ``sandbox`` request are not delivered. ``subjects`` are those of the
    messages where a template gives them. ``group_id`` is their unsubscribe group. ``key_id`` is the API
    key that sent the request."""
    # Of one moment, so that a request and its messages are of one day.
    id, message_ids = new_request_ids(len(send_ats))
    new = _messages(content, message_ids, personalizations, send_ats, now + lifetime, lifetime, sandbox, subjects)
    return NewRequest(
        id=id,
        tenant_id=tenant_id,
        content=encode(content),
        categories=content.categories,
        template_id=content.template_id,
        batch_id=batch_id,
        pool=pool,
        group_id=group_id,
        key_id=key_id,
        told=encode_told(content.custom_args, content.headers),
        bypass=content.bypass or None,
        attachments=files,
        messages=tuple(new),
        created_at=now,
    )


def _messages(
    content: Content,
    ids: Sequence[str],
    personalizations: Iterable[PreparedPersonalization],
    send_ats: Sequence[datetime | None],
    soonest_end: datetime,
    lifetime: timedelta,
    sandbox: bool,
    subjects: Sequence[str] | None,
) -> list[NewMessage]:
    """``soonest_end`` is the expiry of a message that is sent now. ``personalizations`` is consumed one at a time, so
    that a thousand of them are never in memory together."""
    new: list[NewMessage] = []
    for id, personalization, send_at in zip(ids, personalizations, send_ats, strict=True):
        addresses = personalization.to
        if personalization.cc or personalization.bcc:
            addresses = (*addresses, *personalization.cc, *personalization.bcc)
        emails = tuple([address.email for address in addresses])
        subject = personalization.subject or content.subject
        if subjects is not None:
            subject = subjects[len(new)]
        elif personalization.substitutions:
            subject = one_line(substitute(subject, personalization.substitutions))
        new.append(
            NewMessage(
                id=id,
                subject=subject,
                from_email=(personalization.from_ or content.from_).email,
                to_emails=emails,
                personalization=encode(personalization),
                recipients=()
                if sandbox
                else tuple([Recipient(email, email[email.rindex("@") + 1 :]) for email in emails]),
                send_at=send_at,
                expires_at=soonest_end if send_at is None else send_at + lifetime,
                sandbox=sandbox,
                told=encode_told(personalization.custom_args, personalization.headers),
            )
        )
    return new
