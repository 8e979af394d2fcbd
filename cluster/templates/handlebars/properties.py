"""What most templates consist of at the top: tags that print properties of the root, and blocks of texts and such tags.
They are filled together, without a function of their own and without a call for each tag. Where a value is no text, or
must be escaped, each tag is filled by itself. Pure, but for the budget, from which each takes.
"""

from collections.abc import Callable, Hashable, Iterable, Mapping, Sequence
from itertools import chain
from sys import getsizeof
from typing import Any, TypeVar

from msgspec import Struct

from cluster.joining import getter
from cluster.templates.handlebars.bounds import Budget, Cost
from cluster.templates.handlebars.running import chosen, items
from cluster.templates.handlebars.tree import UNDEFINED

_PRINTED_ALIKE = frozenset((str, int))
"""The types whose values JavaScript and ``%`` print alike; bool is another type."""
_NO_COST: Cost = (0, 0)


class PropertyTag(Struct, frozen=True):
    """``{{name}}``. ``prints``: gives the property of a context as text, and takes from the budget."""

    name: str
    prints: Callable[[Any, str, Budget], str]
    is_escaped: bool


class Properties:
    """Tags of the root: a string for each. Those that escape are behind the others."""

    __slots__ = ("_all", "_escaping", "_others")

    def __init__(self, tags: Sequence[PropertyTag]) -> None:
        self._all = _Alike(tags)
        self._others = _Alike([tag for tag in tags if not tag.is_escaped])
        self._escaping = [tag for tag in tags if tag.is_escaped]

    def fill(self, root: Mapping[str, Any], budget: Budget) -> Sequence[str]:
        """What the tags print. Raises TooMuch."""
        if budget.is_plain or not self._escaping:
            return self._all.fill(root, budget)
        return [*self._others.fill(root, budget), *[tag.prints(root, tag.name, budget) for tag in self._escaping]]


class _Alike:
    """Tags of the root that print texts as they are."""

    __slots__ = ("_get", "_tags", "_types")

    def __init__(self, tags: Sequence[PropertyTag]) -> None:
        self._tags = tags
        self._types = (str,) * len(tags)
        """Those of values that are printed as they are."""
        self._get = getter([tag.name for tag in tags])

    def fill(self, root: Mapping[str, Any], budget: Budget) -> Sequence[str]:
        try:
            values = self._get(root)
        except KeyError:  # nothing is printed for it
            values = ()
        if tuple(map(type, values)) != self._types:
            return [tag.prints(root, tag.name, budget) for tag in self._tags]
        budget.wrote(sum(map(len, values)))
        return values


class Row:
    """Texts and tags. No two of the tags print the same property, so what they print of some data is no longer than the
    data, which is bounded."""

    __slots__ = ("_format", "_is_escaped", "_literals", "_pieces", "held_bytes", "names")

    def __init__(self, pieces: Sequence[str | PropertyTag]) -> None:
        tags = [piece for piece in pieces if isinstance(piece, PropertyTag)]
        self._pieces = pieces
        self.names = tuple([tag.name for tag in tags])
        """The properties that its tags print."""
        self._is_escaped = any(tag.is_escaped for tag in tags)
        self._format = "".join([one.replace("%", "%%") if isinstance(one, str) else "%s" for one in pieces])
        literals = [piece for piece in pieces if isinstance(piece, str)]
        self._literals = sum(map(len, literals))
        self.held_bytes = sum(map(getsizeof, [self._format, *literals]))
        """The memory of its texts."""

    def fill(self, contexts: Sequence[Any], values: tuple[Any, ...] | None, budget: Budget) -> str:
        """What it prints of some contexts, one after the other. Its texts are paid for already. ``values``: of its
        properties in all contexts, if they are printed as they are. Raises TooMuch."""
        if values is not None and (budget.is_plain or not self._is_escaped):
            try:
                text: str = self._format * len(contexts) % values
            except ValueError:
                pass  # a number has too many digits
            else:
                budget.wrote(len(text) - self._literals * len(contexts))
                return text
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


class Rows:
    """``{{#each name}}``, or ``{{#if name}}`` where it is no loop, of a property of the root: in one text, or in some
    that print the same properties in it."""

    __slots__ = ("_get", "cost", "is_loop", "name", "rows")

    def __init__(self, name: str, cost: Cost, rows: tuple[Row, ...], *, is_loop: bool) -> None:
        """``cost``: of each run of all rows. The names of the rows are the same."""
        self.name = name
        self.cost = cost
        self.rows = rows
        self.is_loop = is_loop
        self._get = getter(rows[0].names)

    @property
    def key(self) -> Hashable:
        """The same for those that can be filled together."""
        return self.name, self.is_loop, self.rows[0].names

    def fill(self, root: Mapping[str, Any], budget: Budget) -> list[str]:
        """What the block prints, in each text. Raises TooMuch."""
        value = root.get(self.name, UNDEFINED)
        contexts: Sequence[Any]
        if self.is_loop:
            contexts = items(value, self.cost, _NO_COST, budget)
        else:
            contexts = (root,) if chosen(value, self.cost, _NO_COST, budget) else ()
        values: tuple[Any, ...] | None
        try:
            values = tuple(chain.from_iterable(map(self._get, contexts)))
            if not _PRINTED_ALIKE.issuperset(map(type, values)):
                values = None
        except (KeyError, TypeError):
            values = None  # a property is missing, or a context is no object
        return [row.fill(contexts, values, budget) for row in self.rows]


Hole = TypeVar("Hole")


def together(named: Iterable[tuple[Hole, Rows]]) -> list[tuple[list[Hole], Rows]]:
    """Those that can be filled together, as one, with the holes of its rows."""
    groups: dict[Hashable, list[tuple[Hole, Rows]]] = {}
    for hole, rows in named:
        groups.setdefault(rows.key, []).append((hole, rows))
    return [([hole for hole, _ in group], _joined([rows for _, rows in group])) for group in groups.values()]


def _joined(group: Sequence[Rows]) -> Rows:
    cost = sum([one.cost[0] for one in group]), sum([one.cost[1] for one in group])
    rows = tuple([row for one in group for row in one.rows])
    return Rows(group[0].name, cost, rows, is_loop=group[0].is_loop)
