"""Header fields that a sender names: which are allowed, and how each is written. Pure.

Acceptance calls ``check``; composing calls ``write``, which begins with the same checks, so accepted fields can be
composed. ASCII is sent unchanged, because the field may have a syntax that is unknown here. Other text is encoded
according to the field's syntax: encoded words for free text and phrases, percent-encoding for URLs; a field without an
ASCII form is rejected.

RFC 2047 §5 (where encoded words are allowed), RFC 2369 (URLs of lists), RFC 2919 (List-Id), RFC 3986 and 3987 (URLs),
RFC 5322 §3.6.
"""

import re
from collections.abc import Callable, Mapping, Sequence
from enum import Enum, auto

from cluster.journal.records import Address
from cluster.message.address_list import NotAddresses, read_address_list
from cluster.message.header_fields import (
    NotComposable,
    addresses,
    encoded_words,
    fold,
    message_id,
    phrase,
    refuse_line_ends,
)
from cluster.message.transfer_encoding import LINE, LINE_LIMIT
from cluster.policy.routes.domains import a_labels

LONGEST_NAME = 900
"""Characters: behind a name of this length, an encoded word still fits on the line."""
LONGEST_STRUCTURED = 16 * 1024
"""Characters of a structured field that are parsed for encoding, at most."""

_match_name = re.compile(r"[!-9;-~]+").fullmatch
"""RFC 5322 §3.6.8."""
_PRINTABLE = re.compile(r"[\t\x20-\x7e]*")
_CHUNK = re.compile(r"[ \t]*[^ \t]+")
_URL = re.compile(r"<([^<>]*)>")
_HTTP = re.compile(r"(https?://)((?:[^/?#@]*@)?)([^/?#@:]*)(.*)", re.IGNORECASE | re.DOTALL)
_LIST_ID = re.compile(r"([^<>]*)(<[!-;=?-~]+>)")
_NOT_IN_A_URL = re.compile(r"[^A-Za-z0-9!#$%&'()*+,./:;=?@\[\]_~-]+")
"""RFC 3986 §2; ``%`` stays, for text that is percent-encoded already."""


class FieldKind(Enum):
    """How a field is handled, and its syntax."""

    FREE = auto()
    OURS = auto()
    """Rejected: postray or a relay writes it, or it must not exist."""
    IGNORED = auto()
    """Accepted and not sent: it is meant for another service, or the sender may not set it."""
    ADDRESSES = auto()
    SENDER = auto()
    MESSAGE_ID = auto()
    URLS = auto()
    PHRASES = auto()
    LIST_ID = auto()
    TOKENS = auto()
    """Identifiers and keywords, which have no form outside ASCII."""


_NAMES: dict[FieldKind, tuple[str, ...]] = {
    FieldKind.OURS: (
        *("received", "dkim-signature", "content-type", "content-transfer-encoding", "mime-version"),
        *("to", "from", "subject", "reply-to", "cc", "bcc", "x-sg-id", "x-sg-eid"),
    ),
    FieldKind.IGNORED: ("date", "return-path", "x-smtpapi"),
    FieldKind.ADDRESSES: (
        *("errors-to", "disposition-notification-to", "return-receipt-to", "x-confirm-reading-to"),
        *("mail-followup-to", "mail-reply-to"),
    ),
    FieldKind.SENDER: ("sender",),
    FieldKind.MESSAGE_ID: ("message-id",),
    FieldKind.URLS: (
        *("list-unsubscribe", "list-help", "list-subscribe", "list-post", "list-owner", "list-archive"),
        "archived-at",
    ),
    FieldKind.PHRASES: ("keywords",),
    FieldKind.LIST_ID: ("list-id",),
    FieldKind.TOKENS: (
        *("in-reply-to", "references", "list-unsubscribe-post", "auto-submitted", "precedence", "importance"),
        *("priority", "x-priority", "sensitivity", "content-language", "accept-language"),
        *("x-auto-response-suppress", "content-id", "supersedes", "obsoletes", "original-message-id", "expires"),
    ),
}
KINDS = {name: kind for kind, names in _NAMES.items() for name in names}
"""By name in lower case, for all fields that are not free text; ``resent-…`` is OURS too."""

