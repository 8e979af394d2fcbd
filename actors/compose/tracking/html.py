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
_SPACE = r"\t\n\f\r "
"""White space of html, for a class of a pattern. ``\\s`` is more: a no-break space is part of a name or a value."""
_VALUE = rf"""[{_SPACE}]*+(?:"[^"]*+(?:"|\Z)|'[^']*+(?:'|\Z)|[^{_SPACE}>"'][^{_SPACE}>]*+)"""
_RAW = "script|style|textarea|title|xmp|iframe|noembed|noframes|plaintext"
_TAG = re.compile(
    rf"""
    <(?:
      !--(?: (?P<conditional>\[if\b[^>]*>) | -?> | .*?(?:--!?>|\Z) )
    | (?P<raw>{_RAW})(?=[{_SPACE}/>])
    | (?P<link>a|area)(?=[{_SPACE}/>{HOLE}])
    | (?P<body>/body)(?=[{_SPACE}/>])
    | /?[a-z]
    )
    (?P<rest>(?(conditional)|(?:[^>=]++|=(?:{_VALUE})?)*+(?P<end>>|\Z)))
    """,
    re.IGNORECASE | re.DOTALL | re.VERBOSE,
)
"""Something that begins with ``<``. A comment has no rest of its own: that of its alternative is empty or skipped."""
_SKIPPED = re.compile(
    rf"""
    (?: [^<{HOLE}]++
    | <(?![!?/a-z])
    | <(?! (?:{_RAW}|a|area|/body)[{_SPACE}/>{HOLE}] ) /?[a-z] (?:[^>=]++|=(?:{_VALUE})?)*+ >
    )*+
    """,
    re.IGNORECASE | re.VERBOSE,
)
"""Text and tags in which nothing is to be found: most of a text, in one step."""
_USUAL_LINK = re.compile(
    r"""<a(?:\s+(?!href|clicktracking)[a-z-]+="[^"<>\0]*")*+\s+href="([^"<>]*)"(?:\s+(?!href|clicktracking)[a-z-]+="[^"<>\0]*")*+\s*>""",
    re.IGNORECASE | re.ASCII,
)
"""A link as nearly all are written: it is read in one step."""
_COMMENT = re.compile(
    r"<(?: !--(?!\[if\b)(?:-?>|.*?(?:--!?>|(?P<open>\Z))) | (?:!(?!--)|\?|/(?![a-z]))[^>]*+(?:>|\Z) )",
    re.IGNORECASE | re.DOTALL | re.VERBOSE,
)
"""Also what browsers take for one, up to the next ``>``: a declaration, an instruction, an end tag without a name."""
_END_OF_COMMENT = re.compile("--!?>")
_ATTRIBUTE = re.compile(
    rf"""
    (?P<before>[{_SPACE}/]*)
    (?P<name>[^{_SPACE}/>=]|=(?=[^>]))(?P<more>[^{_SPACE}/>=]*)
    (?: [{_SPACE}]*=[{_SPACE}]*
      (?: "(?P<double>[^"]*)" | '(?P<single>[^']*)' | (?P<bare>[^{_SPACE}>"'][^{_SPACE}>]*)? ) )?
    """,
    re.VERBOSE,
)
_REFERENCE = re.compile(r"&(?:#(?:[0-9]+|[xX][0-9a-fA-F]+);?|([A-Za-z][A-Za-z0-9]*)(;?))")
_DROPPED = str.maketrans("", "", "\t\r\n")
_AFTER_BARE = re.compile(f"[{_SPACE}>]")
_AROUND = "".join(map(chr, range(0x21)))


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
    """Where the last ``</body>`` begins that is not in a comment. Without one: the end of the text, or the beginning of
    a tag, comment or script that is not closed."""
    text_holes: frozenset[int]
    """The places of the holes in text, as opposed to those within tags, comments and scripts."""
    is_odd: bool
    """Whether a hole may hide a link: it is within the tag of one, but not in a value."""


def scan(html: str) -> Found:
    """Find the links of a text."""
    links: list[Link] = []
    untracked: list[tuple[int, int]] = []
    text_holes: set[int] = set()
    body_end, open_from, conditional_end = None, len(html), 0
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
            if comment["open"] is not None:
                open_from = min(open_from, start)
            continue
        tag = _TAG.match(html, start)
        if tag is None:
            at = start + 1
            continue
        at = tag.end()
        if tag["conditional"]:
            if start >= conditional_end:  # not within another
                conditional_end = _end_of_conditional(html, start)
                open_from = start if conditional_end > len(html) else open_from
        elif not tag["end"]:
            open_from = min(open_from, start)
        elif tag["raw"]:
            at, is_open = _end_of_raw(html, at, tag["raw"], conditional_end)
            open_from = min(open_from, start) if is_open else open_from
        elif tag["body"] and start >= conditional_end:
            body_end = start
        elif tag["link"]:
            odd, link, off = _link(html, tag.start("rest"), at - 1)
            is_odd = is_odd or odd
            if off is not None:
                untracked.append(off)
            elif link is not None:
                links.append(link)
    body_end = open_from if body_end is None else body_end
    return Found(tuple(links), tuple(untracked), body_end, frozenset(text_holes), is_odd)


def _end_of_skipped(html: str, at: int) -> int:
    skipped = _SKIPPED.match(html, at)
    assert skipped is not None  # it also matches nothing
    return skipped.end()


def _end_of_conditional(html: str, start: int) -> int:
    """Where a conditional comment ends, or beyond the text."""
    end = _END_OF_COMMENT.search(html, start)
    return end.start() if end is not None else len(html) + 1


def _end_of_raw(html: str, at: int, name: str, conditional_end: int) -> tuple[int, bool]:
    """The end of the content of a script or its like, and whether it lacks one. Such an element in a conditional
    comment ends with it."""
    limit = conditional_end if at <= conditional_end <= len(html) else len(html)
    if name.lower() == "plaintext":  # which nothing ends
        return limit, limit == len(html)
    end = re.compile(rf"</{name}(?=[{_SPACE}/>])", re.IGNORECASE).search(html, at, limit)
    return (end.start(), False) if end is not None else (limit, limit == len(html))


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


def keeps_within(value: str, before: str) -> bool:
    """Whether a filled value of ``href`` ends where its place does. ``before``: the character before the place."""
    return before not in value if before in ('"', "'") else _AFTER_BARE.search(value) is None


def url_of(value: str) -> str:
    """The URL that ``href`` names, as the URL standard takes it from the attribute: without control characters and
    spaces around it, and without line ends within."""
    if "&" not in value and value.isprintable() and " " not in value:
        return value  # as most are
    return attribute_text(value).translate(_DROPPED).strip(_AROUND)
