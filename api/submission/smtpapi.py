"""X-SMTPAPI, SendGrid's settings in a header field: JSON, whose names are those of its older API. Pure.

It becomes what a body of POST /v3/mail/send would say, so that the checks there judge it. What has no place there is a
fault.
"""

from collections.abc import Callable, Mapping, Sequence
from typing import Any

import msgspec
from msgspec import Struct

from api.http.refusals import Fault
from api.send.request import (
    Asm,
    ClickTracking,
    GoogleAnalytics,
    Mailbox,
    MailSend,
    MailSettings,
    OpenTracking,
    Personalization,
    SubscriptionTracking,
    Switch,
    TrackingSettings,
)
from cluster.message.custom_fields import mailboxes
from cluster.message.header_fields import NotComposable
from cluster.message.submitted.filling import decoded

LONGEST = 1024 * 1024
MOST_RECIPIENTS = 1000
_LONGEST_VALUE = 1024 * 1024
"""Characters of all values of a recipient, with sections in them."""


_SWITCHES = (
    "bypass_list_management",
    "bypass_spam_management",
    "bypass_bounce_management",
    "bypass_unsubscribe_management",
    "sandbox_mode",
)
"""Filters that are switches of ``mail_settings`` with the same name."""


class Filter(Struct, forbid_unknown_fields=True):
    settings: dict[str, Any] = {}


class SmtpApi(Struct, kw_only=True, forbid_unknown_fields=True):
    """The fields of X-SMTPAPI."""

    to: list[str] | None = None
    sub: dict[str, list[str]] | None = None
    section: dict[str, str] | None = None
    category: str | list[str] | None = None
    unique_args: dict[str, Any] | None = None
    filters: dict[str, Filter] | None = None
    send_at: int | None = None
    send_each_at: list[int] | None = None
    batch_id: str | None = None
    asm_group_id: int | None = None
    asm_groups_to_display: list[int] | None = None
    ip_pool: str | None = None


_decode = msgspec.json.Decoder(SmtpApi).decode


class BadSmtpApi(Exception):
    """The field cannot be read; the reason in words."""


def read_smtpapi(text: str) -> SmtpApi:
    """The settings in the text of a field, unfolded. Raises BadSmtpApi."""
    if len(text) > LONGEST:
        raise BadSmtpApi(f"it has {len(text)} characters, more than {LONGEST}")
    try:
        return _decode(_without_encoded_words(text).encode())
    except (msgspec.DecodeError, msgspec.ValidationError, UnicodeEncodeError, RecursionError) as error:
        raise BadSmtpApi(str(error)) from error


def _without_encoded_words(text: str) -> str:
    """The text; where it is no JSON, with its encoded words (RFC 2047) decoded. Libraries that take the field for free
    text write them: nodemailer for all of it, Python's ``email`` for words that are too long for a line."""
    if "=?" not in text:
        return text
    try:
        msgspec.json.decode(text.encode())
    except (msgspec.DecodeError, UnicodeEncodeError, RecursionError):
        return decoded(text) or text
    return text


def apply_smtpapi(said: SmtpApi, mail: MailSend) -> list[Fault]:
    """Put the settings into a request, whose one personalization has the recipients of the envelope. Returns faults."""
    faults: list[Fault] = []
    if said.to is not None:
        # With faults alone, those of the envelope stay: that there is none would be a second message on the same fault.
        mail.personalizations = list(_personalizations(said, faults)) or mail.personalizations
    elif said.sub or said.send_each_at:
        faults.append(Fault("sub and send_each_at have a value for each entry of to, which is missing", "to"))
    mail.categories = [said.category] if isinstance(said.category, str) else said.category
    mail.custom_args = said.unique_args
    mail.send_at = said.send_at
    mail.batch_id = said.batch_id
    mail.ip_pool_name = said.ip_pool
    if said.asm_group_id is not None or said.asm_groups_to_display is not None:
        mail.asm = Asm(group_id=said.asm_group_id, groups_to_display=said.asm_groups_to_display)
    if said.filters:
        mail.tracking_settings, mail.mail_settings = TrackingSettings(), MailSettings()
        for name, one in said.filters.items():
            _filter(name, one.settings, mail, faults)
    return faults


