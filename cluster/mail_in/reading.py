"""Reads a message to a bounce address: which kind of report it is, and what it says.

Formats with fields come first (RFC 5965, RFC 3464, RFC 8098), as they say what they are. Prose is read last, by the
phrases of phrases.toml and with flufl.bounce. Nothing here raises for any message, and its time is bounded.
"""

from collections.abc import Sequence

from msgspec import Struct
from msgspec.structs import replace

from cluster.mail_in.addresses import host_of, moment, typed_address
from cluster.mail_in.delivery_status import read_status, reporting_mta, status_parts
from cluster.mail_in.feedback import COMPLAINTS, feedback_fields, feedback_type_of
from cluster.mail_in.parts import MAX_BYTES, RETURNED, Part, field_blocks, read_parts
from cluster.mail_in.phrases import Meaning, Place, said
from cluster.mail_in.prose import is_from_a_mail_system, read_prose, reply_about, text_of
from cluster.mail_in.report import Action, Kind, RecipientReport, Report
from cluster.mail_in.returned import returned_ids

_KINDS = {
    Action.FAILED: Kind.FAILED,
    Action.DELAYED: Kind.DELAYED,
    Action.RELAYED: Kind.RELAYED,
    Action.EXPANDED: Kind.RELAYED,
    Action.DELIVERED: Kind.DELIVERED,
}
"""The kind of a report by its worst action, in this order."""
MAX_IP_CHARS = 45
_DISPOSITION = "message/disposition-notification"
_COMPLAINT_FIELDS = ("x-hmxmroriginalrecipient", "x-spamcop-sourceip")
_AUTOMATIC_FIELDS = ("x-autoreply", "x-autorespond", "x-autoresponder", "x-autoreply-from", "x-vacation")


class _Decided(Struct, frozen=True):
    kind: Kind
    why: tuple[str, ...]
    recipients: tuple[RecipientReport, ...] = ()
    feedback_type: str = ""
    reporting_mta: str = ""
    fields: dict[str, str] = {}


def read_report(message: bytes, max_bytes: int = MAX_BYTES) -> Report:
    """The report in a message as received, header and body. Only the first ``max_bytes`` are read."""
    whole = read_parts(message, max_bytes)
    decided = _decide(whole)
    cut = (f"Only the first {max_bytes} bytes were read.",) if len(message) > max_bytes else ()
    return Report(
        kind=decided.kind,
        recipients=decided.recipients,
        feedback_type=decided.feedback_type,
        reporting_mta=decided.reporting_mta,
        source_ip=decided.fields.get("source-ip", "")[:MAX_IP_CHARS],
        returned_ids=returned_ids(whole, decided.fields),
        reported_at=moment(whole.field("date")),
        why=decided.why + cut,
    )


def _decide(whole: Part) -> _Decided:
    for read in (_feedback, _status, _disposition, _complaint, _answer, _prose, _automatic):
        if (decided := read(whole)) is not None:
            return decided
    return _Decided(
        Kind.NOT_UNDERSTOOD,
        ("It is no feedback (RFC 5965), no delivery status (RFC 3464), no automatic reply, and no known prose.",),
    )


def _feedback(whole: Part) -> _Decided | None:
    fields = feedback_fields(whole)
    if fields is None:
        return None
    feedback_type = feedback_type_of(fields)
    is_complaint = feedback_type in COMPLAINTS
    why = "It is a feedback report (RFC 5965)."
    named = f'Feedback-Type is "{feedback_type}", ' if "feedback-type" in fields else "It has no Feedback-Type, "
    result = "which is a complaint." if is_complaint else "which is no complaint."
    kind = Kind.COMPLAINT if is_complaint else Kind.FEEDBACK
    host = host_of(fields.get("reporting-mta", ""))
    return _Decided(kind, (why, named + result), (), feedback_type, host, fields)


def _status(whole: Part) -> _Decided | None:
    parts = status_parts(whole)
    recipients = tuple(recipient for part in parts for recipient in read_status(part))
    if not recipients:
        return None
    text = text_of(whole)
    addresses = [recipient.final_recipient for recipient in recipients]
    recipients = tuple(_explained(recipient, text, addresses) for recipient in recipients)
    why = [f"The part {parts[0].media_type} has {len(recipients)} recipient(s) (RFC 3464)."]
    why += [_about(recipient) for recipient in recipients[:5]]
    return _Decided(_worst(recipients), tuple(why), recipients, reporting_mta=reporting_mta(parts[0]))


def _explained(recipient: RecipientReport, text: str, addresses: Sequence[str]) -> RecipientReport:
    """With the reason of the text where the fields have none, as of Exchange before 2007."""
    if recipient.diagnostic or recipient.action not in (Action.FAILED, Action.DELAYED):
        return recipient
    reply = reply_about(recipient.final_recipient, text, list(addresses))
    if not reply.code and not reply.status:
        return recipient
    return replace(recipient, diagnostic=reply.text, status=recipient.status or reply.status)


