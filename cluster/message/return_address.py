"""The addresses that we make for one message, and read when mail comes to them. Pure.

The envelope sender of a delivery names its message (variable envelope return path), so a report to it can be matched; a
mailto link of List-Unsubscribe names the recipient who unsubscribes. Such an address is authenticated (a keyed BLAKE2b
of 104 bits, RFC 7693), so only postray can make one. Mail to other addresses is refused at RCPT.

    letter + message + rest @ host

``letter``: what the address is for. ``message``: the 26 characters of the message's id. ``rest``: in base32 (RFC 4648
§6) key id 1 · tenant 4 · recipient 2 · MAC 13 bytes. All in lower case, since hosts may change the case of a local
part. A local part has 60 characters; RFC 5321 §4.5.3.1.1 allows 64.
"""

import re
from base64 import b32decode
from collections.abc import Mapping
from enum import StrEnum
from hashlib import blake2b
from hmac import compare_digest
from struct import Struct as Packed

from msgspec import Struct

from cluster.ids import is_id
from cluster.tracking.tokens import TokenKey

MAC_BYTES = 13
_REST = Packed(">BIH")
_ADDRESS = re.compile(r"([bu])\+([0-9a-z]{26})([a-z2-7]{32})@([^@]+)", re.ASCII | re.IGNORECASE).fullmatch
_BEGINNING = re.compile(r"b\+([0-9a-z]{26})", re.ASCII | re.IGNORECASE).match
_MESSAGE = 26
_DIGITS = "abcdefghijklmnopqrstuvwxyz234567"
_PAIRS = [first + second for first in _DIGITS for second in _DIGITS]
"""Base32 of ten bits. Each delivery has an address, and b32encode makes several calls in Python."""
_SHIFTS = range(150, -1, -10)
_LAST_TENANT, _LAST_RECIPIENT = 2**32 - 1, 2**16 - 2


class Purpose(StrEnum):
    """What an address is for; its first letter."""

    REPORTS = "b"
    """Reports on a message: it is its envelope sender."""
    UNSUBSCRIBING = "u"
    """Mail to it unsubscribes its recipient."""


_LETTERS = {purpose: purpose.value for purpose in Purpose}


class Named(Struct, frozen=True, kw_only=True):
    """What an address names."""

    purpose: Purpose
    tenant_number: int
    message_id: str
    recipient_no: int | None
    """None: the message went to several recipients in one transaction."""


def return_address(key: TokenKey, named: Named, host: str) -> str:
    """The address at this host. Raises ValueError for a message id, a tenant or a recipient that it cannot name."""
    message = named.message_id[4:].lower()
    if len(message) != _MESSAGE or not message.isalnum():
        raise ValueError(f"{named.message_id[:100]!r} is no message id")
    number = 0 if named.recipient_no is None else named.recipient_no + 1
    if not (0 <= named.tenant_number <= _LAST_TENANT and 0 <= number <= _LAST_RECIPIENT + 1):
        raise ValueError(f"no address names tenant {named.tenant_number}, recipient {named.recipient_no}")
    rest = _REST.pack(key.id, named.tenant_number, number)
    letter = _LETTERS[named.purpose]
    number = int.from_bytes(rest + _mac(key.key, letter, message, rest), "big")
    return f"{letter}+{message}{''.join([_PAIRS[number >> shift & 1023] for shift in _SHIFTS])}@{host}"


def read_return_address(address: str, keys: Mapping[int, bytes]) -> Named | None:
    """What an address names; None for one that these keys (by id) did not make."""
    found = _ADDRESS(address)
    if found is None:
        return None
    purpose, message = Purpose(found[1].lower()), found[2].lower()
    data = b32decode(found[3].upper())
    rest, mac = data[: _REST.size], data[_REST.size :]
    key_id, tenant_number, number = _REST.unpack(rest)
    key = keys.get(key_id)
    if key is None or not compare_digest(_mac(key, _LETTERS[purpose], message, rest), mac):
        return None
    return Named(
        purpose=purpose,
        tenant_number=tenant_number,
        message_id=f"msg_{message.upper()}",
        recipient_no=number - 1 if number else None,
    )


def beginning(message_id: str) -> str:
    """What the envelope senders of a message begin with."""
    return f"b+{message_id.removeprefix('msg_').lower()}"


def message_of(sender: str) -> str:
    """The id of the message that an envelope sender says it belongs to, not authenticated; "" for another address."""
    found = _BEGINNING(sender)
    message_id = f"msg_{found[1].upper()}" if found else ""
    return message_id if is_id("msg_", message_id) else ""


def _mac(key: bytes, letter: str, message: str, rest: bytes) -> bytes:
    said = letter.encode() + message.encode() + rest
    return blake2b(said, key=key, digest_size=MAC_BYTES, person=b"return address").digest()