def _personalizations(said: SmtpApi, faults: list[Fault]) -> Sequence[Personalization]:
    """One message for each entry of ``to``."""
    to, sub, times = said.to or [], said.sub or {}, said.send_each_at
    if not 0 < len(to) <= MOST_RECIPIENTS:
        faults.append(Fault(f"1 to {MOST_RECIPIENTS} addresses", "to"))
        return ()
    for name, values in sub.items():
        if len(values) != len(to):
            faults.append(Fault(f"{len(values)} values for {len(to)} entries of to", f"sub.{name}"))
    if times is not None and len(times) != len(to):
        faults.append(Fault(f"{len(times)} times for {len(to)} entries of to", "send_each_at"))
    if faults:
        return ()
    expand = _sections(said.section or {})
    found = []
    for index, text in enumerate(to):
        try:
            (address,) = mailboxes("to", text)
        except (NotComposable, ValueError):
            faults.append(Fault("This is not one address", f"to[{index}]"))
            continue
        own = {name: expand(given[index]) for name, given in sub.items()}
        if sum([len(value) for value in own.values()]) > _LONGEST_VALUE:
            faults.append(Fault(f"Its values have more than {_LONGEST_VALUE} characters", f"to[{index}]"))
            continue
        found.append(
            Personalization(
                to=[Mailbox(email=address.email, name=address.name)],
                substitutions=own or None,
                send_at=times[index] if times is not None else None,
            )
        )
    return found


def _sections(sections: Mapping[str, str]) -> Callable[[str], str]:
    """What puts the texts of sections in the place of their names. A section is not looked for in another."""

    def expand(value: str) -> str:
        for name, text in sections.items():
            if name and name in value:
                if len(value) + value.count(name) * len(text) > _LONGEST_VALUE:
                    return value + " " * _LONGEST_VALUE  # too long in any case, which the caller finds
                value = value.replace(name, text)
        return value

    return expand


def _filter(name: str, given: Mapping[str, Any], mail: MailSend, faults: list[Fault]) -> None:
    """A filter is what is a setting elsewhere."""
    tracking, settings = mail.tracking_settings, mail.mail_settings
    assert tracking is not None and settings is not None
    is_on = str(given.get("enable", given.get("enabled", "1"))).lower() in ("1", "true")

    def text(key: str) -> str | None:
        value = given.get(key)
        return None if value is None else str(value)

    match name:
        case "clicktrack":
            tracking.click_tracking = ClickTracking(enable=is_on, enable_text=_switch(given.get("enable_text")))
        case "opentrack":
            tracking.open_tracking = OpenTracking(enable=is_on, substitution_tag=text("replace"))
        case "subscriptiontrack":
            tracking.subscription_tracking = SubscriptionTracking(
                enable=is_on, text=text("text/plain"), html=text("text/html"), substitution_tag=text("replace")
            )
        case "ganalytics":
            tracking.ganalytics = GoogleAnalytics(
                enable=is_on, **{key: text(key) for key in GoogleAnalytics.__struct_fields__ if key != "enable"}
            )
        case _ if name in _SWITCHES:
            setattr(settings, name, Switch(enable=is_on))
        case "dkim" | "domainkeys":
            pass  # mail is signed in any case
        case "footer" | "spamcheck" | "bcc" | "gravatar" | "template" | "templates" | "forwardspam":
            if is_on:
                faults.append(Fault("This filter is not supported for mail over SMTP", f"filters.{name}"))
        case _:
            faults.append(Fault("There is no such filter", f"filters.{name[:60]}"))


def _switch(value: Any) -> bool | None:
    return None if value is None else str(value).lower() in ("1", "true")
