"""A prepared request: what the intake commits, encoded as it is stored. Pure, but for the ids.

Called by a way in, once it has checked what it was sent and has put it into the journal's terms: ``Content`` for what
the messages share, ``Personal`` for what each has of its own. A request may have a thousand messages: the loop over
them is hot.
"""

from collections.abc import Mapping, Sequence
from datetime import UTC, datetime, timedelta

from msgspec import Struct

from cluster.ids import new_id, new_ids
from cluster.journal.records import Content, NewMessage, NewRequest, Personal, Recipient, encode
from cluster.message.header_fields import one_line
from cluster.message.substitution import substitute

SOON = timedelta(seconds=5)
"""A send time closer than this means now."""


def send_time(at: int | None, now: datetime) -> datetime | None:
    """A send time in seconds since the epoch; None is now."""
    if at is None or at <= now.timestamp() + SOON.total_seconds():
        return None
    return datetime.fromtimestamp(at, UTC)


def prepared_request(
    content: Content,
    messages: Sequence[tuple[Personal, datetime | None]],
    *,
    tenant_id: str,
    now: datetime,
    lifetime: timedelta,
    files: Mapping[bytes, bytes],
    batch_id: str | None = None,
    pool: str = "",
    sandbox: bool = False,
) -> NewRequest:
    """A request with these messages, in order, each with its send time (``send_time``). A message expires ``lifetime``
    after its send time. ``files``: the bytes of the attachments, by their sha256. Of ``sandbox`` messages nothing is
    delivered."""
    shared = _Shared(
        subject=content.subject,
        from_email=content.from_.email,
        now=now,
        lifetime=lifetime,
        sandbox=sandbox,
    )
    ids = new_ids("msg_", len(messages))
    new = [_message(id, personal, send_at, shared) for id, (personal, send_at) in zip(ids, messages, strict=True)]
    return NewRequest(
        id=new_id("req_"),
        tenant_id=tenant_id,
        content=encode(content),
        categories=content.categories,
        batch_id=batch_id,
        pool=pool,
        attachments=dict(files),
        messages=tuple(new),
        created_at=now,
    )


class _Shared(Struct, frozen=True, kw_only=True):
    """What a request's messages have in common, unless one says otherwise."""

    subject: str
    from_email: str
    now: datetime
    lifetime: timedelta
    sandbox: bool


def _message(id: str, personal: Personal, send_at: datetime | None, shared: _Shared) -> NewMessage:
    emails = tuple([address.email for address in (*personal.to, *personal.cc, *personal.bcc)])
    subject = personal.subject or shared.subject
    if personal.substitutions:
        subject = one_line(substitute(subject, personal.substitutions))
    return NewMessage(
        id=id,
        subject=subject,
        from_email=shared.from_email if personal.from_ is None else personal.from_.email,
        to_emails=emails,
        personal=encode(personal),
        recipients=()
        if shared.sandbox
        else tuple([Recipient(email, email[email.rindex("@") + 1 :]) for email in emails]),
        send_at=send_at,
        expires_at=(send_at or shared.now) + shared.lifetime,
        sandbox=shared.sandbox,
    )
