"""Legacy substitutions: literal keys in a text, and the values that replace them. Pure.

All keys are replaced in one pass: values are not searched for keys. Of two keys that begin at the same place, the
longer one is replaced; the empty key is ignored. The search is linear in the text, whatever the keys are. The size of
the result is known before it is made.

Long texts are searched a window at a time. No C call holds the interpreter for long, and no list of matches is larger
than a window, so a thread that does this does not block others.
"""

from collections.abc import Callable, Collection, Iterable, Iterator, Mapping
from functools import lru_cache

from ahocorasick_rs import AhoCorasick, Implementation, MatchKind

from cluster.joining import joined
from cluster.message.transfer_encoding import octets

LONGEST_SUBSTITUTIONS = 10_000
"""Octets of all keys and values of one personalization together. The intake rejects more."""

WINDOW = 64 * 1024
"""Characters that are searched in one call."""
MOST_HOLES = 10_000
"""A text with more holes is not kept cut: its pieces would take many times the memory of the text."""

_KEPT_KEYS = 1_000
"""Characters of a set of keys that is cached. Larger sets are prepared each time, in a few milliseconds at most."""
_SHORT_KEY = 64
_FEW = 256
"""Characters times keys: below this, searching for one key after the other is faster than an automaton."""

_MOST_LEARNED = 20_000
"""Learned steps of an automaton that are kept, besides those of the keys; and at most _LEARNED_OF_A_STATE per state, so
that small sets of keys, many of which are cached, stay small."""
_LEARNED_OF_A_STATE = 4
_BYTES_OF_A_CHARACTER = 64
"""Memory of an automaton per character of its keys, measured: 12 for long keys, 48 for keys of five characters."""
_BYTES_OF_A_STATE = 300
_BYTES_OF_A_STEP = 100

LOOP_S = 0.03
"""How long such work may block an event loop, in seconds. Longer work goes to a thread or a process."""
_READING_S = 1e-8
"""Seconds for each character of a searched text, for each key found, and for each character of the keys that are
prepared; with a key longer than _SHORT_KEY, for each character searched or prepared. Measured where an RSA-2048
signature takes 320 µs, and rounded up."""
_FINDING_S = 5e-7
_READYING_S = 2e-7
_BACKWARDS_S = 2.5e-6

Match = tuple[int, int, int]
"""The index of the key, and its start and end in the text."""


class Keys:
    """A set of keys, prepared for searching."""

    def __init__(self, names: tuple[str, ...]) -> None:
        self.names = tuple([name for name in names if name])
        self._longest = max(map(len, self.names), default=0)
        self._find: Callable[[str], list[Match]] = _nothing
        self.held_bytes = _BYTES_OF_A_CHARACTER * sum(map(len, self.names))
        """The approximate maximum of its memory: Python does not know the size of the library's automaton."""
        if self.names and _restarts(self.names):
            backwards = _Backwards(self.names)
            self._find, self.held_bytes = backwards.find, backwards.held_bytes
        elif self.names:
            self._find = _automaton(self.names)

    def __sizeof__(self) -> int:
        return super().__sizeof__() + self.held_bytes

    def matches(self, text: str) -> Iterator[list[Match]]:
        """The keys in ``text``, in order, one list per window."""
        if len(text) <= WINDOW:
            yield self._find(text)
            return
        begin = 0
        while begin < len(text):
            found: list[Match] = []
            end = begin + WINDOW
            # A key that begins in the window is searched as a whole.
            for index, start, stop in self._find(text[begin : end + self._longest]):
                if start >= WINDOW:
                    break
                found.append((index, begin + start, begin + stop))
            yield found
            begin = max(end, found[-1][2]) if found else end

    def occur_in(self, text: str) -> bool:
        """Whether any key is in ``text``."""
        return any(self.matches(text))

    def substitute(self, text: str, values: Mapping[str, str]) -> str:
        """``text`` with each key replaced by its value; the same object when there is no key."""
        filled: list[str] = []
        done = 0
        for found in self.matches(text):
            pieces: list[str] = []
            for index, start, stop in found:
                pieces += (text[done:start], values[self.names[index]])
                done = stop
            if pieces:
                filled.append("".join(pieces))
        if not filled:
            return text
        filled.append(text[done:])
        return "".join(filled)


class CutText:
    """A text cut at its keys once, to be filled many times.

    ``literals`` are the texts between the holes, one more than the ``holes`` (the keys whose values go there). With
    more holes than MOST_HOLES both are None, and filling searches again. ``counts``: how often each key occurs.
    """

    __slots__ = ("_grows", "_keys", "_octets", "_source", "counts", "holes", "literals")

    def __init__(self, source: str, keys: Keys) -> None:
        self._source = source
        self._keys = keys
        self.counts: dict[str, int] = {}
        literals: list[str] = []
        holes: list[str] = []
        done = total = 0
        for found in keys.matches(source):
            total += len(found)
            for index, start, stop in found:
                name = keys.names[index]
                self.counts[name] = self.counts.get(name, 0) + 1
                if total <= MOST_HOLES:
                    holes.append(name)
                    literals.append(source[done:start])
                    done = stop
        self.holes: list[str] | None = None
        self.literals: list[str] | None = None
        if total <= MOST_HOLES:
            self.holes, self.literals = holes, [*literals, source[done:]]
        self._octets = octets(source) - sum([count * octets(name) for name, count in self.counts.items()])
        self._grows = total * LONGEST_SUBSTITUTIONS

    def end_with(self, literal: str) -> None:
        """Replace the last literal. Only for a text that has literals."""
        assert self.literals is not None
        self._octets += octets(literal) - octets(self.literals[-1])
        self.literals[-1] = literal

    def fill(self, values: Mapping[str, str]) -> str:
        """The text with the values of the keys in its holes."""
        if self.literals is None or self.holes is None:
            return self._keys.substitute(self._source, values)
        return joined(self.literals, [values[name] for name in self.holes])

    def size(self, values: Mapping[str, str]) -> int:
        """Octets of the result of ``fill``: in UTF-8, with CRLF line ends."""
        return self._octets + sum([count * octets(values[name]) for name, count in self.counts.items()])

    @property
    def largest(self) -> int:
        """The largest possible size in octets, with any values that the intake accepts."""
        return self._octets + self._grows

    def at_most(self, _values: Mapping[str, str]) -> int:
        """A cheap upper bound of ``size``."""
        return self._octets + self._grows


