"""What most templates consist of at the top: tags that print properties of the root, and blocks of texts and such tags.
They are filled together, without a function of their own and without a call for each tag. Where a value is no text, or
must be escaped, each tag is filled by itself. Pure, but for the budget, from which each takes.
"""

from collections.abc import Callable, Mapping, Sequence
from itertools import chain
from sys import getsizeof
from typing import Any

from msgspec import Struct

from cluster.joining import getter
from cluster.templates.handlebars.bounds import Budget, Cost
from cluster.templates.handlebars.running import chosen, items
from cluster.templates.handlebars.tree import UNDEFINED

_TEXTS = frozenset((str,))
_PRINTED_ALIKE = frozenset((str, int))
"""The types whose values JavaScript and ``%`` print alike; bool is another type."""
_NO_COST: Cost = (0, 0)


class PropertyTag(Struct, frozen=True):
    """``{{name}}``. ``prints``: gives the property of a context as text, and takes from the budget."""

    name: str
    prints: Callable[[Any, str, Budget], str]
    is_escaped: bool


class Properties:
    """Tags of the root: a string for each."""

    __slots__ = ("_get", "_is_escaped", "_tags")

    def __init__(self, tags: Sequence[PropertyTag]) -> None:
        self._tags = tags
        self._get = getter([tag.name for tag in tags])
        self._is_escaped = any(tag.is_escaped for tag in tags)

    def fill(self, root: Mapping[str, Any], budget: Budget) -> Sequence[str]:
        """What the tags print. Raises TooMuch."""
        if budget.is_plain or not self._is_escaped:
            try:
                values = self._get(root)
            except KeyError:  # nothing is printed for it
                values = (None,)
            if _TEXTS.issuperset(map(type, values)):
                budget.wrote(sum(map(len, values)))
                return values
        return [tag.prints(root, tag.name, budget) for tag in self._tags]


class Row:
    """Texts and tags. No two of the tags print the same property, so what they print of some data is no longer than the
    data, which is bounded."""

    __slots__ = ("_format", "_get", "_is_escaped", "_literals", "_pieces", "held_bytes")

    def __init__(self, pieces: Sequence[str | PropertyTag]) -> None:
        tags = [piece for piece in pieces if isinstance(piece, PropertyTag)]
        self._pieces = pieces
        self._get = getter([tag.name for tag in tags])
        self._is_escaped = any(tag.is_escaped for tag in tags)
        self._format = "".join([one.replace("%", "%%") if isinstance(one, str) else "%s" for one in pieces])
        literals = [piece for piece in pieces if isinstance(piece, str)]
        self._literals = sum(map(len, literals))
        self.held_bytes = sum(map(getsizeof, [self._format, *literals]))
        """The memory of its texts."""

    def fill(self, contexts: Sequence[Any], budget: Budget) -> str:
        """What it prints of some contexts, one after the other. Its texts are paid for already. Raises TooMuch."""
        if budget.is_plain or not self._is_escaped:
            try:
                values = tuple(chain.from_iterable(map(self._get, contexts)))
                if _PRINTED_ALIKE.issuperset(map(type, values)):
                    text: str = self._format * len(contexts) % values
                    budget.wrote(len(text) - self._literals * len(contexts))
                    return text
            except (KeyError, TypeError, ValueError):
                pass  # a property is missing, a context is no object, or a number has too many digits
        return "".join(
            [
                piece if isinstance(piece, str) else piece.prints(context, piece.name, budget)
                for context in contexts
                for piece in self._pieces
            ]
        )


def row_of(pieces: Sequence[str | PropertyTag]) -> Row | None:
    """The row of these pieces; None where two tags print the same property."""
    names = [piece.name for piece in pieces if isinstance(piece, PropertyTag)]
    return Row(pieces) if len(set(names)) == len(names) else None


class Rows(Struct, frozen=True):
    """``{{#each name}}``, or ``{{#if name}}`` where it is no loop, of a property of the root."""

    name: str
    is_loop: bool
    cost: Cost
    """Of each run."""
    row: Row

    def fill(self, root: Mapping[str, Any], budget: Budget) -> str:
        """What the block prints. Raises TooMuch."""
        value = root.get(self.name, UNDEFINED)
        if self.is_loop:
            return self.row.fill(items(value, self.cost, _NO_COST, budget), budget)
        return self.row.fill((root,), budget) if chosen(value, self.cost, _NO_COST, budget) else ""
