"""Header fields on the wire: encoded words, mailboxes, folding, dates.

Every function returns the value of a field as it is sent: folded with CRLF and a space, without the last CRLF. Lines
have at most 76 characters where the text allows it (RFC 2047 §2, within RFC 5322's 78), and never more than 998. Line
ends in the input never reach the output. Which fields a message has is decided in actors/compose/mime.py. Composing
and acceptance both use this module, so that accepted fields can be composed.

RFC 5322 (header fields), RFC 2047 (encoded words), RFC 6531/6532 (non-ASCII addresses), RFC 5891 (A-labels).
"""

import re
from binascii import b2a_base64
from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from datetime import UTC, datetime
from functools import lru_cache

from cluster.journal.records import Address
from cluster.message.substitution import CutText, Keys
from cluster.message.transfer_encoding import LINE, LINE_LIMIT
from cluster.policy.routes.domains import a_labels, u_labels

_WORD_ROOM = 63
"""RFC 2047 §2: an encoded word has 75 characters; ``=?utf-8?b?`` and ``?=`` take twelve of them."""
_LEAST_ROOM = 16
"""When the first line has less room than this, it exceeds 76 instead of holding a tiny encoded word."""

_LINE_ENDS = re.compile(r"[\r\n\0]+")
_PRINTABLE = re.compile(r"[\t\x20-\x7e]*")
_CHUNK = re.compile(r"[ \t]*[^ \t]+")
_ATOMS = re.compile(r"[A-Za-z0-9!#$%&'*+/=?^_`{|}~-]+(?: [A-Za-z0-9!#$%&'*+/=?^_`{|}~-]+)*")
_QUOTABLE = re.compile(r"[\x20-\x7e]*")
_LONGEST_PLAIN_NAME = 60
"""A longer display name is written as encoded words, which can be folded anywhere; a quoted string cannot."""

_LONGEST_ADDRESS = 640
"""Characters. More than RFC 5321 §4.5.3.1 allows, since older messages are in the queue, and few enough for a line."""
_ASCII_ADDRESS = re.compile(r"[A-Za-z0-9.!#$%&'*+/=?^_`{|}~-]{1,384}@[A-Za-z0-9._-]{1,255}")
_LOCAL_PART = re.compile(r'[^\x00-\x20\x7f()<>\[\]:;@\\,"]+|"(?:[^\x00-\x1f\x7f"\\]|\\[\x20-\x7e])*"')
_DOMAIN_LITERAL = re.compile(r"\[[A-Za-z0-9:.]+\]")
_DOMAIN = re.compile(r"[a-z0-9_-]+(?:\.[a-z0-9_-]+)*")
"""Wider than acceptance allows today: older messages are in the queue."""
_MESSAGE_ID = re.compile(r"<[!-;=?-~]+@[!-;=?-~]+>")

_Q_SAFE = frozenset(b"ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz0123456789!*+-/")
"""RFC 2047 §5 (3): the characters that are allowed unencoded in encoded words of every position."""
_Q = ["_" if byte == 0x20 else chr(byte) if byte in _Q_SAFE else f"={byte:02X}" for byte in range(256)]

_DAYS = ("Mon", "Tue", "Wed", "Thu", "Fri", "Sat", "Sun")
_MONTHS = ("Jan", "Feb", "Mar", "Apr", "May", "Jun", "Jul", "Aug", "Sep", "Oct", "Nov", "Dec")


class NotComposable(ValueError):
    """No message can be composed of the input. ``reason`` is shown to the sender of the message."""

    def __init__(self, reason: str) -> None:
        super().__init__(reason)
        self.reason = reason


def one_line(text: str) -> str:
    """``text`` with a space for each run of line ends and NULs, which substituted values may contain."""
    return text if text.isprintable() else _LINE_ENDS.sub(" ", text)


def refuse_line_ends(text: str, what: str) -> str:
    """Returns ``text``. Raises NotComposable when it contains CR, LF or NUL, which could begin another field."""
    if _LINE_ENDS.search(text):
        raise NotComposable(f"{what} contains a line break or a NUL")
    return text


