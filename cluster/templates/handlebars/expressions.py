"""Compiles the expressions of a template, its paths, literals and calls, to nodes of jinja2; and pieces of code to
functions. Pure; safe in threads.

A function holds one part of a template (a piece): Python nests no more than 20 loops, and its compiler holds the
interpreter lock until it is done, so neither a deep nor a large template is compiled as one. Pieces are cut from the
inside out: what is nested in something is compiled before it, and is moved to a piece of its own where it has become
too deep or too large.

No name of a template becomes a name of the code: names are string constants that the functions of ``running`` look up
in the data.
"""

from math import isfinite
from typing import Any

from jinja2 import nodes
from msgspec import Struct

from cluster.templates.handlebars.environment import HandlebarsEnvironment, Root
from cluster.templates.handlebars.errors import TemplateError
from cluster.templates.handlebars.helpers import HELPERS
from cluster.templates.handlebars.running import FUNCTIONS, HELPER
from cluster.templates.handlebars.scopes import Holds, Param, Scope
from cluster.templates.handlebars.tree import UNDEFINED, Call, Expression, Literal, Path

DEEPEST = 8
"""Blocks or calls in each other in one piece."""
LARGEST = 600
"""Nodes in one piece, about: its compilation holds the interpreter lock for a few milliseconds."""
SMALL = 20
"""Nodes of an argument that stays where it is, however many others there are."""
LARGEST_CONSTANT = 2**63
"""Integers up to this are written in the code."""
CONDITIONS = {"if", "unless"}
"""Helpers whose value is their argument."""
FRAME_FUNCTIONS = {"key": "frame_key", "index": "frame_index", "first": "frame_first", "last": "frame_last"}

ENVIRONMENT = HandlebarsEnvironment(FUNCTIONS)

Uses = frozenset[str]
"""Variables of scopes, and constants."""
NOTHING_USED: Uses = frozenset()


class Value(Struct, frozen=True):
    """An expression: its node, about how many nodes it has, how deep they are in each other, and what it uses."""

    node: nodes.Expr
    weight: int = 1
    depth: int = 0
    uses: Uses = NOTHING_USED


BUDGET = Value(nodes.Name("budget", "load", lineno=1))
PIECES = Value(nodes.Name("pieces", "load", lineno=1))


