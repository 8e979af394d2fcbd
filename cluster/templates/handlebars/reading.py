"""Reads a template: its source to the tree. The grammar is that of handlebars.js 4.7 (its ``handlebars.yy``), without
partials and decorators. Pure; linear in the source's length."""

import re
from collections.abc import Iterator
from contextlib import contextmanager

from msgspec import Struct

from cluster.templates.handlebars.errors import TemplateError
from cluster.templates.handlebars.lexing import TAG_STARTS, Kind, Lexer, Token
from cluster.templates.handlebars.tree import (
    UNDEFINED,
    Call,
    Expression,
    Literal,
    Mustache,
    Path,
    Place,
    Program,
)
from cluster.templates.handlebars.values import float_text
from cluster.templates.handlebars.whitespace import (
    NO_STRIP,
    DraftBlock,
    DraftComment,
    DraftProgram,
    DraftStatement,
    DraftText,
    DraftValue,
    Strip,
    settle,
)

MAX_LEVELS = 100
"""Of blocks, ``{{else if}}`` and subexpressions in each other, of names in a path, and of ``../``."""

MAX_VALUES = 20_000
"""Parameters, subexpressions and hash arguments in all tags."""

ENDS_OF_PROGRAM = {Kind.END, Kind.OPEN_END, Kind.ELSE, Kind.OPEN_ELSE_CHAIN}
LITERALS = {Kind.STRING, Kind.NUMBER, Kind.BOOLEAN, Kind.UNDEFINED, Kind.NULL}
STARTS_OF_PARAM = {Kind.ID, Kind.DATA, Kind.OPEN_CALL, *LITERALS}
CONSTANTS = {"true": True, "false": False, "null": None, "undefined": UNDEFINED}
STEPS = {"this", ".", ".."}
"""The names in a path that name no property."""
# handlebars.js tells by this whether a path is scoped: "this" counts wherever a word ends with it.
SCOPED = re.compile(r"\A\.|this(?![0-9A-Za-z_])")
LINE_ENDS = frozenset("\n\r\u2028\u2029")
MAX_SHOWN = 20
"""Characters of the source in a message."""
LONGEST_INTEGER = 300
"""Digits. A longer literal is a float, and so Infinity, as in JavaScript."""

EXPECTED = {
    Kind.CLOSE: "}}",
    Kind.CLOSE_UNESCAPED: "}}}",
    Kind.CLOSE_RAW: "}}}}",
    Kind.CLOSE_CALL: ")",
    Kind.BAR: "|",
    Kind.ID: "a name",
}
"""How what may be missing is written."""
UNCLOSED = {'"': "The string", "'": "The string", "[": "The bracket", "{{!": "The comment", "{{~!": "The comment"}


def read(source: str) -> Program:
    """Raises TemplateError where handlebars.js cannot read the template, and where it exceeds a bound."""
    return settle(_Reader(source).template())


class _Opening(Struct, frozen=True):
    """The first tag of a block, or an ``{{else if}}``."""

    at: Place
    call: Call
    names: tuple[str, ...]
    strip: Strip


class _Else(Struct, frozen=True):
    """An ``{{else}}`` or ``{{else if}}``: its ``~``, and what follows it."""

    strip: Strip
    program: DraftProgram