def subject(text: str) -> bytes:
    """The value of Subject. Text that looks like an encoded word is encoded, so that it is displayed as written."""
    text = one_line(text).strip(" \t")
    if _PRINTABLE.fullmatch(text) and "=?" not in text:
        if len(text) <= LINE - 9:
            return text.encode()
        chunks = _CHUNK.findall(text)
        if max(map(len, chunks)) < LINE_LIMIT - 9:
            return fold(9, chunks).encode()
    return "\r\n ".join(encoded_words(text, 9)).encode()


def addresses(name: str, mailboxes: Sequence[Address], *, downgrade: bool = False) -> tuple[bytes, bool]:
    """The value of an address list field, and whether an address in it needs SMTPUTF8.

    ``downgrade``: write such an address as the name of an empty group (RFC 6857 §3.1.5), which does not need SMTPUTF8:
    it can be read, but not replied to.
    """
    column = len(name) + 2
    chunks: list[str] = []
    smtputf8 = False
    for mailbox in mailboxes:
        spec, international = address(mailbox.email)
        if international and downgrade:
            shown = f"{one_line(mailbox.name or '')} {spec}".strip(" \t")
            words, spec = encoded_words(shown, 1 if chunks else column), ":;"
        else:
            smtputf8 = smtputf8 or international
            words = phrase(mailbox.name, 1 if chunks else column) if mailbox.name else []
            if words:
                spec = f"<{spec}>"
        if chunks:
            chunks[-1] += ","
        for word in (*words, spec):
            chunks.append(f" {word}" if chunks else word)
    value = "".join(chunks)
    if column + len(value) > LINE:
        value = fold(column, chunks)
    return _within_limit(name, value.encode()), smtputf8


def writable(mailboxes: Iterable[Address]) -> list[Address]:
    """The mailboxes whose addresses can be written; without the name where the name cannot be."""
    found = []
    for mailbox in mailboxes:
        try:
            addresses("To", (mailbox,))
        except UnicodeEncodeError:  # half of a surrogate pair in the name; the address check rejects those
            mailbox = Address(mailbox.email)
        except NotComposable:
            continue
        found.append(mailbox)
    return found


def filled_addresses(
    mailboxes: Sequence[Address], keys: Keys, values: Mapping[str, str], most_octets: int
) -> tuple[Address, ...]:
    """The addresses with the values of the keys filled in. Raises NotComposable when they would be too long."""
    size = sum([CutText(text, keys).size(values) for one in mailboxes for text in (one.email, one.name or "")])
    if size > most_octets:
        raise NotComposable(f"reply_to would have {size} bytes, more than {most_octets}")
    return tuple(
        [
            Address(keys.substitute(one.email, values), None if one.name is None else keys.substitute(one.name, values))
            for one in mailboxes
        ]
    )


def address(email: str) -> tuple[str, bool]:
    """An address as written in the header and in SMTP, and whether it needs SMTPUTF8 (RFC 6531).

    Only a local part can need it: a domain is written in its ASCII form. Raises NotComposable.
    """
    if _ASCII_ADDRESS.fullmatch(email):
        return email, False
    if len(email) > _LONGEST_ADDRESS:
        raise NotComposable(f"{email[:80]!r} and more, {len(email)} characters, is not an e-mail address")
    local, _, domain = email.rpartition("@")
    if not _LOCAL_PART.fullmatch(local) or not local.isprintable():
        raise NotComposable(f"{email[:80]!r} is not an e-mail address")
    if _DOMAIN_LITERAL.fullmatch(domain):
        return email, not local.isascii()
    labels = domain_name(domain)
    return (f"{local}@{labels}", False) if local.isascii() else (f"{local}@{u_labels(labels)}", True)


def domain_name(text: str) -> str:
    """A domain, normalised. Raises NotComposable when it is not valid in a header or a command."""
    labels = a_labels(text)
    if labels is None or not _DOMAIN.fullmatch(labels):
        raise NotComposable(f"{text[:80]!r} is not a domain name")
    return labels


