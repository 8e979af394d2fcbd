"""A template's source, cut into tokens. The rules are those of handlebars.js 4.7 (its ``handlebars.l``), in their
order: the first that matches wins. Pure; linear in the source's length."""

import re
from bisect import bisect_right
from collections.abc import Generator, Iterator
from enum import Enum, auto

from msgspec import Struct

from cluster.templates.handlebars.errors import TemplateError
from cluster.templates.handlebars.tree import Place

SPACE = "\t\n\x0b\x0c\r \xa0\u1680\u2000-\u200a\u2028\u2029\u202f\u205f\u3000\ufeff"
r"""What ``\s`` matches in JavaScript, as the inside of a character class. Python's ``\s`` differs."""

MAX_TAGS = 10_000


class Kind(Enum):
    """What a token is. A name in a path, ``..`` and ``.`` are all ``ID``; a ``KEY`` is a name
    before ``=``."""

    TEXT = auto()
    COMMENT = auto()
    END = auto()
    OPEN_CALL = auto()
    CLOSE_CALL = auto()
    OPEN_RAW = auto()
    CLOSE_RAW = auto()
    END_RAW = auto()
    PARTIAL = auto()
    DECORATOR = auto()
    OPEN_BLOCK = auto()
    OPEN_END = auto()
    ELSE = auto()
    OPEN_INVERSE = auto()
    OPEN_ELSE_CHAIN = auto()
    OPEN_UNESCAPED = auto()
    CLOSE_UNESCAPED = auto()
    OPEN_AS_IS = auto()
    OPEN = auto()
    CLOSE = auto()
    ID = auto()
    KEY = auto()
    SEPARATOR = auto()
    STRING = auto()
    DATA = auto()
    BOOLEAN = auto()
    UNDEFINED = auto()
    NULL = auto()
    NUMBER = auto()
    OPEN_NAMES = auto()
    BAR = auto()
    EQUALS = auto()
    INVALID = auto()


class Token(Struct, frozen=True, gc=False):
    """A piece of the source. ``text`` is as it is written; of the end of a raw block, only its name."""

    kind: Kind
    text: str
    at: int
    """Offset in the source, in characters."""


NAME = rf"""[^{SPACE}!"#%-,./;->@\[-\^`{{-~]++"""
BRACKETED = r"\[(?:\\\]|[^\]])*\]"
AFTER_NAME = rf"(?=[=~}}{SPACE}/.)|])"
AFTER_LITERAL = rf"(?=[~}}{SPACE})])"
TAG_RULES = (
    (Kind.OPEN_CALL, r"\("),
    (Kind.CLOSE_CALL, r"\)"),
    (Kind.OPEN_RAW, r"\{\{\{\{"),
    (Kind.CLOSE_RAW, r"\}\}\}\}"),
    (Kind.PARTIAL, r"\{\{~?#?>"),
    (Kind.DECORATOR, r"\{\{~?#?\*"),
    (Kind.OPEN_BLOCK, r"\{\{~?#"),
    (Kind.OPEN_END, r"\{\{~?/"),
    (Kind.ELSE, rf"\{{\{{~?(?:\^|[{SPACE}]*+else)[{SPACE}]*+~?\}}\}}"),
    (Kind.OPEN_INVERSE, r"\{\{~?\^"),
    (Kind.OPEN_ELSE_CHAIN, rf"\{{\{{~?[{SPACE}]*+else(?![0-9A-Za-z_])"),
    (Kind.OPEN_UNESCAPED, r"\{\{~?\{"),
    (Kind.OPEN_AS_IS, r"\{\{~?&"),
    (Kind.COMMENT, r"\{\{~?!(?:(?=--)(?s:.*?)--~?\}\}|(?!--)(?s:.*?)\}\})"),
    (Kind.OPEN, r"\{\{~?(?!!)"),
    (Kind.KEY, rf"\.\.?(?=[{SPACE}]*+=)"),
    (Kind.ID, rf"\.\.|\.{AFTER_NAME}"),
    (Kind.SEPARATOR, r"[/.]"),
    (Kind.CLOSE_UNESCAPED, r"\}~?\}\}"),
    (Kind.CLOSE, r"~?\}\}"),
    (Kind.STRING, r""""(?:\\"|[^"])*"|'(?:\\'|[^'])*'"""),
    (Kind.DATA, r"@"),
    (Kind.BOOLEAN, rf"(?:true|false){AFTER_LITERAL}"),
    (Kind.UNDEFINED, rf"undefined{AFTER_LITERAL}"),
    (Kind.NULL, rf"null{AFTER_LITERAL}"),
    (Kind.NUMBER, rf"-?[0-9]++(?:\.[0-9]++)?+{AFTER_LITERAL}"),
    (Kind.OPEN_NAMES, rf"as[{SPACE}]++\|"),
    (Kind.BAR, r"\|"),
    (Kind.KEY, rf"(?:{NAME}|{BRACKETED})(?=[{SPACE}]*+=)"),
    (Kind.EQUALS, r"="),
    (Kind.ID, rf"{NAME}{AFTER_NAME}|{BRACKETED}"),
    (Kind.INVALID, rf"\{{\{{~?!|{NAME}(?s:.)?|(?s:.)"),
)
GROUPS = (Kind.INVALID, *(kind for kind, _ in TAG_RULES))
"""The kinds by the number of their group, which counts from 1."""

