"""The texts of a template's version, as messages share them.

``cluster/templates`` owns the language and its bounds. This module makes parts of the texts: the literals, which are
encoded once for all requests of the version, and the values that each message puts between them.
"""

from collections.abc import Sequence
from itertools import chain
from typing import Any

from msgspec.structs import replace

from actors.compose.holed import Cut, Filling, with_footer
from actors.compose.tracking.tags import GROUP_TAG, PREFERENCES_TAG
from cluster.joining import joined
from cluster.journal.records import BodyPart, Content, Footer
from cluster.message.transfer_encoding import newlines, octets
from cluster.templates.compiled import CompiledTemplate, Filled, decode_data, is_plain
from cluster.templates.handlebars.text import CompiledText

_MOST_OF_A_CHARACTER = 4
"""Octets of a character: in UTF-8, or of a line end."""
_BYTES_OF_A_HOLE = 300
"""Memory of the pieces on both sides of a hole, encoded."""

_TAGS = {"unsubscribe": GROUP_TAG, "unsubscribe_preferences": PREFERENCES_TAG}
"""What SendGrid's templates print by these names, unless the data has them."""

Unfilled = tuple[BodyPart | Cut, ...]
"""The parts of a version. One without tags is the same in all messages."""


class TemplateText:
    """A text of a template, with a hole where each of its outermost tags and blocks is (``holed.Fillable``)."""

    __slots__ = ("_octets", "holes", "literals")

    def __init__(self, text: CompiledText) -> None:
        self.literals: list[str] | None = list(map(newlines, text.literals))
        self.holes: Sequence[int] = range(text.holes)
        self._octets = sum(map(octets, self.literals))

    def end_with(self, literal: str) -> None:
        assert self.literals is not None
        self._octets += octets(literal) - octets(self.literals[-1])
        self.literals[-1] = literal

    def fill(self, values: Sequence[str]) -> str:
        assert self.literals is not None
        return joined(self.literals, values)

    def at_most(self, values: Sequence[str]) -> int:
        return self._octets + _MOST_OF_A_CHARACTER * len("".join(values))

    def size(self, values: Sequence[str]) -> int:
        return self._octets + sum(map(octets, values))


class Version:
    """A version, ready for the messages of all requests that are rendered from it."""

    def __init__(self, template: CompiledTemplate) -> None:
        self._template = template
        subject = template.subject
        self.has_subject = not subject.is_blank
        """Whether it has a subject, which then takes precedence over the request's."""
        self.is_fixed = not subject.holes and not any(text.holes for _, text in template.parts)
        """Whether its texts are the same whatever the data is: it has no tags, or is a legacy template."""
        self._unsubscribes = any((name,) in text.names for _, text in template.parts for name in _TAGS)
        self.characters = sum([sum(map(len, text.literals)) for _, text in template.parts])
        """Of the texts between the tags."""
        holes = sum([text.holes for _, text in template.parts])
        self.held_bytes = template.held_bytes + _MOST_OF_A_CHARACTER * self.characters + _BYTES_OF_A_HOLE * holes
        """Its memory, about."""
        self._parts = () if self.is_fixed else self._with_footer(None)

    def written_into(self, content: Content) -> Content:
        """The content of a request with the texts of a version that is fixed."""
        parts = tuple([BodyPart(type_, text.literals[0]) for type_, text in self._template.parts])
        subject = self._template.subject.literals[0] if self.has_subject else content.subject
        return replace(content, parts=parts, subject=subject)

    def parts(self, footer: Footer | None) -> Unfilled:
        """The parts with a request's footer. Without one they are the same objects each time."""
        return self._parts if footer is None else self._with_footer(footer)

    def fill(self, data: bytes, *, is_tracked: bool = False, **bounds: Any) -> Filled:
        """The values of the holes, with a message's data: an object in JSON, or nothing. ``is_tracked``: the texts get
        URLs where they ask for SendGrid's ``unsubscribe``. ``bounds``: the most ``steps``, characters of ``output``,
        and of ``values`` in it, if not the usual ones. Raises TooMuch."""
        values = decode_data(data)
        if is_tracked and self._unsubscribes:
            return self._template.fill(_TAGS | values, **bounds)
        return self._template.fill(values, is_plain=is_plain(data), **bounds)

    def _with_footer(self, footer: Footer | None) -> Unfilled:
        parts = [_part(type_, text, footer) for type_, text in self._template.parts]
        return tuple(parts or [with_footer(BodyPart("text/plain", ""), footer)])


def filled_parts(parts: Unfilled, filled: Filled) -> tuple[BodyPart | Filling, ...]:
    """The parts of a version with the values of a message."""
    return tuple(
        [
            Filling(part, _with_newlines(values)) if isinstance(part, Cut) else part
            for part, values in zip(parts, filled.holes or ((),), strict=True)
        ]
    )


def most_octets(filled: Filled) -> int:
    """A cheap upper bound of the octets of the values."""
    values = "".join(chain.from_iterable(filled.holes))
    return len(values) + values.count("\n") if values.isascii() else _MOST_OF_A_CHARACTER * len(values)


def _part(type_: str, text: CompiledText, footer: Footer | None) -> BodyPart | Cut:
    if text.holes:
        return Cut(type_, TemplateText(text), footer)
    return with_footer(BodyPart(type_, newlines(text.literals[0])), footer)


def _with_newlines(values: tuple[str, ...]) -> Sequence[str]:
    """The values with ``\\n`` as line ends, as most have already."""
    return list(map(newlines, values)) if "\r" in "".join(values) else values
