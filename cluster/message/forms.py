"""Texts with holes in a transfer encoding: what all messages share is encoded once, and only the values are encoded for
each message. Pure.

A form is made of the literals of a text and the keys of the holes between them. ``fill`` gives what stands in the holes
on the wire; the caller puts it between the form's ``literals``. Line ends in literals and values are ``\\n``.
"""

import re
from collections.abc import Callable, Collection, Hashable, Sequence
from itertools import pairwise
from typing import Any, Protocol

from msgspec import Struct

from cluster.joining import getter, joined
from cluster.message.transfer_encoding import (
    BOUNDARY_MARK,
    LINE_LIMIT,
    SLICE,
    SOFT_BREAK,
    base64_length,
    octets,
    passes_as_it_is,
    quoted_printable,
    with_soft_break,
)


class Values(Protocol):
    """The values of a message by key: a mapping, or a sequence whose keys are its indices."""

    def __getitem__(self, key: Any, /) -> str: ...


_BETWEEN = "\x1f"
"""Between the values that are looked at together: a value that contains it is looked at by itself."""

_PLAIN_VALUE = r"(?!From )[A-Za-z0-9](?:[ -<>-~]{0,70}[A-Za-z0-9])?"
"""Values that are unchanged in quoted-printable, on a line of their own; most names and numbers are."""
_is_plain = re.compile(_PLAIN_VALUE).fullmatch
_are_plain = re.compile(f"(?:{_PLAIN_VALUE}{_BETWEEN})*+{_PLAIN_VALUE}").fullmatch

_is_words = re.compile(r"(?!From |Fr?o?m?\Z|\.\Z)[!-~]++(?: [!-~]++)*+").fullmatch
"""Printable words with single spaces between them: in a text that passes as it is, they can stand in any hole. They
begin no ``From `` and are no lone dot."""
_may_begin_from = re.compile(r"\nF(?:rom |r?o?m?\n)").search
"""A line that is a ``From ``, or becomes one by what follows."""
_MARK = f"--{BOUNDARY_MARK}"
_TRAPS = (("\0", "\0"), ("\r", "\r"), ("\n", " \n"), ("\t", "\t\n"), (".", "\n.\n"), (BOUNDARY_MARK[-1], _MARK))
"""What values may not contain when each of them is on lines of its own; before it a character of it that few values
have, which is found in no time."""
_BEGUN_FROM = ("\nF", "\nFr", "\nFro", "\nFrom")


class Filled(Struct, frozen=True):
    """What stands in the holes of a message: ASCII, with CRLF line ends."""

    pieces: Sequence[str]
    single_spaced: bool
    """No piece has a tab, or a space beside another."""
    apart: bool = True
    """No spaces of a piece or around one stand beside others."""


class QuotedForm:
    """A text with holes in quoted-printable.

    A value is on lines of its own, made by soft line breaks (RFC 2045 §6.7 (5)), so the lines between the holes are the
    same in every message, whatever the values are.
    """

    encoding = b"quoted-printable"

    def __init__(self, literals: Sequence[str], keys: Sequence[Hashable]) -> None:
        self.literals = tuple(literals)
        self._keys = _Keys(keys, tuple(dict.fromkeys(keys)))
        self._octets = sum(map(len, literals))

    def fill(self, values: Values) -> Filled:
        """What stands in the holes."""
        own = self._keys.of(values)
        together = _BETWEEN.join(own)
        if len(together) <= SLICE and _are_plain(together) and together.count(_BETWEEN) == len(own) - 1:
            return Filled(self._keys.in_holes(own), single_spaced="  " not in together)
        pieces = [value if _is_plain(value) else quoted_printable(value).decode() for value in own]
        whole = "\r\n".join(pieces)
        return Filled(self._keys.in_holes(pieces), single_spaced="  " not in whole and "\t" not in whole)

    def size(self, values: Values) -> int:
        """Octets of the text with these values."""
        return self._octets + sum(map(len, self.fill(values).pieces))


