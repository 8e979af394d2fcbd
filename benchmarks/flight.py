"""The usual transaction as it reaches the sink: MAIL, RCPT and BDAT LAST with the message, all in one read. Pure.

It knows only the part of the grammar that senders use almost always, so that one match replaces parsing command by
command. Other input is simply not a flight; it is not an error.
"""

import re

from msgspec import Struct

_DOMAIN = rb"[\w.-]{1,190}"
# Everything that matches is accepted and needs no special handling: addresses and sizes are far below every limit, and
# a recipient without a dot before its @ has no fate (see ``sink.py``).
_NOTIFICATION = rb"(?: NOTIFY=FAILURE(?: ORCPT=rfc822;(?:[\w.@-]|\+[0-9A-F]{2}){1,255})?)?"
_FLIGHT = re.compile(
    rb"MAIL FROM:<(?:[\w.+=-]{1,64}@%b)?>(?: SIZE=\d{1,7})?(?: RET=HDRS ENVID=[\w.-]{1,100})?(?: BODY=8BITMIME)?\r\n"
    rb"((?:RCPT TO:<[\w+=-]{1,64}@%b>%b\r\n){1,100})"
    rb"BDAT (\d{1,7}) LAST\r\n" % (_DOMAIN, _DOMAIN, _NOTIFICATION)
)
_RECIPIENT = re.compile(r"RCPT TO:<([^>]+)>")
# The line of Message-ID, or the blank line that ends the header.
_MESSAGE_ID = re.compile(rb"\n(?:\r|Message-ID:\s*<([^@>]+))", re.IGNORECASE)


class Flight(Struct, frozen=True):
    """A complete transaction."""

    recipients: tuple[str, ...]
    content_at: int
    """The start of the message; it ends where the octets end."""


def flight(octets: bytes) -> Flight | None:
    """The transaction, if the octets are exactly one of the usual kind; otherwise None."""
    match = _FLIGHT.match(octets)
    if match is None or match.end() + int(match[2]) != len(octets):
        return None
    return Flight(tuple(_RECIPIENT.findall(match[1].decode("ascii"))), match.end())


def message_id(octets: bytes, content_at: int) -> str:
    """The local part of the Message-ID of a message that begins at ``content_at``, after a line end; "" if it has
    none."""
    found = _MESSAGE_ID.search(octets, content_at - 1)
    return found[1].decode("ascii", "replace") if found and found[1] else ""
