"""The places of a text, filled together for one copy after the other.

places.py says what is in each place. For what most copies hold there is a shorter way to the same: the tokens of a copy
are made together, its values are searched together for what could be a link or a tag, and of a link whose values mean
nothing in a URL all else is made once. In a copy where such a link has another value, the places are filled one by one.
"""

import re
from collections import Counter
from collections.abc import Sequence

from msgspec import Struct

from actors.compose.holed import Key
from actors.compose.tracking.html import HOLE, attribute_text, keeps_within
from actors.compose.tracking.places import FilledLink, FilledText, PixelAtEnd, TokenPlace
from actors.compose.tracking.recipient import TokensOfRecipients
from actors.compose.tracking.tags import Marks
from actors.compose.tracking.targets import has_host, names_in, with_analytics
from actors.compose.transform import Addressee, Hole
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
    """Fills the holes of one text. ``marks``: of values in which a link or a tag may be; ``tags``: of those in which a
    tag may be."""

    def __init__(self, holes: Sequence[Hole], tokens: TokensOfRecipients, marks: Marks, tags: Marks) -> None:
        self._tokens = tokens
        self._marks, self._tags = marks, tags
        self._end = next((hole for hole in holes if isinstance(hole, PixelAtEnd)), None)
        holes = [hole.pixel if isinstance(hole, PixelAtEnd) else hole for hole in holes]
        plain = {at: one for at, hole in enumerate(holes) if isinstance(hole, FilledLink) and (one := plain_link(hole))}
        keys = {at: hole for at, hole in enumerate(holes) if isinstance(hole, Key)}
        texts = {at: hole for at, hole in enumerate(holes) if isinstance(hole, FilledText)}
        urls = {at: hole for at, hole in enumerate(holes) if isinstance(hole, TokenPlace)}
        links = {at: hole for at, hole in enumerate(holes) if isinstance(hole, FilledLink) and at in plain}
        others = {at: hole for at, hole in enumerate(holes) if isinstance(hole, FilledLink) and at not in plain}
        made = [*keys, *texts, *others, *urls, *links]
        self._in_order = getter([made.index(at) for at in range(len(holes))])
        """Gives the texts of the holes from those of one kind after the other."""
        self._values_of_keys = getter(list(keys.values()))
        self._texts = list(texts.values())
        self._values_of_texts = getter([text.key for text in self._texts])
        self._others = list(others.values())
        self._tokens_of_urls = getter([tokens.share(url.suffix) for url in urls.values()])
        self._around = [(url.beginning, url.ending) for url in urls.values()]
        """What is before each of these, and behind it."""
        self._beginnings = [link.maker.beginning for link in links.values()]
        around = zip([*urls, *links], [*self._around, *[(one, "") for one in self._beginnings]], strict=True)
        self.words = frozenset([at for at, (before, after) in around if is_words(f"{before}token{after}")])
        """The holes, by their index, whose texts need no examination, since no token changes what they are."""
        self._links = list(links.values())
        keys_of_links = list(dict.fromkeys([key for one in plain.values() for key in one.keys]))
        self._values_of_links = getter(keys_of_links)
        self._forms = [(one.form, getter([keys_of_links.index(key) for key in one.keys])) for one in plain.values()]
        self._room = min([one.room for one in plain.values()], default=0)
        """How many characters the values of the links may have together."""
        literals = "".join([literal for link in self._links for literal in link.literals])
        self._may_have_tags = any(one in literals for one in tags.characters)
        self._of_tags = [one for one in tags.characters if _are_plain(one)]
        """Of the characters of tags, those that plain values may have."""

    def fill(self, addressee: Addressee, values: Values) -> list[str] | None:
        """The texts of the holes; None where the value of a link is not plain, or the pixel is in a value."""
        if self._end is not None and self._end.is_elsewhere(values):
            return None
        suffixes = self._suffixes_of_links(values) if self._links else []
        if suffixes is None:
            return None
        texts: Sequence[str] = self._values_of_texts(values)
        if self._marks.may_be_in("\n".join(texts)):
            texts = [text.fill(addressee, values) for text in self._texts]
        others = [link.fill(addressee, values) for link in self._others]
        made = [*self._values_of_keys(values), *texts, *others]
        if self._around:
            shared = self._tokens_of_urls(self._tokens.shared(addressee))
            made += [f"{before}{one}{after}" for (before, after), one in zip(self._around, shared, strict=True)]
        if suffixes:
            own = self._tokens.of(addressee)
            begun = own.text
            ends = own.ends(suffixes)
            made += [f"{beginning}{begun}{end}" for beginning, end in zip(self._beginnings, ends, strict=True)]
        return list(self._in_order(made))

    def _suffixes_of_links(self, values: Values) -> list[bytes] | None:
        """The suffixes of their tokens; None if they must be looked at as a whole."""
        own = self._values_of_links(values)
        together = "".join(own)
        if len(together) > self._room or not _are_plain(together):
            return None
        may_have_tags = self._may_have_tags or any(one in together for one in self._of_tags)
        if may_have_tags and self._tags.may_be_in(
            "\n".join([joined(link.literals, [values[key] for key in link.keys]) for link in self._links])
        ):
            return None
        encoded = [one.encode() for one in own]
        return [suffix_of(form % of(encoded)) for form, of in self._forms]


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