_LOOKED_AT = frozenset(
    name
    for name, kind in KINDS.items()
    if kind in (FieldKind.OURS, FieldKind.IGNORED, FieldKind.SENDER, FieldKind.MESSAGE_ID)
)
"""Names of fields with further checks than length and ASCII."""


def kind_of(lower: str) -> FieldKind:
    """The kind of a field with this name in lower case."""
    return FieldKind.OURS if lower.startswith("resent-") else KINDS.get(lower, FieldKind.FREE)


def is_plain(name: str, text: str) -> bool:
    """Whether the field can be sent unchanged on one line: nearly all can. Fast."""
    lower = name.lower()
    return (
        lower not in _LOOKED_AT
        and len(name) + len(text) < LINE - 1
        and text.isascii()
        and text.isprintable()
        and not lower.startswith("resent-")
        and _match_name(name) is not None
    )


def check(name: str, text: str) -> FieldKind:
    """The field's kind. Raises NotComposable when no message can have the field. Linear in the length of the text."""
    if not _match_name(name):
        raise NotComposable("a header name is empty or has characters other than printable ASCII")
    if len(name) > LONGEST_NAME:
        raise NotComposable(f"header {name[:60]}… has a name of more than {LONGEST_NAME} characters")
    kind = kind_of(name.lower())
    if kind is FieldKind.OURS:
        raise NotComposable(f"header {name[:60]} cannot be set")
    text = refuse_line_ends(text, f"header {name[:60]}").strip(" \t")
    if kind in _WRITERS and (kind in _ALWAYS or not _PRINTABLE.fullmatch(text)):
        if len(text) > LONGEST_STRUCTURED:
            raise NotComposable(f"header {name} has more than {LONGEST_STRUCTURED} characters")
        if kind is not FieldKind.PHRASES:  # phrases can always be written
            _structured(kind, name, text)
    elif kind is not FieldKind.IGNORED and _PRINTABLE.fullmatch(text):
        _require_lines_fit(name, text)
    return kind


def write(name: str, text: str) -> tuple[bytes, bytes] | None:
    """Name and value of the field as sent; None for an ignored one. Raises NotComposable, like ``check``."""
    if is_plain(name, text):
        return name.encode(), text.strip(" ").encode()
    kind = check(name, text)
    text = text.strip(" \t")
    column = len(name) + 2
    if kind is FieldKind.IGNORED:
        return None
    if kind in _WRITERS and (kind in _ALWAYS or not _PRINTABLE.fullmatch(text)):
        value = _structured(kind, name, text)
    elif not _PRINTABLE.fullmatch(text):
        value = "\r\n ".join(encoded_words(text, column)).encode()
    elif column + len(text) <= LINE:
        value = text.encode()
    else:
        value = fold(column, _CHUNK.findall(text)).encode()
    return name.encode(), value


def merged(shared: Mapping[str, str], own: Mapping[str, str]) -> dict[str, str]:
    """Header fields merged key by key, the message's own over the shared; case in names is ignored (RFC 5322
    §1.2.2)."""
    spelt: dict[str, tuple[str, str]] = {}
    for headers in (shared, own):
        for name, value in headers.items():
            spelt[name.lower()] = (name, value)
    return dict(spelt.values())


def sender_of(text: str) -> str:
    """The address in a Sender field. Raises NotComposable when there is none."""
    return mailboxes("Sender", text)[0].email


def _structured(kind: FieldKind, name: str, text: str) -> bytes:
    value = _WRITERS[kind](name, text)
    lines = value.split(b"\r\n")
    if max(len(name) + 2 + len(lines[0]), *map(len, lines)) > LINE_LIMIT:
        raise _too_long(name)
    return value


