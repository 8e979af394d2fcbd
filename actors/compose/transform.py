"""The step between rendering and MIME: a transform changes the texts of all messages of a request, or of each
recipient's copy. Links, a pixel and an unsubscribe address are such changes.

A transform reads a text once and returns it with *places*: holes that are filled in for each recipient. The literals
between the holes are encoded once, like everything that messages share. So a transform is called

- once per request for a text that all messages share, when the first message needs it;
- once per set of substitution keys for a text that is cut at them: such a text has the keys as holes already;
- once per copy for a whole text, if there is no other form: a transform that needs the keys' values asks for it by
  returning None, and some texts have no cut form (render.py).

A request has at most one transform, which makes all changes in one pass. This module decides when a transform is
called. It does not search texts or encode (parts.py), and uses no clock and no randomness, so a retry makes the same
body.
"""

import math
from collections import Counter
from collections.abc import Callable, Sequence
from enum import Enum
from typing import Protocol
from weakref import WeakKeyDictionary

from msgspec import Struct

from actors.compose.holed import Cut, Filling, Key, Pieces, Undecided
from actors.compose.parts import Form
from actors.compose.render import Renderer
from cluster.joining import joined
from cluster.journal.records import BodyPart
from cluster.message.forms import Values
from cluster.message.transfer_encoding import newlines, octets

_MOST_OF_A_CHARACTER = 4
"""Octets: in UTF-8, or of a line end."""


class SharedBy(Enum):
    """Which messages share the result of a transform."""

    REQUEST = "request"
    """All messages of the request; a message's recipients share it."""
    RECIPIENT = "recipient"
    """One recipient: each recipient of a message gets a copy, composed and sent separately."""


class Addressee(Struct, frozen=True, gc=False):
    """The recipient of a copy; the same in every attempt."""

    message_id: str
    recipient_no: int
    email: str
    mail_host: str = ""
    """The host at which mail unsubscribes them; "": at none."""


class Growth(Struct, frozen=True, gc=False):
    """The most octets of a text (UTF-8, CRLF line ends): ``fixed``, and ``a_value_byte`` for each octet of the values
    of a message's holes."""

    fixed: int
    a_value_byte: float = 0.0

    def __add__(self, other: "Growth") -> "Growth":
        return Growth(self.fixed + other.fixed, self.a_value_byte + other.a_value_byte)

    def most(self, values_bytes: int) -> int:
        """The most octets in a message whose values have ``values_bytes``."""
        return self.fixed + math.ceil(self.a_value_byte * values_bytes)


class Place(Protocol):
    """A hole that a transform made, with the text for each recipient's copy. The same object may be in several
    holes."""

    @property
    def growth(self) -> Growth:
        """The most that its text has."""

    def fill(self, addressee: Addressee, values: Values) -> str:
        """The text for this recipient; line ends are ``\\n``. ``values``: those of the keys in the part, none if it has
        no keys. The same arguments give the same text."""


Hole = Key | Place
"""A key, or a place."""
Fill = Callable[[Addressee, Values], list[str] | None]
"""Gives the texts of all holes of a text, keys and places, for a recipient and the values of a message; line ends are
``\\n``. None for values with which the holes must be filled one by one."""


class Text(Struct, frozen=True):
    """A part in pieces; line ends are ``\\n``."""

    type: str
    """The media type, as the sender gave it."""
    literals: tuple[str, ...]
    """The texts between the holes: one more than there are holes."""
    holes: tuple[Hole, ...] = ()
    fill: Fill | None = None
    """Fills the holes together, if that takes less time than one by one."""
    words: frozenset[int] = frozenset()
    """The holes, by their index, whose texts need no examination (``cluster.message.forms.form_of``) if ``fill`` made
    them."""

    def __post_init__(self) -> None:
        if len(self.literals) != len(self.holes) + 1:
            raise ValueError(f"{len(self.literals)} literals cannot have {len(self.holes)} holes between them")

    @property
    def keys(self) -> tuple[Key, ...]:
        """The keys among the holes."""
        return tuple([hole for hole in self.holes if isinstance(hole, Key)])

    def filled(self, addressee: Addressee, values: Values) -> list[str]:
        """The texts of the holes for a recipient."""
        if self.fill is not None and (together := self.fill(addressee, values)) is not None:
            return together
        return [values[hole] if isinstance(hole, Key) else hole.fill(addressee, values) for hole in self.holes]


class Transform(Protocol):
    """Changes the texts of one request's messages. It must be pure and take time linear in the text."""

    @property
    def scope(self) -> SharedBy:
        """Which messages share the result."""

    def fields(self, addressee: Addressee) -> tuple[tuple[bytes, bytes], ...]:
        """The header fields by which this recipient unsubscribes: (name, value). The sender's own take precedence."""

    def change(self, text: Text) -> Text | None:
        """The changed text: with places only if the scope is RECIPIENT, and with no key more often than before. None,
        only for a text with keys, if the change depends on their values."""