class PassingForm:
    """A text with holes that is sent as it is, in 7bit, with values that leave it so.

    Whether a text passes is a matter of its whole: of the length of its lines, and of what stands at their ends
    (transfer_encoding.py). Of the text without values that is known. This form knows of words, of whole lines where a
    line begins, and of no value at all, that with them in its holes it passes as well; for other values the text must
    be examined.
    """

    encoding = b"7bit"

    def __init__(
        self, literals: Sequence[str], keys: Sequence[Hashable], words: Collection[Hashable] = frozenset()
    ) -> None:
        """``_may_pass`` is true of the literals. ``words``: as in ``form_of``."""
        self.literals = tuple([literal.replace("\n", "\r\n") for literal in literals])
        before, after = _before_holes(literals), _after_holes(literals)
        within = {key for key, end in zip(keys, before, strict=True) if not end.endswith("\n")}
        distinct = list(dict.fromkeys(keys))
        beginning = [key for key in distinct if key not in within and key not in words]
        unknown = [key for key in distinct if key in within and key not in words] + beginning
        self._keys = _Keys(keys, [*unknown, *[key for key in distinct if key in words]])
        self._unknown = len(unknown)
        """How many values are examined: the first ones."""
        self._within = self._unknown - len(beginning)
        """How many of these stand within lines, at least once. The others stand only where lines begin."""
        self._between = max(0, self._within - 1) + max(0, len(beginning) - 1)
        """How many characters stand between values that are looked at together."""
        self._octets = sum(map(len, self.literals))
        self._lines = _lines(literals, self._keys.places)
        self._room_within = self._room([*range(self._within), *range(self._unknown, len(distinct))])
        """The length up to which each value within a line, and each of known words, fits on its line."""
        self._room_of_lines = self._room(range(self._within, self._unknown))
        """The same of the values that stand only where lines begin."""
        framed = (f"\n{literals[0]}", *literals[1:-1], f"{literals[-1]}\n")
        edges = [edge for one, other in pairwise(framed) for edge in (one[-1:], other[:1])]
        self._may_make_mark = any(not edge or edge in f"-{BOUNDARY_MARK}" for edge in edges)
        spaces = (" ", "\t")
        self._between_spaces = [
            place
            for place, end, begin in zip(self._keys.places, before, after, strict=True)
            if end.endswith(spaces) and begin.startswith(spaces)
        ]
        self._needed = [self._keys.places[hole] for hole in _behind_spaces(literals)]
        """The places of values that must not be empty."""

    def fill(self, values: Values) -> Filled | None:
        """What stands in the holes. None where the text must be examined as a whole."""
        own = self._keys.of(values)
        words = "\n".join(own[: self._within])
        lines = _BETWEEN.join(own[self._within : self._unknown])
        framed = f"\n{words}\n{lines}\n".replace(_BETWEEN, "\n")
        if len(framed) > SLICE or not _pass_on_lines(framed):
            return None
        if "\t" in words or "\n " in framed[: len(words) + 1]:
            return None  # white space of a value, perhaps beside that of the text
        if not all(map(own.__getitem__, self._needed)):
            return None
        longest = max(map(len, (words, *own[self._unknown :])))
        fit = longest <= self._room_within and (
            len(lines) <= self._room_of_lines or max(map(len, lines.split("\n"))) <= self._room_of_lines
        )
        if not fit and not self._fit(own):
            return None
        if words.count("\n") + words.count(_BETWEEN) + lines.count(_BETWEEN) != self._between:
            return None  # a value within a line has a line end, or one has what stands between them here
        if "\n" in lines:
            whole_lines = lines.replace("\n", "\r\n").split(_BETWEEN)
            own = (*own[: self._within], *whole_lines, *own[self._unknown :])
        in_holes = self._keys.in_holes(own)
        if self._may_make_mark and _MARK in joined(self.literals, in_holes):
            return None
        single_spaced = "  " not in framed and "\t" not in framed
        return Filled(in_holes, single_spaced, apart=all(map(own.__getitem__, self._between_spaces)))

    def size(self, values: Values) -> int:
        """Octets of the text with these values, in UTF-8."""
        own = list(map(octets, self._keys.of(values)))
        return self._octets + sum([own[place] for place in self._keys.places])

    def _room(self, values: Collection[int]) -> int:
        """The length up to which each of these values, by number, fits on its line beside others for which this is
        asked."""
        rooms = [room // len(places) for room, places in self._lines if not set(places).isdisjoint(values)]
        return min(rooms, default=LINE_LIMIT)

    def _fit(self, values: Sequence[str]) -> bool:
        """Whether no line is too long. A value of several lines counts as its longest, at both of its ends."""
        lengths = list(map(len, values))
        for place in range(self._within, self._unknown):
            if "\n" in values[place]:
                lengths[place] = max(map(len, values[place].split("\n")))
        return all(sum([lengths[place] for place in places]) <= room for room, places in self._lines)


class _Keys:
    """The keys of the holes: each of them once, and which of them is in each hole."""

    __slots__ = ("in_holes", "of", "places")

    def __init__(self, keys: Sequence[Hashable], distinct: Sequence[Hashable]) -> None:
        """``distinct``: each key once, in the order of the values."""
        numbers = {key: number for number, key in enumerate(distinct)}
        self.of: Callable[[Any], tuple[str, ...]] = getter(distinct)
        """Gives the value of each key."""
        self.places = tuple([numbers[key] for key in keys])
        """For each hole, which of these values is in it."""
        self.in_holes: Callable[[Sequence[str]], tuple[str, ...]] = (
            tuple if list(distinct) == list(keys) else getter(self.places)
        )
        """Gives what is in each hole from what each of these values has become."""


Form = QuotedForm | PassingForm


def is_words(value: str) -> bool:
    """Whether a value can stand in any hole of a text that passes as it is, where its line is not too long."""
    return value != "" and _is_words(value) is not None and _MARK not in value


def _pass_on_lines(framed: str) -> bool:
    """Whether values, each of which is on lines of its own, may stand in a text that passes as it is."""
    if not framed.isascii():
        return False
    for character, trap in _TRAPS:
        if character in framed and trap in framed:
            return False
    return "F" not in framed or _may_begin_from(framed) is None


def form_of(
    literals: Sequence[str], keys: Sequence[Hashable], words: Collection[Hashable] = frozenset()
) -> Form | None:
    """The form of a text whose holes, one for each of ``keys``, are between the ``literals``. ``words``: the keys whose
    values need no examination, because ``is_words`` is known to be true of all of them. None when each text must be
    examined as a whole: values may decide how it is sent, or it may be shorter in base64."""
    return PassingForm(literals, keys, words) if keys and _may_pass(literals) else quoted_form(literals, keys)


def quoted_form(literals: Sequence[str], keys: Sequence[Hashable]) -> QuotedForm | None:
    """The form in quoted-printable; None where the text may be sent in another encoding."""
    together = "".join(literals)
    if not keys or passes_as_it_is(together):
        return None
    between = _between_holes(literals)
    # Their soft breaks make the pieces longer than the whole: most texts are short enough even so.
    enough = base64_length(octets(together))
    if sum(map(len, between)) > enough and len(quoted_printable(together)) > enough:
        return None
    return QuotedForm(between, keys)


def _may_pass(literals: Sequence[str]) -> bool:
    """Whether a text passes as it is where nothing is in its holes but a letter in each of ``_behind_spaces``, and no
    words can complete the ``From `` at the beginning of a line."""
    behind_spaces = set(_behind_spaces(literals))
    pieces = [f"{literal}x" if hole in behind_spaces else literal for hole, literal in enumerate(literals)]
    return passes_as_it_is("".join(pieces)) and not any(
        before.endswith(_BEGUN_FROM) for before in _before_holes(literals)
    )


def _behind_spaces(literals: Sequence[str]) -> list[int]:
    """The holes without which a line would end in white space."""
    around = zip(_before_holes(literals), _after_holes(literals), strict=True)
    return [
        hole for hole, (before, after) in enumerate(around) if before.endswith((" ", "\t")) and after.startswith("\n")
    ]


def _before_holes(literals: Sequence[str]) -> list[str]:
    """The end of the text before each hole where nothing is in the others; a text begins as a line does."""
    ends: list[str] = []
    end = "\n"
    for literal in literals[:-1]:
        end = (end + literal)[-8:]
        ends.append(end)
    return ends


def _after_holes(literals: Sequence[str]) -> list[str]:
    """The beginning of the text behind each hole where nothing is in the others; a text ends as a line does."""
    begins: list[str] = []
    begin = "\n"
    for literal in reversed(literals[1:]):
        begin = (literal + begin)[:8]
        begins.append(begin)
    return begins[::-1]


def _lines(literals: Sequence[str], places: Sequence[int]) -> list[tuple[int, list[int]]]:
    """For each line with holes the length that is left for its values, and which values these are."""
    lines: list[tuple[int, list[int]]] = []
    length, on_line = len(literals[0]) - literals[0].rfind("\n") - 1, list[int]()
    for place, literal in zip(places, literals[1:], strict=True):
        on_line.append(place)
        end = literal.find("\n")
        if end < 0:
            length += len(literal)
            continue
        lines.append((LINE_LIMIT - length - end, on_line))
        length, on_line = len(literal) - literal.rfind("\n") - 1, []
    if on_line:
        lines.append((LINE_LIMIT - length, on_line))
    return lines


def _between_holes(literals: Sequence[str]) -> list[str]:
    """The literals in quoted-printable, with the soft breaks that put the value between two of them on its own
    lines."""
    encoded = [quoted_printable(literal) for literal in literals]
    last = len(encoded) - 1
    pieces = []
    for index, piece in enumerate(encoded):
        after_value = index > 0 and not piece.startswith(b"\r\n") and not (index == last and not piece)
        before_value = index < last and piece and not piece.endswith(b"\r\n")
        whole = (SOFT_BREAK if after_value else b"") + (with_soft_break(piece) if before_value else piece)
        pieces.append(whole.decode())
    return pieces
