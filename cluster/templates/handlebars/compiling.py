"""Compiles a template's tree: its programs and blocks. Pure; safe in threads. ``expressions`` says how the code is cut
into pieces."""

from typing import Any

from jinja2 import nodes
from msgspec import Struct

from cluster.templates.handlebars.bounds import Cost
from cluster.templates.handlebars.environment import Root
from cluster.templates.handlebars.expressions import (
    BUDGET,
    DEEPEST,
    LARGEST,
    NOTHING_USED,
    Expressions,
    Uses,
    Value,
    constant,
    fault,
    variable,
)
from cluster.templates.handlebars.properties import PropertyTag, Row, Rows, row_of
from cluster.templates.handlebars.running import Pieces, html_of, text_of
from cluster.templates.handlebars.scopes import Runs, Scope
from cluster.templates.handlebars.tree import Block, Call, Mustache, Program, Text

ROOT_VARIABLES = ("c0", "d0", "f0")
"""The variables of the outermost scope."""
NO_COST: Cost = (0, 0)


class Code(Struct, frozen=True):
    """Statements. ``body`` is empty, or has one output, or statements of which one is a block."""

    body: list[nodes.Node]
    weight: int = 0
    depth: int = 0
    uses: Uses = NOTHING_USED


class Compiled(Struct, frozen=True):
    """A text, and what fills its holes."""

    literals: tuple[str, ...]
    cost: Cost
    """Of the text itself, besides its blocks."""
    tags: tuple[PropertyTag, ...] = ()
    rows: tuple[Rows, ...] = ()
    roots: tuple[Root, ...] = ()
    """Functions for all other holes: each gives the strings of some, one after the other."""
    order: tuple[int, ...] = ()
    """What is in each hole: its number among the strings of the tags, the rows and the roots."""
    pieces: Pieces = ()
    constants: tuple[Any, ...] = ()
    names: frozenset[tuple[str, ...]] = frozenset()
    weight: int = 0
    """Nodes, about."""


def compile_program(program: Program, *, is_html: bool) -> Compiled:
    """Compile a whole text. Raises TemplateError for an unknown helper, and for wrong arguments of one."""
    return _Compiler(is_html=is_html).text(program)


