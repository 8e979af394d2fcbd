"""Parts of a message with holes in them: a text that is cut once for all messages of a request, and the values that a
message puts into its holes.

This module owns where the footer of such a text goes. It does not know who makes the holes (substitution keys and
templates in render.py, places in transform.py) or how a text is encoded (parts.py).
"""

import re
from collections.abc import Collection, Hashable, Sequence
from typing import Any, Protocol

from msgspec import Struct

from actors.compose.parts import Form
from cluster.journal.records import BodyPart, Footer
from cluster.message.forms import Values
from cluster.message.transfer_encoding import newlines, octets

Key = str | int
"""What names the value of a hole: a substitution key, or the number of a template's hole."""

_BODY_END = re.compile(r"</body\s*>", re.IGNORECASE | re.ASCII)


class Pieces(Struct, frozen=True):
    """A text with holes that its values do not change."""

    literals: Sequence[str]
    keys: Sequence[Any]
    """Of the holes between the literals."""
    words: Collection[Hashable] = frozenset()
    """The keys whose values need no examination (``cluster.message.forms.form_of``)."""


class Undecided(Struct, frozen=True):
    """Stands for a form that is not made yet."""


class Holed(Protocol):
    """A part with holes. ``form`` is set by mime.py: how the part is encoded, once that is decided. Line ends in
    literals and values are ``\\n``."""

    type: str
    form: Form | Undecided | None

    def pieces(self) -> Pieces | None:
        """None if the values affect more than the holes."""

    def at_most(self, values: Any, /) -> int:
        """A cheap upper bound of the part's octets with these values."""

    def size(self, values: Any) -> int:
        """The most octets of the part with these values: in UTF-8, with CRLF line ends."""

    def part(self, values: Any) -> BodyPart:
        """The part with its whole text."""


class Fillable(Protocol):
    """A text with holes: ``cluster.message.substitution.CutText``, or the text of a template. Of a text that is not
    kept in pieces, literals and holes are None. Values are by key: a mapping, or a sequence where the keys are the
    indices of it."""

    literals: list[str] | None

    @property
    def holes(self) -> Sequence[Key] | None:
        """The keys of the holes between the literals."""

    def end_with(self, literal: str) -> None:
        """Replace the last literal."""

    def fill(self, values: Any) -> str:
        """The text with the values in its holes."""

    def at_most(self, values: Any) -> int:
        """A cheap upper bound of ``size``."""

    def size(self, values: Any) -> int:
        """Octets of the result of ``fill``: in UTF-8, with CRLF line ends."""


class Cut:
    """A part with holes, and with its footer. ``footer``: a footer not in the text yet, because its place depends on
    the values."""

    __slots__ = ("__weakref__", "_footer_size", "footer", "form", "text", "type")

    def __init__(self, type_: str, text: Fillable, footer: Footer | None) -> None:
        self.type = type_
        self.text = text
        self.footer = footer
        self.form: Form | Undecided | None = Undecided()
        end = text.literals[-1] if text.literals else ""
        if footer is not None and end and (type_.lower() != "text/html" or "</body>" in end):
            text.end_with(with_footer(BodyPart(type_, end), footer).value)
            self.footer = None
        self._footer_size = 0 if self.footer is None else _size(self.footer)

    def pieces(self) -> Pieces | None:
        literals, holes = self.text.literals, self.text.holes
        return None if self.footer is not None or literals is None or holes is None else Pieces(literals, holes)

    def at_most(self, values: Any) -> int:
        return self.text.at_most(values) + self._footer_size

    def size(self, values: Any) -> int:
        return self.text.size(values) + self._footer_size

    def part(self, values: Any) -> BodyPart:
        return with_footer(BodyPart(self.type, self.text.fill(values)), self.footer)


class Filling(Struct, frozen=True):
    """A part with holes and the values for them; line ends in them are ``\\n``."""

    cut: Holed
    values: Values

    def part(self) -> BodyPart:
        """The part with its whole text."""
        return self.cut.part(self.values)


def with_footer(part: BodyPart, footer: Footer | None) -> BodyPart:
    """The part with its footer: text on a separate line; HTML inside the body element, if there is one."""
    if footer is None:
        return part
    kind, value = part.type.lower(), part.value
    if kind == "text/plain" and footer.text:
        gap = "\n" if value and not value.endswith("\n") else ""
        return BodyPart(part.type, f"{value}{gap}{newlines(footer.text)}")
    if kind == "text/html" and footer.html:
        end = _body_end(value)
        return BodyPart(part.type, f"{value[:end]}{newlines(footer.html)}{value[end:]}")
    return part


def _size(footer: Footer) -> int:
    """The most octets that a footer adds to a part."""
    return max(octets(newlines(footer.text)) + 2, octets(newlines(footer.html)))


def _body_end(html: str) -> int:
    """The index of the last ``</body>``, or of the end. A tag in another case is searched from the end, tag by tag: a
    pattern over the whole text would hold the interpreter lock for too long."""
    if (found := html.rfind("</body>")) >= 0:
        return found
    end = len(html)
    while (found := html.rfind("</", 0, end)) >= 0:
        if _BODY_END.match(html, found):
            return found
        end = found
    return len(html)
