"""A prepared request: what the intake commits, encoded as it is stored. Pure, but for the ids.

Called by a way in, once it has checked what it was sent and has put it into the journal's terms: ``Content`` for what
the messages share, ``PreparedPersonalization`` for what each has of its own. A request may have a thousand messages:
the loop over them is hot.
"""

from collections.abc import Iterable, Sequence
from datetime import UTC, datetime, timedelta

from cluster.ids import new_id, new_ids
from cluster.journal.records import Content, NewMessage, NewRequest, PreparedPersonalization, Recipient, encode
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
) -> NewRequest:
    """A request of messages in this order: ``personals`` is what each has of its own, ``send_ats`` its send time
    (``send_time``). A message expires ``lifetime`` after its send time. ``files``: the bytes of the attachments, by
    their sha256. Of a ``sandbox`` request nothing is delivered."""
    new = _messages(content, personalizations, send_ats, now + lifetime, lifetime, sandbox)
    return NewRequest(
        id=new_id("req_"),
        tenant_id=tenant_id,
        content=encode(content),
        categories=content.categories,
        batch_id=batch_id,
        pool=pool,
        attachments=files,
        messages=tuple(new),
        created_at=now,
    )


def _messages(
    content: Content,
    personalizations: Iterable[PreparedPersonalization],
    send_ats: Sequence[datetime | None],
    soonest_end: datetime,
    lifetime: timedelta,
    sandbox: bool,
) -> list[NewMessage]:
    """``soonest_end``: when a message expires that is sent now. Each of ``personals`` is taken when its turn comes, so
    that a thousand of them are never held together."""
    ids = new_ids("msg_", len(send_ats))
    new = []
    for id, personalization, send_at in zip(ids, personalizations, send_ats, strict=True):
        emails = tuple([address.email for address in (*personalization.to, *personalization.cc, *personalization.bcc)])
        subject = personalization.subject or content.subject
        if personalization.substitutions:
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
            )
        )
    return new
