"""What the list of mail shows and searches of a message's contents. Pure.

It is made when a person looks, not when the message arrives: reading MIME takes longer than storing the message.
"""

import re

from msgspec import Struct

from actors.capture import mime_view
from actors.capture.html_reading import Link, links_in_text, read_html

READ_OCTETS = 1024 * 1024
"""Of a message. Attachments that begin later have no mark."""
_LONGEST_BODY = 64 * 1024
_LONGEST_SNIPPET = 200
_INVISIBLE = re.compile("[\u00ad\u034f\u061c\u180e\u200b-\u200f\u2060-\u2064\ufeff]+")
"""What senders fill a preheader up with, so that no text of the body follows it."""


class Digest(Struct, frozen=True):
    snippet: str
    """The beginning of the text, on one line."""
    attached: bool
    """Whether it has attachments."""
    body: str
    """The text to search, folded by ``folded``."""


def digest(raw: bytes) -> Digest:
    """The digest of a message, of which the first ``READ_OCTETS`` octets are enough."""
    content = mime_view.view(raw[:READ_OCTETS])
    html = read_html(content.html).text if content.html is not None else ""
    text = content.text or ""
    # What mail programs preview: the HTML, with the preheader at its beginning.
    snippet = " ".join(_INVISIBLE.sub("", html or text[: 20 * _LONGEST_SNIPPET]).split())
    both = f"{html[:_LONGEST_BODY]}\n{text[:_LONGEST_BODY]}"
    return Digest(snippet[:_LONGEST_SNIPPET], any(not part.inline for part in content.parts), folded(both))


def folded(text: str) -> str:
    """For comparison: without regard to case, line ends and invisible characters."""
    return " ".join(_INVISIBLE.sub("", text).split()).casefold()


def links_of(content: mime_view.View) -> list[Link]:
    """The links of a message: those of its HTML, or the URLs in its text."""
    if content.html is not None:
        return read_html(content.html).links
    return links_in_text(content.text or "")
