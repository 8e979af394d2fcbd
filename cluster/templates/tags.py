"""A Handlebars template as texts and whole tags, for those who work on the text between the tags. The template can be
compiled: its author's faults were found before. Pure."""

from collections.abc import Iterable, Iterator
from enum import Enum, auto

from msgspec import Struct

from cluster.templates.handlebars.lexing import TAG_STARTS, Kind, Lexer, Token
from cluster.templates.handlebars.whitespace import JS_SPACE


class PieceKind(Enum):
    TEXT = auto()
    VALUE = auto()
    """A tag that prints something; a whole raw block too."""
    OPEN = auto()
    ELSE = auto()
    CLOSE = auto()


class Piece(Struct, frozen=True, gc=False):
    """``text`` is what a text means, without the backslashes of escaped tags, or a tag as it is written, without ``~``:
    the texts beside it have lost what that cuts off. Comments are gone."""

    kind: PieceKind
    text: str


_KINDS = {
    Kind.OPEN: PieceKind.VALUE,
    Kind.OPEN_UNESCAPED: PieceKind.VALUE,
    Kind.OPEN_AS_IS: PieceKind.VALUE,
    Kind.OPEN_RAW: PieceKind.VALUE,
    Kind.OPEN_BLOCK: PieceKind.OPEN,
    Kind.OPEN_INVERSE: PieceKind.OPEN,
    Kind.ELSE: PieceKind.ELSE,
    Kind.OPEN_ELSE_CHAIN: PieceKind.ELSE,
    Kind.OPEN_END: PieceKind.CLOSE,
}


def pieces(source: str) -> list[Piece]:
    """Raises TemplateError for what no lexer can cut."""
    made: list[Piece] = []
    cuts_start = False
    for tokens in _groups(Lexer(source).tokens()):
        first = tokens[0]
        if first.kind is Kind.TEXT:
            text = first.text.lstrip(JS_SPACE) if cuts_start else first.text
            made.append(Piece(PieceKind.TEXT, text))
            cuts_start = False
            continue
        written = _written(tokens, source)
        if written.startswith("~", 2) and made and made[-1].kind is PieceKind.TEXT:
            made[-1] = Piece(PieceKind.TEXT, made[-1].text.rstrip(JS_SPACE))
        cuts_start = written.rstrip("}").endswith("~")
        if first.kind is not Kind.COMMENT:
            made.append(Piece(_KINDS[first.kind], _without_tildes(written)))
    return made


def source_of(pieces: Iterable[Piece]) -> str:
    """The template that consists of these pieces. A brace before a tag becomes a brace and a space: no template can
    print a brace there."""
    written: list[str] = []
    text = ""
    for piece in pieces:
        if piece.kind is PieceKind.TEXT:
            text += piece.text
            continue
        written += (_escaped(text, is_before_tag=True), piece.text)
        text = ""
    return "".join([*written, _escaped(text, is_before_tag=False)])


def _escaped(text: str, *, is_before_tag: bool) -> str:
    r"""A literal text as a template has to write it. ``\{{`` prints braces, and ``\\{{`` a backslash and a tag."""
    *before, last = text.split("{{")
    # A comment, which prints nothing, parts backslashes from braces.
    escaped = [part + (r"\{{!}}\{{" if part.endswith("\\") else r"\{{") for part in before]
    written = "".join([*escaped, last])
    if is_before_tag:
        if written.endswith("{"):
            written += " "
        elif written.endswith("\\"):
            written += "\\"
    return written


def _groups(tokens: Iterable[Token]) -> Iterator[list[Token]]:
    """The tokens of each text and of each tag."""
    group: list[Token] = []
    is_raw = False
    for token in tokens:
        if not is_raw and group and (token.kind in TAG_STARTS or token.kind in (Kind.TEXT, Kind.END)):
            yield group
            group = []
        is_raw = token.kind is Kind.OPEN_RAW or (is_raw and token.kind is not Kind.END_RAW)
        if token.kind is not Kind.END:
            group.append(token)


def _written(tokens: list[Token], source: str) -> str:
    first, last = tokens[0], tokens[-1]
    end = source.index("}}}}", last.at) + 4 if last.kind is Kind.END_RAW else last.at + len(last.text)
    return source[first.at : end]


def _without_tildes(tag: str) -> str:
    if tag.startswith("{{{{"):
        return tag
    if tag.startswith("~", 2):
        tag = tag[:2] + tag[3:]
    bare = tag.rstrip("}")
    return bare.removesuffix("~") + tag[len(bare) :]
