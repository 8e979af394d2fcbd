"""Validates a send request and reports all faults, each with its field. Pure.

The input is the decoded body of POST /v3/mail/send. The limits are SendGrid v3's. Checks that need the journal (batch,
unsubscribe groups, sender domain) are in sending.py.
"""

import contextlib
from collections.abc import Mapping, Sequence
from typing import Any

import msgspec
from msgspec import Struct

from api.http import help_texts
from api.http.refusals import Enough, Fault, Faults
from api.http.texts import check_no_control, check_text
from api.send.attachments import check_attachments
from api.send.custom_headers import check_headers
from api.send.notes import Notes
from api.send.personalizations import check_mailbox, check_personalizations, check_subject, has_address
from api.send.request import Asm, ContentPart, Mailbox, MailSend, MailSettings, TrackingSettings
from api.send.sizes import Sizes
from api.send.templating import check_template, has_subject, is_dynamic
from api.send.texts import LONGEST_CUSTOM_ARGS, check_data
from cluster.journal.templates import ActiveTemplate
from cluster.policy.routes.domains import spelled
from cluster.settings import DEFAULT_LIMITS, MessageSettings
from cluster.tracking.choices import Analytics
from cluster.tracking.tokens import MOST_GROUPS

MOST_REPLY_TO = 1000
MOST_CATEGORIES = 10
LONGEST_CATEGORY = 255
MOST_GROUPS_TO_DISPLAY = MOST_GROUPS
LONGEST_LIFETIME_S = 7 * 24 * 3600
CONTENT_TYPES = ("text/plain", "text/html", "text/calendar", "text/x-amp-html")

LONGEST_TAG = 200
"""Characters of a text that the pixel or the unsubscribe address takes the place of."""


class Checked(Struct, frozen=True):
    """The faults of a request, and further results of the check: the bytes of its attachments, in order, and notes."""

    faults: list[Fault]
    files: list[bytes]
    notes: Notes
    subjects: list[str] | None = None
    """The subjects of its messages, in order, where its template has one."""


def check(
    mail: MailSend,
    limits: MessageSettings = DEFAULT_LIMITS,
    notes: Notes | None = None,
    template: ActiveTemplate | None = None,
    *,
    is_submitted: bool = False,
) -> Checked:
    """Check a request. It reports all faults, or the first ``MOST_FAULTS`` and an entry that there are more. ``limits``
    apply to the composed messages. ``notes`` are those of decoding, to which the check adds. ``template`` is the one
    that the request names; None when the tenant does not have it. ``is_submitted``: the messages have a submitted
    message in place of content."""
    faults, files, notes = Faults(), list[bytes](), Notes() if notes is None else notes
    subjects = None
    with contextlib.suppress(Enough):
        _check(mail, limits, faults, files, notes, template, is_submitted=is_submitted)
        if template is not None:
            subjects = check_template(mail, template, limits.max_subject_bytes, faults, notes)
    return Checked(list(faults), files, notes, subjects)


def _check(
    mail: MailSend,
    limits: MessageSettings,
    faults: list[Fault],
    files: list[bytes],
    notes: Notes,
    template: ActiveTemplate | None,
    *,
    is_submitted: bool,
) -> None:
    sizes = Sizes(mail, limits, faults)
    if mail.from_ is None or not has_address(mail.from_):
        faults.append(Fault("A valid from address is required", "from"))
    elif mail.from_.name is not None:
        check_mailbox(mail.from_, "from", faults)
    takes_data = mail.template_id is not None and (template is None or is_dynamic(template))
    check_personalizations(mail, sizes, limits.max_subject_bytes, faults, notes, takes_data=takes_data)
    if mail.reply_to is not None or mail.reply_to_list:
        _check_reply_to(mail.reply_to, mail.reply_to_list, faults)
    if not is_submitted:
        _check_subject(mail, template, limits.max_subject_bytes, faults)
        if mail.template_id is None:
            _check_content(mail.content, faults)
        else:
            _check_template_id(mail, template, faults)
    if mail.attachments:
        files += check_attachments(mail.attachments, faults)
    if mail.headers:
        check_headers(mail.headers, "headers", faults, notes, messages=len(mail.personalizations or ()))
    if mail.categories:
        _check_categories(mail.categories, faults)
    if mail.custom_args:
        check_data(mail.custom_args, "custom_args", faults, longest=LONGEST_CUSTOM_ARGS)
    if mail.lifetime is not None and not 1 <= mail.lifetime <= LONGEST_LIFETIME_S:
        faults.append(Fault(f"The lifetime is 1 to {LONGEST_LIFETIME_S} seconds", "lifetime"))
    if mail.asm is not None:
        _check_groups(mail.asm, faults)
    if mail.sections:
        faults.append(Fault("Sections are not supported: put their texts in substitutions", "sections"))
    if mail.mail_settings is not None:
        _check_mail_settings(mail.mail_settings, faults, notes)
    if mail.tracking_settings is not None:
        _check_tracking(mail.tracking_settings, faults)