class Expressions:
    """The expressions of one text, and its pieces."""

    def __init__(self) -> None:
        self.pieces: list[Root] = []
        self.constants: dict[str, Any] = {}
        """Values that have no place in code."""
        self.names: set[tuple[str, ...]] = set()
        """The paths in the data that are read from its root; the empty one is the root itself."""
        self.weight = 0

    def expression(self, expression: Expression, scope: Scope) -> Value:
        match expression:
            case Path():
                return self.path(expression, scope)
            case Literal():
                return self._literal(expression.value)
            case Call():
                name = self.helper(expression, scope, as_block=False)
                if name is None:
                    raise fault(f"There is no helper {expression.name.original}.", expression.name)
                return self.called(name, expression, scope)

    def helper(self, call: Call, scope: Scope, *, as_block: bool) -> str | None:
        """The helper that a call means; None where it means a value. Raises TemplateError if it can be neither, and for
        wrong arguments."""
        path = call.name
        is_simple = len(path.parts) == 1 and not path.is_data and not path.is_scoped and not path.depth
        if is_simple and path.parts[0] not in scope.params and (helper := HELPERS.get(path.parts[0])) is not None:
            name = path.parts[0]
            if (misuse := helper.misuse(name, len(call.params), as_block=as_block)) is not None:
                raise fault(misuse, path)
            return name
        if call.params or call.hash:
            raise fault(f"There is no helper {path.original}.", path)
        return None

    def called(self, name: str, call: Call, scope: Scope) -> Value:
        """The value of a helper. Arguments by name are checked, and ignored but for those of ``#if``."""
        arguments = self.arguments(call, scope)
        named = {key: self.expression(argument, scope) for key, argument in call.hash}
        if name in CONDITIONS:
            (value,) = arguments
            return self.apply("holds", value, named["includeZero"]) if "includeZero" in named else value
        return self.apply(HELPER + name, BUDGET, *arguments)

    def arguments(self, call: Call, scope: Scope) -> list[Value]:
        """The values of a call's arguments."""
        return [self.expression(param, scope) for param in call.params]

    def path(self, path: Path, scope: Scope) -> Value:
        return self.walked(*self.resolved(path, scope))

    def walked(self, base: Value, names: tuple[str, ...]) -> Value:
        if len(names) > 1:
            return self.apply("walk", base, constant(names))
        return self.apply("child", base, constant(names[0])) if names else base

    def resolved(self, path: Path, scope: Scope) -> tuple[Value, tuple[str, ...]]:
        """Where a path begins, and the names that follow. Like handlebars.js, it finds block parameters behind an ``@``
        too."""
        parts = path.parts
        param = scope.params.get(parts[0]) if parts and not path.depth and not path.is_scoped else None
        if param is not None:
            base, parts = self._param(param), parts[1:]
        elif path.is_data:
            base, parts = self._data(path, scope), parts[1:]
        else:
            base = self._context(path, scope)
        is_root = self.is_root(path, scope)
        if is_root:
            self.names.add(parts)
        if param is None and path.is_data and len(parts) > is_root:
            return self.apply("walk_data", base, constant(parts)), ()
        return base, parts

    def property_of(self, path: Expression, scope: Scope) -> str | None:
        """The name of the property of the context that a path means; None for any other expression."""
        if not isinstance(path, Path):
            return None
        base, names = self.resolved(path, scope)
        return names[0] if len(names) == 1 and base == variable(scope.context) else None

    def is_root(self, path: Expression, scope: Scope) -> bool:
        """Whether a path begins at the root of the data."""
        if not isinstance(path, Path):
            return False
        param = scope.params.get(path.parts[0]) if path.parts and not path.depth and not path.is_scoped else None
        if param is not None:
            return param.is_root and param.holds is Holds.CONTEXT
        if path.is_data:
            return path.parts[0] == "root"
        return path.depth < len(scope.roots) and scope.roots[path.depth]

    def _context(self, path: Path, scope: Scope) -> Value:
        if path.depth:
            return self.apply("up", variable(scope.depths), constant(path.depth))
        context = variable(scope.context)
        return self.apply("subject", context) if scope.is_subject and not path.parts else context

    def _data(self, path: Path, scope: Scope) -> Value:
        name = path.parts[0]
        if name == "root":
            return variable("c0")
        if name not in FRAME_FUNCTIONS:
            return self._literal(UNDEFINED)
        frame = variable(scope.frame)
        if path.depth:
            frame = self.apply("frame_at", frame, constant(path.depth))
        return self.apply(FRAME_FUNCTIONS[name], frame)

    def _param(self, param: Param) -> Value:
        if param.holds is Holds.NOTHING:
            return self._literal(UNDEFINED)
        frame = variable(param.frame)
        value = self.apply("frame_key", frame) if param.holds is Holds.KEY else variable(param.context)
        return value if param.outer_frame is None else self.apply("own", value, frame, variable(param.outer_frame))

    def _literal(self, value: Any) -> Value:
        match value:
            case str() | bool() | None:
                return constant(value)
            case int() if -LARGEST_CONSTANT < value < LARGEST_CONSTANT:
                return constant(value)
            case float() if isfinite(value):
                return constant(value)
        name = f"k{len(self.constants)}"
        self.constants[name] = value
        return variable(name)

    def apply(self, function: str, *arguments: Value) -> Value:
        """The call of a function of ``running``."""
        if sum([argument.weight for argument in arguments]) > LARGEST:
            arguments = tuple([self._apart(one) if one.weight > SMALL else one for one in arguments])
        first, *others = arguments
        value = Value(
            nodes.Filter(first.node, function, [other.node for other in others], [], None, None, lineno=1),
            sum([argument.weight for argument in arguments]) + 1,
            max([argument.depth for argument in arguments]) + 1,
            NOTHING_USED.union(*[argument.uses for argument in arguments]),
        )
        return value if value.depth <= DEEPEST else self._apart(value)

    def _apart(self, value: Value) -> Value:
        return self.piece("piece_value", [nodes.Output([value.node], lineno=1)], value.uses, value.weight)

    def piece(self, function: str, body: list[nodes.Node], uses: Uses, weight: int) -> Value:
        """The call of a new piece. ``function``: ``piece`` or ``piece_value``."""
        names = tuple(sorted(uses))
        self.pieces.append(self.function(names, body, weight))
        return self.apply(function, PIECES, constant(len(self.pieces) - 1), BUDGET, *map(variable, names))

    def function(self, names: tuple[str, ...], body: list[nodes.Node], weight: int) -> Root:
        """The function of a piece. ``names``: its variables, besides the budget and the pieces."""
        self.weight += weight
        return ENVIRONMENT.function(("budget", "pieces", *names), body)


def variable(name: str) -> Value:
    return Value(nodes.Name(name, "load", lineno=1), uses=frozenset((name,)))


def constant(value: Any) -> Value:
    return Value(nodes.Const(value, lineno=1))


def fault(reason: str, at: Path) -> TemplateError:
    return TemplateError(reason, at.at.line, at.at.column)