TOKEN = re.compile(rf"[{SPACE}]*+(?:{'|'.join(f'({pattern})' for _, pattern in TAG_RULES)})")
RAW_END = re.compile(rf"\{{\{{\{{\{{/({NAME})\}}\}}\}}\}}")

TAG_STARTS = {
    Kind.OPEN_RAW,
    Kind.OPEN_BLOCK,
    Kind.OPEN_END,
    Kind.ELSE,
    Kind.OPEN_INVERSE,
    Kind.OPEN_ELSE_CHAIN,
    Kind.OPEN_UNESCAPED,
    Kind.OPEN_AS_IS,
    Kind.COMMENT,
    Kind.OPEN,
}
TAG_ENDS = {Kind.CLOSE, Kind.CLOSE_UNESCAPED, Kind.ELSE, Kind.COMMENT}


class Lexer:
    """Cuts one source. ``tokens`` raises TemplateError for a text that holds NUL, for a raw block without an end, and
    for more than ``MAX_TAGS`` tags; what is wrong inside a tag it gives as ``INVALID``."""

    def __init__(self, source: str) -> None:
        self._source = source
        self._line_starts = [0, *(end.end() for end in re.finditer(r"\r\n?|\n", source))]
        self._tags = 0

    def place(self, at: int) -> Place:
        """Where an offset is. A line ends with CR LF, CR or LF."""
        line = bisect_right(self._line_starts, at)
        return Place(line, at - self._line_starts[line - 1] + 1)

    def fault(self, reason: str, at: int) -> TemplateError:
        place = self.place(at)
        return TemplateError(reason, place.line, place.column)

    def is_end(self, at: int) -> bool:
        """Whether an offset is the source's end."""
        return at == len(self._source)

    def tokens(self) -> Iterator[Token]:
        """All tokens; the last is ``END``."""
        source, at = self._source, 0
        while (start := source.find("{{", at)) >= 0:
            before = source[at:start]
            # A backslash makes a text of the tag. Two make one backslash, and the tag is a tag.
            yield from self._text(before.removesuffix("\\"), at)
            if before.endswith("\\") and not before.endswith("\\\\"):
                at = self._end_of_escaped(start)
                yield from self._text(source[start:at], start)
            else:
                at = yield from self._tag(start)
        yield from self._text(source[at:], at)
        yield Token(Kind.END, "", len(source))

    def _text(self, text: str, at: int) -> Iterator[Token]:
        if "\0" in text:
            raise self.fault("The character NUL is not allowed.", at + text.index("\0"))
        if text:
            yield Token(Kind.TEXT, text, at)

    def _end_of_escaped(self, start: int) -> int:
        """Where the text ends that begins with an escaped tag: before the next tag and its backslashes."""
        end = self._source.find("{{", start + 2)
        if end < 0:
            return len(self._source)
        backslashes = 0
        while backslashes < 2 and end - backslashes > start + 2 and self._source[end - backslashes - 1] == "\\":
            backslashes += 1
        return end - backslashes

    def _tag(self, at: int) -> Generator[Token, None, int]:
        """The tokens of one tag, of a raw block its contents too; returns where it ends."""
        while match := TOKEN.match(self._source, at):
            assert match.lastindex is not None  # one of the rules matched
            kind, at = GROUPS[match.lastindex], match.end()
            start = match.start(match.lastindex)
            if kind in TAG_STARTS:
                self._count(start)
            yield Token(kind, match[match.lastindex], start)
            if kind is Kind.CLOSE_RAW:
                return (yield from self._raw(at))
            if kind in TAG_ENDS:
                return at
        return len(self._source)

    def _count(self, at: int) -> None:
        self._tags += 1
        if self._tags > MAX_TAGS:
            raise self.fault(f"The template has more than {MAX_TAGS:,} tags.", at)

    def _raw(self, at: int) -> Generator[Token, None, int]:
        """The contents of a raw block and its end. Raw blocks inside it are text, and counted to find the end."""
        source, begin, depth = self._source, at, 1
        while True:
            end = RAW_END.match(source, at)
            if end:
                depth -= 1
                if not depth:
                    yield Token(Kind.END_RAW, end[1], at)
                    return end.end()
                yield from self._text(end[0], at)
                at = end.end()
            elif source.startswith("{{{{", at) and not source.startswith("/", at + 4):
                depth += 1
                yield from self._text("{{{{", at)
                at += 4
            else:
                following = source.find("{{{{", at + 1)
                if following < 0:
                    raise self.fault("The raw block that begins here is not closed.", begin)
                yield from self._text(source[at:following], at)
                at = following
