"""Converts a body of POST /v3/mail/send to a prepared request of the journal's records. Pure, except for the new ids.

The body must have no faults. The loop over personalizations is as hot as validation's.
"""

import hashlib
from collections.abc import Sequence
from datetime import datetime, timedelta

import msgspec

from api.send.request import AttachmentPart, Mailbox, MailSend, MailSettings, Personalization
from cluster.intake.prepared import prepared_request, send_time
from cluster.journal.records import Address, Attachment, BodyPart, Content, Footer, NewRequest, PreparedPersonalization
from cluster.message.dsn import Dsn
from cluster.message.mime_fields import content_id, file_name, file_type
from cluster.policy.routes.domains import spelled
from cluster.suppression.address import compared
from cluster.suppression.lists import Bypass
from cluster.templates.texts import TemplateUse
from cluster.tracking.choices import Tracking


def new_request(
    mail: MailSend,
    files: Sequence[bytes],
    *,
    tenant_id: str,
    key_id: str | None = None,
    sandbox: bool,
    now: datetime,
    lifetime: timedelta,
    template: TemplateUse | None = None,
    tracking: Tracking | None = None,
    subjects: Sequence[str] | None = None,
    original: bytes = b"",
    readdressed: bool = False,
    dsn: Dsn | None = None,
) -> NewRequest:
    """The request with a message for each personalization, in order. ``files`` has the bytes of its attachments;
    ``lifetime`` is the default for messages that do not set one. ``template`` is what its template is now, ``subjects``
    are those that messages have from it. ``tracking`` is how its messages are tracked. ``key_id`` is the API key
    that sends it. ``original``, ``readdressed`` and ``dsn``: as in ``drafts.Draft``."""
    assert mail.personalizations and mail.from_
    if mail.lifetime is not None:
        lifetime = timedelta(seconds=mail.lifetime)
    hashes = [hashlib.sha256(file).digest() for file in files]
    send_at = send_time(mail.send_at, now)
    return prepared_request(
        _content(mail, files, hashes, template, tracking, original, readdressed),
        (_personal(one, dsn) for one in mail.personalizations),
        [send_at if one.send_at is None else send_time(one.send_at, now) for one in mail.personalizations],
        tenant_id=tenant_id,
        now=now,
        lifetime=lifetime,
        files=dict(zip(hashes, files, strict=True)),
        batch_id=mail.batch_id,
        pool=mail.ip_pool_name or "",
        sandbox=sandbox,
        subjects=subjects,
        group_id=mail.asm.group_id if mail.asm else None,
        key_id=key_id,
    )


def _personal(one: Personalization, dsn: Dsn | None) -> PreparedPersonalization:
    return PreparedPersonalization(
        to=_addresses(one.to),
        cc=_addresses(one.cc) if one.cc else (),
        bcc=_addresses(one.bcc) if one.bcc else (),
        from_=_address(one.from_) if one.from_ is not None else None,
        subject=one.subject or None,
        headers=one.headers or {},
        substitutions=one.substitutions or {},
        template_data=msgspec.json.encode(one.dynamic_template_data) if one.dynamic_template_data else b"",
        custom_args=one.custom_args or {},
        dsn=_own(dsn, one) if dsn is not None else None,
    )


def _own(dsn: Dsn, one: Personalization) -> Dsn:
    """What was said of the recipients of one message: nothing of another's is kept with it."""
    own = {compared(mailbox.email) for mailbox in one.to or () if mailbox.email}
    originals = {recipient: original for recipient, original in dsn.original_recipients.items() if recipient in own}
    never = tuple([recipient for recipient in dsn.never if recipient in own])
    return Dsn(envelope_id=dsn.envelope_id, original_recipients=originals, never=never)


def _content(
    mail: MailSend,
    files: Sequence[bytes],
    hashes: Sequence[bytes],
    template: TemplateUse | None,
    tracking: Tracking | None,
    original: bytes,
    readdressed: bool,
) -> Content:
    assert mail.from_
    footer = mail.mail_settings.footer if mail.mail_settings else None
    return Content(
        from_=_address(mail.from_),
        reply_to=_addresses([mail.reply_to] if mail.reply_to else mail.reply_to_list),
        subject=mail.subject or "",
        parts=tuple(BodyPart((part.type or "").strip().lower(), part.value or "") for part in mail.content or ()),
        attachments=tuple(
            _attachment(part, hash, len(file))
            for part, file, hash in zip(mail.attachments or (), files, hashes, strict=True)
        ),
        headers=mail.headers or {},
        categories=tuple(mail.categories or ()),
        custom_args=mail.custom_args or {},
        template_id=mail.template_id,
        template=template,
        asm=msgspec.to_builtins(mail.asm) if mail.asm else None,
        bypass=_bypass(mail.mail_settings) if mail.mail_settings else 0,
        footer=Footer(footer.text or "", footer.html or "") if footer and footer.enable else None,
        tracking_settings=msgspec.to_builtins(mail.tracking_settings) if mail.tracking_settings else {},
        tracking=tracking,
        original=original,
        readdressed=readdressed,
    )


def _bypass(settings: MailSettings) -> int:
    """The suppression lists that the request's messages pass."""
    switches = (
        (settings.bypass_list_management, Bypass.ALL),
        (settings.bypass_spam_management, Bypass.SPAM_REPORTS),
        (settings.bypass_bounce_management, Bypass.BOUNCES),
        (settings.bypass_unsubscribe_management, Bypass.UNSUBSCRIBES),
    )
    return sum(bypass for switch, bypass in switches if switch and switch.enable)


def _attachment(part: AttachmentPart, hash: bytes, size: int) -> Attachment:
    name = file_name(part.filename or content_id(part.content_id or ""))
    return Attachment(
        filename=name,
        type=part.type or file_type(name),
        inline=part.disposition == "inline",
        content_id=part.content_id or None,
        sha256=hash,
        size=size,
    )


def _addresses(mailboxes: Sequence[Mailbox] | None) -> tuple[Address, ...]:
    return tuple([_address(mailbox) for mailbox in mailboxes]) if mailboxes else ()


def _address(mailbox: Mailbox) -> Address:
    assert mailbox.email
    return Address(spelled(mailbox.email), mailbox.name or None)
