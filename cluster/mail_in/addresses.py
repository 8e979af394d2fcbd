"""Addresses, names of hosts and dates, as reports write them."""

import re
from collections.abc import Iterator
from datetime import UTC, datetime
from email.utils import parsedate_to_datetime

LONGEST = 320
_ADDRESS = re.compile(
    r"[^\s<>()\[\]{}\"'`,;:=@\\|\uff1a\uff0c\uff1b\uff08\uff09\u300c\u300d]{1,64}@[^\s<>()\[\]{}\"'`,;:=@\\|!?&*/\uff1a\uff0c\uff1b\uff08\uff09\u300c\u300d\u3002]{1,255}"
)
"""Words that stand beside an address without a space, as in Chinese and Japanese, end at their punctuation."""
_XTEXT = re.compile(r"\+(2B|3D|20)")
"""RFC 3461 §4. Only what must be encoded is decoded: many hosts write addresses such as user+AB@ as they are."""
_UNITEXT = re.compile(r"\\x\{([0-9A-F]{2,6})\}")
"""RFC 6533 §3."""
_COMMENT = re.compile(r"\([^()]{0,200}\)")


def typed_address(value: str) -> str:
    """The address of a field such as "rfc822; user@example.com" (RFC 3464 §2.1.2); "" where it is of a kind that mail
    over SMTP does not have, such as X.400."""
    kind, semicolon, rest = value.partition(";")
    if not semicolon:
        kind, rest = "rfc822", value
    kind = kind.strip().lower()
    if kind not in ("rfc822", "utf-8", "utf8", "smtp", "unknown", ""):
        return ""
    address = bare(rest)
    address = _XTEXT.sub(lambda found: chr(int(found[1], 16)), address)
    return _UNITEXT.sub(_character, address)


def bare(value: str) -> str:
    """An address without brackets, quotes and the words around it."""
    value = value.strip()[:LONGEST]
    if "<" in value:
        value = value.partition("<")[2].partition(">")[0]
    value = value.strip(" \t'\"<>;,")
    return value.removeprefix("mailto:") if value.lower().startswith("mailto:") else value


def addresses_in(text: str) -> Iterator[tuple[int, str]]:
    """The addresses in a text, with their positions."""
    for found in _ADDRESS.finditer(text):
        address = found[0].rstrip(".")
        if "." in address.rpartition("@")[2]:
            yield found.start(), address


def host_of(value: str) -> str:
    """The name of a field such as "dns; mx.example.com (192.0.2.1)"."""
    name = _COMMENT.sub("", value.partition(";")[2] or value).strip()
    return (name.split() or [""])[0][:255]


def moment(value: str) -> datetime | None:
    """A date of RFC 5322 in UTC; None where it is none."""
    try:
        at = parsedate_to_datetime(value[:100])
        return (at if at.tzinfo is not None else at.replace(tzinfo=UTC)).astimezone(UTC)
    except (ValueError, TypeError, OverflowError, IndexError):
        return None


def _character(found: re.Match[str]) -> str:
    number = int(found[1], 16)
    is_character = number < 0x110000 and not 0xD800 <= number < 0xE000
    return chr(number) if is_character and number > 0x1F else found[0]
