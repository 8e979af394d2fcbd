"""Makes a request to send of a body of POST /api/v1/emails, and checks the rules that only this dialect has.

All else is checked as for any mail (api/send). This module is independent of the web framework, so that the worker of
large requests need not load it.
"""

import math
import re
from collections.abc import Sequence
from datetime import datetime
from functools import partial

import msgspec

from api.http import dates, help_texts
from api.http.access import ROUTES
from api.http.existing import number_id
from api.http.refusals import Fault
from api.http.unknown_fields import NamingDecoder
from api.piisend.requests import EmailAttachment, EmailRequest
from api.send.drafts import Dialect, Draft
from api.send.notes import Notes
from api.send.personalizations import LATEST_SEND_AT, MOST_RECIPIENTS
from api.send.request import (
    AttachmentPart,
    ClickTracking,
    ContentPart,
    GoogleAnalytics,
    Mailbox,
    MailSend,
    OpenTracking,
    Personalization,
    SubscriptionTracking,
    TrackingSettings,
)
from api.send.templating import has_subject, is_dynamic
from api.send.validation import MOST_REPLY_TO
from cluster.journal.journal import Journal
from cluster.journal.records import ApiKey
from cluster.journal.templates import ActiveTemplate
from cluster.message.custom_fields import mailboxes
from cluster.message.header_fields import NotComposable
from cluster.policy.routes.domains import domain_of
from cluster.tenancy.domains.domain import SenderDomain

MOST_ATTACHMENTS = 5
MOST_ATTACHED_BYTES = 5 * 1024 * 1024
"""All attachments of an email together, decoded."""

_ATTACHMENT_FIELDS = ("filename", "content_type", "content_b64")
_OF_ADDRESS = re.compile(r"personalizations\[0\]\.(to|cc)(\[\d+\])?(?:\.\w+)?")
_OF_REPLY_TO = re.compile(r"reply_to_list(\[\d+\])?(?:\.\w+)?")
_OF_CONTENT = re.compile(r"content\[(\d+)\](?:\.\w+)?")
_OF_VARS = re.compile(r"personalizations\[0\]\.dynamic_template_data\b(.*)", re.DOTALL)
_SAME = {"send_at": "scheduled_at", "content": "html", "personalizations": "to", "personalizations[0]": "to"}

DECODER = msgspec.json.Decoder(EmailRequest)
_decode = NamingDecoder(DECODER).decode


def read(body: bytes, notes: Notes) -> Draft:
    """From a body to a draft. Raises Unparseable, Invalid."""
    return drafted(_decode(body, notes))


PIISEND = Dialect(access=ROUTES["POST /api/v1/emails"], read=read)
"""The dialect of POST /api/v1/emails."""


def drafted(email: EmailRequest) -> Draft:
    """The request to send that an email is, with the faults of this dialect. Pure."""
    faults: list[Fault] = []
    moment = _moment(email.scheduled_at, faults)
    content = [ContentPart(type=type_, value=text) for type_, text in _texts(email)]
    _check_texts(email, bool(content), faults)
    if email.from_ is not None and email.sender is not None and email.from_ != email.sender:
        faults.append(Fault("Give from_ or from, not both", "from"))
    sender = email.sender if email.from_ is None else email.from_
    if email.bcc:
        faults.append(Fault("There is no bcc here", "bcc", help_texts.NO_BCC))
    to, cc = _recipients(email, faults)
    mail = MailSend(
        personalizations=[
            Personalization(to=to, cc=cc, dynamic_template_data=email.template_vars if email.template_id else None)
        ],
        from_=_mailbox(sender) if sender is not None else None,
        reply_to_list=[_mailbox(text) for text in (email.reply_to or ())[: MOST_REPLY_TO + 1]] or None,
        subject=email.subject,
        content=content or None,
        template_id=email.template_id,
        attachments=_attachments(email.attachments or (), faults),
        send_at=math.ceil(moment.timestamp()) if moment is not None else None,
        tracking_settings=_tracking(email),
    )
    return Draft(
        mail=mail,
        faults=faults,
        settle=partial(_settle, email.domain_id, moment),
        path_in_body=partial(path_in_email, [part.type or "" for part in content]),
    )


def path_in_email(types: Sequence[str], path: str) -> str:
    """Where in an email a field of the ``MailSend`` that was made of it comes from. ``types`` are those of its content,
    in order."""
    if path.partition(".")[0] == "from":
        return "from_"
    if found := _OF_ADDRESS.fullmatch(path):
        return found[1] + (found[2] or "")
    if found := _OF_REPLY_TO.fullmatch(path):
        return "reply_to" + (found[1] or "")
    if found := _OF_CONTENT.fullmatch(path):
        return types[int(found[1])].removeprefix("text/").replace("plain", "text")
    if found := _OF_VARS.fullmatch(path):
        return f"template_vars{found[1]}"
    return _SAME.get(path, path)


