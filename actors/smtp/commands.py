"""The envelope of one SMTP transaction, and the bytes of its commands and body.

Pure. This module makes commands safe (no address can end a command or add parameters), adds the parameters of
extensions (SIZE: RFC 1870, DSN: RFC 3461, 8BITMIME: RFC 6152, SMTPUTF8: RFC 6531) and does the dot-stuffing. ``client``
decides the order and the grouping of the commands.
"""

import re
from collections.abc import Iterator, Mapping, Sequence
from enum import StrEnum

from msgspec import Struct
from msgspec.structs import replace

from cluster.message import xtext
from cluster.message.line_ends import PIECE, are_all_crlf

_CONTROL = r"\x00-\x1f\x7f"
_ADDRESS = re.compile(
    rf'(?:[^{_CONTROL} <>"\\]+|"(?:[^{_CONTROL}"\\]|\\[^{_CONTROL}])*"@[^{_CONTROL} <>"\\]+)',
)

_SIZE = re.compile(r"[0-9]{1,20}")


class Envelope(Struct, frozen=True):
    mail_from: str
    """"" is the null reverse-path of notifications (RFC 5321 §4.5.5)."""
    recipients: tuple[str, ...]
    smtputf8: bool = False
    """Whether the header needs SMTPUTF8. Addresses that need it are detected separately."""
    envelope_id: str = ""
    """The message's id in delivery status notifications (RFC 3461 §4.4); "" requests none."""
    original_recipients: tuple[str, ...] = ()
    """ORCPT for each recipient, in ASCII: a type, ``;`` and xtext (RFC 3461 §4.2). Empty, or "" for one: it names the
    recipient itself."""

    def part(self, numbers: Sequence[int]) -> "Envelope":
        """The envelope for the recipients with these indices only."""
        originals = self.original_recipients
        return replace(
            self,
            recipients=tuple([self.recipients[number] for number in numbers]),
            original_recipients=tuple([originals[number] for number in numbers]) if originals else (),
        )


class Unsendable(StrEnum):
    """Why this message cannot be sent to this host, although both are correct."""

    SMTPUTF8_NOT_OFFERED = "smtputf8_not_offered"
    """The message needs SMTPUTF8 (RFC 6531), which the host does not offer."""

    @property
    def reason(self) -> str:
        """The reason in words, with its enhanced status code (RFC 6531 §3.7.4.2)."""
        return _REASONS[self]


_REASONS = {
    Unsendable.SMTPUTF8_NOT_OFFERED: (
        "5.6.7 An address of the message has characters other than ASCII before its @, or its header some that cannot "
        "be encoded, and the mail exchanger does not offer SMTPUTF8, which such mail needs"
    ),
}


def transaction_commands(envelope: Envelope, data: bytes, capabilities: Mapping[str, str]) -> list[bytes] | Unsendable:
    """MAIL, then a RCPT for each recipient, for a host with these capabilities. Raises ValueError for an envelope
    without recipients, or with an address that cannot be written safely."""
    if not envelope.recipients:
        raise ValueError("an envelope without recipients")
    mail = b"MAIL FROM:<%b>" % (_path(envelope.mail_from) if envelope.mail_from else b"")
    notify = "DSN" in capabilities and bool(envelope.envelope_id)
    originals = envelope.original_recipients or ("",) * len(envelope.recipients)
    rcpts = [
        b"RCPT TO:<%b>%b\r\n" % (_path(recipient), _notification_of(recipient, original) if notify else b"")
        for recipient, original in zip(envelope.recipients, originals, strict=True)
    ]
    if "SIZE" in capabilities:
        mail += b" SIZE=%d" % len(data)
    if notify:
        # The header identifies the message, so its body need not be returned.
        mail += b" RET=HDRS ENVID=%b" % xtext.encoded(envelope.envelope_id)
    # Without 8BITMIME, eight-bit data is sent as it is: hosts relay it in practice, and encoding it here would break
    # its DKIM signature.
    if "8BITMIME" in capabilities and not data.isascii():
        mail += b" BODY=8BITMIME"
    if needs_smtputf8(envelope):
        if "SMTPUTF8" not in capabilities:
            return Unsendable.SMTPUTF8_NOT_OFFERED
        mail += b" SMTPUTF8"
    return [mail + b"\r\n", *rcpts]


def is_too_large(data: bytes, capabilities: Mapping[str, str]) -> bool:
    """Whether the data exceeds the size that the host has announced (RFC 1870). The host then decides by its reply to
    MAIL, before the body is sent. A malformed limit is ignored; RFC 1870 §3 allows 20 digits at most."""
    limit = capabilities.get("SIZE", "")
    return _SIZE.fullmatch(limit) is not None and 0 < int(limit) < len(data)


def check_lines(data: bytes) -> None:
    """Raises ValueError unless every line ends in CRLF."""
    if not (data.endswith(b"\r\n") and are_all_crlf(data)):
        raise ValueError("every line of a message must end in CRLF")


def dot_stuffed(data: bytes) -> bytes:
    """The data with dot-stuffing (RFC 5321 §4.5.2). It is copied only when a line begins with a dot."""
    if b"\r\n." not in data:
        return b"." + data if data.startswith(b".") else data
    stuffed = []
    for lines in _whole_lines(data):
        stuffed.append(b"." if lines.startswith(b".") else b"")
        stuffed.append(lines.replace(b"\r\n.", b"\r\n.."))
    return b"".join(stuffed)


def _whole_lines(data: bytes) -> Iterator[bytes]:
    """A message in pieces of whole lines: one call for a large message would hold the interpreter lock for too long."""
    begin = 0
    while len(data) - begin > PIECE:
        end = data.find(b"\r\n", begin + PIECE) + 2
        if end < 2:
            break
        yield data[begin:end]
        begin = end
    if begin < len(data) or not data:
        yield data[begin:] if begin else data


def _path(address: str) -> bytes:
    """An address that cannot end its command or add parameters to it. Raises ValueError."""
    if _ADDRESS.fullmatch(address) is None:
        raise ValueError(f"{address!r} cannot be written in a command")
    return address.encode()


def _notification_of(recipient: str, original: str) -> bytes:
    """The parameters that request notifications of failures, but not of delays. ORCPT returns the original address, so
    that a notification can be assigned after forwarding (RFC 3461 §4.1, §4.2)."""
    if original:
        return b" NOTIFY=FAILURE ORCPT=%b" % original.encode()
    if not recipient.isascii():  # it would need the form of RFC 6533 §3, which hosts parse differently
        return b" NOTIFY=FAILURE"
    return b" NOTIFY=FAILURE ORCPT=rfc822;%b" % xtext.encoded(recipient)


def needs_smtputf8(envelope: Envelope) -> bool:
    return (
        envelope.smtputf8
        or not envelope.mail_from.isascii()
        or not all(recipient.isascii() for recipient in envelope.recipients)
    )