class _Reader:
    """Recursive descent over the tokens, with one token of look-ahead."""

    def __init__(self, source: str) -> None:
        self._lexer = Lexer(source)
        self._tokens = self._lexer.tokens()
        self._token = next(self._tokens)
        self._tag_at = 0
        self._levels = 0
        self._values = 0

    def template(self) -> DraftProgram:
        program = self._program()
        match self._token.kind:
            case Kind.OPEN_END:
                raise self._fault("This tag closes a block, but none is open.")
            case Kind.ELSE | Kind.OPEN_ELSE_CHAIN:
                raise self._fault("This {{else}} is not in a block.")
        return program

    def _program(self, names: tuple[str, ...] = ()) -> DraftProgram:
        program = DraftProgram([], names)
        while self._token.kind not in ENDS_OF_PROGRAM:
            program.body.append(self._statement())
        return program

    def _statement(self) -> DraftStatement:
        token = self._token
        match token.kind:
            case Kind.TEXT:
                self._advance()
                return DraftText(token.text, token.text)
            case Kind.COMMENT:
                self._advance()
                return DraftComment(_strip(token, token))
            case Kind.OPEN | Kind.OPEN_AS_IS:
                return self._mustache(Kind.CLOSE, is_escaped=token.kind is Kind.OPEN)
            case Kind.OPEN_UNESCAPED:
                return self._mustache(Kind.CLOSE_UNESCAPED, is_escaped=False)
            case Kind.OPEN_RAW:
                return self._raw_block()
            case Kind.OPEN_BLOCK | Kind.OPEN_INVERSE:
                return self._block()
            case Kind.PARTIAL:
                raise self._fault("Partials ({{> …}}) are not supported.")
            case Kind.DECORATOR:
                raise self._fault("Decorators ({{* …}}) are not supported.")
        raise self._unexpected("text or a tag")

    def _mustache(self, closing: Kind, *, is_escaped: bool) -> DraftValue:
        opening = self._advance()
        call = self._call()
        strip = _strip(opening, self._take(closing))
        return DraftValue(Mustache(self._lexer.place(opening.at), call, is_escaped), strip)

    def _raw_block(self) -> DraftBlock:
        opening = self._advance()
        call = self._call()
        self._take(Kind.CLOSE_RAW)
        program = DraftProgram([])
        while self._token.kind is Kind.TEXT:
            text = self._advance().text
            program.body.append(DraftText(text, text))
        end = self._advance()
        if end.text != call.name.original:
            raise self._mismatch(call, end.text, end.at)
        return DraftBlock(self._lexer.place(opening.at), call, program, None, NO_STRIP, NO_STRIP, NO_STRIP)

    def _block(self) -> DraftBlock:
        is_inverse = self._token.kind is Kind.OPEN_INVERSE
        with self._level():
            opening = self._opening()
            program = self._program(opening.names)
            following = self._else(may_chain=not is_inverse)
            closing = self._closing(opening)
        if following is None:
            first, second, middle = program, None, NO_STRIP
        else:
            first, second, middle = program, following.program, following.strip
            _close_chained(following, closing)
        if is_inverse:
            return DraftBlock(opening.at, opening.call, second, first, opening.strip, middle, closing)
        return DraftBlock(opening.at, opening.call, first, second, opening.strip, middle, closing)

    def _opening(self) -> _Opening:
        opening = self._advance()
        call = self._call()
        names = self._block_params() if self._token.kind is Kind.OPEN_NAMES else ()
        return _Opening(self._lexer.place(opening.at), call, names, _strip(opening, self._take(Kind.CLOSE)))

    def _else(self, *, may_chain: bool) -> _Else | None:
        token = self._token
        if token.kind is Kind.ELSE:
            self._advance()
            return _Else(_strip(token, token), self._program())
        if token.kind is not Kind.OPEN_ELSE_CHAIN or not may_chain:
            return None
        with self._level():
            opening = self._opening()
            program = self._program(opening.names)
            following = self._else(may_chain=True)
        if following is None:
            second, middle = None, NO_STRIP
        else:
            second, middle = following.program, following.strip
            _close_chained(following, middle)
        chained = DraftBlock(opening.at, opening.call, program, second, opening.strip, middle, middle)
        return _Else(opening.strip, DraftProgram([chained], is_chained=True))

    def _closing(self, opening: _Opening) -> Strip:
        token = self._token
        match token.kind:
            case Kind.END:
                place = opening.at
                raise TemplateError(f"The block {opening.call.name.original} is not closed.", place.line, place.column)
            case Kind.ELSE:
                raise self._fault("The block has an {{else}} already.")
            case Kind.OPEN_ELSE_CHAIN:
                raise self._fault("This {{else}} with a condition cannot follow {{else}}, nor be in a block of {{^…}}.")
        self._advance()
        name = self._name()
        if name.original != opening.call.name.original:
            raise self._mismatch(opening.call, name.original, token.at)
        return _strip(token, self._take(Kind.CLOSE))

    def _call(self) -> Call:
        at = self._lexer.place(self._token.at)
        name = self._name()
        params: list[Expression] = []
        while self._token.kind in STARTS_OF_PARAM:
            params.append(self._param())
        pairs: list[tuple[str, Expression]] = []
        while self._token.kind is Kind.KEY:
            key = _without_brackets(_segment(self._advance().text))
            self._advance()  # the equals sign, which makes it a key
            pairs.append((key, self._param()))
        return Call(at, _as_path(name), tuple(params), tuple(pairs))

    def _param(self) -> Expression:
        self._values += 1
        if self._values > MAX_VALUES:
            raise self._fault(f"The template has more than {MAX_VALUES:,} values in its tags.")
        if self._token.kind is not Kind.OPEN_CALL:
            return self._name()
        with self._level():
            self._advance()
            call = self._call()
        self._take(Kind.CLOSE_CALL)
        return call

    def _name(self) -> Path | Literal:
        token = self._token
        match token.kind:
            case Kind.ID:
                return self._path(token, is_data=False)
            case Kind.DATA:
                self._advance()
                return self._path(token, is_data=True)
            case kind if kind in LITERALS:
                self._advance()
                return _literal(token, self._lexer.place(token.at))
        raise self._unexpected("a name or a value")

    def _path(self, start: Token, *, is_data: bool) -> Path:
        original, parts, depth, separator = "@" if is_data else "", list[str](), 0, ""
        while True:
            written = _segment(self._take(Kind.ID).text)
            part = _without_brackets(written)
            original += separator + part
            if part != written or part not in STEPS:
                parts.append(part)
            elif parts:
                raise self._lexer.fault(
                    f"The path {original} is not valid: {part} can only be at its beginning.", start.at
                )
            elif part == "..":
                depth += 1
            if max(len(parts), depth) > MAX_LEVELS:
                raise self._lexer.fault(f"The path has more than {MAX_LEVELS} names.", start.at)
            if self._token.kind is not Kind.SEPARATOR:
                break
            separator = self._advance().text
        return _made_path(self._lexer.place(start.at), original, depth, parts, is_data=is_data)

    def _block_params(self) -> tuple[str, ...]:
        self._advance()
        names = [self._block_param()]
        while self._token.kind is Kind.ID:
            names.append(self._block_param())
        self._take(Kind.BAR)
        return tuple(names)

    def _block_param(self) -> str:
        name = self._take(Kind.ID)
        if name.text.startswith("["):
            raise self._lexer.fault("The name of a block parameter has no brackets.", name.at)
        return name.text

    @contextmanager
    def _level(self) -> Iterator[None]:
        if self._levels == MAX_LEVELS:
            raise self._fault(f"More than {MAX_LEVELS} blocks, {{{{else if}}}} and subexpressions are in each other.")
        self._levels += 1
        yield
        self._levels -= 1

    def _advance(self) -> Token:
        token = self._token
        if token.kind in TAG_STARTS:
            self._tag_at = token.at
        self._token = next(self._tokens, token)
        return token

    def _take(self, kind: Kind) -> Token:
        if self._token.kind is not kind:
            raise self._unexpected(EXPECTED[kind])
        return self._advance()

    def _fault(self, reason: str) -> TemplateError:
        return self._lexer.fault(reason, self._token.at)

    def _unexpected(self, expected: str) -> TemplateError:
        token = self._token
        if token.kind is Kind.END or (token.kind is Kind.INVALID and self._lexer.is_end(token.at + len(token.text))):
            return self._lexer.fault("The tag that begins here is not closed.", self._tag_at)
        if token.kind is Kind.INVALID and token.text in UNCLOSED:
            return self._fault(f"{UNCLOSED[token.text]} that begins here is not closed.")
        found = token.text[:MAX_SHOWN]
        advice = ""
        if expected == EXPECTED[Kind.ID] and found.isalnum():
            # "{{items.0}}" is no path in handlebars.js either, though "{{items.0.name}}" is.
            advice = f": in a path it is written [{found}]."
        elif found.endswith("&"):
            advice = ": a character may be written as an HTML entity, such as &quot; for a quotation mark."
        return self._fault(f"Expected {expected}, found {found}{advice}")

    def _mismatch(self, opening: Call, closing: str, at: int) -> TemplateError:
        name, line = opening.name.original, opening.at.line
        return self._lexer.fault(f"This tag closes {closing}, but the open block is {name} of line {line}.", at)