def message_id(value: str) -> bytes:
    """The value of Message-ID (RFC 5322 §3.6.4); ``value`` includes the angle brackets. Raises NotComposable."""
    if not _MESSAGE_ID.fullmatch(value) or len(value) > 900:
        raise NotComposable(f"{value[:80]!r} is not a message identifier")
    return value.encode()


@lru_cache(64)
def date(moment: datetime) -> bytes:
    """The value of Date (RFC 5322 §3.3), in UTC. ``moment`` must be timezone-aware; raises ValueError otherwise. Kept,
    since a request's messages have the same."""
    if moment.tzinfo is None:
        raise ValueError("a moment without a time zone")
    utc = moment.astimezone(UTC)
    return (
        f"{_DAYS[utc.weekday()]}, {utc.day:02d} {_MONTHS[utc.month - 1]} {utc.year:04d} "
        f"{utc.hour:02d}:{utc.minute:02d}:{utc.second:02d} +0000"
    ).encode()


def fold(column: int, chunks: Iterable[str]) -> str:
    """The chunks on lines of 76 where they fit; the first line begins at ``column``. Each chunk after the first must
    begin with white space and contain other characters, so that no line is blank (RFC 5322 §3.2.2)."""
    lines: list[str] = []
    line = ""
    for chunk in chunks:
        if line and column + len(chunk) > LINE:
            lines.append(line)
            line, column = chunk, len(chunk)
        else:
            line += chunk
            column += len(chunk)
    lines.append(line)
    return "\r\n".join(lines)


def runs(text: str, first: int, rest: int, cost: Callable[[str], int]) -> Iterator[str]:
    """Cut ``text`` between characters into runs whose cost is at most ``first``, then ``rest``."""
    start, spent, budget = 0, 0, first
    for end, character in enumerate(text):
        price = cost(character)
        if spent + price > budget and end > start:
            yield text[start:end]
            start, spent, budget = end, 0, rest
        spent += price
    yield text[start:]


def phrase(name: str, column: int) -> list[str]:
    """A display name (RFC 5322 §3.2.5) as words, to be separated by spaces or folds."""
    name = one_line(name).strip(" \t")
    if not name:
        return []
    if len(name) <= _LONGEST_PLAIN_NAME and "=?" not in name:
        if _ATOMS.fullmatch(name):
            return [name]
        if _QUOTABLE.fullmatch(name):
            escaped = name.replace("\\", "\\\\").replace('"', '\\"')
            return [f'"{escaped}"']
    return encoded_words(name, column)


def encoded_words(text: str, column: int) -> list[str]:
    """``text`` as encoded words of at most 75 characters, none of which splits a character (RFC 2047 §5). The first is
    shorter when the line already has ``column`` characters."""
    data = text.encode()
    room = LINE - 12 - column
    if room < _LEAST_ROOM:
        room = _WORD_ROOM
    room = min(room, _WORD_ROOM)
    if sum([len(_Q[byte]) for byte in data]) <= (len(data) + 2) // 3 * 4:
        cut = runs(text, room, _WORD_ROOM, lambda character: len(_q(character)))
        return [f"=?utf-8?q?{_q(run)}?=" for run in cut]
    cut = runs(text, room // 4 * 3, _WORD_ROOM // 4 * 3, lambda character: len(character.encode()))
    return [f"=?utf-8?b?{b2a_base64(run.encode(), newline=False).decode()}?=" for run in cut]


def _q(text: str) -> str:
    return "".join([_Q[byte] for byte in text.encode()])


def _within_limit(name: str, value: bytes) -> bytes:
    if len(name) + 2 + len(value) > LINE_LIMIT:
        lines = value.split(b"\r\n")
        if len(name) + 2 + len(lines[0]) > LINE_LIMIT or max(map(len, lines)) > LINE_LIMIT:
            raise NotComposable(f"header {name[:60]} has a word that does not fit on a line of {LINE_LIMIT}")
    return value
