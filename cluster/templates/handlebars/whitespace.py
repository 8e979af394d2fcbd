"""Which white space of a template is not printed: what ``~`` cuts off, and the lines on which a block's tag or a
comment stands alone. The rules are those of handlebars.js 4.7 (``WhitespaceControl``), with its order of steps: each
looks at the texts as they were written, and cuts what the steps before have left. Pure.

The reader makes a draft, ``settle`` makes the tree of it."""

import re
from collections.abc import Iterator

from msgspec import Struct

from cluster.templates.handlebars.lexing import SPACE
from cluster.templates.handlebars.tree import Block, Call, Mustache, Place, Program, Statement, Text


class Strip(Struct, frozen=True, gc=False):
    """The ``~`` of a tag, or of the tags at a block's beginning, middle or end."""

    before: bool = False
    after: bool = False


NO_STRIP = Strip()


class DraftText(Struct, gc=False):
    original: str
    value: str
    is_start_cut: bool = False
    is_end_cut: bool = False


class DraftValue(Struct, frozen=True):
    mustache: Mustache
    strip: Strip


class DraftComment(Struct, frozen=True):
    strip: Strip


class DraftBlock(Struct):
    at: Place
    call: Call
    program: "DraftProgram | None"
    inverse: "DraftProgram | None"
    opening: Strip
    middle: Strip
    """Of the ``{{else}}``."""
    closing: Strip


class DraftProgram(Struct):
    body: "list[DraftStatement]"
    block_params: tuple[str, ...] = ()
    is_chained: bool = False
    """Whether it holds one ``{{else if …}}`` and nothing else."""


DraftStatement = DraftText | DraftValue | DraftComment | DraftBlock
Body = list[DraftStatement]

JS_SPACE = "".join(char for char in map(chr, range(0x10000)) if re.match(f"[{SPACE}]", char))
REST_OF_LINE = re.compile(r"[ \t]*+\r?\n?")


def settle(root: DraftProgram) -> Program:
    """The tree, with its white space cut. Changes the draft."""
    _cut(root, is_root=True)
    return _program(root)


def _cut(program: DraftProgram, *, is_root: bool = False) -> None:
    body = program.body
    for index, statement in enumerate(body):
        match statement:
            case DraftValue() | DraftComment():
                _cut_around_tag(body, index, statement, is_root=is_root)
            case DraftBlock():
                _cut_around_block(body, index, statement, is_root=is_root)
            case DraftText():
                pass


def _cut_around_tag(body: Body, index: int, tag: DraftValue | DraftComment, *, is_root: bool) -> None:
    before, after = _text(body, index - 1), _text(body, index + 1)
    if tag.strip.after:
        _cut_start(after)
    if tag.strip.before:
        _cut_end(before)
    is_comment = isinstance(tag, DraftComment)
    if is_comment and _begins_line(body, index, is_root=is_root) and _ends_line(body, index, is_root=is_root):
        _cut_line_start(after)
        _cut_line_end(before)


def _cut_around_block(body: Body, index: int, block: DraftBlock, *, is_root: bool) -> None:
    opening_may_be_alone, closing_may_be_alone = _cut_inside(block)
    before, after = _text(body, index - 1), _text(body, index + 1)
    if block.closing.after:
        _cut_start(after)
    if block.opening.before:
        _cut_end(before)
    if opening_may_be_alone and _begins_line(body, index, is_root=is_root):
        _cut_line_start(_text(_first(block).body, 0))
        _cut_line_end(before)
    if closing_may_be_alone and _ends_line(body, index, is_root=is_root):
        last = block.inverse or _first(block)
        _cut_line_start(after)
        _cut_line_end(_text(last.body, len(last.body) - 1))


def _first(block: DraftBlock) -> DraftProgram:
    program = block.program or block.inverse
    assert program is not None  # a block has one branch at least
    return program


