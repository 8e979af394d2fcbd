"""The texts of one message: the shared content, overridden by a personalization.

This module owns the precedence of the two, the legacy substitutions and the footer. It does not encode (parts.py, and
header_fields.py of ``cluster``) or change a text for each recipient (transform.py).
A template language belongs here: ``Renderer.render`` returns the subject and the parts of a message, and mime.py needs
nothing else.

What no personalization changes is returned as the same object every time; mime.py encodes such an object once. A part
with holes is returned as the cut text, the same object every time, with the values for the holes.
"""

import re
from collections.abc import Hashable, Mapping, Sequence
from typing import Any, Protocol

from msgspec import Struct

from actors.compose.parts import Form
from cluster.journal.records import Address, BodyPart, Content, Footer, PreparedPersonalization
from cluster.message.custom_fields import merged
from cluster.message.header_fields import NotComposable, filled_addresses
from cluster.message.substitution import LOOP_S, CutText, Keys, effort_s, keys_of, substituted_size
from cluster.message.transfer_encoding import newlines, octets
from cluster.settings import DEFAULT_LIMITS, MessageSettings

_KEPT_BYTES = 4 * 1024 * 1024
"""Limit on cut texts and keys, over all key sets of a request; a single larger set is kept alone. Most requests have
one set."""
_BYTES_OF_A_HOLE = 300
"""Memory of the pieces on both sides of a hole, as text and encoded."""
_BODY_END = re.compile(r"</body\s*>", re.IGNORECASE | re.ASCII)
_HARMLESS = 256 * 1024
"""Octets up to which a text is not checked against the size limits."""


class Rendered(Struct, frozen=True):
    """The texts of a message, not encoded; line ends in the parts are ``\\n``."""

    from_: Address
    reply_to: tuple[Address, ...]
    subject: str
    parts: tuple["BodyPart | Filling", ...]
    headers: dict[str, str]


class Undecided(Struct, frozen=True):
    """Stands for a form that is not made yet."""


class Holed(Protocol):
    """A part with holes. ``form`` is set by mime.py: how the part is encoded, once that is decided. Line ends in
    literals and values are ``\\n``."""

    type: str
    form: Form | Undecided | None

    def pieces(self) -> tuple[Sequence[str], Sequence[Hashable]] | None:
        """The literals, and the keys of the holes between them; None if the values affect more than the holes."""

    def at_most(self, values: Mapping[Any, str], /) -> int:
        """A cheap upper bound of the part's octets with these values."""

    def size(self, values: Mapping[Any, str]) -> int:
        """The most octets of the part with these values: in UTF-8, with CRLF line ends."""

    def part(self, values: Mapping[Any, str]) -> BodyPart:
        """The part with its whole text."""


class Cut:
    """A part cut at its keys. ``footer``: a footer not in the text yet, because its place depends on the values."""

    __slots__ = ("__weakref__", "_largest", "footer", "form", "text", "type")

    def __init__(self, part: BodyPart, keys: Keys, footer: Footer | None) -> None:
        self.type = part.type
        self.text = CutText(part.value, keys)
        self.footer = footer
        self.form: Form | Undecided | None = Undecided()
        end = self.text.literals[-1] if self.text.literals else ""
        if footer is not None and end and (part.type.lower() != "text/html" or "</body>" in end):
            self.text.end_with(_with_footer(BodyPart(part.type, end), footer).value)
            self.footer = None
        self._largest = self.text.largest + _footer_size(self.footer)

    def pieces(self) -> tuple[Sequence[str], Sequence[str]] | None:
        literals, holes = self.text.literals, self.text.holes
        return None if self.footer is not None or literals is None or holes is None else (literals, holes)

    def at_most(self, _values: Mapping[str, str]) -> int:
        return self._largest

    def size(self, values: Mapping[str, str]) -> int:
        return self.text.size(values) + _footer_size(self.footer)

    def part(self, values: Mapping[str, str]) -> BodyPart:
        return _with_footer(BodyPart(self.type, self.text.fill(values)), self.footer)


class Filling(Struct, frozen=True):
    """A part with holes and the values for them; line ends in them are ``\\n``."""

    cut: Holed
    values: Mapping[Any, str]

    def part(self) -> BodyPart:
        """The part with its whole text."""
        return self.cut.part(self.values)


class _KeySet:
    """The texts of a request, cut at one set of substitution keys."""

    __slots__ = ("held_bytes", "is_subject_safe", "keys", "most", "parts", "reply_to", "subject")

    def __init__(self, content: Content, keys: Keys, shared: Sequence[BodyPart]) -> None:
        """``shared``: the parts of the content, with their footers."""
        self.keys = keys
        self.subject = CutText(content.subject, keys)
        self.is_subject_safe = self.subject.largest <= _HARMLESS
        cuts = [Cut(part, keys, content.footer) for part in content.parts]
        self.parts = tuple([cut if cut.text.counts else part for cut, part in zip(cuts, shared, strict=True)])
        """The parts, cut; a part without a key is the one that all messages share."""
        self.reply_to = any(keys.occur_in(f"{address.email}\0{address.name}") for address in content.reply_to)
        counts = [cut.text.counts for cut in cuts]
        self.most = max([count for those in counts for count in those.values()], default=0)
        """The most occurrences of one key in one part."""
        holes = sum([sum(those.values()) for those in counts])
        texts = 3 * sum([len(part.value) for part in content.parts])
        self.held_bytes = texts + _BYTES_OF_A_HOLE * holes + keys.held_bytes