def _close_chained(following: _Else, closing: Strip) -> None:
    """The closing tag of a block closes the ``{{else if}}`` that follows as well."""
    if following.program.is_chained:
        [chained] = following.program.body
        assert isinstance(chained, DraftBlock)
        chained.closing = closing


def _strip(opening: Token, closing: Token) -> Strip:
    return Strip(opening.text.startswith("~", 2), closing.text.endswith(("~}}", "~}}}")))


def _segment(written: str) -> str:
    """A name in a path, with the escapes of ``[…]`` undone."""
    return re.sub(r"\\([\\\]])", r"\1", written) if written.startswith("[") else written


def _without_brackets(name: str) -> str:
    is_bracketed = len(name) > 1 and name[0] == "[" and name[-1] == "]" and LINE_ENDS.isdisjoint(name)
    return name[1:-1] if is_bracketed else name


def _made_path(at: Place, original: str, depth: int, parts: list[str], *, is_data: bool) -> Path:
    # handlebars.js takes a path for the context itself where its first name is empty, whatever follows.
    is_context = not parts or not parts[0]
    return Path(
        at=at,
        original=original,
        depth=depth,
        parts=() if is_context else tuple(parts),
        is_data=is_data and not is_context,
        is_scoped=SCOPED.search(original) is not None,
    )


def _literal(token: Token, at: Place) -> Literal:
    text = token.text
    match token.kind:
        case Kind.STRING:
            value = text[1:-1].replace("\\" + text[0], text[0])
            return Literal(at, value, value)
        case Kind.NUMBER:
            number = float(text) if "." in text or len(text) > LONGEST_INTEGER else int(text)
            return Literal(at, number, str(number) if isinstance(number, int) else float_text(number))
    return Literal(at, CONSTANTS[text], text)


def _as_path(name: Path | Literal) -> Path:
    """A literal at a helper's place names a property, as in ``{{"first name"}}`` and ``{{12}}``."""
    if isinstance(name, Path):
        return name
    return _made_path(name.at, name.original, 0, [name.original], is_data=False)