def _cut_inside(block: DraftBlock) -> tuple[bool, bool]:
    """Cuts in a block's branches. Whether the opening and the closing tag stand alone as far as the inside shows."""
    for branch in (block.program, block.inverse):
        if branch is not None:
            _cut(branch)
    first, second = _first(block), block.inverse if block.program else None
    if second is not None and second.is_chained:
        # As in handlebars.js, the closing tag of a chain acts on what follows the first {{else if}}.
        [chained] = second.body
        assert isinstance(chained, DraftBlock)
        second = chained.program
    last = second or first
    if block.opening.after:
        _cut_start(_text(first.body, 0))
    if second is not None:
        _cut_around_else(block.middle, first.body, second.body)
    if block.closing.before:
        _cut_end(_text(last.body, len(last.body) - 1))
    if second is not None and _begins_line(first.body, len(first.body)) and _ends_line(second.body, -1):
        _cut_line_end(_text(first.body, len(first.body) - 1))
        _cut_line_start(_text(second.body, 0))
    return _ends_line(first.body, -1), _begins_line(last.body, len(last.body))


def _cut_around_else(middle: Strip, before: Body, after: Body) -> None:
    if middle.before:
        _cut_end(_text(before, len(before) - 1))
    if middle.after:
        _cut_start(_text(after, 0))


def _begins_line(body: Body, index: int, *, is_root: bool = False) -> bool:
    """Whether there is only white space on the line before a statement, or before the end of the body."""
    if index == 0:
        return is_root
    text = _text(body, index - 1)
    if text is None:
        return False
    bare = text.original.rstrip(JS_SPACE)
    return "\n" in text.original[len(bare) :] or (is_root and index == 1 and not bare)


def _ends_line(body: Body, index: int, *, is_root: bool = False) -> bool:
    """Whether there is only white space on the line after a statement, or after the beginning of the body (-1)."""
    if index + 1 == len(body):
        return is_root
    text = _text(body, index + 1)
    if text is None:
        return False
    bare = text.original.lstrip(JS_SPACE)
    is_last = index + 2 == len(body)
    return "\n" in text.original[: len(text.original) - len(bare)] or (is_root and is_last and not bare)


def _text(body: Body, index: int) -> DraftText | None:
    statement = body[index] if 0 <= index < len(body) else None
    return statement if isinstance(statement, DraftText) else None


def _cut_start(text: DraftText | None) -> None:
    if text is not None:
        _set_start(text, text.value.lstrip(JS_SPACE))


def _cut_line_start(text: DraftText | None) -> None:
    if text is not None and not text.is_start_cut:
        _set_start(text, REST_OF_LINE.sub("", text.value, count=1))


def _set_start(text: DraftText, value: str) -> None:
    text.is_start_cut = value != text.value
    text.value = value


def _cut_end(text: DraftText | None) -> None:
    if text is not None:
        _set_end(text, text.value.rstrip(JS_SPACE))


def _cut_line_end(text: DraftText | None) -> None:
    if text is not None and not text.is_end_cut:
        _set_end(text, text.value.rstrip(" \t"))


def _set_end(text: DraftText, value: str) -> None:
    text.is_end_cut = value != text.value
    text.value = value


def _program(draft: DraftProgram) -> Program:
    return Program(tuple(_statements(draft.body)), draft.block_params)


def _statements(body: Body) -> Iterator[Statement]:
    """The tree's statements. Texts that follow each other are one."""
    texts: list[str] = []
    for statement in body:
        match statement:
            case DraftText():
                texts.append(statement.value)
            case DraftValue():
                yield from _joined(texts)
                yield statement.mustache
            case DraftBlock():
                yield from _joined(texts)
                yield _block(statement)
            case DraftComment():
                pass
    yield from _joined(texts)


def _joined(texts: list[str]) -> Iterator[Text]:
    """Takes all of ``texts``."""
    if value := "".join(texts):
        yield Text(value)
    texts.clear()


def _block(draft: DraftBlock) -> Block:
    program, inverse = (None if branch is None else _program(branch) for branch in (draft.program, draft.inverse))
    return Block(draft.at, draft.call, program, inverse)
