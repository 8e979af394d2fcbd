"""The step between rendering and MIME: what changes the texts of a request's messages, of all of them or of each
recipient's copy. Links, a pixel and an unsubscribe address are such changes.

A transform looks at a text once, and returns it with *places*: holes that are filled in for each recipient. What is
between the holes is encoded once, like the rest of what messages share. So a transform is called

- once per request for a text that all messages share, when the first message needs it;
- once per set of substitution keys for a text that is cut at them: such a text has the keys as holes already;
- once per copy for a whole text, where that is all there is: a transform that cannot tell before the keys are filled
  asks for it by answering None, and some texts have no cut form (render.py).

A request has one transform at most; what changes several things looks for all of them at once. Owns when a transform
is called. Never does: find anything in a text, encode (parts.py), know the time or what chance is: a retry makes the
same body.
"""

from collections import Counter
from collections.abc import Hashable, Mapping, Sequence
from enum import Enum
from typing import Protocol
from weakref import WeakKeyDictionary

from msgspec import Struct

from actors.compose.parts import Form
from actors.compose.render import Cut, Filling, Undecided
from cluster.journal.records import BodyPart
from cluster.message.transfer_encoding import newlines, octets


class SharedBy(Enum):
    """For whom the result of a transform is the same."""

    REQUEST = "request"
    """For all messages of the request; a message's recipients share it."""
    RECIPIENT = "recipient"
    """For one recipient: each of a message's recipients gets a copy, composed and sent alone."""


class Addressee(Struct, frozen=True):
    """The recipient whom a copy is for. The same in every attempt."""

    message_id: str
    recipient_no: int
    email: str


class Place(Hashable, Protocol):
    """A hole that a transform made, and what stands there in each recipient's copy. The same object may stand in
    several holes."""

    def fill(self, addressee: Addressee, values: Mapping[str, str]) -> str:
        """The text of this recipient; line ends are ``\\n``. ``values``: of the substitution keys in the part, none
        where it has no keys. The same arguments give the same text."""

    def most(self, values_bytes: int) -> int:
        """Octets (UTF-8, CRLF line ends) of it at most, in a message whose substitutions have so many."""


Hole = str | Place
"""A substitution key, or a place."""


class Text(Struct, frozen=True):
    """A part in pieces; line ends are ``\\n``."""

    type: str
    """Its media type, as the sender gave it."""
    literals: tuple[str, ...]
    """What is between the holes: one more than there are holes."""
    holes: tuple[Hole, ...] = ()

    def __post_init__(self) -> None:
        if len(self.literals) != len(self.holes) + 1:
            raise ValueError(f"{len(self.literals)} literals cannot have {len(self.holes)} holes between them")


class Transform(Protocol):
    """What changes the texts of one request's messages. Pure; takes time linear in the text."""

    @property
    def scope(self) -> SharedBy:
        """Whether its result is shared."""

    def change(self, text: Text) -> Text | None:
        """The text with its changes: places only where the scope is RECIPIENT, and no key more often than it was.
        None, of a text with keys only: this cannot be told before they are filled."""


class Changed:
    """A text as a transform left it, with its holes (see ``render.Holed``)."""

    def __init__(self, text: Text, before: Text) -> None:
        self.type = text.type
        self.form: Form | Undecided | None = Undecided()
        self._literals = tuple([newlines(literal) for literal in text.literals])
        self._holes = text.holes
        self._counts = Counter(text.holes)
        self._octets = sum(map(octets, self._literals))
        self._added = max(0, self._octets - sum(map(octets, before.literals)))
        self.whole = None if text.holes else BodyPart(text.type, self._literals[0])
        """The part, where it has no holes."""

    def growth(self, values_bytes: int) -> int:
        """Octets that the transform adds at most, in a message whose substitutions have so many."""
        places = [(hole, count) for hole, count in self._counts.items() if not isinstance(hole, str)]
        return self._added + sum([count * hole.most(values_bytes) for hole, count in places])

    def values(self, substitutions: Mapping[str, str], addressee: Addressee | None) -> dict[Hole, str]:
        """What goes into the holes of this recipient's copy."""
        filled: dict[Hole, str] = {}
        for hole in self._counts:
            if isinstance(hole, str):
                filled[hole] = substitutions[hole]
            elif addressee is None:
                raise ValueError("a text with places is composed for a recipient")
            else:
                filled[hole] = newlines(hole.fill(addressee, substitutions))
        return filled

    def pieces(self) -> tuple[Sequence[str], Sequence[Hole]]:
        return self._literals, self._holes

    def at_most(self, values: Mapping[Hole, str]) -> int:
        return self.size(values)

    def size(self, values: Mapping[Hole, str]) -> int:
        return self._octets + sum([count * octets(values[hole]) for hole, count in self._counts.items()])

    def part(self, values: Mapping[Hole, str]) -> BodyPart:
        pieces = [""] * (len(self._literals) + len(self._holes))
        pieces[::2] = self._literals
        pieces[1::2] = [values[hole] for hole in self._holes]
        return BodyPart(self.type, "".join(pieces))