class Changed:
    """A text changed by a transform, with its holes (a ``render.Holed``). Its values are in the order of the holes."""

    def __init__(self, text: Text, before: Text) -> None:
        self.type = text.type
        self.form: Form | Undecided | None = Undecided()
        self._text, self._before = text, before
        self._literals = tuple([newlines(literal) for literal in text.literals])
        self._holes = range(len(text.holes))
        self._octets = sum(map(octets, self._literals))
        self._keys = text.keys
        added = Growth(max(0, self._octets - sum(map(octets, before.literals))))
        self.growth = sum([hole.growth for hole in text.holes if not isinstance(hole, Key)], added)
        """The most that the transform adds to the text."""
        self.whole = None if text.holes else BodyPart(text.type, self._literals[0])
        """The part, if it has no holes."""
        self._one_by_one: Changed | None = None
        """The same for copies whose holes are not filled together, made when there is one."""

    def filling(self, given: Values, addressee: Addressee | None) -> Filling:
        """The part of a recipient's copy. ``given``: the values of the keys. Raises ValueError for a text with places
        and no addressee."""
        text = self._text
        if addressee is None:
            if len(self._keys) < len(self._holes):
                raise ValueError("a text with places is composed for a recipient")
            return Filling(self, [given[key] for key in self._keys])
        if text.fill is None:
            return Filling(self, list(map(newlines, text.filled(addressee, given))))
        values = text.fill(addressee, given)
        if values is None:
            if self._one_by_one is None:
                self._one_by_one = Changed(Text(text.type, text.literals, text.holes), self._before)
            return self._one_by_one.filling(given, addressee)
        return Filling(self, values)

    def pieces(self) -> Pieces:
        return Pieces(self._literals, self._holes, self._text.words)

    def at_most(self, values: Sequence[str]) -> int:
        return self._octets + _MOST_OF_A_CHARACTER * len("".join(values))

    def size(self, values: Sequence[str]) -> int:
        return self._octets + sum(map(octets, values))

    def part(self, values: Sequence[str]) -> BodyPart:
        return BodyPart(self.type, joined(self._literals, values))


class _Known(Struct, frozen=True):
    """What became of a cut text; None if it must be changed as a whole, for each message."""

    changed: Changed | None


class Transformer:
    """Applies a transform to one request, whose texts are those of the renderer."""

    def __init__(self, transform: Transform, renderer: Renderer) -> None:
        self._transform = transform
        self._renderer = renderer
        self._shared: list[Changed | None] = [None] * renderer.number_of_parts
        self._cuts: WeakKeyDictionary[Cut, _Known] = WeakKeyDictionary()
        self._growth: tuple[tuple[BodyPart | Cut, ...], Growth | None] = ((), Growth(0))
        """The parts of the last message before its values were filled in, and the most that is added to them."""
        self.parts: tuple[BodyPart, ...] = ()
        """The renderer's parts after the transform, once a message needed them; empty if each recipient has parts of
        its own."""

    def apply(
        self, rendered: tuple[BodyPart | Filling, ...], addressee: Addressee | None
    ) -> tuple[BodyPart | Filling, ...]:
        """A message's parts after the transform. A BodyPart is the same object for all messages; a Filling belongs to
        this one."""
        is_shared = rendered is self._renderer.shared
        if is_shared and self.parts:
            return self.parts
        own = tuple([self._applied(index, part, addressee) for index, part in enumerate(rendered)])
        whole = tuple([part for part in own if isinstance(part, BodyPart)])
        if is_shared and len(whole) == len(own):
            self.parts = whole
            return whole
        return own

    def growth(self, unfilled: tuple[BodyPart | Cut, ...], values_bytes: int) -> int | None:
        """The most octets that the transform adds to a message's parts; None if that depends on its whole texts."""
        last, added = self._growth  # read once: a large message is composed in a thread
        if last is not unfilled:
            self._growth = unfilled, (added := self._added(unfilled))
        return None if added is None else added.most(values_bytes)

    def _added(self, unfilled: tuple[BodyPart | Cut, ...]) -> Growth | None:
        added = Growth(0)
        for index, part in enumerate(unfilled):
            changed = self._changed_cut(part) if isinstance(part, Cut) else self._changed_part(index, part)
            if changed is None:
                return None
            added += changed.growth
        return added

    def _applied(self, index: int, part: BodyPart | Filling, addressee: Addressee | None) -> BodyPart | Filling:
        if not isinstance(part, Filling):
            changed = self._changed_part(index, part)
            return changed.whole or changed.filling({}, addressee)
        assert isinstance(part.cut, Cut)
        known = self._changed_cut(part.cut)
        if known is None:
            whole = part.part()
            known = self._changed(Text(whole.type, (whole.value,)))
            known.form = None  # filled only once, so a form is not worth making
        return known.filling(part.values, addressee)

    def _changed_part(self, index: int, part: BodyPart) -> Changed:
        found = self._shared[index]
        if found is None:
            found = self._shared[index] = self._changed(Text(part.type, (part.value,)))
        return found

    def _changed_cut(self, cut: Cut) -> Changed | None:
        """The changed cut text; None if it must be changed as a whole, for each message."""
        known = self._cuts.get(cut)
        if known is not None:
            return known.changed
        found = None
        if (pieces := cut.pieces()) is not None:
            text = Text(cut.type, tuple(pieces.literals), tuple(pieces.keys))
            if (changed := self._transform.change(text)) is not None:
                found = self._checked(changed, text)
        self._cuts[cut] = _Known(found)
        return found

    def _changed(self, text: Text) -> Changed:
        """Change a text without keys."""
        changed = self._transform.change(text)
        if changed is None:
            raise ValueError("a transform has to change a text without keys")
        return self._checked(changed, text)

    def _checked(self, changed: Text, before: Text) -> Changed:
        if self._transform.scope is SharedBy.REQUEST and len(changed.keys) < len(changed.holes):
            raise ValueError("a transform for the request made a place for each recipient")
        if not Counter(changed.keys) <= Counter(before.keys):
            raise ValueError("a transform made holes for keys that were not there")
        return Changed(changed, before)
