"""Submitted messages: sent as they came, but for what docs/submission.md lists.

A message that changes nothing in the body is not read beyond its header, and its body is hashed once. Otherwise its
parts are found by their places (``cluster.message.submitted``), and only the octets of a text that changes are made
anew. The texts are those of other requests: the same keys, the same transform.
"""

from datetime import datetime

from msgspec import Struct

from actors.compose import dkim
from actors.compose.holed import Filling
from actors.compose.relaxed import relaxed_lines
from actors.compose.render import Renderer
from actors.compose.skeleton import Composed, Skeleton, half_pair
from actors.compose.transform import Addressee, Transform, Transformer
from cluster.journal.records import Address, BodyPart, Content, PreparedPersonalization
from cluster.message import header_fields as fields
from cluster.message.header_fields import NotComposable
from cluster.message.submitted.downgrading import downgraded
from cluster.message.submitted.filling import FilledHeader, readable_header
from cluster.message.submitted.structure import Part, structure_of
from cluster.message.submitted.texts import (
    SubmittedText,
    Written,
    field_changes,
    has_long_line,
    leaves,
    shortened,
    texts_of,
    written,
)
from cluster.settings import MessageSettings
from cluster.templates.compiled import Filled

_NOT_TRACKED = ""
"""The type by which the transform sees a text that it leaves alone."""

_Fields = list[tuple[bytes, bytes]]


class _Slot(Struct, frozen=True):
    """A part of the body that is, or may be, made anew: its text, or what it is in all messages."""

    part: Part
    text: SubmittedText | None
    always: Written | None
    """What it is unless its text changes: with shorter lines. None: as it came."""
    end: int
    """Behind its last line end, which may be that before a delimiter."""


class _Piece(Struct, frozen=True):
    """Whole lines of a body, also as DKIM hashes them. ``written``: what the header of the message has to say of
    them, if they are its only part."""

    octets: bytes
    relaxed: bytes
    written: Written | None = None


class SubmittedSkeleton(Skeleton):
    """A submitted message. Raises NotComposable when its header has lines that are no fields."""

    def __init__(self, content: Content, limits: MessageSettings, transform: Transform | None) -> None:
        self._content = content
        self._limits = limits
        self._transform = transform
        original = content.original
        # A last line without its end gets it: DKIM hashes it so, and so does every host store it.
        data = self._data = original if original.endswith(b"\r\n") else original + b"\r\n"
        self._header = readable_header(data)
        self._names = frozenset([field.name for field in self._header.fields])
        self._fields = FilledHeader(data, self._header, limits.max_subject_bytes, readdressed=content.readdressed)
        self._body = data[self._header.body :]
        self._hash: bytes | None = None
        self._has_long_line = has_long_line(self._body)
        self._read: _Body | None = None

    def compose(
        self,
        personalization: PreparedPersonalization,
        *,
        message_id: str,
        date: datetime,
        addressee: Addressee | None = None,
        filled: Filled | None = None,
        feedback_id: bytes = b"",
    ) -> Composed:
        try:
            body, relaxed, said = self._laid_out(personalization, addressee)
            changes = self._fields.filled(personalization)
            added: _Fields = []
            if said is not None:
                own, added = field_changes(self._data, self._header, said)
                changes |= own
                if (own or added) and b"mime-version" not in self._names:
                    added.append((b"MIME-Version", b"1.0"))
            if self._content.readdressed and b"to" not in self._names:
                added.append((b"To", fields.addresses("To", personalization.to)[0]))
            if b"date" not in self._names:
                added.append((b"Date", fields.date(date)))
            if b"message-id" not in self._names:
                added.append((b"Message-ID", fields.message_id(message_id)))
            if self._transform is not None and addressee is not None and not self._unsubscribes:
                added += self._transform.fields(addressee)
            if feedback_id and b"feedback-id" not in self._names:
                added.append((b"Feedback-ID", feedback_id))
        except UnicodeEncodeError as error:
            raise half_pair() from error
        header, pairs, smtputf8 = self._fields.written(changes, added)
        return Composed(pairs, body, smtputf8, downgraded(pairs) if smtputf8 else None, relaxed, header)

    def fill(self, data: bytes, **bounds: int) -> Filled | None:
        return None  # it has no template

    def growth(
        self, personalization: PreparedPersonalization, values_bytes: int, filled: Filled | None = None
    ) -> int | None:
        return self._parts.growth(personalization, values_bytes)

    def body_hash(self, body: bytes, relaxed: bytes | None = None) -> bytes:
        if body is not self._body:
            return dkim.body_hash(body, relaxed)
        if self._hash is None:
            self._hash = dkim.body_hash(body)
        return self._hash

    @property
    def _unsubscribes(self) -> bool:
        return not self._names.isdisjoint((b"list-unsubscribe", b"list-unsubscribe-post"))

    @property
    def _parts(self) -> "_Body":
        if self._read is None:
            self._read = _Body(
                self._content.from_, self._data, structure_of(self._data, self._header), self._limits, self._transform
            )
        return self._read

    def _laid_out(
        self, personalization: PreparedPersonalization, addressee: Addressee | None
    ) -> tuple[bytes, bytes | None, Written | None]:
        """The body, the same as DKIM hashes it if that is known, and what the header of the message says of it."""
        if not personalization.substitutions and self._transform is None and not self._has_long_line:
            return self._body, None, None
        pieces = self._parts.pieces(personalization, addressee)
        if pieces is None:
            return self._body, None, None
        body = b"".join([piece.octets for piece in pieces])
        relaxed = b"".join([piece.relaxed for piece in pieces])
        return body, relaxed, next((piece.written for piece in pieces if piece.written is not None), None)


