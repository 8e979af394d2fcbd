"""Where an html text has links, and where its body ends. Pure; the time is linear in the text.

It reads tags and attributes as browsers do (HTML, section 13.2.5), as far as links depend on it: a link in a comment,
in a script or in the value of another attribute is none. What conditional comments of Outlook contain counts, since
Outlook shows it. A hole of a text is the character NUL here, which no text has.
"""

import re
from collections.abc import Iterator
from html import escape, unescape
from html.entities import html5

from msgspec import Struct

HOLE = "\0"
_QUOTED = r"""[ \t\n\f\r]*(?:"[^"]*"|'[^']*')"""
_TAG = re.compile(
    rf"""
    <(?:
      !--(?: (?P<conditional>\[if\b[^>]*>) | -?> | .*?(?:--!?>|\Z) )
    | (?P<raw>script|style|textarea|title|xmp|iframe|noembed|noframes)(?=[\s/>])
    | (?P<link>a|area)(?=[\s/>{HOLE}])
    | (?P<body>/body)(?=[\s/>])
    | [!?/]?[a-z]
    )
    (?P<rest>(?(conditional)|(?:[^>=]++|=(?:{_QUOTED})?)*+(?P<end>>|\Z)))
    """,
    re.IGNORECASE | re.DOTALL | re.VERBOSE,
)
"""Something that begins with ``<``. A comment has no rest of its own: that of its alternative is empty or skipped."""
_SKIPPED = re.compile(
    rf"""
    (?: [^<{HOLE}]++
    | <(?![!?/]?[a-z]|!--)
    | <(?! !-- | (?:script|style|textarea|title|xmp|iframe|noembed|noframes|a|area|/body)[\s/>{HOLE}] )
      [!?/]?[a-z] (?:[^>=]++|=(?:{_QUOTED})?)*+ (?:>|\Z)
    )*+
    """,
    re.IGNORECASE | re.VERBOSE,
)
"""Text and tags in which nothing is to be found: most of a text, in one step."""
_USUAL_LINK = re.compile(
    r"""<a(?:\s+(?!href|clicktracking)[a-z-]+="[^"<>\0]*")*+\s+href="([^"<>]*)"(?:\s+(?!href|clicktracking)[a-z-]+="[^"<>\0]*")*+\s*>""",
    re.IGNORECASE,
)
"""A link as nearly all are written: it is read in one step."""
_COMMENT = re.compile(r"<!--(?!\[if\b)(?:-?>|.*?(?:--!?>|\Z))", re.IGNORECASE | re.DOTALL)
_ATTRIBUTE = re.compile(
    r"""
    (?P<before>[\s/]*)
    (?P<name>[^\s/>=]|=(?=[^>]))(?P<more>[^\s/>=]*)
    (?: \s*=\s* (?: "(?P<double>[^"]*)" | '(?P<single>[^']*)' | (?P<bare>[^\s>"'][^\s>]*)? ) )?
    """,
    re.VERBOSE,
)
_REFERENCE = re.compile(r"&(?:#(?:[0-9]+|[xX][0-9a-fA-F]+);?|([A-Za-z][A-Za-z0-9]*)(;?))")
_DROPPED = str.maketrans("", "", "\t\r\n")


class Link(Struct, frozen=True):
    """A link in html: where the value of its ``href`` is, without quotes."""

    start: int
    end: int


class Found(Struct, frozen=True):
    """What ``scan`` found, each in order."""

    links: tuple[Link, ...]
    untracked: tuple[tuple[int, int], ...]
    """The places of ``clicktracking="off"``, with the white space before: to be removed."""
    body_end: int
    """Where the last ``</body>`` begins, or the end of the text."""
    text_holes: frozenset[int]
    """The places of the holes in text, as opposed to those within tags, comments and scripts."""
    is_odd: bool
    """Whether a hole may hide a link: it is within the tag of one, but not in a value."""


def scan(html: str) -> Found:
    """Find the links of a text."""
    links: list[Link] = []
    untracked: list[tuple[int, int]] = []
    text_holes: set[int] = set()
    body_end = len(html)
    is_odd = False
    at = 0
    while (start := _end_of_skipped(html, at)) < len(html):
        if html[start] == HOLE:
            text_holes.add(start)
            at = start + 1
            continue
        if (usual := _USUAL_LINK.match(html, start)) is not None:
            links.append(Link(usual.start(1), usual.end(1)))
            at = usual.end()
            continue
        comment = _COMMENT.match(html, start)
        if comment is not None:
            at = comment.end()
            continue
        tag = _TAG.match(html, start)
        if tag is None:
            at = start + 1
            continue
        at = tag.end()
        if tag["conditional"]:
            continue
        if tag["raw"] and tag["end"]:
            at = _end_of_raw(html, at, tag["raw"])
        elif tag["body"]:
            body_end = start
        elif tag["link"] and tag["end"]:
            odd, link, off = _link(html, tag.start("rest"), at - 1)
            is_odd = is_odd or odd
            if off is not None:
                untracked.append(off)
            elif link is not None:
                links.append(link)
    return Found(tuple(links), tuple(untracked), body_end, frozenset(text_holes), is_odd)


def _end_of_skipped(html: str, at: int) -> int:
    skipped = _SKIPPED.match(html, at)
    assert skipped is not None  # it also matches nothing
    return skipped.end()


def _end_of_raw(html: str, at: int, name: str) -> int:
    """The end of the content of a script or its like."""
    end = re.compile(rf"</{name}(?=[\s/>])", re.IGNORECASE).search(html, at)
    return end.start() if end is not None else len(html)


def _link(html: str, start: int, end: int) -> tuple[bool, Link | None, tuple[int, int] | None]:
    """Whether a hole stands among a tag's attributes, its link, and the place of ``clicktracking="off"``."""
    link = off = None
    odd = False
    for attribute in _attributes(html, start, end):
        name = (attribute["name"] + attribute["more"]).lower()
        odd = odd or HOLE in name
        group = next((one for one in ("double", "single", "bare") if attribute[one] is not None), None)
        if name == "href" and link is None:
            link = Link(*attribute.span(group)) if group is not None else Link(0, 0)
        elif name == "clicktracking" and off is None and attribute[group or "name"].strip().lower() == "off":
            off = attribute.span()
    return odd, link if link is not None and link.end else None, off


def _attributes(html: str, start: int, end: int) -> Iterator[re.Match[str]]:
    while start < end:
        found = _ATTRIBUTE.match(html, start, end)
        if found is None:
            return
        yield found
        start = found.end()


def attribute_text(value: str) -> str:
    """What the value of an attribute means, its references decoded as browsers do in attributes: ``&copy=1`` is a
    parameter, not a sign (HTML, section 13.2.5.73)."""
    return _REFERENCE.sub(_decoded, value) if "&" in value else value


def _decoded(reference: re.Match[str]) -> str:
    name, semicolon = reference[1], reference[2]
    if name is None:
        return unescape(reference[0])
    if not semicolon and reference.string[reference.end() : reference.end() + 1] == "=":
        return reference[0]
    return html5.get(f"{name}{semicolon}", reference[0])  # old names count without a semicolon, but only whole


def escaped(url: str) -> str:
    """A URL as the value of ``href``, whatever quotes it stands in."""
    return escape(url).replace(" ", "%20")


def url_of(value: str) -> str:
    """The URL that ``href`` names, as the URL standard takes it from the attribute: without white space around it and
    line ends within."""
    if "&" not in value and value.isprintable() and " " not in value:
        return value  # as most are
    return attribute_text(value).translate(_DROPPED).strip(" \f")
