"""Makes the html of a template safe to parse for its text: its tags become marks, and what says nothing to a reader of
plain text is taken out. Pure; linear in the html's length.

A mark is one character for private use (Unicode §23.5), so that it is left alone in texts and attributes. The mark of a
block's tag between elements becomes a comment: a parser moves characters out of tables, and leaves comments there.
"""

import re
from collections.abc import Iterable, Iterator
from itertools import islice

from msgspec import Struct

from cluster.templates.slices import slices
from cluster.templates.tags import Piece, PieceKind

_FIRST_VALUE = 0xF0000
_FIRST_BLOCK = 0xF8000
_LAST_MARK = 0xFFFFD
MARK = re.compile(f"[{chr(_FIRST_VALUE)}-{chr(_LAST_MARK)}]")
BLOCK_MARK = re.compile(f"[{chr(_FIRST_BLOCK)}-{chr(_LAST_MARK)}]")

MAX_DEPTH = 300
"""Elements in each other. Parsing takes the product of depth and length; deeper elements lose their tags."""
LONGEST_TAG = 10_000
"""Characters. Parsing takes the square of the number of attributes; a longer tag keeps only those that are read."""
_TEXT_ONLY = "style|script|title|textarea|iframe|xmp|noembed|noframes|svg|math"
"""Elements that are taken out with all that is in them."""
_FORMATTING = frozenset(
    [
        "b",
        "big",
        "code",
        "em",
        "font",
        "i",
        "nobr",
        "plaintext",
        "s",
        "small",
        "strike",
        "strong",
        "svg",
        "math",
        "tt",
        "u",
    ]
)
"""Elements whose tags alone are taken out. A parser repeats most of them in each block that follows
(https://html.spec.whatwg.org/#the-list-of-active-formatting-elements)."""
_UNNESTED = frozenset(
    [
        "area",
        "base",
        "body",
        "br",
        "col",
        "dd",
        "dt",
        "embed",
        "frame",
        "head",
        "hr",
        "html",
        "img",
        "input",
        "li",
        "link",
        "meta",
        "option",
        "optgroup",
        "p",
        "param",
        "source",
        "tbody",
        "td",
        "tfoot",
        "th",
        "thead",
        "tr",
        "track",
        "wbr",
    ]
)
"""Elements that are empty, or that end where the next of their kind begins."""

_SINGLE = frozenset(["body", "html"])
"""Elements that there are once. A parser adds the attributes of each further tag to the first one's, which takes the
square of their number (https://html.spec.whatwg.org/#parsing-main-inbody)."""

_SCAN = re.compile(
    r"<!--(?s:.*?)(?:-->|\Z)"
    r"|<(?:svg|math)(?=[\s/>])[^>]*+(?<=/)>"
    rf"|<(?P<raw>{_TEXT_ONLY})(?=[\s/>])(?s:.*?)(?:</(?P=raw)(?=[\s/>])[^>]*+(?:>|\Z)|\Z)"
    r"|<(?P<slash>/?)(?P<name>[a-z][^\s/>]*+)"
    r"""(?:=\s*+"[^"]*+(?:"|\Z)|=\s*+'[^']*+(?:'|\Z)|[^>])*+(?:>|\Z)"""
    r"|(?P<less><(?![a-z!?/]))"
    rf"|(?P<block>{BLOCK_MARK.pattern})",
    re.IGNORECASE | re.ASCII,
)


_START = re.compile(f"[<{BLOCK_MARK.pattern[1:-1]}]")


_READ = re.compile(r"""\s(?:href|alt|style)\s*+=\s*+(?:"[^"]{0,3000}"|'[^']{0,3000}')""", re.IGNORECASE | re.ASCII)
_MOST_READ = 3


class Marked(Struct, frozen=True):
    """Html with marks, and the tags of the template that they stand for."""

    html: str
    tags: dict[str, Piece]


def marked(pieces: Iterable[Piece]) -> Marked:
    tags: dict[str, Piece] = {}
    values, blocks = _FIRST_VALUE, _FIRST_BLOCK
    html: list[str] = []
    for piece in pieces:
        if piece.kind is PieceKind.TEXT:
            html.append(MARK.sub("", piece.text))
            continue
        if piece.kind is PieceKind.VALUE:
            mark, values = chr(values), values + 1
        else:
            mark, blocks = chr(blocks), blocks + 1
        tags[mark] = piece
        html.append(mark)
    return Marked(_simplified("".join(html)), tags)


def _simplified(html: str) -> str:
    depth = 0
    singles: set[str] = set()

    def replaced(found: re.Match[str]) -> str:
        nonlocal depth
        if block := found["block"]:
            return f"<!--{block}-->"
        if found["less"]:
            return "&lt;"  # what follows may be taken out, and what comes then may be a name
        if found["name"] is None:
            return ""
        name = found["name"].lower()
        if name in _FORMATTING:
            return ""
        # What follows the end of the body is in the body all the same, but comments are not.
        if name in _SINGLE:
            if found["slash"] or name in singles:
                return ""
            singles.add(name)
        if name in _UNNESTED:
            return _shortened(found[0], name)
        is_end = bool(found["slash"])
        is_kept = depth <= MAX_DEPTH if is_end else depth < MAX_DEPTH
        depth = max(0, depth - 1) if is_end else depth + 1
        return _shortened(found[0], name) if is_kept else ""

    written: list[str] = []
    end = 0
    for start in _starts(html):
        if start >= end and (found := _SCAN.match(html, start)) is not None:
            written += (html[end:start], replaced(found))
            end = found.end()
    return "".join([*written, html[end:]])


def _starts(html: str) -> Iterator[int]:
    """Where something begins that ``_SCAN`` may match."""
    for begin, end in slices(html):
        for found in _START.finditer(html, begin, end):
            yield found.start()


def _shortened(tag: str, name: str) -> str:
    if tag.startswith("</"):
        return f"</{name}>"
    if len(tag) <= LONGEST_TAG and "<" not in tag[1:]:  # a parser may see the tag's end before a quoted "<"
        return tag
    attributes = [found[0] for found in islice(_READ.finditer(tag), _MOST_READ)]
    return f"<{name[:LONGEST_TAG]}{''.join(attributes)}>"


def mended(text: str, tags: dict[str, Piece]) -> str:
    """The text with all marks of each block, in the order of the template, or with none: some may have been in what was
    taken out, or come twice."""
    left = set(BLOCK_MARK.findall(text))
    wanted = [mark for block in _blocks(tags) if not left.isdisjoint(block) for mark in block]
    wanted.sort(reverse=True)
    written: list[str] = []
    at = 0
    for found in BLOCK_MARK.finditer(text):
        written.append(text[at : found.start()])
        at = found.end()
        while wanted and wanted[-1] <= found[0]:
            written.append(wanted.pop())
    return "".join([*written, text[at:], *reversed(wanted)])


def _blocks(tags: dict[str, Piece]) -> Iterator[list[str]]:
    """The marks of each block's tags. The marks are in the order of the template."""
    is_open: list[list[str]] = []
    for mark, tag in tags.items():
        if tag.kind is PieceKind.OPEN:
            is_open.append([mark])
        elif tag.kind is not PieceKind.VALUE:
            is_open[-1].append(mark)
            if tag.kind is PieceKind.CLOSE:
                yield is_open.pop()