class _Body:
    """The body of a submitted message, with the parts that may change."""

    def __init__(
        self, from_: Address, data: bytes, root: Part, limits: MessageSettings, transform: Transform | None
    ) -> None:
        self._data = data
        self._root = root
        self._limits = limits
        texts = {text.part.start: text for text in texts_of(data, root)}
        self._slots: list[_Slot] = []
        for part in leaves(root, of_sealed=False):
            text = texts.get(part.start)
            always = shortened(data, part) if has_long_line(data, part.content, part.end) else None
            if text is not None or always is not None:
                end = part.end + 2 if data.startswith(b"\r\n", part.end) else part.end
                self._slots.append(_Slot(part, text, always, end))
        self._texts = [slot.text for slot in self._slots if slot.text is not None]
        self._renderer = Renderer(Content(from_=from_, parts=_shown(self._texts)), limits)
        self._transformer = Transformer(transform, self._renderer) if transform is not None else None
        self._gaps = self._between()
        self._same = [self._same_piece(slot) for slot in self._slots]
        self._is_same = not any(slot.always is not None for slot in self._slots)
        """Whether a message whose texts do not change has the body that was submitted."""
        self._made: dict[int, tuple[BodyPart, _Piece]] = {}
        """By the number of a slot: a text that messages share, and its piece."""

    def growth(self, personalization: PreparedPersonalization, values_bytes: int) -> int | None:
        if not self._texts:
            return 0
        grown = self._renderer.growth(personalization.substitutions, values_bytes)
        if grown is None or self._transformer is None:
            return grown
        more = self._transformer.growth(self._renderer.unfilled(personalization), values_bytes)
        return None if more is None else grown + more

    def pieces(self, personalization: PreparedPersonalization, addressee: Addressee | None) -> list[_Piece] | None:
        """The body of a message; None if it is as it was submitted. Raises NotComposable when it is too large."""
        changed = self._changed(personalization, addressee) if self._texts else {}
        if not changed and self._is_same:
            return None
        pieces = [self._gaps[0]]
        for number, gap in enumerate(self._gaps[1:]):
            pieces += (changed.get(number, self._same[number]), gap)
        return pieces

    def _changed(self, personalization: PreparedPersonalization, addressee: Addressee | None) -> dict[int, _Piece]:
        """The parts whose texts change, by the number of their slots."""
        parts = self._renderer.render(personalization).parts
        if self._transformer is not None:
            parts = self._transformer.apply(parts, addressee)
        self._require_room([part for part in parts if isinstance(part, Filling)])
        changed: dict[int, _Piece] = {}
        following = iter(parts)
        for number, slot in enumerate(self._slots):
            if slot.text is None:
                continue
            part = next(following)
            if isinstance(part, BodyPart) and (known := self._made.get(number)) is not None and known[0] is part:
                changed[number] = known[1]
                continue
            value = part.value if isinstance(part, BodyPart) else part.part().value
            if value == slot.text.value:
                continue
            piece = changed[number] = self._piece(slot, written(self._data, slot.text, value))
            if isinstance(part, BodyPart):
                self._made[number] = part, piece
        return changed

    def _require_room(self, fillings: list[Filling]) -> None:
        sizes = [filling.cut.size(filling.values) for filling in fillings]
        if max(sizes, default=0) > self._limits.max_part_bytes:
            raise NotComposable(f"a text has {max(sizes)} bytes, more than {self._limits.max_part_bytes}")
        if sum(sizes) > self._limits.max_bytes:
            raise NotComposable(f"the message has more than {self._limits.max_bytes} bytes")

    def _begin(self, slot: _Slot) -> int:
        return slot.part.content if slot.part is self._root else slot.part.start

    def _between(self) -> list[_Piece]:
        """What stands before, between and behind the parts that may change."""
        places = [self._root.content]
        for slot in self._slots:
            places += (self._begin(slot), slot.end)
        places.append(len(self._data))
        return [self._as_it_is(start, end) for start, end in zip(places[::2], places[1::2], strict=True)]

    def _as_it_is(self, start: int, end: int) -> _Piece:
        octets = self._data[start:end]
        return _Piece(octets, relaxed_lines(octets))

    def _same_piece(self, slot: _Slot) -> _Piece:
        """The part of a message that does not change its text."""
        return self._as_it_is(self._begin(slot), slot.end) if slot.always is None else self._piece(slot, slot.always)

    def _piece(self, slot: _Slot, made: Written) -> _Piece:
        part = slot.part
        content = made.content + self._data[part.end : slot.end]
        if not content.endswith(b"\r\n"):
            content += b"\r\n"  # at the end of the message
        if part is self._root:
            return _Piece(content, relaxed_lines(content), made)
        octets = _header(self._data, part, made) + content
        return _Piece(octets, relaxed_lines(octets))


def _header(data: bytes, part: Part, made: Written) -> bytes:
    """The header of a part and the empty line behind it."""
    header = part.header
    changes, added = field_changes(data, header, made)
    if not changes and not added:
        return data[part.start : header.body]
    lines = [
        data[field.start : field.value] + changes[number] + b"\r\n"
        if number in changes
        else data[field.start : field.end]
        for number, field in enumerate(header.fields)
    ]
    return b"".join([*lines, *(b"%b: %b\r\n" % one for one in added), b"\r\n"])


def _shown(texts: list[SubmittedText]) -> tuple[BodyPart, ...]:
    """The texts as the transform sees them: it changes the first of each kind. The others are a letter's second page or
    a list's ending, which need no second pixel."""
    seen = set[str]()
    parts = []
    for text in texts:
        parts.append(BodyPart(_NOT_TRACKED if text.kind in seen else text.kind, text.value))
        seen.add(text.kind)
    return tuple(parts)
