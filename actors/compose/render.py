"""The texts of one message: the shared content, overridden by a personalization.

This module owns the precedence of the two and of a template's texts, and the legacy substitutions. It does not encode
(parts.py, and header_fields.py of ``cluster``) or change a text for each recipient (transform.py). The language of
templates is that of ``cluster/templates``; templated.py makes parts of their texts. ``Renderer.render`` returns the
subject and the parts of a message, and mime.py needs nothing else.

What no personalization changes is returned as the same object every time; mime.py encodes such an object once. A part
with holes is returned as the cut text, the same object every time, with the values for the holes.
"""

from collections.abc import Mapping, Sequence

from msgspec import Struct

from actors.compose.holed import Cut, Filling, with_footer
from actors.compose.templated import Version, filled_parts
from cluster.journal.records import Address, BodyPart, Content, PreparedPersonalization
from cluster.message.custom_fields import merged
from cluster.message.header_fields import NotComposable, filled_addresses
from cluster.message.substitution import LOOP_S, CutText, Keys, effort_s, keys_of, substituted_size
from cluster.message.texts import not_composable
from cluster.message.transfer_encoding import newlines, octets
from cluster.settings import DEFAULT_LIMITS, MessageSettings
from cluster.templates.compiled import Filled
from cluster.templates.handlebars.errors import TooMuch

_KEPT_BYTES = 4 * 1024 * 1024
"""Limit on cut texts and keys, over all key sets of a request; a single larger set is kept alone. Most requests have
one set."""
_BYTES_OF_A_HOLE = 300
"""Memory of the pieces on both sides of a hole, as text and encoded."""
_HARMLESS = 256 * 1024
"""Octets up to which a text is not checked against the size limits."""


class Rendered(Struct, frozen=True):
    """The texts of a message, not encoded; line ends in the parts are ``\\n``."""

    from_: Address
    reply_to: tuple[Address, ...]
    subject: str
    parts: tuple["BodyPart | Filling", ...]
    headers: dict[str, str]


class _KeySet:
    """The texts of a request, cut at one set of substitution keys."""

    __slots__ = ("held_bytes", "is_subject_safe", "keys", "most", "parts", "reply_to", "subject")

    def __init__(self, content: Content, keys: Keys, shared: Sequence[BodyPart]) -> None:
        """``shared``: the parts of the content, with their footers."""
        self.keys = keys
        self.subject = CutText(content.subject, keys)
        self.is_subject_safe = self.subject.largest <= _HARMLESS
        texts = [CutText(part.value, keys) for part in content.parts]
        self.parts = tuple(
            [
                Cut(part.type, text, content.footer) if text.counts else part
                for text, part in zip(texts, shared, strict=True)
            ]
        )
        """The parts, cut; a part without a key is the one that all messages share."""
        self.reply_to = any(keys.occur_in(f"{address.email}\0{address.name}") for address in content.reply_to)
        counts = [text.counts for text in texts]
        self.most = max([count for those in counts for count in those.values()], default=0)
        """The most occurrences of one key in one part."""
        holes = sum([sum(those.values()) for those in counts])
        self.held_bytes = (
            3 * sum([len(part.value) for part in content.parts]) + _BYTES_OF_A_HOLE * holes + keys.held_bytes
        )


