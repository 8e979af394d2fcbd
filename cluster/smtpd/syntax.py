"""The grammar of SMTP commands: lines into paths, parameters and sizes. Pure.

RFC 5321 §4.1.2 (paths), RFC 1870 (SIZE), RFC 6152 (8BITMIME), RFC 6531 (SMTPUTF8), RFC 3030 (BDAT),
RFC 3461 (DSN), RFC 4954 (AUTH).
Strict where a lenient peer would hide a client's error: no space after the colon, no bare LF, no unknown parameter.
"""

import re

from msgspec import Struct

from cluster.message import xtext
from cluster.smtpd.envelope import Extension, RecipientDsn, ServerReply

_PATH = re.compile(
    r"""<(?:@[^:<>\s]+:)?                          # a source route is ignored, as RFC 5321 §3.6.1 allows
        (?P<address>(?:"(?:\\.|[^"\\])*+"|[^\s<>"]++)*+)>
        (?P<parameters>(?:[ ]++[A-Za-z0-9][A-Za-z0-9-]*+(?:=[^\s=]++)?+)*+)[ ]*""",
    re.VERBOSE,
)
_MAX_PATH = 256  # RFC 5321 §4.5.3.1.3
_MAX_DIGITS = 20  # RFC 1870 §3: a size has at most 20 digits

NO_SYNTAX = ServerReply(501, "5.5.4 syntax error in the arguments")
UNKNOWN_PARAMETER = ServerReply(555, "5.5.4 parameter not recognized or not offered")
TOO_BIG = ServerReply(552, "5.3.4 the message is larger than this server takes (RFC 1870)")
NEEDS_SMTPUTF8 = ServerReply(553, "5.6.7 the address needs SMTPUTF8 (RFC 6531)")


_LONGEST_ENVID = 100
_LONGEST_ORCPT = 500
_NOTIFY = re.compile(r"NEVER|(?:SUCCESS|FAILURE|DELAY)(?:,(?:SUCCESS|FAILURE|DELAY)){0,2}")


class MailCommand(Struct, frozen=True):
    address: str
    body: str
    smtputf8: bool
    envelope_id: str = ""
    """ENVID, decoded."""


class RcptCommand(Struct, frozen=True):
    address: str
    dsn: RecipientDsn | None = None
    """None: it has neither NOTIFY=NEVER nor ORCPT."""


class Chunk(Struct, frozen=True):
    size: int
    last: bool


def mail(argument: str, offered: frozenset[Extension], max_message_bytes: int) -> MailCommand | ServerReply:
    """The arguments of MAIL; a ServerReply describes an error in them."""
    split = _path(argument, "FROM:")
    if split is None:
        return NO_SYNTAX
    address, parameters = split
    body, smtputf8, envelope_id = "7BIT", False, ""
    for parameter in parameters:
        name, _, value = parameter.partition("=")
        name, said, value = name.upper(), value, value.upper()
        if name == "SIZE" and Extension.SIZE in offered:
            if not _is_number(value):
                return NO_SYNTAX
            if int(value) > max_message_bytes:
                return TOO_BIG
        elif name == "BODY" and value in ("7BIT", "8BITMIME") and Extension.EIGHTBITMIME in offered:
            body = value
        elif name == "SMTPUTF8" and not value and Extension.SMTPUTF8 in offered:
            smtputf8 = True
        elif name == "AUTH" and said and Extension.AUTH in offered:
            pass  # whom the message is from, if the client is a relay (RFC 4954 §5): the login says it
        elif name == "RET" and value in ("FULL", "HDRS") and Extension.DSN in offered:
            pass
        elif name == "ENVID" and Extension.DSN in offered:
            if not said or len(said) > _LONGEST_ENVID or not xtext.is_xtext(said):
                return NO_SYNTAX
            envelope_id = xtext.decoded(said)
        else:
            return UNKNOWN_PARAMETER
    if not address.isascii() and not smtputf8:
        return NEEDS_SMTPUTF8
    if address and not _is_mailbox(address):
        return ServerReply(553, "5.1.7 the sender's address is malformed")
    return MailCommand(address, body, smtputf8, envelope_id)


def rcpt(argument: str, smtputf8: bool, offered: frozenset[Extension]) -> RcptCommand | ServerReply:
    """The arguments of RCPT; a ServerReply describes an error in them."""
    split = _path(argument, "TO:")
    if split is None:
        return NO_SYNTAX
    address, parameters = split
    never, original = False, ""
    for parameter in parameters:
        name, _, value = parameter.partition("=")
        if Extension.DSN not in offered or name.upper() not in ("NOTIFY", "ORCPT"):
            return UNKNOWN_PARAMETER
        if name.upper() == "NOTIFY":
            if not _is_notify(value):
                return NO_SYNTAX
            never = value.upper() == "NEVER"
        elif not _is_original(value):
            return NO_SYNTAX
        else:
            original = value
    if not address.isascii() and not smtputf8:
        return NEEDS_SMTPUTF8
    if not _is_mailbox(address) and address.lower() != "postmaster":  # RFC 5321 §4.5.1
        return ServerReply(553, "5.1.3 the recipient's address is malformed")
    return RcptCommand(address, RecipientDsn(address, never, original) if never or original else None)


def bdat(argument: str) -> Chunk | None:
    """The arguments of BDAT (RFC 3030 §2); None when they are malformed."""
    size, _, last = argument.strip(" ").partition(" ")
    if not _is_number(size) or last.upper() not in ("", "LAST"):
        return None
    return Chunk(int(size), bool(last))


def _path(argument: str, keyword: str) -> tuple[str, list[str]] | None:
    if argument[: len(keyword)].upper() != keyword:
        return None
    match = _PATH.fullmatch(argument, len(keyword))
    if match is None or len(match["address"]) > _MAX_PATH:
        return None
    return match["address"], match["parameters"].split()


def _is_mailbox(address: str) -> bool:
    local, at, domain = address.rpartition("@")
    return bool(local and at and domain)


def _is_notify(value: str) -> bool:
    return _NOTIFY.fullmatch(value.upper()) is not None


def _is_original(value: str) -> bool:
    kind, semicolon, address = value.partition(";")
    is_typed = bool(semicolon) and kind.replace("-", "").isalnum()
    return is_typed and len(value) <= _LONGEST_ORCPT and (xtext.is_xtext(address) or "utf-8" in kind.lower())


def _is_number(text: str) -> bool:
    return text.isascii() and text.isdecimal() and len(text) <= _MAX_DIGITS