def _require_lines_fit(name: str, text: str) -> None:
    """Check that a field can be folded: at white space only, and never into a blank line. Raises NotComposable."""
    if len(name) + 2 + len(text) > LINE_LIMIT:
        if "\t" not in text and "  " not in text and len(name) + 2 + max(map(len, text.split(" "))) <= LINE_LIMIT:
            return
        chunks = _CHUNK.findall(text)
        if len(name) + 2 + len(chunks[0]) > LINE_LIMIT or max(map(len, chunks)) > LINE_LIMIT:
            raise _too_long(name)


def _too_long(name: str) -> NotComposable:
    return NotComposable(f"header {name[:60]} has a word that does not fit on a line of {LINE_LIMIT} characters")


def mailboxes(name: str, text: str) -> Sequence[Address]:
    """The addresses in the text of a field, at least one. Raises NotComposable when it has none, or a group."""
    try:
        found = read_address_list(text)
    except NotAddresses:
        found = None
    if found is None or found.has_groups or not found.mailboxes:
        raise NotComposable(f"header {name} is not a list of addresses")
    return found.mailboxes


def _addresses(name: str, text: str) -> bytes:
    value, smtputf8 = addresses(name, mailboxes(name, text))
    if smtputf8:
        raise NotComposable(f"header {name} has an address with a local part that is not ASCII")
    return value


def _sender(name: str, text: str) -> bytes:
    if len(mailboxes(name, text)) > 1:
        raise NotComposable("header Sender has more than one address")
    return _addresses(name, text)


def _message_id(_name: str, text: str) -> bytes:
    return message_id(text)


def _urls(name: str, text: str) -> bytes:
    """URLs in angle brackets: hosts in A-labels, other octets outside ASCII percent-encoded."""
    if not _PRINTABLE.fullmatch(_URL.sub("", text)):
        raise NotComposable(f"header {name} has text outside ASCII that is not between < and >")
    written = _URL.sub(lambda match: f"<{_ascii_url(match[1])}>", text)
    return fold(len(name) + 2, _CHUNK.findall(written)).encode()


def _ascii_url(url: str) -> str:
    if http := _HTTP.fullmatch(url):
        scheme, user, host, rest = http.groups()
        url = f"{scheme}{user}{a_labels(host) or host}{rest}"
    return _NOT_IN_A_URL.sub(lambda run: f"%{run[0].encode().hex('%').upper()}", url)


def _phrases(name: str, text: str) -> bytes:
    """Phrases separated by commas (RFC 5322 §3.6.5)."""
    chunks: list[str] = []
    for one in filter(None, (said.strip(" \t") for said in text.split(","))):
        words = phrase(one, 1 if chunks else len(name) + 2)
        if chunks:
            chunks[-1] += ","
        for word in words:
            chunks.append(f" {word}" if chunks else word)
    return fold(len(name) + 2, chunks).encode()


def _list_id(name: str, text: str) -> bytes:
    match = _LIST_ID.fullmatch(text)
    if match is None:
        raise NotComposable("header List-Id is not a name and an identifier between < and >")
    said = match[1].strip(' \t"')
    words = [*phrase(said, len(name) + 2), match[2]]
    return fold(len(name) + 2, [words[0], *(f" {word}" for word in words[1:])]).encode()


def _tokens(name: str, _text: str) -> bytes:
    raise NotComposable(f"header {name} can be written in ASCII only")


_WRITERS: dict[FieldKind, Callable[[str, str], bytes]] = {
    FieldKind.ADDRESSES: _addresses,
    FieldKind.SENDER: _sender,
    FieldKind.MESSAGE_ID: _message_id,
    FieldKind.URLS: _urls,
    FieldKind.PHRASES: _phrases,
    FieldKind.LIST_ID: _list_id,
    FieldKind.TOKENS: _tokens,
}
_ALWAYS = frozenset((FieldKind.SENDER, FieldKind.MESSAGE_ID))
"""Parsed in ASCII too, because their content is used."""