class _Compiler:
    def __init__(self, *, is_html: bool) -> None:
        self._is_html = is_html
        self._values = Expressions()

    def text(self, program: Program) -> Compiled:
        literals = [""]
        tags: dict[int, PropertyTag] = {}
        rows: dict[int, Rows] = {}
        others: dict[int, Code] = {}
        scope = Scope()
        for statement in program.body:
            if isinstance(statement, Text):
                literals[-1] += statement.value
                continue
            hole = len(literals) - 1
            if (tag := self._property(statement, scope)) is not None:
                tags[hole] = tag
            elif (block := self._rows(statement, scope)) is not None:
                rows[hole] = block
            else:
                others[hole] = self._hole(statement, scope)
            literals.append("")
        values = self._values
        names = (*ROOT_VARIABLES, *values.constants)
        groups = _grouped(list(others.values()))
        made = [*tags, *rows, *others]
        return Compiled(
            literals=tuple(literals),
            tags=tuple(tags.values()),
            rows=tuple(rows.values()),
            roots=tuple([values.function(names, group.body, group.weight) for group in groups]),
            order=tuple([made.index(hole) for hole in range(len(made))]),
            pieces=tuple(values.pieces),
            constants=tuple(values.constants.values()),
            cost=_cost(program),
            names=frozenset(values.names),
            weight=values.weight,
        )

    def _hole(self, statement: Mustache | Block, scope: Scope) -> Code:
        """A statement at the top: its output is one string."""
        if isinstance(statement, Mustache):
            return _output(self._shown(statement, scope))
        code = self._whole(self._block(statement, scope))
        match code.body:
            case [nodes.Output(nodes=[_])]:
                return code
        joined = nodes.Filter(None, "joined", [], [], None, None, lineno=1)
        return Code([nodes.FilterBlock(code.body, joined, lineno=1)], code.weight + 1, code.depth, code.uses)

    # Programs and blocks. Each level of nesting takes three calls here, so that a hundred fit on Python's stack.

    def _program(self, program: Program | None, scope: Scope) -> tuple[Code, Cost]:
        """The statements of one branch, and what it costs to run it besides the blocks in it."""
        if program is None:
            return Code([]), NO_COST
        codes: list[Code] = []
        for statement in program.body:
            match statement:
                case Text():
                    codes.append(_output(Value(nodes.TemplateData(statement.value, lineno=1))))
                case Mustache():
                    codes.append(_output(self._shown(statement, scope)))
                case Block():
                    codes.append(self._whole(self._block(statement, scope)))
        groups = _grouped(codes)
        if len(groups) > 1:
            groups = [_joined([self._apart(group) for group in groups])]
        return groups[0] if groups else Code([]), _cost(program)

    def _block(self, block: Block, scope: Scope) -> Code:
        name = self._values.helper(block.call, scope, as_block=True)
        match name:
            case None:
                return self._section(block, scope)
            case "each":
                return self._each(block, scope)
            case "with":
                return self._with(block, scope)
        value = self._values.called(name, block.call, scope)
        if name == "unless":
            return self._condition(block, scope, value, block.inverse, block.program)
        return self._condition(block, scope, value, block.program, block.inverse)

    def _each(self, block: Block, scope: Scope) -> Code:
        (value,) = self._values.arguments(block.call, scope)
        inner = scope.inner(_block_params(block), Runs.LOOP, is_root=False)
        body, cost = self._program(block.program, inner)
        other, other_cost = self._program(block.inverse, scope.of_helper())
        costs = (constant(cost), constant(other_cost), BUDGET)
        if inner.frame in body.uses:
            return _loop(
                self._values.apply("items_and_frames", value, variable(scope.frame), *costs), scope, inner, body, other
            )
        return _loop(self._values.apply("items", value, *costs), scope, inner, body, other)

    def _with(self, block: Block, scope: Scope) -> Code:
        (value,) = self._values.arguments(block.call, scope)
        inner = scope.inner(_block_params(block), Runs.ONCE, is_root=self._values.is_root(block.call.params[0], scope))
        body, cost = self._program(block.program, inner)
        other, other_cost = self._program(block.inverse, scope.of_helper())
        once = self._values.apply("with_value", value, constant(cost), constant(other_cost), BUDGET)
        return _loop(once, scope, inner, body, other)

    def _section(self, block: Block, scope: Scope) -> Code:
        path = block.call.name
        value, context = self._values.path(path, scope), variable(scope.context)
        inner = scope.inner(_block_params(block), Runs.EITHER, is_root=self._values.is_root(path, scope))
        body, cost = self._program(block.program, inner)
        other, other_cost = self._program(block.inverse, scope)
        costs = (constant(cost), constant(other_cost), BUDGET)
        if inner.frame in body.uses:
            runs = self._values.apply("section_and_frames", value, context, variable(scope.frame), *costs)
        else:
            runs = self._values.apply("section", value, context, *costs)
        return _loop(runs, scope, inner, body, other)

    def _condition(
        self, block: Block, scope: Scope, value: Value, program: Program | None, inverse: Program | None
    ) -> Code:
        if _block_params(block):
            raise fault(f"#{block.call.name.original} has no block parameters.", block.call.name)
        then, cost = self._program(program, scope.of_helper())
        other, other_cost = self._program(inverse, scope.of_helper())
        test = self._values.apply("chosen", value, constant(cost), constant(other_cost), BUDGET)
        return Code(
            [nodes.If(test.node, then.body, [], other.body, lineno=1)],
            test.weight + then.weight + other.weight + 1,
            max(then.depth, other.depth) + 1,
            test.uses | then.uses | other.uses,
        )

    def _property(self, statement: Mustache | Block, scope: Scope) -> PropertyTag | None:
        """A tag that prints a property of the context; None for any other."""
        if isinstance(statement, Block) or self._values.helper(statement.call, scope, as_block=False) is not None:
            return None
        if (name := self._values.property_of(statement.call.name, scope)) is None:
            return None
        self._values.weight += 1
        is_escaped = self._is_html and statement.is_escaped
        return PropertyTag(name, html_of if is_escaped else text_of, is_escaped)

    def _rows(self, statement: Mustache | Block, scope: Scope) -> Rows | None:
        """A block at the top that is one; None for any other statement."""
        if not isinstance(statement, Block) or statement.program is None or statement.inverse is not None:
            return None
        helper = self._values.helper(statement.call, scope, as_block=True)
        if helper not in ("each", "if") or statement.call.hash or _block_params(statement):
            return None
        name = self._values.property_of(statement.call.params[0], scope)
        is_loop = helper == "each"
        inner = scope.inner((), Runs.LOOP, is_root=False) if is_loop else scope.of_helper()
        if name is None or (row := self._row(statement.program, inner)) is None:
            return None
        return Rows(name, _cost(statement.program), (row,), is_loop=is_loop)

    def _row(self, program: Program, scope: Scope) -> Row | None:
        pieces: list[str | PropertyTag] = []
        for statement in program.body:
            piece = statement.value if isinstance(statement, Text) else self._property(statement, scope)
            if piece is None:
                return None
            pieces.append(piece)
        return row_of(pieces)

    def _shown(self, mustache: Mustache, scope: Scope) -> Value:
        """A value as text."""
        function = "html" if self._is_html and mustache.is_escaped else "text"
        call = mustache.call
        name = self._values.helper(call, scope, as_block=False)
        if name is not None:
            return self._values.apply(function, self._values.called(name, call, scope), BUDGET)
        base, rest = self._values.resolved(call.name, scope)
        if not rest:
            return self._values.apply(function, base, BUDGET)
        return self._values.apply(f"{function}_of", self._values.walked(base, rest[:-1]), constant(rest[-1]), BUDGET)

    def _whole(self, code: Code) -> Code:
        """The code, or a piece that is made of it."""
        return code if code.depth < DEEPEST and code.weight <= LARGEST else self._apart(code)

    def _apart(self, code: Code) -> Code:
        return _output(self._values.piece("piece", code.body, code.uses, code.weight))


