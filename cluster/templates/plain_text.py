"""Plain text from html, of a template or of a finished text: what a reader without html sees (RFC 2046 §5.1.4).

The html is a Handlebars template, and so is the text: values and blocks stay where they are. A block around whole
paragraphs or rows has its tags alone on lines, which print nothing. Pure.
"""

import re
from collections.abc import Iterator

from selectolax.lexbor import LexborHTMLParser, LexborNode

from cluster.templates.lines import BLANK_LINE, NEW_LINE, Lines
from cluster.templates.markup import MARK, Marked, marked, mended
from cluster.templates.tags import Piece, PieceKind, pieces, source_of
from cluster.templates.texts import Generation

_BREAKS = dict.fromkeys(
    [
        "address",
        "article",
        "aside",
        "caption",
        "center",
        "dd",
        "details",
        "dialog",
        "dir",
        "div",
        "dt",
        "fieldset",
        "figcaption",
        "figure",
        "footer",
        "form",
        "header",
        "legend",
        "li",
        "main",
        "menu",
        "nav",
        "option",
        "section",
        "select",
        "summary",
        "tr",
    ],
    NEW_LINE,
) | dict.fromkeys(
    ["blockquote", "dl", "h1", "h2", "h3", "h4", "h5", "h6", "hr", "ol", "p", "pre", "table", "ul"], BLANK_LINE
)
"""What there is at least before and after an element."""
_LISTS = ("ul", "ol", "menu", "dir")
_BETWEEN_CELLS = "  "
_RULE = "---"
_HIDDEN = re.compile(r"display\s*:\s*none|visibility\s*:\s*hidden|mso-hide\s*:\s*all", re.IGNORECASE)
_DROPPED = ("template", "object", "audio", "video", "canvas", "map")
_WITH_ADDRESS = re.compile(r"(?:mailto|tel|sms):", re.IGNORECASE)
_NO_LINK = re.compile(r"#|javascript:|cid:|data:", re.IGNORECASE)


def plain_text(html: str, generation: Generation = "dynamic") -> str:
    """The text of a template's html. The html of a dynamic one can be compiled, and so can the text."""
    is_dynamic = generation == "dynamic"
    source = marked(pieces(html) if is_dynamic else [Piece(PieceKind.TEXT, html)])
    text = _Reading(source).text()
    if not is_dynamic:
        return text
    return source_of(_pieces(mended(text, source.tags), source.tags))


def _pieces(text: str, tags: dict[str, Piece]) -> Iterator[Piece]:
    at = 0
    for mark in MARK.finditer(text):
        yield Piece(PieceKind.TEXT, text[at : mark.start()])
        yield tags[mark[0]]
        at = mark.end()
    yield Piece(PieceKind.TEXT, text[at:])


class _Reading:
    """One walk over the parsed html."""

    def __init__(self, source: Marked) -> None:
        self._source = source
        self._lines = Lines()
        self._numbers: list[int | None] = []
        """The number of the next item of each open list; None for bullets."""
        self._links: list[int] = []
        """Where the text of each open link begins."""
        self._preformatted = 0

    def text(self) -> str:
        # Blocks before the first element are outside the body, and even before the root.
        root = LexborHTMLParser(self._source.html).root
        node = root.parent if root is not None else None
        depth = 0
        while node is not None:
            goes_in = self._enter(node)
            if goes_in and (child := node.first_child) is not None:
                node, depth = child, depth + 1
                continue
            if goes_in:
                self._leave(node)
            while node.next is None and depth:
                parent = node.parent
                assert parent is not None  # it has been entered
                node, depth = parent, depth - 1
                self._leave(node)
            node = node.next if depth else None
        return self._lines.whole()

    def _enter(self, node: LexborNode) -> bool:
        """Write what stands at the beginning of a node; returns whether there is more in it."""
        tag = node.tag
        if node.is_text_node:
            self._write(node.text_content or "")
        elif node.is_comment_node:
            self._block_tag(node.comment_content or "")
        if node.is_document_node:
            return True
        if tag is None or not node.is_element_node or tag in _DROPPED or _is_hidden(node):
            return False
        self._break(tag)
        match tag:
            case "br":
                self._lines.new_line()
            case "hr":
                self._lines.text(_RULE)
            case "img":
                self._lines.text(node.attributes.get("alt") or "")
            case "a":
                self._links.append(len(self._lines))
            case "ul" | "menu" | "dir":
                self._numbers.append(None)
            case "ol":
                self._numbers.append(_first_number(node))
            case "li":
                self._enter_item()
            case "blockquote":
                self._lines.indent("> ", "> ")
            case "pre":
                self._preformatted += 1
        return True

    def _leave(self, node: LexborNode) -> None:
        tag = node.tag or ""
        match tag:
            case "a":
                self._end_link(node.attributes.get("href") or "")
            case "ul" | "ol" | "menu" | "dir":
                self._numbers.pop()
            case "li" | "blockquote":
                self._lines.outdent()
            case "pre":
                self._preformatted -= 1
            case "td" | "th":
                self._lines.space(_BETWEEN_CELLS)
        self._break(tag)

    def _break(self, tag: str) -> None:
        """What there is before and after an element. A list in a list has no blank lines around it."""
        breaks = _BREAKS.get(tag, 0)
        self._lines.at_least(min(breaks, NEW_LINE) if tag in _LISTS and self._numbers else breaks)

    def _write(self, text: str) -> None:
        if self._preformatted:
            self._lines.as_it_is(text)
        else:
            self._lines.text(text)

    def _block_tag(self, comment: str) -> None:
        if tag := self._source.tags.get(comment):
            self._lines.tag(comment, tag.kind, is_loop=tag.text.startswith("{{#each"))

    def _enter_item(self) -> None:
        number = self._numbers[-1] if self._numbers else None
        if number is None:
            self._lines.indent("- ", "  ")
        else:
            bullet = f"{number}. "
            self._lines.indent(bullet, " " * len(bullet))
            self._numbers[-1] = number + 1

    def _end_link(self, target: str) -> None:
        """Write where a link leads, unless its text says so."""
        target = target.strip()
        text = self._lines.since(self._links.pop()).strip()
        if not target or _NO_LINK.match(target):
            return
        address = _WITH_ADDRESS.sub("", target, count=1)
        if not text:
            self._lines.text(address)
        elif text.casefold() not in (target.casefold(), address.casefold(), _without_scheme(target).casefold()):
            self._lines.behind(f"({address})")


def _is_hidden(node: LexborNode) -> bool:
    attributes = node.attributes
    return "hidden" in attributes or _HIDDEN.search(attributes.get("style") or "") is not None


def _first_number(node: LexborNode) -> int | None:
    """The number of an ordered list's first item; None where a template decides how many there are."""
    child = node.first_child
    while child is not None:
        if child.is_comment_node:
            return None
        child = child.next
    start = node.attributes.get("start") or ""
    return int(start) if re.fullmatch("[0-9]{1,6}", start) else 1


def _without_scheme(target: str) -> str:
    return re.sub("^https?://", "", target, flags=re.IGNORECASE).removesuffix("/")
