"""The places of a text, filled together for one copy after the other.

places.py says what is in each place. For what most copies hold there is a shorter way to the same: the tokens of a copy
are made together, its values are searched together for what could be a link or a tag, and a link whose values mean
nothing in a URL has its target's form made once.
"""

import re
from collections import Counter
from collections.abc import Sequence

from msgspec import Struct

from actors.compose.holed import Key
from actors.compose.tracking.html import HOLE, attribute_text, keeps_within
from actors.compose.tracking.places import FilledLink, FilledText, TokenPlace
from actors.compose.tracking.recipient import TokensOfRecipients
from actors.compose.tracking.tags import Marks
from actors.compose.tracking.targets import has_host, names_in, with_analytics
from actors.compose.transform import Addressee, Hole, Place
from cluster.joining import joined
from cluster.message.forms import Values
from cluster.tracking.tokens import LONGEST_TARGET, Suffix, Target, click_beginning, rest_suffix

_are_plain = re.compile(r"[A-Za-z0-9._~@-]*").fullmatch
"""Values that mean nothing in ``href`` and nothing in a URL: they are parts of a path, or of a query's values."""
_OPEN_REFERENCE = re.compile(r"&[#A-Za-z0-9]*\Z")


class PlainLink(Struct, frozen=True):
    """A link whose values are plain."""

    beginning: bytes
    """Of the suffix of its token."""
    literals: tuple[str, ...]
    """Of its target behind the scheme."""
    keys: tuple[Key, ...]

    @property
    def room(self) -> int:
        """How many characters its values may have, each of them counted once."""
        left = LONGEST_TARGET - len(f"https://{''.join(self.literals)}".encode())
        return left // max(Counter(self.keys).values())

    def suffix(self, values: Values) -> Suffix:
        """The second part of its token."""
        return rest_suffix(self.beginning, joined(self.literals, [values[key] for key in self.keys]))


class Copies:
    """Fills the holes of one text. ``marks``: of values in which a link or a tag may be; ``tags``: of those in which a
    tag may be."""

    def __init__(self, holes: Sequence[Hole], tokens: TokensOfRecipients, marks: Marks, tags: Marks) -> None:
        self._tokens = tokens
        self._marks, self._tags = marks, tags
        self._holes = len(holes)
        self._keys = [(at, hole) for at, hole in enumerate(holes) if isinstance(hole, Key)]
        texts = [(at, hole) for at, hole in enumerate(holes) if isinstance(hole, FilledText)]
        self._texts = texts
        self._text_holes = [at for at, _ in texts]
        self._text_keys = [text.key for _, text in texts]
        links = [(at, hole, plain_link(hole)) for at, hole in enumerate(holes) if isinstance(hole, FilledLink)]
        self._others = [(at, hole) for at, hole, plain in links if plain is None]
        self._links = [(at, hole) for at, hole, plain in links if plain is not None]
        self._plain = [plain for _, _, plain in links if plain is not None]
        self._link_keys = list(dict.fromkeys([key for plain in self._plain for key in plain.keys]))
        self._room = min(
            [LONGEST_TARGET - len("https://".join(one.literals).encode()) for one in self._plain], default=0
        )
        """How many characters the values of the links may have together."""
        literals = "".join([literal for _, link in self._links for literal in link.literals])
        self._may_have_tags = any(one in literals for one in tags.characters)
        self._of_tags = [one for one in tags.characters if _are_plain(one)]
        """Of the characters of tags, those that plain values may have."""
        urls = [(at, hole) for at, hole in enumerate(holes) if isinstance(hole, TokenPlace)]
        self._urls = [(at, url.beginning, url.ending) for at, url in urls]
        self._urls += [(at, link.maker.beginning, "") for at, link in self._links]
        self._suffixes = [url.suffix for _, url in urls]

    def fill(self, addressee: Addressee, values: Values) -> list[str]:
        """The texts of the holes."""
        filled = [""] * self._holes
        for at, key in self._keys:
            filled[at] = values[key]
        one_by_one: Sequence[tuple[int, Place]] = self._others
        texts = [values[key] for key in self._text_keys]
        if self._marks.may_be_in("\n".join(texts)):
            one_by_one = [*one_by_one, *self._texts]
        else:
            for at, text in zip(self._text_holes, texts, strict=True):
                filled[at] = text
        suffixes = self._suffixes
        if self._links:
            if (of_links := self._suffixes_of_links(values)) is None:
                one_by_one = [*one_by_one, *self._links]
            else:
                suffixes = [*suffixes, *of_links]
        for at, place in one_by_one:
            filled[at] = place.fill(addressee, values)
        if suffixes:
            tokens = self._tokens.of(addressee)
            beginning = tokens.text
            macs = tokens.macs([suffix.data for suffix in suffixes])
            for (at, before, after), suffix, mac in zip(self._urls, suffixes, macs, strict=False):
                filled[at] = f"{before}{beginning}{suffix.text}{mac}{after}"
        return filled

    def _suffixes_of_links(self, values: Values) -> list[Suffix] | None:
        """The second parts of their tokens; None if they must be looked at as a whole."""
        own = "".join([values[key] for key in self._link_keys])
        if len(own) > self._room or not _are_plain(own):
            return None
        may_have_tags = self._may_have_tags or any(one in own for one in self._of_tags)
        if may_have_tags and self._tags.may_be_in(
            "\n".join([joined(link.literals, [values[key] for key in link.keys]) for _, link in self._links])
        ):
            return None
        return [plain.suffix(values) for plain in self._plain]


def plain_link(link: FilledLink) -> PlainLink | None:
    """The link's form for plain values. None where such values may decide whether it is tracked, or what is added to
    its URL."""
    maker = link.maker
    tracking = maker.tracking
    if link.before is None or not tracking.clicks or not keeps_within("".join(link.literals), link.before):
        return None
    if any(_OPEN_REFERENCE.search(literal) for literal in link.literals[:-1]):
        return None
    literals = [attribute_text(literal) for literal in link.literals]
    whole = HOLE.join(literals)
    is_usual = "".join(literals).isprintable() and " " not in whole
    if not is_usual or not has_host(literals[0]):
        return None
    if any(literals[0].startswith(own) or own.startswith(literals[0]) for own in maker.own):
        return None
    if tracking.analytics is not None:
        if any(HOLE in name for name in names_in(whole)):
            return None
        whole = with_analytics(whole, tracking.analytics)
    beginning, rest = click_beginning(Target(whole, link.number))
    return PlainLink(beginning, tuple(rest.split(HOLE)), link.keys)
