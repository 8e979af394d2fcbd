"""What a recipient's copy has in the places of links, pixel and unsubscribe addresses.

Places are keys of dicts for each message, so they are equal by identity: comparing their contents takes longer than
making a token.
"""

import math
from collections.abc import Callable, Mapping

from msgspec import Struct

from actors.compose.tracking import plain
from actors.compose.tracking.html import escaped, keeps_within, url_of
from actors.compose.tracking.recipient import TokensOfRecipients
from actors.compose.tracking.targets import is_target, with_analytics
from actors.compose.transform import Addressee
from cluster.joining import joined
from cluster.tracking.choices import Tracking
from cluster.tracking.tokens import Suffix, Target, click_suffix

_LONGEST_PREFIX = 440
"""Characters of a token besides its target, at most."""
_GROWTH = 14
"""How many times as long a value of nothing but the shortest links becomes."""


class TokenPlace(Struct, frozen=True, eq=False):
    """A URL of ours that says the same for all messages but for its token: the pixel, an unsubscribe address, a link
    whose target is known."""

    beginning: str
    suffix: Suffix
    tokens: TokensOfRecipients
    ending: str = ""

    def fill(self, addressee: Addressee, _values: Mapping[str, str]) -> str:
        return f"{self.beginning}{self.tokens.of(addressee).token(self.suffix)}{self.ending}"

    def most(self, _values_bytes: int) -> int:
        return len(self.beginning) + _LONGEST_PREFIX + len(self.suffix.text) + len(self.ending)


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

    def of(self, url: str, number: int, *, is_html: bool) -> Suffix | str | None:
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

    def url(self, suffix: Suffix, addressee: Addressee) -> str:
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


class FilledLink(Struct, frozen=True, eq=False):
    """A link whose target depends on a message's values: keys and texts between them."""

    literals: tuple[str, ...]
    keys: tuple[str, ...]
    number: int
    maker: LinkMaker
    before: str | None
    """The character before a value of ``href``; None in plain text."""

    def fill(self, addressee: Addressee, values: Mapping[str, str]) -> str:
        value = joined(self.literals, [values[key] for key in self.keys])
        if self.before is None:
            return self.maker.of_text(value, self.number, addressee)
        if not keeps_within(value, self.before):
            return value  # only a part of it is the link, and what follows must stay as it is
        return self.maker.of_href(value, self.number, addressee)

    def most(self, values_bytes: int) -> int:
        own = len("".join(self.literals)) + values_bytes * len(self.keys)
        return len(self.maker.beginning) + _LONGEST_PREFIX + 4 * own


Change = Callable[[str, int, Addressee], tuple[str, int]]
"""Changes a text that a hole holds: the text, the number of its first link, and the recipient; returns the text and the
number of its links."""


class FilledText(Struct, frozen=True, eq=False):
    """A hole that may hold links: a block of a template, or a substitution. Its links are numbered after those of the
    text around it. ``before``: the keys of such holes before it."""

    key: str
    before: tuple[str, ...]
    number: int
    share: float
    """Of a message's values, the most that are in one such hole on average."""
    change: Change

    def fill(self, addressee: Addressee, values: Mapping[str, str]) -> str:
        value = values[self.key]
        number = self.number
        for key in self.before:
            number += self.change(values[key], 0, addressee)[1]
        return self.change(value, number, addressee)[0]

    def most(self, values_bytes: int) -> int:
        return math.ceil(_GROWTH * self.share * values_bytes)
