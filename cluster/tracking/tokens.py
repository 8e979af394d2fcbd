"""The tokens of tracked mail: what the URL of a link, a pixel or an unsubscribe page says of itself.

A token names the tenant, the message, the recipient and the target, so that nothing must be looked up and a link works
after its message is gone. It is authenticated (a keyed BLAKE2b of 96 bits, RFC 7693), so nothing in it can be changed
or put together from other tokens. The recipient's address is encrypted: URLs go to logs and to other people.

In bytes, before URL-safe base64 (RFC 4648 §5):

    key id 1 · tenant varint · message 16 · recipient number varint · address length 1 · address, encrypted · padding
    kind 1 · what the kind names · padding
    MAC 12

Both parts are padded to three bytes, so that the first is encoded once per recipient, and the rest of all its tokens
together. The same arguments give the same token, so a retry makes the same message.
"""

import binascii
import re
from collections.abc import Iterable, Mapping, Sequence
from enum import IntEnum
from hashlib import blake2b
from hmac import compare_digest

from msgspec import Struct

from cluster.ids import is_id

KEY_BYTES = 32
MAC_BYTES = 12
LONGEST_TARGET = 4000
"""Bytes of a target in UTF-8. A longer link is not tracked."""
LONGEST = 8000
"""Characters of a token. A longer text is none."""
MOST_GROUPS = 25
_ADDRESS_BYTES = 255
_BLOCK = 64
_BYTES = [bytes([number]) for number in range(256)]
_PADDING = (b"", b"\0\0", b"\0")
"""By what is left of a length divided by three."""
_TOKEN = re.compile(r"[A-Za-z0-9_-]+", re.ASCII).fullmatch
_CROCKFORD = "0123456789ABCDEFGHJKMNPQRSTVWXYZ"
_TO_BASE_32 = bytes.maketrans(_CROCKFORD.encode(), b"0123456789abcdefghijklmnopqrstuv")
_URL_SAFE = bytes.maketrans(b"+/", b"-_")
_SCHEMES = ("https://", "http://")


class Kind(IntEnum):
    """What a token is for. One of another kind is not valid in its place."""

    OPEN = 1
    CLICK = 2
    UNSUBSCRIBE = 3


class TokenKey(Struct, frozen=True):
    """A key of ``KEY_BYTES`` bytes; its id (1 to 255) is in each token."""

    id: int
    key: bytes


class Recipient(Struct, frozen=True, kw_only=True, gc=False):
    """One recipient of a message."""

    tenant_number: int
    message_id: str
    recipient_no: int
    email: str


class Target(Struct, frozen=True, gc=False):
    """Where a link leads. ``url``: absolute, http or https. ``link_index``: its number in its text, from 0."""

    url: str
    link_index: int


class Preferences(Struct, frozen=True):
    """What an unsubscribe page is about: the group (None: all mail), and the groups that it shows (empty: all)."""

    group_id: int | None = None
    shown_groups: tuple[int, ...] = ()


class Named(Struct, frozen=True):
    """What a token names. ``target`` of a link, ``preferences`` of an unsubscribe page."""

    recipient: Recipient
    target: Target | None = None
    preferences: Preferences | None = None


def suffix_of(data: bytes) -> bytes:
    """The suffix of a token, its second part, of these bytes: the kind, and what it names."""
    return data + _PADDING[len(data) % 3]


def open_suffix() -> bytes:
    """Of a pixel, and of an image of the library."""
    return suffix_of(bytes([Kind.OPEN]))


def click_suffix(target: Target) -> bytes:
    """Raises ValueError for a target that is not http(s), has NUL, or is longer than ``LONGEST_TARGET``."""
    beginning, rest = click_beginning(target)
    data = rest.encode()
    if len(data) > LONGEST_TARGET:
        raise ValueError(f"a target of {len(data)} bytes")
    if b"\0" in data:
        raise ValueError(f"{rest[:100]!r} has NUL")
    return suffix_of(beginning + data)


def click_beginning(target: Target) -> tuple[bytes, str]:
    """The first bytes of a link's suffix, and the rest of its URL, which stands behind them. Raises ValueError for a
    target that is not http(s)."""
    url = target.url
    scheme = 0 if url.startswith(_SCHEMES[0]) else _scheme_of(url)
    if scheme is None:
        raise ValueError(f"{url[:100]!r} is no http(s) URL")
    return bytes([Kind.CLICK]) + _varint(target.link_index) + bytes([scheme]), url[len(_SCHEMES[scheme]) :]


def _scheme_of(url: str) -> int | None:
    return next((number for number, one in enumerate(_SCHEMES) if url[: len(one)].lower() == one), None)


def unsubscribe_suffix(preferences: Preferences) -> bytes:
    shown = preferences.shown_groups[:MOST_GROUPS]
    numbers = (preferences.group_id or 0, len(shown), *shown)
    return suffix_of(bytes([Kind.UNSUBSCRIBE]) + b"".join(map(_varint, numbers)))


