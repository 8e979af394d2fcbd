"""One text of a template, compiled: what all messages share, and holes that each message fills."""

from collections.abc import Mapping
from sys import getsizeof
from typing import Any

from cluster.joining import joined
from cluster.templates.handlebars.bounds import Budget
from cluster.templates.handlebars.compiling import Compiled, compile_program
from cluster.templates.handlebars.filling import Filling
from cluster.templates.handlebars.reading import read
from cluster.templates.handlebars.tree import Program

BYTES_OF_A_TEXT = 2_000
BYTES_OF_A_FUNCTION = 8_000
BYTES_OF_A_NODE = 60
BYTES_OF_A_NAME = 200
"""Memory of a compiled text besides its literals, measured and rounded up."""


class CompiledText:
    """A compiled text. Its result is its literals with its holes between them. Safe in threads."""

    __slots__ = ("_filling", "compiled", "held_bytes", "holes", "literals", "names")

    def __init__(self, compiled: Compiled) -> None:
        self.compiled = compiled
        """For a ``Filling`` of several texts."""
        self._filling = Filling([compiled])
        self.literals: tuple[str, ...] = compiled.literals
        """The text between the tags and blocks at the top: one more than there are holes."""
        self.holes: int = len(compiled.literals) - 1
        self.names: frozenset[tuple[str, ...]] = compiled.names
        """The paths in the data that it reads from the data's root, as ``("user", "name")``; the empty one means that
        it uses the root itself. What it reads of a loop's items is not among them, but the loop's array is."""
        self.held_bytes: int = (
            BYTES_OF_A_TEXT
            + BYTES_OF_A_FUNCTION * (len(compiled.roots) + len(compiled.pieces))
            + BYTES_OF_A_NODE * compiled.weight
            + BYTES_OF_A_NAME * len(compiled.names)
            + sum([getsizeof(literal) for literal in compiled.literals])
            + sum([row.held_bytes for rows in compiled.rows for row in rows.rows])
        )
        """Its memory, about."""

    def fill(self, data: Mapping[str, Any], budget: Budget) -> tuple[str, ...]:
        """The holes of one message, as ``Filling.fill`` gives them."""
        (holes,) = self._filling.fill(data, budget)
        return holes

    @property
    def is_blank(self) -> bool:
        """Whether it says nothing, whatever the data is."""
        return not self.holes and not self.literals[0].strip()

    def whole(self, data: Mapping[str, Any], budget: Budget) -> str:
        """The text of one message. Raises TooMuch."""
        return joined(self.literals, self.fill(data, budget))


def compile_text(source: str, *, is_html: bool) -> CompiledText:
    """Compile a Handlebars text. In html, ``{{x}}`` is escaped. Raises TemplateError."""
    return compile_tree(read(source), is_html=is_html)


def compile_tree(program: Program, *, is_html: bool) -> CompiledText:
    """The same from a tree."""
    return CompiledText(compile_program(program, is_html=is_html))


def literal_text(text: str) -> CompiledText:
    """A text without tags, whatever braces are in it."""
    return CompiledText(Compiled(literals=(text,), cost=(0, len(text))))
