"""The readable text of a mail's HTML, and its links. Pure.

Mail may be hostile, so this reads the tags in one pass, in time in proportion to the text. Parsers that build a tree
take quadratic time over what is nested 100,000 levels deep, and ``html.parser`` over tags that do not end.
"""

import re
from html import unescape

from msgspec import Struct

MOST_LINKS = 500
LONGEST_HTML = 512 * 1024
"""Characters that are read."""
_LONGEST_URL = 4_000
_LONGEST_TEXT = 300

# Possessive, so that a tag without an end fails without being tried again from each of its characters.
_TAG = re.compile(r"<(/?)([a-zA-Z][a-zA-Z0-9:-]*+)((?:[^>\"']++|\"[^\"]*+\"|'[^']*+')*+)>")
_MARKUP = re.compile(r"<(?=[a-zA-Z/!?])")
_ATTRIBUTE = re.compile(r"([^\s\"'>/=]++)(?:\s*+=\s*+(?:\"([^\"]*+)\"|'([^']*+)'|([^\s\"'>]++)))?")
_UNREAD = {
    name: re.compile(rf"</{name}[\s/>]", re.IGNORECASE)
    for name in ("script", "style", "title", "template", "textarea", "noscript", "svg", "xmp", "iframe")
}
"""Elements whose contents are no text of the mail, and their ends."""
_INLINE = {
    "a",
    "abbr",
    "b",
    "bdi",
    "big",
    "code",
    "em",
    "font",
    "i",
    "mark",
    "s",
    "small",
    "span",
    "strong",
    "sub",
    "sup",
}
_URL = re.compile(r"\b(?:https?://|mailto:)[^\s<>\"'\])}]++", re.IGNORECASE)


class Link(Struct, frozen=True):
    url: str
    text: str
    """What the reader sees of it; "" for an image."""


class Reading(Struct, frozen=True):
    text: str
    """On one line."""
    links: list[Link]
    """In order, at most ``MOST_LINKS``."""


def read_html(html: str) -> Reading:
    """The text and the links of HTML, as a reader sees them."""
    html = html[:LONGEST_HTML]
    texts: list[str] = []
    links: list[Link] = []
    url, begun, place = "", 0, 0
    for markup in _MARKUP.finditer(html):
        start = markup.start()
        if start < place:
            continue
        texts.append(html[place:start])
        tag = _TAG.match(html, start)
        if tag is None:
            place = _end_of_other(html, start)
            if place < 0:
                break
            continue
        place = tag.end()
        name = tag[2].lower()
        if name == "a":
            if url:
                links.append(Link(url, _one_line("".join(texts[begun:]))[:_LONGEST_TEXT]))
            url, begun = "" if tag[1] else _href(tag[3]), len(texts)
            if len(links) >= MOST_LINKS:
                url = ""
        elif name == "area" and not tag[1] and (area := _href(tag[3])) and len(links) < MOST_LINKS:
            links.append(Link(area, ""))
        elif not tag[1] and name in _UNREAD:
            end = _UNREAD[name].search(html, place)
            if end is None:
                place = len(html)
                break
            place = end.start()
        elif name not in _INLINE:
            texts.append(" ")
    if place >= 0:
        texts.append(html[place:])
    if url:
        links.append(Link(url, _one_line("".join(texts[begun:]))[:_LONGEST_TEXT]))
    return Reading(_one_line("".join(texts)), links)


def links_in_text(text: str) -> list[Link]:
    """The URLs that a plain text names."""
    found = (match[0].rstrip(".,;:!?")[:_LONGEST_URL] for match in _URL.finditer(text[:LONGEST_HTML]))
    return [Link(url, "") for url in dict.fromkeys(found)][:MOST_LINKS]


def _end_of_other(html: str, start: int) -> int:
    """Where a comment, a declaration or a broken tag ends; -1 if it does not."""
    if html.startswith("<!--", start):
        end = html.find("-->", start + 4)
        return end + 3 if end >= 0 else -1
    end = html.find(">", start)
    return end + 1 if end >= 0 else -1


def _href(attributes: str) -> str:
    for name, *values in _ATTRIBUTE.findall(attributes):
        if name.lower() == "href":
            # As browsers read it: white space in a URL is dropped.
            return "".join(unescape("".join(values)).split())[:_LONGEST_URL]
    return ""


def _one_line(html: str) -> str:
    return " ".join(unescape(html).split())