class RecipientTokens:
    """Makes the tokens of one recipient."""

    __slots__ = ("_begun", "text")

    def __init__(self, key: TokenKey, recipient: Recipient) -> None:
        """Raises ValueError for what is no message id."""
        named = _message_bytes(recipient.message_id) + _varint(recipient.recipient_no)
        address = recipient.email.encode()[:_ADDRESS_BYTES]
        prefix = b"%c%b%b%c%b" % (
            key.id,
            _varint(recipient.tenant_number),
            named,
            len(address),
            _crypted(key.key, named, address),
        )
        prefix += _PADDING[len(prefix) % 3]
        self._begun = blake2b(prefix, key=key.key, digest_size=MAC_BYTES)
        self.text = _base64(prefix)
        """What all of the recipient's tokens begin with."""

    def token(self, suffix: bytes) -> str:
        """The token for this recipient."""
        (end,) = self.ends((suffix,))
        return f"{self.text}{end}"

    def ends(self, suffixes: Iterable[bytes]) -> list[str]:
        """What stands behind ``text`` in the tokens with these suffixes. Several made together take less time than one
        by one."""
        begun, pieces = self._begun, []
        for suffix in suffixes:
            mac = begun.copy()
            mac.update(suffix)
            pieces.append(suffix + mac.digest())
        text = _base64(b"".join(pieces))
        ends, start = [], 0
        for piece in pieces:
            end = start + len(piece) // 3 * 4
            ends.append(text[start:end])
            start = end
        return ends


def key_id(token: str) -> int:
    """The id of the key that a token names; 0, which is none, for what has not a token's form."""
    if not _has_form(token):
        return 0
    return binascii.a2b_base64(token[:4].replace("-", "+").replace("_", "/"))[0]


def read(token: str, kind: Kind, keys: Mapping[int, bytes]) -> Named | None:
    """What a token names; None for one that these keys (by id) did not make, and for one of another kind."""
    if not _has_form(token):
        return None
    data = binascii.a2b_base64(token.replace("-", "+").replace("_", "/"))
    key = keys.get(data[0])
    body, mac = data[:-MAC_BYTES], data[-MAC_BYTES:]
    if key is None or not compare_digest(blake2b(body, key=key, digest_size=MAC_BYTES).digest(), mac):
        return None
    # From here on it is a token that postray made.
    tenant_number, at = _number(body, 1)
    message = body[at : at + 16]
    recipient_no, end = _number(body, at + 16)
    length = body[end]
    start = end + 1
    email = _crypted(key, body[at:end], body[start : start + length]).decode(errors="replace")
    at = start + length
    at += -at % 3
    if body[at] != kind:
        return None
    recipient = Recipient(
        tenant_number=tenant_number, message_id=_message_id(message), recipient_no=recipient_no, email=email
    )
    if kind is Kind.CLICK:
        index, at = _number(body, at + 1)
        url = _SCHEMES[body[at]] + body[at + 1 :].rstrip(b"\0").decode()
        return Named(recipient, target=Target(url, index))
    if kind is Kind.UNSUBSCRIBE:
        group_id, at = _number(body, at + 1)
        count, at = _number(body, at)
        shown: list[int] = []
        for _ in range(count):
            group, at = _number(body, at)
            shown.append(group)
        return Named(recipient, preferences=Preferences(group_id or None, tuple(shown)))
    return Named(recipient)


def _has_form(token: str) -> bool:
    return len(token) <= LONGEST and len(token) % 4 == 0 and _TOKEN(token) is not None


def keys_by_id(keys: Sequence[TokenKey]) -> dict[int, bytes]:
    """The keys as ``read`` takes them."""
    return {one.id: one.key for one in keys}


def _base64(data: bytes) -> str:
    return binascii.b2a_base64(data, newline=False).translate(_URL_SAFE).decode()


def _crypted(key: bytes, nonce: bytes, text: bytes) -> bytes:
    """The text XOR a key stream: BLAKE2b as a pseudo-random function of the nonce, which no two recipients share."""
    size, stream, block = len(text), b"", 0
    while len(stream) < size:
        stream += blake2b(nonce + _BYTES[block], key=key, digest_size=_BLOCK, person=b"address").digest()
        block += 1
    return (int.from_bytes(text) ^ int.from_bytes(stream[:size])).to_bytes(size)


def _message_bytes(message_id: str) -> bytes:
    if not is_id("msg_", message_id):
        raise ValueError(f"{message_id[:100]!r} is no message id")
    return int(message_id[4:].encode().translate(_TO_BASE_32), 32).to_bytes(16, "big")


def _message_id(data: bytes) -> str:
    number = int.from_bytes(data, "big")
    return "msg_" + "".join([_CROCKFORD[number >> shift & 31] for shift in range(125, -1, -5)])


def _varint(number: int) -> bytes:
    """LEB128."""
    if number < 128:
        return _BYTES[number]
    digits = []
    while number > 127:
        digits.append(number & 127 | 128)
        number >>= 7
    return bytes([*digits, number])


def _number(data: bytes, at: int) -> tuple[int, int]:
    """The number at this index, and the index after it."""
    number = shift = 0
    while True:
        digit = data[at]
        number |= (digit & 127) << shift
        at, shift = at + 1, shift + 7
        if digit < 128:
            return number, at