def is_slow(names: Iterable[str]) -> bool:
    """Whether the keys include one that may take long to find."""
    return max(map(len, names), default=0) > _SHORT_KEY


def effort_s(names: Collection[str], characters: int) -> float:
    """The approximate maximum of seconds to prepare the keys and find them in ``characters`` characters."""
    lengths = [len(name) for name in names if name]
    if not lengths:
        return 0.0
    if is_slow(names):
        return (sum(lengths) + characters) * _BACKWARDS_S
    return sum(lengths) * _READYING_S + characters * (_READING_S + _FINDING_S / min(lengths))


def keys_of(substitutions: Collection[str]) -> Keys:
    """The prepared keys of a personalization: of its substitutions, or of their names. The personalizations of a
    request usually have the same keys, which are prepared once."""
    names = tuple(substitutions)
    return _kept_keys(names) if sum(map(len, names)) <= _KEPT_KEYS else Keys(names)


def substitute(text: str, values: Mapping[str, str]) -> str:
    """``text`` with each key replaced by its value, in one pass."""
    if len(text) * len(values) <= _FEW:
        present = [key for key in values if key and key in text]
        if not present:
            return text
        if len(present) == 1:
            return text.replace(present[0], values[present[0]])
    return keys_of(values).substitute(text, values)


def substituted_size(text: str, values: Mapping[str, str]) -> int:
    """Octets (UTF-8, CRLF line ends) of the result of ``substitute``, without making it."""
    return CutText(text, keys_of(values)).size(values)


@lru_cache(maxsize=64)
def _kept_keys(names: tuple[str, ...]) -> Keys:
    return Keys(names)


def _nothing(_text: str) -> list[Match]:
    return []


def _automaton(names: tuple[str, ...]) -> Callable[[str], list[Match]]:
    # Of the three kinds of automaton, the one with the best bound on its size: a DFA of 10 KB of keys takes megabytes.
    automaton = AhoCorasick(
        names, matchkind=MatchKind.LeftmostLongest, store_patterns=False, implementation=Implementation.ContiguousNFA
    )
    return automaton.find_matches_as_indexes


def _restarts(names: tuple[str, ...]) -> bool:
    """Whether the library's search for the leftmost longest key could be much slower than linear.

    When a key lies within a longer one, before its end, the library reads on to see whether the longer one is there. If
    not, it takes the shorter one and starts again behind it: with ``a`` and ``aaa…b`` it reads each character as often
    as the longer key is long. With short keys that factor is a constant.
    """
    long = [name for name in names if len(name) > _SHORT_KEY]
    if not long:
        return False
    automaton = AhoCorasick(names, store_patterns=False, implementation=Implementation.ContiguousNFA)
    return any(automaton.find_matches_as_indexes(name[:-1]) for name in long)


class _Backwards:
    """An Aho-Corasick automaton that reads a text from its end, to find the longest key that begins at each place.

    Read backwards, a key that begins at a place ends there, and the automaton's state has the longest of the keys that
    end at a place. Linear for all keys, but about ten times slower than the library's.
    """

    def __init__(self, names: tuple[str, ...]) -> None:
        self._lengths = [len(name) for name in names]
        self._next: list[dict[str, int]] = [{}]
        """The successors of each state: those of the keys' tree, and others as they are learned."""
        self._longest = [-1]
        for index, name in enumerate(names):
            state = 0
            for character in reversed(name):
                if character not in self._next[state]:
                    self._next[state][character] = len(self._next)
                    self._next.append({})
                    self._longest.append(-1)
                state = self._next[state][character]
            self._longest[state] = index
        self._fail = [0] * len(self._next)
        self._to_learn = min(_MOST_LEARNED, _LEARNED_OF_A_STATE * len(self._next))
        self.held_bytes = _BYTES_OF_A_STATE * len(self._next) + _BYTES_OF_A_STEP * self._to_learn
        self._link()

    def _link(self) -> None:
        """Set the failure links, in breadth-first order: to the state of the longest suffix that is also a prefix."""
        pending = [0]
        for state in pending:
            for character, child in self._next[state].items():
                pending.append(child)
                self._fail[child] = self._step(self._fail[state], character) if state else 0
                if self._longest[child] < 0:
                    self._longest[child] = self._longest[self._fail[child]]

    def _step(self, state: int, character: str) -> int:
        while state and character not in self._next[state]:
            state = self._fail[state]
        return self._next[state].get(character, 0)

    def find(self, text: str) -> list[Match]:
        """The keys in ``text``, leftmost longest, in order."""
        following, longest = self._next, self._longest
        begins: list[tuple[int, int]] = []
        state = 0
        for place in range(len(text) - 1, -1, -1):
            character = text[place]
            known = following[state].get(character)
            if known is None:
                known = self._step(state, character)
                if self._to_learn:
                    self._to_learn -= 1
                    following[state][character] = known
            state = known
            if longest[state] >= 0:
                begins.append((place, longest[state]))
        found: list[Match] = []
        done = 0
        for place, index in reversed(begins):
            if place >= done:
                done = place + self._lengths[index]
                found.append((index, place, done))
        return found