def _about(recipient: RecipientReport) -> str:
    named = f"Final-Recipient {recipient.final_recipient}" if recipient.final_recipient else "No Final-Recipient"
    status = f", Status {recipient.status}" if recipient.status else ""
    said_ = f', the host said "{recipient.diagnostic.splitlines()[0][:200]}"' if recipient.diagnostic else ""
    return f"{named}: Action {recipient.action}{status}{said_}."


def _worst(recipients: Sequence[RecipientReport]) -> Kind:
    actions = {recipient.action for recipient in recipients}
    return next(kind for action, kind in _KINDS.items() if action in actions)


def _disposition(whole: Part) -> _Decided | None:
    """RFC 8098. Dovecot sends one when it refuses a message for good (RFC 5429), which is a failure all the same."""
    part = next((part for part in whole.children if part.media_type == _DISPOSITION), None)
    if part is None:
        return None
    text = text_of(whole)
    refused = said(text, Place.TEXT, Meaning.FAILED)
    if refused is None:
        return _Decided(Kind.AUTO_REPLY, ("It is a disposition notification (RFC 8098), which reports no failure.",))
    fields = {name: value for block in field_blocks(part.text) for name, value in block.items()}
    final = typed_address(fields.get("final-recipient", ""))
    reply = reply_about(final, text, [final])
    recipient = RecipientReport(
        action=Action.FAILED,
        final_recipient=final,
        original_recipient=typed_address(fields.get("original-recipient", "")),
        status=reply.status,
        diagnostic=reply.text,
    )
    why = f'It is a disposition notification (RFC 8098), but its text says "{refused.phrase}": failed.'
    return _Decided(Kind.FAILED, (why, _about(recipient)), (recipient,))


def _complaint(whole: Part) -> _Decided | None:
    """Complaints without RFC 5965: by the fields that Microsoft and SpamCop add, and by their words."""
    returned = [part for part in whole.walk() if part is whole or not part.media_type.startswith("multipart/")]
    for part in returned:
        for name in _COMPLAINT_FIELDS:
            if part.header.get(name) is not None:
                return _Decided(Kind.COMPLAINT, (f"A header has the field {name} of complaints.",), (), "abuse")
    found = said(whole.field("subject"), Place.SUBJECT, Meaning.COMPLAINT) or said(
        text_of(whole), Place.TEXT, Meaning.COMPLAINT
    )
    if found is None or not (any(part.media_type in RETURNED for part in whole.walk()) or "@" in whole.body):
        return None
    why = f'The {found.rule.where} says "{found.phrase}" (rule {found.rule.name}): a complaint.'
    return _Decided(Kind.COMPLAINT, (why,), (), "abuse")


def _answer(whole: Part) -> _Decided | None:
    """Automatic replies that say so in words that no mail system uses."""
    if whole.field("x-failed-recipients"):
        return None
    found = said(whole.field("subject"), Place.SUBJECT, Meaning.AUTO_REPLY, Meaning.CHALLENGE)
    if found is None and not is_from_a_mail_system(whole):
        found = said(text_of(whole), Place.TEXT, Meaning.CHALLENGE, Meaning.AUTO_REPLY)
    if found is None:
        return None
    is_challenge = found.rule.meaning is Meaning.CHALLENGE
    what = "a request to confirm the sender" if is_challenge else "an automatic reply"
    why = f'The {found.rule.where} says "{found.phrase}" (rule {found.rule.name}): {what}, which reports no failure.'
    return _Decided(Kind.AUTO_REPLY, (why,))


def _prose(whole: Part) -> _Decided | None:
    if not is_from_a_mail_system(whole) and (automatic := _automatic(whole)) is not None and not _is_strong(whole):
        return automatic
    found = read_prose(whole)
    if found is None:
        return None
    return _Decided(_worst(found.recipients), ("It has no fields of RFC 3464.", *found.why), found.recipients)


def _is_strong(whole: Part) -> bool:
    """Whether the subject says that a message failed or waits, which no person's automatic reply does."""
    return said(whole.field("subject"), Place.SUBJECT, Meaning.FAILED, Meaning.DELAYED) is not None


def _automatic(whole: Part) -> _Decided | None:
    """RFC 3834, and the fields of before it. Mail systems mark their reports with some of them as well."""
    value = whole.field("auto-submitted").partition(";")[0].strip().lower()
    if value.startswith("auto-replied"):
        return _Decided(Kind.AUTO_REPLY, ("Auto-Submitted is auto-replied (RFC 3834), which reports no failure.",))
    if whole.field("precedence").lower() in ("auto_reply", "auto-reply"):
        return _Decided(Kind.AUTO_REPLY, ("Precedence is auto_reply, which reports no failure.",))
    for name in _AUTOMATIC_FIELDS:
        if whole.header.get(name) is not None:
            return _Decided(Kind.AUTO_REPLY, (f"It has the field {name} of automatic replies.",))
    return None