class Transformer:
    """A transform at work on one request. ``rendered``: the parts as every message has them that substitutes nothing
    in them."""

    def __init__(self, transform: Transform, rendered: tuple[BodyPart, ...]) -> None:
        self._transform = transform
        self._rendered = rendered
        self._shared: list[Changed | None] = [None] * len(rendered)
        self._cuts: WeakKeyDictionary[Cut, Changed | None] = WeakKeyDictionary()
        self.parts: tuple[BodyPart, ...] = ()
        """What becomes of ``rendered``, once a message had them; empty where each recipient has parts of their own."""

    def apply(
        self, rendered: tuple[BodyPart | Filling, ...], addressee: Addressee | None
    ) -> tuple[BodyPart | Filling, ...]:
        """What becomes of a message's parts: a Part is the very same object for all messages, a Filling belongs to
        this one."""
        is_shared = rendered is self._rendered
        if is_shared and self.parts:
            return self.parts
        own = tuple([self._applied(index, part, addressee) for index, part in enumerate(rendered)])
        whole = tuple([part for part in own if isinstance(part, BodyPart)])
        if is_shared and len(whole) == len(own):
            self.parts = whole
            return whole
        return own

    def growth(self, unfilled: tuple[BodyPart | Cut, ...], values_bytes: int) -> int | None:
        """Octets that the transform adds to a message's parts at most; None where that takes its whole texts."""
        grown = 0
        for index, part in enumerate(unfilled):
            changed = self._changed_cut(part) if isinstance(part, Cut) else self._changed_part(index)
            if changed is None:
                return None
            grown += changed.growth(values_bytes)
        return grown

    def _applied(self, index: int, part: BodyPart | Filling, addressee: Addressee | None) -> BodyPart | Filling:
        if not isinstance(part, Filling):
            changed = self._changed_part(index)
            return changed.whole or Filling(changed, changed.values({}, addressee))
        assert isinstance(part.cut, Cut)
        known = self._changed_cut(part.cut)
        if known is None:
            whole = part.part()
            known = self._changed(Text(whole.type, (whole.value,)))
            known.form = None  # filled once: it takes no form
        return Filling(known, known.values(part.values, addressee))

    def _changed_part(self, index: int) -> Changed:
        found = self._shared[index]
        if found is None:
            part = self._rendered[index]
            found = self._shared[index] = self._changed(Text(part.type, (part.value,)))
        return found

    def _changed_cut(self, cut: Cut) -> Changed | None:
        """None where it has to be changed as a whole, for each message."""
        if cut in self._cuts:
            return self._cuts[cut]
        found = None
        if (pieces := cut.pieces()) is not None:
            text = Text(cut.type, tuple(pieces[0]), tuple(pieces[1]))
            if (changed := self._transform.change(text)) is not None:
                found = self._checked(changed, text)
        self._cuts[cut] = found
        return found

    def _changed(self, text: Text) -> Changed:
        """Of a text without keys."""
        changed = self._transform.change(text)
        if changed is None:
            raise ValueError("a transform has to change a text without keys")
        return self._checked(changed, text)

    def _checked(self, changed: Text, before: Text) -> Changed:
        keys = Counter([hole for hole in changed.holes if isinstance(hole, str)])
        if self._transform.scope is SharedBy.REQUEST and keys.total() < len(changed.holes):
            raise ValueError("a transform for the request made a place for each recipient")
        if not keys <= Counter(before.holes):
            raise ValueError("a transform made holes for keys that were not there")
        return Changed(changed, before)
