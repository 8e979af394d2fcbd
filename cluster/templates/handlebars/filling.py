"""Fills several texts with the same data: what they print of it is taken from it together. Pure, but for the budget."""

from collections.abc import Mapping, Sequence
from itertools import chain
from typing import Any

from cluster.joining import getter
from cluster.templates.handlebars.bounds import Budget
from cluster.templates.handlebars.compiling import Compiled
from cluster.templates.handlebars.environment import Run
from cluster.templates.handlebars.properties import Properties, together


class Filling:
    """Fills the holes of some texts. Safe in threads."""

    __slots__ = ("_cost", "_in_order", "_properties", "_rows", "_with_roots")

    def __init__(self, texts: Sequence[Compiled]) -> None:
        self._cost = sum([text.cost[0] for text in texts]), sum([text.cost[1] for text in texts])
        # A hole is named by its text and by its number among what is made for that text.
        tags = [((number, at), tag) for number, text in enumerate(texts) for at, tag in enumerate(text.tags)]
        tags.sort(key=lambda named: named[1].is_escaped)
        self._properties = Properties([tag for _, tag in tags])
        made = [hole for hole, _ in tags]
        rows = [
            ((number, len(text.tags) + at), rows)
            for number, text in enumerate(texts)
            for at, rows in enumerate(text.rows)
        ]
        self._rows = []
        for holes, group in together(rows):
            self._rows.append(group)
            made += holes
        self._with_roots = [text for text in texts if text.roots]
        made += [
            (number, at)
            for number, text in enumerate(texts)
            for at in range(len(text.tags) + len(text.rows), len(text.order))
        ]
        self._in_order = [getter([made.index((number, at)) for at in text.order]) for number, text in enumerate(texts)]

    def fill(self, data: Mapping[str, Any], budget: Budget) -> list[tuple[str, ...]]:
        """The holes of each text, one string each. ``data`` is a JSON object, decoded: dicts and lists. Raises
        TooMuch."""
        budget.take(self._cost)
        values = [*self._properties.fill(data, budget)]
        for rows in self._rows:
            values += rows.fill(data, budget)
        for text in self._with_roots:
            run = Run(budget, text.pieces, data, (data, None), None, *text.constants)
            values += chain.from_iterable([root(run) for root in text.roots])
        return [in_order(values) for in_order in self._in_order]