async def _settle(
    domain_id: str | int | None,
    moment: datetime | None,
    mail: MailSend,
    journal: Journal,
    key: ApiKey,
    template: ActiveTemplate | None,
    now: datetime,
) -> list[Fault]:
    """The faults that depend on the time, the template and the sender domain; completes the sender."""
    faults = []
    if moment is not None and moment <= now:
        faults.append(Fault("The time is in the past", "scheduled_at"))
    if template is not None and template.use is not None:
        faults += _faults_of_template(mail, template)
    if domain_id is not None:
        id = number_id(str(domain_id))
        domain = await journal.sender_domains.find(id, key.tenant_id) if id is not None else None
        if domain is None:
            faults.append(Fault("The sender domain does not exist", "domain_id", help_texts.DOMAIN))
        else:
            faults += _faults_of_sender(mail, domain)
    return faults


def _faults_of_template(mail: MailSend, template: ActiveTemplate) -> list[Fault]:
    faults = []
    own = (mail.personalizations or [Personalization()])[0]
    if own.dynamic_template_data and not is_dynamic(template):
        own.dynamic_template_data = None
        faults.append(Fault("A legacy template takes no template_vars", "template_vars", help_texts.TEMPLATES))
    if not mail.subject and not has_subject(template):
        faults.append(Fault("The template has no subject: the subject is required", "subject"))
    return faults


def _faults_of_sender(mail: MailSend, domain: SenderDomain) -> list[Fault]:
    """Gives a sender without a domain this one, and holds others to it. Whether it is verified is checked as for any
    mail."""
    sender = mail.from_
    if sender is None or not sender.email:
        return []
    if "@" not in sender.email:
        sender.email = f"{sender.email}@{domain.domain}"
        return []
    own = domain_of(sender.email)
    if own == domain.domain or (domain.include_subdomains and own.endswith(f".{domain.domain}")):
        return []
    return [Fault(f"The sender is not of the domain of domain_id, {domain.domain}", "from_", help_texts.DOMAIN)]


def _texts(email: EmailRequest) -> list[tuple[str, str]]:
    """The contents that are not empty, with their types, in the order in which a message has them."""
    return [(type_, text) for type_, text in (("text/plain", email.text), ("text/html", email.html)) if text]


def _check_texts(email: EmailRequest, has_content: bool, faults: list[Fault]) -> None:
    if email.template_id is not None:
        if has_content:
            faults.append(Fault("Give html and text, or a template_id, not both", "template_id"))
        return
    if not has_content:
        faults.append(Fault("Give html or text, or a template_id", "html"))
    if not email.subject:
        faults.append(Fault("The subject is required", "subject"))
    if email.template_vars:
        faults.append(Fault("template_vars go with a template_id", "template_vars"))


def _recipients(email: EmailRequest, faults: list[Fault]) -> tuple[list[Mailbox], list[Mailbox] | None]:
    """to and cc; neither when they are too many."""
    to, cc = email.to or (), email.cc or ()
    if len(to) + len(cc) > MOST_RECIPIENTS:
        faults.append(Fault(f"At most {MOST_RECIPIENTS} recipients in to and cc together", "to"))
        return [], None
    return [_mailbox(text) for text in to], [_mailbox(text) for text in cc] or None


def _mailbox(text: str) -> Mailbox:
    """An address, or a name and an address in angle brackets (RFC 5322 §3.4). The check refuses other text."""
    if "<" not in text:
        return Mailbox(email=text)
    try:
        (found,) = mailboxes("address", text)
    except (NotComposable, ValueError):  # none, or several
        return Mailbox(email=text)
    return Mailbox(email=found.email, name=found.name)


def _moment(text: str | None, faults: list[Fault]) -> datetime | None:
    if text is None:
        return None
    try:
        moment = dates.moment(text)
        if moment.timestamp() < LATEST_SEND_AT:
            return moment
    except (ValueError, OverflowError):
        pass
    faults.append(Fault("A time is ISO-8601, such as 2026-06-01T15:00:00Z, before the year 9999", "scheduled_at"))
    return None


def _attachments(attachments: Sequence[EmailAttachment], faults: list[Fault]) -> list[AttachmentPart] | None:
    """None when there are too many."""
    if len(attachments) > MOST_ATTACHMENTS:
        faults.append(Fault(f"At most {MOST_ATTACHMENTS} attachments, not {len(attachments)}", "attachments"))
        return None
    size = 0
    for index, one in enumerate(attachments):
        if missing := [name for name in _ATTACHMENT_FIELDS if not getattr(one, name)]:
            faults.append(Fault(f"An attachment needs {', '.join(missing)}", f"attachments[{index}]"))
        content = one.content_b64 or ""
        size += len(content) // 4 * 3 - content.endswith("=") - content.endswith("==")
    if size > MOST_ATTACHED_BYTES:
        message = f"The attachments have {size} bytes decoded; at most {MOST_ATTACHED_BYTES} in all"
        faults.append(Fault(message, "attachments"))
    return [
        AttachmentPart(content=one.content_b64, filename=one.filename, type=one.content_type) for one in attachments
    ] or None


def _tracking(email: EmailRequest) -> TrackingSettings:
    """What an email does not ask for is off, whatever the defaults of its tenant are. Links are measured by Google
    Analytics only where they may be rewritten, and then as the tenant's defaults say."""
    clicks = bool(email.track_clicks)
    return TrackingSettings(
        open_tracking=OpenTracking(enable=bool(email.track_opens)),
        click_tracking=ClickTracking(enable=clicks),
        subscription_tracking=SubscriptionTracking(enable=bool(email.enable_unsubscribe)),
        ganalytics=None if clicks else GoogleAnalytics(enable=False),
    )
