"""A submitted message without some addresses, for keeping it once it was sent. Pure.

Where a text can be read, an address in it is replaced. A mailbox loses its name with its address. What cannot be read,
such as an attached message, is emptied when it names an address. Signatures in the message no longer verify.
"""

from collections.abc import Iterator

from msgspec.structs import replace

from cluster.journal.records import Address
from cluster.message import custom_fields, header_fields
from cluster.message.header_fields import NotComposable
from cluster.message.mentions import ERASED, Mentions
from cluster.message.submitted.filling import ADDRESSES, decoded
from cluster.message.submitted.header import Field
from cluster.message.submitted.structure import Part, structure_of
from cluster.message.submitted.texts import Written, field_changes, octets_of, read, written

_Piece = tuple[int, int, bytes]
"""From, to, and what stands there instead."""


def without_addresses(data: bytes, mentions: Mentions) -> bytes:
    """The message without these addresses; as it came when it names none."""
    pieces = [piece for part in _parts(structure_of(data)) for piece in _pieces(data, part, mentions)]
    kept, done = list[bytes](), 0
    for start, end, octets in [*sorted(pieces), (len(data), len(data), b"")]:
        kept += (_between(data[done:start], mentions), octets)
        done = max(done, end)
    return b"".join(kept)


def _parts(root: Part) -> Iterator[Part]:
    pending = [root]
    while pending:
        part = pending.pop()
        pending += part.parts
        yield part


def _pieces(data: bytes, part: Part, mentions: Mentions) -> Iterator[_Piece]:
    """A part's header, and its content if it has no parts of its own."""
    new = None if part.parts else _content(data, part, mentions)
    changes, added = field_changes(data, part.header, new) if new else ({}, [])
    lines = []
    for number, field in enumerate(part.header.fields):
        line = data[field.start : field.end]
        if number in changes:
            line = data[field.start : field.value] + changes[number] + b"\r\n"
        lines.append(_line(data, field, line, mentions))
    lines += [b"%b: %b\r\n" % one for one in added]
    yield part.start, part.header.end, b"".join(lines)
    if not part.parts:
        yield part.content, part.end, data[part.content : part.end] if new is None else new.content


def _content(data: bytes, part: Part, mentions: Mentions) -> Written | None:
    """The content of a part; None: as it came."""
    is_mail = part.media.kind.startswith(("message/", "multipart/"))
    text = None if is_mail else read(data, part)
    if text is not None:
        value = mentions.without(text.value)
        return written(data, text, value) if value != text.value else None
    octets = octets_of(data, part)
    is_named = mentions.are_in_mail(octets) if is_mail else mentions.are_in(octets.decode("utf-8", "replace"))
    return Written(b"") if is_named else None


def _line(data: bytes, field: Field, line: bytes, mentions: Mentions) -> bytes:
    """A field; no octets where an address cannot be replaced in it."""
    text = field.text(data)
    if not mentions.are_in(text) and not mentions.are_in(decoded(text) or ""):
        return line
    name = data[field.start : field.value]
    if field.name in ADDRESSES and (value := _mailboxes(field.spelling(data).decode(), text, mentions)) is not None:
        return b"%b %b\r\n" % (name, value)
    value = _between(field.raw_value(data), mentions)
    left = value.decode("utf-8", "surrogateescape").replace("\r\n", "")
    return b"" if mentions.are_in(decoded(left) or "") else b"%b%b\r\n" % (name, value)


def _mailboxes(name: str, text: str, mentions: Mentions) -> bytes | None:
    """An address field; None where it has another syntax."""
    kept = []
    try:
        for mailbox in custom_fields.mailboxes(name, text):
            said = mailbox.name and (decoded(mailbox.name) or "")
            if mentions.are_in(mailbox.email):
                mailbox = Address(ERASED)
            elif said and mentions.are_in(said):
                mailbox = replace(mailbox, name=mentions.without(said))
            elif said:
                mailbox = replace(mailbox, name=said)
            kept.append(mailbox)
        return header_fields.addresses(name, kept)[0]
    except (NotComposable, UnicodeEncodeError):
        return None


def _between(octets: bytes, mentions: Mentions) -> bytes:
    """Octets that are no text of a part."""
    text = octets.decode("utf-8", "surrogateescape")
    new = mentions.without(text)
    return octets if new == text else new.encode("utf-8", "surrogateescape")
