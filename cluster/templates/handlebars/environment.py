"""Where compiled templates run: jinja2's sandbox, emptied of everything that jinja2 brings, with the functions of
Handlebars as its only filters.

The compiled code calls filters and nothing else: no attribute, subscript, call or operator of jinja2 is ever generated.
The sandbox is the second wall.
"""

from collections.abc import Callable, Iterable, Mapping
from typing import Any

from jinja2 import nodes
from jinja2.environment import Template
from jinja2.nativetypes import NativeCodeGenerator
from jinja2.runtime import Context
from jinja2.sandbox import SandboxedEnvironment

Root = Callable[[Context], Iterable[Any]]
"""A compiled piece: what it gives, one after the other."""


class Run(Context):
    """One run of a piece: the values of its variables, in the order of its names. Jinja2's own contexts take longer to
    make, for features that the compiled code does not use."""

    def __init__(self, *values: Any) -> None:
        self._once = (values,)

    def resolve_or_missing(self, key: str) -> Any:
        return self._once


class HandlebarsEnvironment(SandboxedEnvironment):
    """Compiles nodes of jinja2 to functions. It reads no source text."""

    code_generator_class = NativeCodeGenerator  # the filters give strings: no str() around them
    concat = staticmethod("".join)

    def __init__(self, filters: Mapping[str, Callable[..., Any]]) -> None:
        super().__init__(optimized=False)
        self.globals.clear()
        self.tests.clear()
        self.filters = dict(filters)

    def function(self, names: tuple[str, ...], body: list[nodes.Node]) -> Root:
        """The function that gives what ``body`` puts out. ``names``: its variables. For some hundred nodes this holds
        the interpreter lock for some milliseconds at a time.

        All variables are those of a loop that runs once: jinja2 then reads them as they are, and does not ask at each
        use whether they are there.
        """
        target = nodes.Tuple([nodes.Name(name, "store", lineno=1) for name in names], "store", lineno=1)
        once = nodes.For(target, nodes.Name("values", "load", lineno=1), body, [], None, False, lineno=1)
        code = self.compile(nodes.Template([once], lineno=1), "template", "template")
        return Template.from_code(self, code, {}).root_render_func

    def _parse(self, source: str, name: str | None, filename: str | None) -> nodes.Template:
        raise NotImplementedError("templates are compiled from a tree, never from jinja2's language")