def _check_reply_to(one: Mailbox | None, many: Sequence[Mailbox] | None, faults: list[Fault]) -> None:
    if one is not None and many:
        faults.append(Fault("Give reply_to or reply_to_list, not both", "reply_to"))
    if one is not None:
        check_mailbox(one, "reply_to", faults)
    if not many:
        return
    if len(many) > MOST_REPLY_TO:
        faults.append(Fault(f"At most {MOST_REPLY_TO} addresses", "reply_to_list"))
        return
    seen = set()
    for index, mailbox in enumerate(many):
        check_mailbox(mailbox, f"reply_to_list[{index}]", faults)
        spelling = spelled(mailbox.email or "").lower()
        if spelling in seen:
            faults.append(Fault("Each address may be given once", f"reply_to_list[{index}].email"))
        seen.add(spelling)


def _check_subject(mail: MailSend, template: ActiveTemplate | None, most: int, faults: list[Fault]) -> None:
    if mail.subject:
        check_subject(mail.subject, most, "subject", faults)
    elif mail.personalizations and all(p.subject for p in mail.personalizations):
        return
    elif mail.template_id is None:
        faults.append(Fault("The subject is required unless every personalization has one", "subject"))
    elif template is not None and template.use is not None and not has_subject(template):
        message = "The template has no subject: the subject is required unless every personalization has one"
        faults.append(Fault(message, "subject"))


def _check_template_id(mail: MailSend, template: ActiveTemplate | None, faults: list[Fault]) -> None:
    if mail.content:
        faults.append(Fault("Give content or template_id, not both", "template_id"))
    elif template is None:
        faults.append(Fault("The template does not exist", "template_id", help_texts.TEMPLATES))
    elif template.use is None:
        faults.append(Fault("The template has no active version", "template_id", help_texts.ACTIVE_VERSION))


def _check_content(content: Sequence[ContentPart] | None, faults: list[Fault]) -> None:
    if not content:
        faults.append(Fault("Give content, or a template_id", "content"))
        return
    seen: list[str] = []
    for index, part in enumerate(content):
        kind = (part.type or "").strip().lower()
        where = f"content[{index}]"
        if not kind:
            faults.append(Fault("The content type is required", f"{where}.type"))
        elif kind not in CONTENT_TYPES:
            faults.append(Fault(f"The content type must be one of {', '.join(CONTENT_TYPES)}", f"{where}.type"))
        elif kind in seen:
            faults.append(Fault(f"{kind} may be given once", f"{where}.type"))
        elif kind == "text/plain" and index:
            faults.append(Fault("text/plain must come first", f"{where}.type"))
        seen.append(kind)
        if not part.value:
            faults.append(Fault("The content value may not be empty", f"{where}.value"))
        elif "\0" in part.value:
            faults.append(Fault("Text may not contain NUL", f"{where}.value"))


def _check_categories(categories: Sequence[str], faults: list[Fault]) -> None:
    if len(categories) > MOST_CATEGORIES:
        faults.append(Fault(f"At most {MOST_CATEGORIES} categories", "categories"))
        return
    for index, category in enumerate(categories):
        where = f"categories[{index}]"
        if not category:
            faults.append(Fault("A category may not be empty", where))
        elif category in categories[:index]:
            faults.append(Fault("Each category may be given once", where))
        check_text(category, where, faults, longest=LONGEST_CATEGORY)


def _check_groups(asm: Asm, faults: list[Fault]) -> None:
    if asm.group_id is None:
        faults.append(Fault("The unsubscribe group is required", "asm.group_id", help_texts.GROUPS))
    if len(asm.groups_to_display or ()) > MOST_GROUPS_TO_DISPLAY:
        faults.append(Fault(f"At most {MOST_GROUPS_TO_DISPLAY} groups", "asm.groups_to_display"))


def _check_mail_settings(settings: MailSettings, faults: list[Fault], notes: Notes) -> None:
    for name in ("bcc", "spam_check"):
        switch = getattr(settings, name)
        if switch and switch.enable:
            faults.append(Fault("This setting is not supported", f"mail_settings.{name}"))
    others = (
        settings.bypass_spam_management,
        settings.bypass_bounce_management,
        settings.bypass_unsubscribe_management,
    )
    if (
        settings.bypass_list_management
        and settings.bypass_list_management.enable
        and any(other and other.enable for other in others)
    ):
        faults.append(
            Fault("It bypasses all lists and goes with no other bypass", "mail_settings.bypass_list_management")
        )
    if footer := settings.footer:
        _check_settings_texts(msgspec.to_builtins(footer), "mail_settings.footer", faults)
        if footer.enable is None and (footer.text or footer.html):
            notes.ignore("mail_settings.footer")


def _check_tracking(settings: TrackingSettings, faults: list[Fault]) -> None:
    given = msgspec.to_builtins(settings)
    parameters = given.pop("ganalytics", {})
    _check_settings_texts(given, "tracking_settings", faults)
    for name in Analytics.__struct_fields__:
        check_no_control(parameters.get(name) or "", f"tracking_settings.ganalytics.{name}", faults)
    for name in ("open_tracking", "subscription_tracking"):
        tag = given.get(name, {}).get("substitution_tag") or ""
        if len(tag) > LONGEST_TAG or (tag and not tag.strip()):
            message = f"A tag has 1 to {LONGEST_TAG} characters, not only spaces"
            faults.append(Fault(message, f"tracking_settings.{name}.substitution_tag"))


def _check_settings_texts(settings: Mapping[str, Any], where: str, faults: list[Fault]) -> None:
    for name, value in settings.items():
        if isinstance(value, dict):
            _check_settings_texts(value, f"{where}.{name}", faults)
        elif isinstance(value, str) and "\0" in value:
            faults.append(Fault("Text may not contain NUL", f"{where}.{name}"))