class Renderer:
    """The texts of one request, ready for its messages."""

    def __init__(
        self,
        content: Content,
        limits: MessageSettings = DEFAULT_LIMITS,
        version: Version | None = None,
    ) -> None:
        """``version``: the version of a template that the content names, if it names one."""
        self._has_template_subject = version is not None and version.has_subject
        if version is not None and version.is_fixed:
            content, version = version.written_into(content), None
        self.content = content
        """The content, with the texts of a template that has no tags."""
        self._version = version
        self._unfilled = version.parts(content.footer) if version is not None else ()
        """The parts of the template."""
        self._limits = limits
        self._is_tracked = content.tracking is not None
        texts = tuple(BodyPart(part.type, newlines(part.value)) for part in content.parts)
        self._plain = texts or (BodyPart("text/plain", ""),)
        self.headers = merged(content.headers, {})
        """The header fields of messages without header fields of their own."""
        self._key_sets: dict[tuple[str, ...], _KeySet] = {}
        self._held_bytes = 0
        self._characters = sum([len(part.value) for part in self._plain]) + len(content.subject)
        self._empty: Filled | None = None
        self.shared: tuple[BodyPart, ...] | None = None
        """``parts``, once they are made."""
        if self._version is None:
            self.shared = tuple(with_footer(part, content.footer) for part in self._plain)

    @property
    def parts(self) -> tuple[BodyPart, ...]:
        """The parts of messages without substitutions in them, and without data for a template. The same object each
        time. Raises NotComposable when a template exceeds its bounds."""
        if self.shared is None:
            filled = filled_parts(self._unfilled, self._filled_without_data)
            self.shared = tuple([part.part() if isinstance(part, Filling) else part for part in filled])
        return self.shared

    @property
    def number_of_parts(self) -> int:
        """How many parts each message has."""
        return len(self._unfilled or self._plain)

    def fill(self, data: bytes, **bounds: int) -> Filled | None:
        """The template with a message's data (JSON), as ``render`` takes it; None if no text depends on the data.
        ``bounds``: as in ``Version.fill``. Raises TooMuch."""
        return (
            None
            if self._version is None or not data
            else self._version.fill(data, is_tracked=self._is_tracked, **bounds)
        )

    def render(self, personalization: PreparedPersonalization, filled: Filled | None = None) -> Rendered:
        """The texts of this personalization's message. ``filled``: the result of ``fill`` with its data, if that is at
        hand. Raises NotComposable when they would be too large."""
        content = self.content
        own_subject = None if self._has_template_subject else personalization.subject
        subject = content.subject if own_subject is None else own_subject
        reply_to = content.reply_to
        parts: tuple[BodyPart | Filling, ...]
        if self._version is not None:
            subject, parts = self._templated(self._version, subject, personalization.template_data, filled)
        elif personalization.substitutions and (key_set := self._key_set(tuple(personalization.substitutions))):
            values = personalization.substitutions
            if own_subject is not None:
                subject = self._substituted_subject(subject, key_set.keys, values)
            elif key_set.subject.counts:
                if not key_set.is_subject_safe:
                    self._require_subject_fits(key_set.subject.size(values))
                subject = key_set.subject.fill(values)
            if key_set.reply_to:
                reply_to = filled_addresses(reply_to, key_set.keys, values, self._limits.max_bytes)
            parts = self._filled(key_set, values)
        else:
            parts = self.parts
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

    def unfilled(self, personalization: PreparedPersonalization) -> tuple[BodyPart | Cut, ...]:
        """The parts of a message before its values are filled in."""
        if self._version is not None:
            return self._unfilled
        substitutions = personalization.substitutions
        key_set = self._key_set(tuple(substitutions)) if substitutions else None
        return key_set.parts if key_set is not None and key_set.most else self.parts

    def _templated(
        self, version: Version, subject: str, data: bytes, filled: Filled | None
    ) -> tuple[str, tuple[BodyPart | Filling, ...]]:
        """The subject and the parts of a message with ``data``; ``subject``: if the template has none."""
        if filled is None:
            filled = _within_bounds(version, data, self._is_tracked) if data else self._filled_without_data
        parts = filled_parts(self._unfilled, filled) if data else self.parts
        return filled.subject if version.has_subject else subject, parts

    @property
    def _filled_without_data(self) -> Filled:
        assert self._version is not None
        if self._empty is None:
            self._empty = _within_bounds(self._version, b"", self._is_tracked)
        return self._empty

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
                from_=self.content.from_,
                reply_to=self.content.reply_to,
                subject=self.content.subject,
                parts=self._plain,
                footer=self.content.footer,
            )
            found = _KeySet(plain, keys, self.parts)
            if self._held_bytes + found.held_bytes > _KEPT_BYTES:
                self._key_sets, self._held_bytes = {}, 0
            self._key_sets[names] = found
            self._held_bytes += found.held_bytes
        return found


def _within_bounds(version: Version, data: bytes, is_tracked: bool) -> Filled:
    """The template with this data. Raises NotComposable when it exceeds its bounds."""
    try:
        return version.fill(data, is_tracked=is_tracked)
    except TooMuch as error:
        raise not_composable(error) from error
