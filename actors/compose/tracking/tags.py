"""The tags that stand for unsubscribe addresses in a sender's text, as SendGrid's senders write them. Pure."""

import re
from collections.abc import Iterable, Iterator
from functools import lru_cache
from html import escape
from urllib.parse import quote

from msgspec import Struct

from cluster.tracking.choices import Tracking
from cluster.tracking.tokens import Preferences

USUAL_TAG = "[unsubscribe]"
GROUP_TAG = "<%asm_group_unsubscribe_raw_url%>"
PREFERENCES_TAG = "<%asm_preferences_raw_url%>"
_ASM = re.compile(
    r"(?:<|&lt;|%3c)(?:%|%25)\s*asm_(?P<what>group_unsubscribe|preferences|global_unsubscribe)_(?P<raw>raw_)?url\s*"
    r"(?:%|%25)(?:>|&gt;|%3e)",
    re.IGNORECASE,
)
"""Editors escape a tag as html or as a URL."""
_ASM_MARKS = ("asm_", "ASM_")
_LINK = re.compile(r"<%(?P<words>[^%]*)%>")


class Tag(Struct, frozen=True):
    """A tag at a place of a text. ``is_raw``: it stands for a URL, not for a link."""

    start: int
    end: int
    preferences: Preferences
    is_raw: bool = True
    is_subscription: bool = False
    """It takes the place of the text of subscription tracking."""


class Marks:
    """Short texts, at least one of which is in every text that has what they are the marks of. They tell quickly that
    most texts have it not: one character of each is looked for first, one that few texts have."""

    def __init__(self, marks: Iterable[str]) -> None:
        by_character: dict[str, list[str]] = {}
        for mark in marks:
            by_character.setdefault(next((one for one in mark if not one.isalnum()), mark[0]), []).append(mark)
        self._by_character = tuple(by_character.items())
        self.characters = tuple(by_character)
        """Each text with a mark has one of these."""

    def may_be_in(self, text: str) -> bool:
        """Whether the text has a mark."""
        for character, marks in self._by_character:
            if character in text:
                for mark in marks:
                    if mark in text:
                        return True
        return False


def marks(tracking: Tracking) -> tuple[str, ...]:
    """The marks of tags."""
    own = _spellings(tracking.subscription.tag) if tracking.subscription is not None else ()
    return (*_ASM_MARKS, *own)


def tags_in(text: str, tracking: Tracking) -> list[Tag]:
    """The tags of a text, in order; none overlap."""
    found = sorted([*_asm_tags(text, tracking), *_subscription_tags(text, tracking)], key=lambda tag: tag.start)
    kept: list[Tag] = []
    for tag in found:
        if not kept or tag.start >= kept[-1].end:
            kept.append(tag)
    return kept


def _asm_tags(text: str, tracking: Tracking) -> Iterator[Tag]:
    if not any(mark in text for mark in _ASM_MARKS):
        return
    group, all_mail = own_preferences(tracking), Preferences(None, tracking.shown_groups)
    for tag in _ASM.finditer(text):
        preferences = all_mail if tag["what"].lower() == "global_unsubscribe" else group
        yield Tag(tag.start(), tag.end(), preferences, tag["raw"] is not None)


def _subscription_tags(text: str, tracking: Tracking) -> Iterator[Tag]:
    if tracking.subscription is None:
        return
    for name in _spellings(tracking.subscription.tag):
        at = text.find(name)
        while at >= 0:
            yield Tag(at, at + len(name), own_preferences(tracking), is_subscription=True)
            at = text.find(name, at + len(name))


@lru_cache(maxsize=256)
def _spellings(tag: str) -> frozenset[str]:
    """The tags of subscription tracking as a text may have them: as they are, or escaped."""
    names = {USUAL_TAG, tag} - {""}
    as_html = {escape(name, quote=quotes) for name in names for quotes in (False, True)}
    as_url = {quote(name, safe=safe) for name in names for safe in ("", "/:?&=")}
    return frozenset(names | as_html | as_url | {re.sub("%[0-9A-F]{2}", _lower, one) for one in as_url})


def _lower(escaped: re.Match[str]) -> str:
    return escaped[0].lower()


def own_preferences(tracking: Tracking) -> Preferences:
    """What the message's own unsubscribe address is about."""
    return Preferences(tracking.group_id, tracking.shown_groups)


def ending(text: str, *, is_html: bool) -> tuple[str, ...]:
    """A text of subscription tracking in pieces between which its URL stands: ``<% words %>`` in html becomes a link of
    these words, and ``<% %>`` the URL. A text without either gets one at its end."""
    pieces, last = [""], 0
    for tag in _LINK.finditer(text):
        words = tag["words"].strip()
        pieces[-1] += text[last : tag.start()]
        if is_html and words:
            pieces[-1] += '<a href="'
            pieces.append(f'">{words}</a>')
        else:
            pieces[-1] += f"{words} " if words else ""
            pieces.append("")
        last = tag.end()
    pieces[-1] += text[last:]
    if len(pieces) == 1:
        pieces = [f'{text} <a href="', '">Unsubscribe</a>'] if is_html else [f"{text} ", ""]
    return tuple(pieces)
