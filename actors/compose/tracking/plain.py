"""Where a plain text has links. Pure; the time is linear in the text."""

import re
from collections.abc import Iterator

from actors.compose.tracking.html import HOLE, Found, Link

URL = re.compile(r"https?://[^\s<>\"]+", re.IGNORECASE)
_ENDS = ".,;:!?'\u201d\u2019\u00bb"
_PAIRS = {")": "(", "]": "[", "}": "{"}


def scan(text: str, *, with_links: bool = True) -> Found:
    """As ``html.scan``: a plain text ends where its body does, and all of its holes are in text."""
    return Found(
        links=tuple(_links(text)) if with_links else (),
        untracked=(),
        body_end=len(text),
        text_holes=frozenset(indices(text)),
        is_odd=False,
    )


def indices(text: str) -> Iterator[int]:
    """The places of the holes of a text of any kind."""
    at = text.find(HOLE)
    while at >= 0:
        yield at
        at = text.find(HOLE, at + 1)


def url_of(found: str) -> str:
    """A URL as people mean it in a text: without the punctuation that ends a sentence, or a bracket that was opened
    before it."""
    while found and (
        found[-1] in _ENDS or (found[-1] in _PAIRS and found.count(found[-1]) > found.count(_PAIRS[found[-1]]))
    ):
        found = found[:-1]
    return found


def _links(text: str) -> Iterator[Link]:
    for found in URL.finditer(text):
        yield Link(found.start(), found.start() + len(url_of(found[0])))
