"""The tree of a template: what the reader makes and the compiler takes.

Whitespace is settled in it: ``~`` and the rule for tags that stand alone on a line have cut the texts already. Comments
are gone. An escaped tag (``\\{{``) is text.
"""

from msgspec import Struct


class Place(Struct, frozen=True, gc=False):
    """Where something begins in the source; both count from 1."""

    line: int
    column: int


class Undefined(Struct, frozen=True, gc=False):
    """JavaScript's ``undefined``: the value of what is not there."""


UNDEFINED = Undefined()


class Path(Struct, frozen=True):
    """A path such as ``../items.0.name``, ``@root.user``, ``@index``, ``this``, ``.``."""

    at: Place
    original: str
    """As it is written."""
    depth: int = 0
    """How many ``../`` it has."""
    parts: tuple[str, ...] = ()
    """The names, without ``this`` and the segment literals' brackets; empty for ``this`` alone."""
    is_data: bool = False
    """Whether it began with ``@``; the first part is then the variable's name without it."""
    is_scoped: bool = False
    """Whether it began with ``this``, ``.`` or ``..``: then it names neither a helper nor a block parameter."""


class Literal(Struct, frozen=True):
    """A string, number, boolean, ``null`` (None) or ``undefined``."""

    at: Place
    value: str | int | float | bool | Undefined | None
    original: str


class Call(Struct, frozen=True):
    """What is in a tag or a subexpression: a name, which is a helper or a value, with its arguments. A literal in the
    name's place has become the path to the property of that name."""

    at: Place
    name: Path
    params: "tuple[Expression, ...]" = ()
    hash: "tuple[tuple[str, Expression], ...]" = ()


Expression = Path | Literal | Call


class Text(Struct, frozen=True):
    """Literal text."""

    value: str


class Mustache(Struct, frozen=True):
    """``{{x}}``, or ``{{{x}}}`` and ``{{&x}}``, which are not escaped."""

    at: Place
    call: Call
    is_escaped: bool


class Block(Struct, frozen=True):
    """``{{#x}}…{{else}}…{{/x}}``. ``{{^x}}`` has the contents of ``inverse`` and no program. ``{{else if}}`` is a block
    in ``inverse``. A raw block has one text as its program."""

    at: Place
    call: Call
    program: "Program | None"
    inverse: "Program | None"


class Program(Struct, frozen=True):
    """The statements of a template, or of one branch of a block."""

    body: "tuple[Text | Mustache | Block, ...]"
    block_params: tuple[str, ...] = ()
    """The names after ``as |…|``."""


Statement = Text | Mustache | Block
