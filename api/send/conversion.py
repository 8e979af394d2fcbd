"""A checked request in the journal's terms: what is committed, and encoded as it is stored. Pure, but for the ids.

Called by intake with a request that has no faults. The loop over personalizations is as hot as validation's.
"""

import hashlib
from collections.abc import Sequence
from datetime import UTC, datetime, timedelta

import msgspec
from msgspec import Struct

from api.send.request import AttachmentPart, Mailbox, MailSend, Personalization
from cluster.events import MOST_TOGETHER, ProcessedTogether, encode_together
from cluster.ids import new_id, new_ids
from cluster.journal.records import (
    Address,
    Attachment,
    Content,
    Footer,
    NewMessage,
    NewRequest,
    Part,
    Personal,
    Recipient,
    encode,
)
from cluster.message.header_fields import one_line
from cluster.message.mime_fields import file_name, file_type
from cluster.message.substitution import substitute
from cluster.policy.routes.domains import spelled

SOON = timedelta(seconds=5)
"""A send time closer than this means now."""


def new_request(
    mail: MailSend, files: Sequence[bytes], *, tenant_id: str, sandbox: bool, now: datetime, lifetime: timedelta
) -> NewRequest:
    """The request, with a message for each personalization, in order. ``files`` are its attachments' bytes;
    ``lifetime`` is that of messages that do not name one."""
    assert mail.personalizations and mail.from_
    if mail.lifetime is not None:
        lifetime = timedelta(seconds=mail.lifetime)
    hashes = [hashlib.sha256(file).digest() for file in files]
    content = _content(mail, files, hashes)
    send_at = _send_time(mail.send_at, now)
    shared = _Shared(
        subject=content.subject,
        from_email=content.from_.email,
        send_at=send_at,
        expires_at=(send_at or now) + lifetime,
        now=now,
        lifetime=lifetime,
        sandbox=sandbox,
    )
    ids = new_ids("msg_", len(mail.personalizations))
    messages = [_message(id, one, shared) for id, one in zip(ids, mail.personalizations, strict=True)]
    return NewRequest(
        id=new_id("req_"),
        tenant_id=tenant_id,
        content=encode(content),
        categories=content.categories,
        batch_id=mail.batch_id,
        pool=mail.ip_pool_name or "",
        attachments=dict(zip(hashes, files, strict=True)),
        messages=tuple(messages),
        # A sandboxed message is nobody's event: nothing happens to it.
        events=() if sandbox else _processed(messages, tenant_id, mail.batch_id, content, now),
        created_at=now,
    )


class _Shared(Struct, frozen=True, kw_only=True):
    """What a request's messages have in common, unless a personalization says otherwise."""

    subject: str
    from_email: str
    send_at: datetime | None
    expires_at: datetime
    now: datetime
    lifetime: timedelta
    sandbox: bool


def _message(id: str, one: Personalization, shared: _Shared) -> NewMessage:
    to, cc, bcc = _addresses(one.to), _addresses(one.cc), _addresses(one.bcc)
    from_ = _address(one.from_) if one.from_ is not None else None
    emails = tuple([address.email for address in (*to, *cc, *bcc)])
    subject = one.subject or shared.subject
    if one.substitutions:
        subject = one_line(substitute(subject, one.substitutions))
    send_at, expires_at = shared.send_at, shared.expires_at
    if one.send_at is not None:
        send_at = _send_time(one.send_at, shared.now)
        expires_at = (send_at or shared.now) + shared.lifetime
    return NewMessage(
        id=id,
        subject=subject,
        from_email=shared.from_email if from_ is None else from_.email,
        to_emails=emails,
        personal=encode(
            Personal(
                to=to,
                cc=cc,
                bcc=bcc,
                from_=from_,
                subject=one.subject or None,
                headers=one.headers or {},
                substitutions=one.substitutions or {},
                dynamic_template_data=one.dynamic_template_data or {},
                custom_args=one.custom_args or {},
            )
        ),
        recipients=()
        if shared.sandbox
        else tuple([Recipient(email, email[email.rindex("@") + 1 :]) for email in emails]),
        send_at=send_at,
        expires_at=expires_at,
        sandbox=shared.sandbox,
    )


def _content(mail: MailSend, files: Sequence[bytes], hashes: Sequence[bytes]) -> Content:
    assert mail.from_
    footer = mail.mail_settings.footer if mail.mail_settings else None
    return Content(
        from_=_address(mail.from_),
        reply_to=_addresses([mail.reply_to] if mail.reply_to else mail.reply_to_list),
        subject=mail.subject or "",
        parts=tuple(Part((part.type or "").strip().lower(), part.value or "") for part in mail.content or ()),
        attachments=tuple(
            _attachment(part, hash, len(file))
            for part, file, hash in zip(mail.attachments or (), files, hashes, strict=True)
        ),
        headers=mail.headers or {},
        categories=tuple(mail.categories or ()),
        custom_args=mail.custom_args or {},
        footer=Footer(footer.text or "", footer.html or "") if footer and footer.enable else None,
        tracking_settings=msgspec.to_builtins(mail.tracking_settings) if mail.tracking_settings else {},
    )


def _attachment(part: AttachmentPart, hash: bytes, size: int) -> Attachment:
    inline = part.disposition == "inline"
    name = part.filename or (part.content_id if inline else None) or ""
    type_ = part.type or file_type(name)
    return Attachment(
        filename=name or file_name(type_),
        type=type_,
        inline=inline,
        content_id=part.content_id or None,
        sha256=hash,
        size=size,
    )


def _processed(
    messages: Sequence[NewMessage], tenant_id: str, batch_id: str | None, content: Content, now: datetime
) -> tuple[bytes, ...]:
    """The rows of the log that say so of every recipient. What they share is said once in each."""
    message_ids = [message.id for message in messages for _ in message.recipients]
    recipients = [recipient.email for message in messages for recipient in message.recipients]
    ids = new_ids("evt_", len(recipients))
    at = now.timestamp()
    return tuple(
        [
            encode_together(
                ProcessedTogether(
                    at=at,
                    tenant_id=tenant_id,
                    batch_id=batch_id,
                    categories=content.categories,
                    ids=ids[start : start + MOST_TOGETHER],
                    message_ids=message_ids[start : start + MOST_TOGETHER],
                    recipients=recipients[start : start + MOST_TOGETHER],
                )
            )
            for start in range(0, len(recipients), MOST_TOGETHER)
        ]
    )


def _addresses(mailboxes: Sequence[Mailbox] | None) -> tuple[Address, ...]:
    return tuple([_address(mailbox) for mailbox in mailboxes]) if mailboxes else ()


def _address(mailbox: Mailbox) -> Address:
    assert mailbox.email
    return Address(spelled(mailbox.email), mailbox.name or None)


def _send_time(send_at: int | None, now: datetime) -> datetime | None:
    """None is now."""
    if send_at is None or send_at <= now.timestamp() + SOON.total_seconds():
        return None
    return datetime.fromtimestamp(send_at, UTC)
