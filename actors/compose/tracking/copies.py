"""The places of a message's texts, filled together for one copy after the other.

places.py says what is in each place. For what most copies hold there is a shorter way to the same: the tokens of a copy
are made together, its values are searched together for what could be a link or a tag, and of a link whose values mean
nothing in a URL all else is made once. In a copy where such a link has another value, the places are filled one by one.
"""

import re
from collections import Counter
from collections.abc import Sequence
from itertools import chain

from msgspec import Struct

from actors.compose.holed import Key
from actors.compose.tracking.html import HOLE, attribute_text, keeps_within
from actors.compose.tracking.places import FilledLink, FilledText, PixelAtEnd, TokenPlace
from actors.compose.tracking.recipient import TokensOfRecipients
from actors.compose.tracking.tags import Marks
from actors.compose.tracking.targets import has_host, names_in, with_analytics
from actors.compose.transform import Addressee, Hole, Text
from cluster.joining import getter, joined
from cluster.message.forms import Values, is_words
from cluster.tracking.tokens import LONGEST_TARGET, Target, click_beginning, suffix_of

_are_plain = re.compile(r"[A-Za-z0-9._~@-]*").fullmatch
"""Values that mean nothing in ``href`` and nothing in a URL: they are parts of a path, or of a query's values."""
_OPEN_REFERENCE = re.compile(r"&[#A-Za-z0-9]*\Z")


class PlainLink(Struct, frozen=True):
    """A link whose values are plain."""

    form: bytes
    """The second part of its token, with ``%b`` for each value."""
    keys: tuple[Key, ...]
    room: int
    """How many characters its values may have, each of them counted once."""


