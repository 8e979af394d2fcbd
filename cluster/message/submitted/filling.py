"""The header of a submitted message with what a message changes in it. Pure.

A field without a change keeps its octets. Keys are replaced in free text and in addresses. The addresses of From and
Sender stay, because their domains were checked at acceptance: only the names beside them are filled.
"""

from collections.abc import Mapping, Sequence
from email.errors import HeaderParseError
from email.header import decode_header, make_header

from msgspec import Struct
from msgspec.structs import replace

from cluster.journal.records import Address, PreparedPersonalization
from cluster.message import custom_fields, header_fields
from cluster.message.custom_fields import FieldKind
from cluster.message.header_fields import NotComposable
from cluster.message.submitted.header import Field, Header, header_at
from cluster.message.substitution import Keys, keys_of, substituted_size

_MOST_CHARACTERS = 8192
"""Of a field with encoded words: the standard library takes quadratic time over some."""
AUTHORS = frozenset((b"from", b"sender"))
ADDRESSES = AUTHORS | {b"reply-to", b"to", b"cc"}
_STRUCTURED = (b"received", b"arc-", b"dkim-", b"content-", b"authentication-", b"autocrypt", b"resent-")
"""How fields begin that are free text by their kind, but have a syntax."""

Changes = dict[int, bytes | None]
"""By the number of a field: what stands behind its colon instead; None removes the field."""


class _Fillable(Struct, frozen=True):
    number: int
    field: Field
    text: str
    """Unfolded and decoded."""


