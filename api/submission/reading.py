"""From an envelope and a message to a draft of a request. Pure.

The message stays as it came but for fields that are not for its readers: Bcc, X-SMTPAPI and Return-Path. Its From, and
Sender, name who it is from; their domains are checked like those of a request.
"""

from collections.abc import Sequence
from functools import lru_cache

from api.http.refusals import Fault, Invalid
from api.send.drafts import Draft
from api.send.notes import Notes
from api.send.request import Mailbox, MailSend, Personalization
from api.submission.smtpapi import BadSmtpApi, apply_smtpapi, read_smtpapi
from cluster.journal.records import Address
from cluster.message.address_list import AddressList, NotAddresses, read_address_list
from cluster.message.dsn import Dsn
from cluster.message.submitted.filling import decoded
from cluster.message.submitted.header import Header, header_at, without_fields
from cluster.smtpd.envelope import ReceivedMessage
from cluster.suppression.address import compared

HIDDEN = (b"bcc", b"resent-bcc", b"x-smtpapi", b"return-path")
"""Fields that recipients do not get."""
MOST_RECEIVED = 100
"""RFC 5321 §6.3: a message with more has gone in a circle."""
LONGEST_KNOWN = 200
"""Characters of an address field whose addresses are remembered."""
_ONCE = (
    b"from",
    b"sender",
    b"reply-to",
    b"to",
    b"cc",
    b"message-id",
    b"in-reply-to",
    b"references",
    b"subject",
    b"date",
)
"""RFC 5322 §3.6. Programs differ in which of two they read, so a message with two can say two things."""


def read_submission(recipients: Sequence[str], message: bytes, notes: Notes) -> Draft:
    """The draft of a submitted message. ``notes`` gets the senders beside From, whose domains are checked too. Raises
    Invalid for a header that cannot be read."""
    header = header_at(message)
    _require_sound(message, header)
    authors = _addresses(message, header, b"from")
    if not authors:
        raise _invalid("The message needs a From field", "from")
    notes.senders += [(one.email, "from") for one in authors[1:]]
    notes.senders += [(one.email, "sender") for one in _addresses(message, header, b"sender")]
    subject = header.first(b"subject")
    mail = MailSend(
        from_=Mailbox(email=authors[0].email, name=authors[0].name),
        subject=(decoded(subject.text(message)) or "") if subject is not None else "",
        personalizations=[Personalization(to=[Mailbox(email=one) for one in dict.fromkeys(recipients)])],
    )
    reply_to = _addresses(message, header, b"reply-to")
    if reply_to:
        mail.reply_to_list = [Mailbox(email=one.email, name=one.name) for one in reply_to]
    faults: list[Fault] = []
    readdressed = False
    fields = [field for field in header.fields if field.name == b"x-smtpapi"]
    if fields:
        if len(fields) > 1:
            raise _invalid("The message has this field more than once", "x-smtpapi")
        try:
            said = read_smtpapi(fields[0].text(message))
        except BadSmtpApi as error:
            raise _invalid(f"X-SMTPAPI cannot be read: {error}", "x-smtpapi") from error
        faults = apply_smtpapi(said, mail)
        readdressed = said.to is not None
    original = without_fields(message, HIDDEN, header)
    return Draft(mail=mail, faults=faults, original=original, readdressed=readdressed)


def read_dsn(mail: ReceivedMessage) -> Dsn | None:
    """What the envelope asks of delivery status notifications; None: nothing. Values outside ASCII are left out, since
    they cannot be passed on to hosts."""
    envelope_id = mail.envelope_id if _is_plain(mail.envelope_id) else ""
    originals = {compared(one.recipient): one.original for one in mail.dsn if one.original and _is_plain(one.original)}
    never = tuple([compared(one.recipient) for one in mail.dsn if one.never])
    if not (envelope_id or originals or never):
        return None
    return Dsn(envelope_id=envelope_id, original_recipients=originals, never=never)


def _is_plain(text: str) -> bool:
    return text.isascii() and text.isprintable()


def _require_sound(message: bytes, header: Header) -> None:
    """Raises Invalid for a header that programs could read in different ways."""
    if header.is_odd:
        raise _invalid("A line of the header is no field (RFC 5322 section 2.2)", None)
    try:
        lines = message[: header.end].decode()
    except UnicodeDecodeError:
        raise _invalid("The header is neither ASCII nor UTF-8 (RFC 6532)", None) from None
    if "\0" in lines:
        raise _invalid("The header has a NUL", None)
    names = [field.name for field in header.fields]
    if len(set(names)) == len(names):
        return
    for name in _ONCE:
        if names.count(name) > 1:
            raise _invalid("The message has this field more than once", name.decode())
    if names.count(b"received") > MOST_RECEIVED:
        raise _invalid(f"The message has more than {MOST_RECEIVED} Received fields: it goes in a circle", "received")


def _addresses(message: bytes, header: Header, name: bytes) -> Sequence[Address]:
    field = header.first(name)
    if field is None:
        return ()
    text = field.text(message)
    try:
        found = _known_list(text) if len(text) <= LONGEST_KNOWN else _address_list(text)
    except NotAddresses:
        raise _invalid("This is not a list of addresses", name.decode()) from None
    if found.has_groups and name != b"reply-to":
        raise _invalid("A group is allowed in Reply-To only (RFC 5322 section 3.6.2)", name.decode())
    if not (found.mailboxes or found.has_groups):
        raise _invalid("This field has no address", name.decode())
    return found.mailboxes


def _address_list(text: str) -> AddressList:
    """The addresses in the text of a field, with their names decoded. Raises NotAddresses."""
    found = read_address_list(text)
    mailboxes = tuple([Address(one.email, one.name and decoded(one.name)) for one in found.mailboxes])
    return AddressList(mailboxes, found.has_groups)


_known_list = lru_cache(maxsize=512)(_address_list)
"""A program sends most of its messages from the same few senders."""


def _invalid(text: str, field: str | None) -> Invalid:
    return Invalid([Fault(text, field)])
