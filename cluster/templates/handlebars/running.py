"""What compiled templates call: every function is a filter of the environment. Pure, but for the budget, from which
each takes.

They get decoded JSON and variables of the compiler's, and know three kinds of its variables:

- depths, for ``../``: ``(context, depths of the block around it or None)``,
- a frame, for ``@index`` and its kin: ``(frame of the loop around it or None, key, index, whether it is the last)``,
- pieces: functions that were compiled apart.
"""

from collections.abc import Callable, Iterable, Sequence
from itertools import chain, repeat
from typing import Any

from cluster.templates.handlebars.bounds import Budget, Cost
from cluster.templates.handlebars.environment import Root, Run
from cluster.templates.handlebars.helpers import HELPERS, holds
from cluster.templates.handlebars.tree import UNDEFINED
from cluster.templates.handlebars.values import child, equal, escaped, is_empty, keys, number, printed, truth

Depths = tuple[Any, Any]
Frame = tuple[Any, Any, int, bool]
Pieces = Sequence[Root]
"""Functions that take the budget, the pieces, and variables of their own."""

LARGE = 10**15
"""Below it, an integer is printed by its digits in JavaScript and in Python."""
NULL_CONTEXT: dict[str, Any] = {}
"""What helpers see as ``this`` where it is null: handlebars.js hands them an empty object of its own."""


# The next four are called for each tag. They count their output themselves: a call for it costs as much as the rest.


def html(value: Any, budget: Budget) -> str:
    """A value as it is printed in html."""
    if value is None or value is UNDEFINED:
        return ""
    text = escaped(value if type(value) is str else printed(value, budget))
    budget.output -= len(text)
    if budget.output < 0:
        budget.wrote(0)
    return text


def text(value: Any, budget: Budget) -> str:
    """A value as it is printed where nothing is escaped."""
    if value is None or value is UNDEFINED:
        return ""
    text: str = value if type(value) is str else printed(value, budget)
    budget.output -= len(text)
    if budget.output < 0:
        budget.wrote(0)
    return text


def html_of(context: Any, name: str, budget: Budget) -> str:
    """A property as it is printed in html: what most tags are."""
    is_data = type(context) is dict
    value = context.get(name) if is_data else child(context, name)
    if type(value) is str:
        # Seven searches take less time than one for a set of characters.
        if not (budget.is_plain and is_data) and (
            "&" in value or "<" in value or ">" in value or "=" in value or '"' in value or "'" in value or "`" in value
        ):
            return html(value, budget)
    elif type(value) is int and -LARGE < value < LARGE:
        value = str(value)
    else:
        return html(value, budget)
    budget.output -= len(value)
    if budget.output < 0:
        budget.wrote(0)
    return value


def text_of(context: Any, name: str, budget: Budget) -> str:
    """A property as it is printed where nothing is escaped."""
    value = context.get(name) if type(context) is dict else child(context, name)
    if type(value) is not str:
        if type(value) is not int or not -LARGE < value < LARGE:
            return text(value, budget)
        value = str(value)
    budget.output -= len(value)
    if budget.output < 0:
        budget.wrote(0)
    return value


def walk(value: Any, names: tuple[str, ...]) -> Any:
    """The property at the end of a path."""
    for name in names:
        value = value.get(name, UNDEFINED) if type(value) is dict else child(value, name)
    return value


def walk_data(value: Any, names: tuple[str, ...]) -> Any:
    """The property at the end of a path that begins with ``@``. There handlebars.js takes every false value on the way
    for the end, so that ``{{@index.x}}`` is 0 for the first item."""
    for name in names:
        if not value and not isinstance(value, dict | list):
            return value
        value = child(value, name)
    return value


def chosen(value: Any, then: Cost, other: Cost, budget: Budget) -> bool:
    """Whether a condition holds; the branch that it chooses is paid for."""
    holds = truth(value)
    budget.take(then if holds else other)
    return holds


def own(value: Any, frame: Frame | None, outer: Frame | None) -> Any:
    """A block parameter of ``{{#name}}``: it is there if the block runs as a loop, with a frame of its own."""
    return UNDEFINED if frame is outer else value


def subject(context: Any) -> Any:
    """What a helper sees as ``this``."""
    return NULL_CONTEXT if context is None or context is UNDEFINED else context


def with_value(value: Any, then: Cost, other: Cost, budget: Budget) -> tuple[Any, ...]:
    """The contexts of ``{{#with}}``: one or none."""
    empty = is_empty(value)
    budget.take(other if empty else then)
    return () if empty else (value,)


def items(value: Any, each: Cost, other: Cost, budget: Budget) -> Sequence[Any]:
    """The contexts of ``{{#each}}``."""
    if type(value) is dict:
        found: Sequence[Any] = [value[key] for key in keys(value)]
    else:
        found = value if type(value) is list else ()
    if found:
        budget.take(each, len(found))
    else:
        budget.take(other)
    return found