class FilledHeader:
    """A header, ready for the messages of a request. ``most_octets``: of a field's filled text. ``readdressed``: each
    message has a To of its own."""

    def __init__(self, data: bytes, header: Header, most_octets: int, *, readdressed: bool) -> None:
        self._data = data
        self._header = header
        self._most_octets = most_octets
        self._readdressed = readdressed
        self._lines = [data[field.start : field.end] for field in header.fields]
        if self._lines and not self._lines[-1].endswith(b"\r\n"):
            self._lines[-1] += b"\r\n"
        self._pairs = [(field.spelling(data), field.raw_value(data)) for field in header.fields]
        self._whole = b"".join(self._lines)
        self._fillable: list[_Fillable] | None = None
        self._found: tuple[tuple[str, ...], list[_Fillable]] = ((), [])
        """Keys, and the fields that have some of them: the messages of a request usually have the same keys."""

    def filled(self, personalization: PreparedPersonalization) -> Changes:
        """The fields that a message changes: those with a key, and To where it is the message's own. Raises
        NotComposable when one would be too long, or no address."""
        changes = self.substituted(personalization.substitutions)
        return changes | self._addressed(personalization.to) if self._readdressed else changes

    def substituted(self, substitutions: Mapping[str, str]) -> Changes:
        """The fields with a key, filled. Raises NotComposable when one would be too long, or no address."""
        if not substitutions:
            return {}
        keys = keys_of(substitutions)
        fields = self._with_keys(keys, substitutions)
        return {one.number: b" " + self._value(one, keys, substitutions) for one in fields}

    def count(self, substitutions: Mapping[str, str]) -> int:
        """How many fields have a key."""
        return len(self._with_keys(keys_of(substitutions), substitutions)) if substitutions else 0

    def _with_keys(self, keys: Keys, substitutions: Mapping[str, str]) -> list[_Fillable]:
        names, found = self._found
        wanted = tuple(substitutions)
        if names != wanted:
            if self._fillable is None:
                self._fillable = self._texts()
            found = [one for one in self._fillable if keys.occur_in(one.text)]
            self._found = (wanted, found)
        return found

    def _addressed(self, recipients: Sequence[Address]) -> Changes:
        """The first To with these recipients, and no other; nothing where there is none."""
        numbers = [number for number, field in enumerate(self._header.fields) if field.name == b"to"]
        changes: Changes = dict.fromkeys(numbers)
        if numbers:
            changes[numbers[0]] = b" " + header_fields.addresses("To", recipients)[0]
        return changes

    def written(
        self, changes: Mapping[int, bytes | None], added: Sequence[tuple[bytes, bytes]]
    ) -> tuple[bytes, tuple[tuple[bytes, bytes], ...], bool]:
        """The header with changed and added fields: its lines, its fields to sign, and whether it needs SMTPUTF8: it
        has octets outside ASCII (RFC 6532)."""
        lines, pairs = [self._whole], list(self._pairs)
        if changes:
            lines, pairs = list(self._lines), []
            for number, (name, value) in enumerate(self._pairs):
                new = changes.get(number, value)
                if new is not None:
                    pairs.append((name, new))
                    if new is not value:
                        field = self._header.fields[number]
                        lines[number] = b"%b%b\r\n" % (self._data[field.start : field.value], new)
                else:
                    lines[number] = b""
        lines += [b"%b: %b\r\n" % field for field in added]
        pairs += added
        header = b"".join(lines)
        return header, tuple(pairs), not header.isascii()

    def _texts(self) -> list[_Fillable]:
        found = []
        for number, field in enumerate(self._header.fields):
            if self._readdressed and field.name == b"to":
                continue  # its text is replaced, so a key in it need not make an address
            if field.name in ADDRESSES or is_free(field.name):
                text = decoded(field.text(self._data))
                if text is not None:
                    found.append(_Fillable(number, field, text))
        return found

    def _value(self, one: _Fillable, keys: Keys, values: Mapping[str, str]) -> bytes:
        name = one.field.spelling(self._data).decode()
        if substituted_size(one.text, values) > self._most_octets:
            raise NotComposable(f"header {name[:60]} would have more than {self._most_octets} bytes")
        if one.field.name in ADDRESSES:
            return self._mailboxes(one, name, keys, values)
        text = header_fields.one_line(keys.substitute(one.text, values))
        if one.field.name == b"subject":
            return header_fields.subject(text)
        field = custom_fields.write(name, text)
        return one.field.raw_value(self._data).lstrip(b" ") if field is None else field[1]

    def _mailboxes(self, one: _Fillable, name: str, keys: Keys, values: Mapping[str, str]) -> bytes:
        try:
            # Decoded only now: a decoded name may look like syntax.
            given = custom_fields.mailboxes(name, one.field.text(self._data))
        except NotComposable:
            return one.field.raw_value(self._data).lstrip(b" ")  # a syntax that is not read here stays as it is
        filled = []
        for mailbox in given:
            said = mailbox.name and decoded(mailbox.name)
            if said:
                mailbox = replace(mailbox, name=keys.substitute(said, values))
            if one.field.name not in AUTHORS:
                mailbox = replace(mailbox, email=keys.substitute(mailbox.email, values))
            filled.append(mailbox)
        return header_fields.addresses(name, filled)[0]


def readable_header(data: bytes) -> Header:
    """The header of a message. Raises NotComposable when it has a line that is no field: readers differ in where such a
    header ends."""
    header = header_at(data)
    if header.is_odd:
        raise NotComposable("the header of the message has a line that is no field")
    return header


def is_free(name: bytes) -> bool:
    """Whether a field of this name (in lower case) is free text."""
    if name == b"subject":
        return True
    return not name.startswith(_STRUCTURED) and custom_fields.kind_of(name.decode()) is FieldKind.FREE


def decoded(text: str) -> str | None:
    """The text of a field, its encoded words decoded; None where it has octets or words that cannot be read, or a NUL
    in a word, which no text may have."""
    if "=?" in text:
        if len(text) > _MOST_CHARACTERS:
            return None
        try:
            text = str(make_header(decode_header(text)))
        except (HeaderParseError, LookupError, ValueError):
            return None
        if "\0" in text:
            return None
    try:
        text.encode()
    except UnicodeEncodeError:
        return None
    return text
