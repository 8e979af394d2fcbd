"""The fields of a header by their places. Pure; the time is linear in the header.

RFC 5322 §2.2 and §3.6.8 (fields), §4.5 (white space before the colon), RFC 6532 (UTF-8 in them).
"""

import re
from collections.abc import Sequence

from msgspec import Struct

MOST_OCTETS = 1024 * 1024
"""Of one header. What is behind them is taken for the body."""
_match_field = re.compile(rb"([!-9;-~]+)[ \t]*:([^\r\n]*(?:\r\n[ \t][^\r\n]*)*+)(?:\r\n|\Z)").match


class Field(Struct, frozen=True, gc=False):
    """A field: its name in lower case, and where it begins, where its value begins (behind the colon), and where it
    ends, behind its last line end."""

    name: bytes
    start: int
    value: int
    end: int

    def spelling(self, data: bytes) -> bytes:
        """The name as it came, without white space before the colon."""
        return data[self.start : self.value].rstrip(b" \t:")

    def raw_value(self, data: bytes) -> bytes:
        """What stands behind the colon, as it came but for the last line end."""
        return data[self.value : self.end].removesuffix(b"\r\n")

    def text(self, data: bytes) -> str:
        """The value, unfolded. Octets that are not UTF-8 become surrogate escapes."""
        return self.raw_value(data).replace(b"\r\n", b"").decode("utf-8", "surrogateescape").strip(" \t")


class Header(Struct, frozen=True):
    """The fields of a header in their order. ``end``: where the lines of fields end. ``body``: where the body begins,
    behind the empty line. ``is_odd``: instead of an empty line, something follows that is no field."""

    fields: tuple[Field, ...]
    end: int
    body: int
    is_odd: bool

    def first(self, name: bytes) -> Field | None:
        """The first field of this name (in lower case)."""
        for field in self.fields:
            if field.name == name:
                return field
        return None


def header_at(data: bytes, start: int = 0, end: int | None = None) -> Header:
    """The header that begins at ``start`` of ``data``, and ends at ``end`` at the latest."""
    limit = len(data) if end is None else end
    fields: list[Field] = []
    at = start
    latest = min(limit, start + MOST_OCTETS)
    while at < latest:
        found = _match_field(data, at, limit)
        if found is None:
            is_empty_line = data.startswith(b"\r\n", at, limit)
            return Header(tuple(fields), at, at + 2 if is_empty_line else at, not is_empty_line)
        end_of_field = found.end()
        fields.append(Field(found[1].lower(), at, found.start(2), end_of_field))
        at = end_of_field
    return Header(tuple(fields), at, at, at < limit)


def without_fields(data: bytes, names: Sequence[bytes], header: Header | None = None) -> bytes:
    """The message without the fields of these names (in lower case). ``header``: the message's, if it is known."""
    kept = [b""]
    done = 0
    for field in (header or header_at(data)).fields:
        if field.name in names:
            kept.append(data[done : field.start])
            done = field.end
    return b"".join([*kept, data[done:]])