class Renderer:
    """The texts of one request, ready for its messages."""

    def __init__(self, content: Content, limits: MessageSettings = DEFAULT_LIMITS) -> None:
        self._content = content
        self._limits = limits
        texts = tuple(BodyPart(part.type, newlines(part.value)) for part in content.parts)
        self._plain = texts or (BodyPart("text/plain", ""),)
        self.headers = merged(content.headers, {})
        """The header fields of messages without header fields of their own."""
        self._key_sets: dict[tuple[str, ...], _KeySet] = {}
        self._held_bytes = 0
        self._characters = sum([len(part.value) for part in self._plain]) + len(content.subject)
        self.parts = tuple(_with_footer(part, content.footer) for part in self._plain)
        """The parts of messages without substitutions in them."""

    def render(self, personalization: PreparedPersonalization) -> Rendered:
        """The texts of this personalization's message. Raises NotComposable when they would be too large."""
        content = self._content
        subject = content.subject if personalization.subject is None else personalization.subject
        reply_to = content.reply_to
        parts: tuple[BodyPart | Filling, ...] = self.parts
        if personalization.substitutions and (key_set := self._key_set(tuple(personalization.substitutions))):
            values = personalization.substitutions
            if personalization.subject is not None:
                subject = self._substituted_subject(subject, key_set.keys, values)
            elif key_set.subject.counts:
                if not key_set.is_subject_safe:
                    self._require_subject_fits(key_set.subject.size(values))
                subject = key_set.subject.fill(values)
            if key_set.reply_to:
                reply_to = filled_addresses(reply_to, key_set.keys, values, self._limits.max_bytes)
            parts = self._filled(key_set, values)
        if 4 * len(subject) > self._limits.max_subject_bytes:
            self._require_subject_fits(octets(subject.strip(" \t")))
        return Rendered(
            content.from_ if personalization.from_ is None else personalization.from_,
            reply_to,
            subject,
            parts,
            merged(content.headers, personalization.headers) if personalization.headers else self.headers,
        )

    def growth(self, substitutions: Mapping[str, str], values_bytes: int) -> int | None:
        """The most octets that substituting adds to the parts; None if finding out would block an event loop for too
        long. ``values_bytes``: octets of all values, or more."""
        names = tuple(substitutions)
        key_set = self._key_sets.get(names)
        if key_set is None:
            if effort_s(names, self._characters) > LOOP_S:
                return None
            key_set = self._key_set(names)
        # A line end of one octet becomes two.
        return 2 * values_bytes * key_set.most * len(key_set.parts) if key_set else 0

    def unfilled(self, substitutions: Mapping[str, str]) -> tuple[BodyPart | Cut, ...]:
        """The parts of a message with these substitutions before the values are filled in."""
        key_set = self._key_set(tuple(substitutions)) if substitutions else None
        return key_set.parts if key_set is not None and key_set.most else self.parts

    def _require_subject_fits(self, size: int) -> None:
        if size > self._limits.max_subject_bytes:
            raise NotComposable(f"the subject has {size} bytes, more than {self._limits.max_subject_bytes}")

    def _substituted_subject(self, subject: str, keys: Keys, values: Mapping[str, str]) -> str:
        if len(subject) * sum(map(len, values.values())) > _HARMLESS:
            self._require_subject_fits(substituted_size(subject, values))
        return keys.substitute(subject, values)

    def _filled(self, key_set: _KeySet, substitutions: Mapping[str, str]) -> tuple[BodyPart | Filling, ...]:
        if not key_set.most:
            return self.parts
        values = {key: newlines(value) for key, value in substitutions.items()}
        return tuple([Filling(part, values) if isinstance(part, Cut) else part for part in key_set.parts])

    def _key_set(self, names: tuple[str, ...]) -> _KeySet | None:
        found = self._key_sets.get(names)
        if found is None:
            keys = keys_of(names)
            if not keys.names:
                return None
            plain = Content(
                from_=self._content.from_,
                reply_to=self._content.reply_to,
                subject=self._content.subject,
                parts=self._plain,
                footer=self._content.footer,
            )
            found = _KeySet(plain, keys, self.parts)
            if self._held_bytes + found.held_bytes > _KEPT_BYTES:
                self._key_sets, self._held_bytes = {}, 0
            self._key_sets[names] = found
            self._held_bytes += found.held_bytes
        return found


def _with_footer(part: BodyPart, footer: Footer | None) -> BodyPart:
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


def _footer_size(footer: Footer | None) -> int:
    """The most octets that a footer adds to a part."""
    return 0 if footer is None else max(octets(newlines(footer.text)) + 2, octets(newlines(footer.html)))


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