def items_and_frames(value: Any, frame: Frame | None, each: Cost, other: Cost, budget: Budget) -> Iterable[Any]:
    """The contexts of ``{{#each}}``, each with its frame."""
    found = items(value, each, other, budget)
    count = len(found)
    if not count:
        return ()
    names = keys(value) if type(value) is dict else range(count)
    last = chain(repeat(False, count - 1), (True,))
    return zip(found, zip(repeat(frame), names, range(count), last, strict=False), strict=True)


def section(value: Any, context: Any, each: Cost, other: Cost, budget: Budget) -> Sequence[Any]:
    """The contexts of ``{{#name}}`` where the name is a value: the items of an array, or what is there."""
    if type(value) is list:
        return items(value, each, other, budget)
    if value is None or value is False or value is UNDEFINED:
        budget.take(other)
        return ()
    budget.take(each)
    return (context,) if value is True else (value,)


def section_and_frames(
    value: Any, context: Any, frame: Frame | None, each: Cost, other: Cost, budget: Budget
) -> Iterable[Any]:
    """The same, each with its frame. Only the items of an array have one of their own."""
    if type(value) is list:
        return items_and_frames(value, frame, each, other, budget)
    return [(one, frame) for one in section(value, context, each, other, budget)]


def push(context: Any, depths: Depths, budget: Budget) -> Depths:
    """The depths in a block. handlebars.js adds a level where ``context != depths[0]``."""
    return depths if _same(context, depths[0], budget) else (context, depths)


def up(depths: Depths | None, levels: int) -> Any:
    """The context of ``../``."""
    while levels and depths is not None:
        depths = depths[1]
        levels -= 1
    return UNDEFINED if depths is None else depths[0]


def _same(a: Any, b: Any, budget: Budget) -> bool:
    """JavaScript's ``a == b`` (ECMA-262 §7.2.13), and whether both mean null."""
    if a is b or (a is NULL_CONTEXT and b is None):
        return True
    if isinstance(a, dict | list):
        return not isinstance(b, dict | list) and _same(printed(a, budget), b, budget)
    if isinstance(b, dict | list):
        return _same(a, printed(b, budget), budget)
    if isinstance(a, str) and isinstance(b, str):
        return equal(a, b, budget)
    if a is None or a is UNDEFINED:
        return b is None or b is UNDEFINED
    one, other = _as_number(a, budget), _as_number(b, budget)
    return one is not None and one == other


def _as_number(value: Any, budget: Budget) -> int | float | None:
    """What JavaScript compares a scalar by where the other is no text."""
    return 0 if isinstance(value, str) and not value.strip() else number(value, budget)


def frame_at(frame: Frame | None, levels: int) -> Frame | None:
    """The frame of ``@../``."""
    while levels and frame is not None:
        frame = frame[0]
        levels -= 1
    return frame


def frame_key(frame: Frame | None) -> Any:
    return UNDEFINED if frame is None else frame[1]


def frame_index(frame: Frame | None) -> Any:
    return UNDEFINED if frame is None else frame[2]


def frame_first(frame: Frame | None) -> Any:
    return UNDEFINED if frame is None else frame[2] == 0


def frame_last(frame: Frame | None) -> Any:
    return UNDEFINED if frame is None else frame[3]


def piece(pieces: Pieces, index: int, budget: Budget, *values: Any) -> str:
    """What a piece puts out."""
    return "".join(_run(pieces, index, budget, values))


def piece_value(pieces: Pieces, index: int, budget: Budget, *values: Any) -> Any:
    """The value of a piece that is an expression."""
    return next(iter(_run(pieces, index, budget, values)))


def _run(pieces: Pieces, index: int, budget: Budget, values: tuple[Any, ...]) -> Iterable[Any]:
    return pieces[index](Run(budget, pieces, *values))


HELPER = "helper_"
"""Before the name of a helper that has a function, in ``FUNCTIONS``."""

_CALLED: tuple[Callable[..., Any], ...] = (
    html,
    text,
    html_of,
    text_of,
    child,
    walk,
    walk_data,
    holds,
    chosen,
    subject,
    with_value,
    items,
    items_and_frames,
    section,
    section_and_frames,
    own,
    push,
    up,
    frame_at,
    frame_key,
    frame_index,
    frame_first,
    frame_last,
    piece,
    piece_value,
)
FUNCTIONS: dict[str, Callable[..., Any]] = {
    "joined": str,
    **{function.__name__: function for function in _CALLED},
    **{HELPER + name: helper.function for name, helper in HELPERS.items() if helper.function is not None},
}