class Copies:
    """Fills the holes of all texts of a message. ``marks``: of values in which a link or a tag may be; ``tags``: of
    those in which a tag may be."""

    def __init__(self, texts: Sequence[Text], tokens: TokensOfRecipients, marks: Marks, tags: Marks) -> None:
        self._tokens = tokens
        self._marks, self._tags = marks, tags
        places = [((number, at), hole) for number, text in enumerate(texts) for at, hole in enumerate(text.holes)]
        self._ends = [(number, hole) for (number, _), hole in places if isinstance(hole, PixelAtEnd)]
        places = [(place, hole.pixel if isinstance(hole, PixelAtEnd) else hole) for place, hole in places]
        links = [(place, hole) for place, hole in places if isinstance(hole, FilledLink)]
        plain = [(place, hole, one) for place, hole in links if (one := plain_link(hole)) is not None]
        urls = [(place, hole) for place, hole in places if isinstance(hole, TokenPlace)]
        self._texts = [(place, hole) for place, hole in places if isinstance(hole, FilledText)]
        known = {place for place, _, _ in plain}
        self._others = [(place, hole) for place, hole in links if place not in known]
        # What is needed of the values, one text after the other.
        keys = [
            [*dict.fromkeys([key for (at, _), hole in places if at == number for key in _keys_of(hole)])]
            for number in range(len(texts))
        ]
        given = [(number, key) for number, some in enumerate(keys) for key in some]
        self._values = [getter(some) for some in keys]
        # The texts of holes: values first, then those that are made.
        made = [place for place, _ in urls] + [place for place, _, _ in plain] + [place for place, _ in self._others]
        sources = {place: len(given) + at for at, place in enumerate(made)}
        for (number, at), hole in places:
            if isinstance(hole, FilledText | Key):
                sources[number, at] = given.index((number, hole.key if isinstance(hole, FilledText) else hole))
        self._in_order = [
            getter([sources[number, at] for at in range(len(text.holes))]) for number, text in enumerate(texts)
        ]
        """For each text: gives the texts of its holes."""
        self._values_of_texts = getter([sources[place] for place, _ in self._texts])
        self._tokens_of_urls = [tokens.share(url.suffix) for _, url in urls]
        self._around = [(url.beginning, url.ending) for _, url in urls]
        """What is before each of these, and behind it."""
        self._beginnings = [link.maker.beginning for _, link, _ in plain]
        around = [*self._around, *[(one, "") for one in self._beginnings]]
        are_words = {place for place, (one, other) in zip(made, around, strict=False) if is_words(f"{one}token{other}")}
        self.words = [
            frozenset([at for at in range(len(text.holes)) if (number, at) in are_words])
            for number, text in enumerate(texts)
        ]
        """The holes of each text whose texts need no examination, since no token changes what they are."""
        self._links = [(number, link) for (number, _), link, _ in plain]
        of_links = [*dict.fromkeys([(number, key) for (number, _), _, one in plain for key in one.keys])]
        self._values_of_links = getter([given.index(one) for one in of_links])
        self._forms = [
            (one.form, getter([of_links.index((number, key)) for key in one.keys])) for (number, _), _, one in plain
        ]
        self._room = min([one.room for _, _, one in plain], default=0)
        """How many characters the values of the links may have together."""
        literals = "".join([literal for _, link in self._links for literal in link.literals])
        self._may_have_tags = any(one in literals for one in tags.characters)
        self._of_tags = [one for one in tags.characters if _are_plain(one)]
        """Of the characters of tags, those that plain values may have."""

    def fill(self, addressee: Addressee, values: Sequence[Values]) -> Sequence[Sequence[str]] | None:
        """The texts of the holes of each text; None where the value of a link is not plain, or the pixel is in a
        value."""
        if self._ends and any(end.is_elsewhere(values[number]) for number, end in self._ends):
            return None
        made = list(chain.from_iterable([of(own) for of, own in zip(self._values, values, strict=True)]))
        suffixes = self._suffixes_of_links(made, values) if self._links else []
        if suffixes is None:
            return None
        changed = self._marks.may_be_in("\n".join(self._values_of_texts(made)))
        begun, shared, ends = self._tokens.made(addressee, suffixes)
        made += [
            f"{before}{begun}{shared[number]}{after}"
            for (before, after), number in zip(self._around, self._tokens_of_urls, strict=True)
        ]
        made += [f"{beginning}{begun}{end}" for beginning, end in zip(self._beginnings, ends, strict=True)]
        made += [link.fill(addressee, values[number]) for (number, _), link in self._others]
        if not changed:
            return [in_order(made) for in_order in self._in_order]
        filled = [[*in_order(made)] for in_order in self._in_order]
        for (number, at), text in self._texts:
            filled[number][at] = text.fill(addressee, values[number])
        return filled

    def _suffixes_of_links(self, given: Sequence[str], values: Sequence[Values]) -> list[bytes] | None:
        """The suffixes of their tokens; None if they must be looked at as a whole."""
        own = self._values_of_links(given)
        together = "".join(own)
        if len(together) > self._room or not _are_plain(together):
            return None
        may_have_tags = self._may_have_tags or any(one in together for one in self._of_tags)
        if may_have_tags and self._tags.may_be_in(
            "\n".join(
                [joined(link.literals, [values[number][key] for key in link.keys]) for number, link in self._links]
            )
        ):
            return None
        encoded = [one.encode() for one in own]
        return [suffix_of(form % of(encoded)) for form, of in self._forms]


def _keys_of(hole: Hole) -> Sequence[Key]:
    """The keys of the values that a hole needs here."""
    if isinstance(hole, FilledText):
        return (hole.key,)
    if isinstance(hole, Key):
        return (hole,)
    return hole.keys if isinstance(hole, FilledLink) else ()


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
    form = b"%b".join([piece.replace(b"%", b"%%") for piece in rest.encode().split(HOLE.encode())])
    return PlainLink(
        beginning.replace(b"%", b"%%") + form,
        link.keys,
        (LONGEST_TARGET - len(whole.encode())) // max(Counter(link.keys).values()),
    )