def _output(value: Value) -> Code:
    return Code([nodes.Output([value.node], lineno=1)], value.weight, value.depth, value.uses)


def _loop(iterated: Value, scope: Scope, inner: Scope, body: Code, other: Code) -> Code:
    """A loop over the contexts of a block, with its frames and depths where they are used."""
    target: nodes.Expr = _stored(inner.context)
    if inner.frame != scope.frame and inner.frame in body.uses:
        target = nodes.Tuple([target, _stored(inner.frame)], "store", lineno=1)
    uses, statements = body.uses, body.body
    if inner.depths in uses:
        names = (inner.context, scope.depths, "budget")
        context, depths, budget = [nodes.Name(name, "load", lineno=1) for name in names]
        pushed = nodes.Filter(context, "push", [depths, budget], [], None, None, lineno=1)
        statements = [nodes.Assign(_stored(inner.depths), pushed, lineno=1), *statements]
        uses |= {scope.depths}
    own = {inner.context, inner.depths} | ({inner.frame} - {scope.frame})
    return Code(
        [nodes.For(target, iterated.node, statements, other.body, None, False, lineno=1)],
        iterated.weight + body.weight + other.weight + 1,
        max(body.depth, other.depth) + 1,
        (uses - own) | iterated.uses | other.uses,
    )


def _stored(name: str) -> nodes.Name:
    return nodes.Name(name, "store", lineno=1)


def _grouped(codes: list[Code]) -> list[Code]:
    """The codes joined, as many as make no more than a piece."""
    groups: list[list[Code]] = []
    weight = LARGEST
    for code in codes:
        weight += code.weight
        if weight > LARGEST:
            groups.append([])
            weight = code.weight
        groups[-1].append(code)
    return [_joined(group) for group in groups]


def _joined(codes: list[Code]) -> Code:
    """The codes one after the other, with outputs that follow each other in one."""
    body: list[nodes.Node] = []
    for node in [node for code in codes for node in code.body]:
        if body and isinstance(node, nodes.Output) and isinstance(body[-1], nodes.Output):
            body[-1] = nodes.Output([*body[-1].nodes, *node.nodes], lineno=1)
        else:
            body.append(node)
    return Code(
        body,
        sum([code.weight for code in codes]),
        max([code.depth for code in codes]),
        NOTHING_USED.union(*[code.uses for code in codes]),
    )


def _cost(program: Program) -> Cost:
    """The steps of a program: itself, its tags, and the calls in their arguments; and the characters of its texts."""
    steps, characters = 1, 0
    for statement in program.body:
        if isinstance(statement, Text):
            characters += len(statement.value)
        else:
            steps += _calls(statement.call)
    return steps, characters


def _calls(call: Call) -> int:
    """How many calls a call is, itself included."""
    arguments = [*call.params, *[argument for _, argument in call.hash]]
    return 1 + sum([_calls(argument) for argument in arguments if isinstance(argument, Call)])


def _block_params(block: Block) -> tuple[str, ...]:
    return block.program.block_params if block.program is not None else ()
