"""What a recipient's copy has in the places of links, pixel and unsubscribe addresses, each by itself. copies.py fills
those of a text together.
"""

from collections import Counter
from collections.abc import Callable, Sequence

from msgspec import Struct

from actors.compose.holed import Key
from actors.compose.tracking import plain
from actors.compose.tracking.html import escaped, keeps_within, url_of
from actors.compose.tracking.recipient import TokensOfRecipients
from actors.compose.tracking.targets import is_target, with_analytics
from actors.compose.transform import Addressee, Growth
from cluster.joining import joined
from cluster.message.forms import Values
from cluster.tracking.choices import Tracking
from cluster.tracking.tokens import Target, click_suffix

_LONGEST_PREFIX = 440
"""Characters of a token besides its target, at most."""
_GROWTH = 14
"""How many times as long a value of nothing but the shortest links becomes."""


class TokenPlace(Struct, frozen=True):
    """A URL of ours that says the same for all messages but for its token: the pixel, an unsubscribe address, a link
    whose target is known."""

    beginning: str
    suffix: bytes
    tokens: TokensOfRecipients
    ending: str = ""

    def fill(self, addressee: Addressee, _values: Values) -> str:
        return f"{self.beginning}{self.tokens.of(addressee).token(self.suffix)}{self.ending}"

    @property
    def growth(self) -> Growth:
        return Growth(len(self.beginning) + _LONGEST_PREFIX + len(self.suffix) // 3 * 4 + len(self.ending))


class PixelAtEnd(Struct, frozen=True):
    """The pixel at the end of a text that has no tag for it. A message may have the tag in its values."""

    pixel: TokenPlace
    tag: str
    keys: tuple[Key, ...]
    """Of the holes in text."""

    def is_elsewhere(self, values: Values) -> bool:
        """Whether the pixel is in the place of a tag in these values."""
        return any(self.tag in values[key] for key in self.keys)

    def fill(self, addressee: Addressee, values: Values) -> str:
        return "" if self.is_elsewhere(values) else self.pixel.fill(addressee, values)

    @property
    def growth(self) -> Growth:
        return self.pixel.growth


class LinkMaker(Struct, frozen=True):
    """Makes links of targets."""

    beginning: str
    """Of the URL of a tracked link."""
    own: tuple[str, ...]
    """What our own URLs begin with: they stay as they are."""
    tokens: TokensOfRecipients
    tracking: Tracking
    with_tags: Callable[[str, Addressee], str]
    """Puts URLs where tags are in a value."""

    def of(self, url: str, number: int, *, is_html: bool) -> bytes | str | None:
        """What becomes of a link: the suffix of the tokens of a tracked one, another URL for one that only gets the
        parameters of ``analytics``, None for one that stays as it is."""
        tracking = self.tracking
        if not is_target(url) or url.startswith(self.own):
            return None
        target = url if tracking.analytics is None else with_analytics(url, tracking.analytics)
        if tracking.clicks if is_html else tracking.text_clicks:
            try:
                return click_suffix(Target(target, number))
            except ValueError:  # with the parameters it is too long
                return None
        return None if target == url else target

    def url(self, suffix: bytes, addressee: Addressee) -> str:
        """The URL of a tracked link."""
        return f"{self.beginning}{self.tokens.of(addressee).token(suffix)}"

    def of_href(self, value: str, number: int, addressee: Addressee) -> str:
        """The value of ``href`` for a recipient. ``value``: as the sender's html has it."""
        value = self.with_tags(value, addressee)
        made = self.of(url_of(value), number, is_html=True)
        if made is None:
            return value
        return escaped(made) if isinstance(made, str) else self.url(made, addressee)

    def of_text(self, value: str, number: int, addressee: Addressee) -> str:
        """A URL in plain text for a recipient. ``value`` begins with it."""
        found = plain.URL.match(value)
        url = plain.url_of(found[0]) if found is not None else ""
        made = self.of(url, number, is_html=False)
        if made is None:
            return value
        return (made if isinstance(made, str) else self.url(made, addressee)) + value[len(url) :]


class FilledLink(Struct, frozen=True):
    """A link whose target depends on a message's values: keys and texts between them."""

    literals: tuple[str, ...]
    keys: tuple[Key, ...]
    number: int
    maker: LinkMaker
    before: str | None
    """The character before a value of ``href``; None in plain text."""

    def fill(self, addressee: Addressee, values: Values) -> str:
        value = joined(self.literals, [values[key] for key in self.keys])
        if self.before is None:
            return self.maker.of_text(value, self.number, addressee)
        if not keeps_within(value, self.before):
            return value  # only a part of it is the link, and what follows must stay as it is
        return self.maker.of_href(value, self.number, addressee)

    @property
    def growth(self) -> Growth:
        fixed = len(self.maker.beginning) + _LONGEST_PREFIX + 4 * len("".join(self.literals))
        return Growth(fixed, 4 * len(self.keys))


Change = Callable[[str, int, Addressee], tuple[str, int]]
"""Changes a text that a hole holds: the text, the number of its first link, and the recipient; returns the text and the
number of its links."""


class FilledTexts:
    """The holes of one text that may hold links: blocks of a template, or substitutions. The links of each are numbered
    after those of the text around them and those of the holes before, so all values of a copy are changed at once."""

    __slots__ = ("_change", "_last", "_number", "growth", "keys")

    def __init__(self, keys: Sequence[Key], number: int, change: Change, growth: float) -> None:
        """``keys``: of the holes, in order. ``number``: of the first link in them. ``growth``: how many times as long a
        value becomes that has nothing but tags of the pixel."""
        self.keys = keys
        self._number = number
        self._change = change
        self._last: tuple[Addressee, Values, list[str]] | None = None
        """A copy whose holes are being filled, with its changed values."""
        share = max(Counter(keys).values(), default=0) / max(1, len(keys))
        """Of a message's values, the most that are in one hole on average."""
        self.growth = Growth(0, max(_GROWTH, growth) * share)
        """Of each hole."""

    def fill(self, index: int, addressee: Addressee, values: Values) -> str:
        """The text in one of the holes."""
        last = self._last  # read once: a large message is composed in a thread
        if last is None or last[0] is not addressee or last[1] is not values:
            last = self._last = (addressee, values, self._changed(addressee, values))
        if index == len(self.keys) - 1:
            self._last = None  # the values may be large
        return last[2][index]

    def _changed(self, addressee: Addressee, values: Values) -> list[str]:
        changed: list[str] = []
        number = self._number
        for key in self.keys:
            text, links = self._change(values[key], number, addressee)
            changed.append(text)
            number += links
        return changed


class FilledText(Struct, frozen=True):
    """One of the holes of ``FilledTexts``."""

    texts: FilledTexts
    index: int

    @property
    def key(self) -> Key:
        """The key of its value."""
        return self.texts.keys[self.index]

    def fill(self, addressee: Addressee, values: Values) -> str:
        return self.texts.fill(self.index, addressee, values)

    @property
    def growth(self) -> Growth:
        return self.texts.growth
