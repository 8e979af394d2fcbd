"""Compares the names that a version uses with the data that it gets. Pure."""

from collections.abc import Iterator, Mapping, Set
from itertools import islice
from typing import Any

from cluster.templates.handlebars.tree import UNDEFINED
from cluster.templates.handlebars.values import child

Path = tuple[str, ...]
MOST_WARNINGS = 100
LONGEST_PATH = 200
"""Characters of a path that a warning shows."""


def warnings(used: Set[Path], data: Mapping[str, Any]) -> list[str]:
    """What is used and not given, then what is given and not used; ``used`` are paths from the data's root, and the
    empty one uses all of it. At most ``MOST_WARNINGS``, and one more that says that there are others."""
    found = [
        *(f"{_written(path)} is used and not given" for path in sorted(used) if not _is_given(path, data)),
        *islice((f"{_written(path)} is given and not used" for path in _unused(used, data)), MOST_WARNINGS + 1),
    ]
    return found if len(found) <= MOST_WARNINGS else [*found[:MOST_WARNINGS], "There are more"]


def _is_given(path: Path, data: Any) -> bool:
    for name in path:
        data = child(data, name)
        if data is UNDEFINED:
            return False
    return True


def _unused(used: Set[Path], data: Mapping[str, Any]) -> Iterator[Path]:
    """The shortest paths of the data of which nothing is used."""
    if () in used:
        return
    begun = {path[:length] for path in used for length in range(len(path))}
    pending: list[tuple[Path, Mapping[str, Any]]] = [((), data)]
    while pending:
        above, values = pending.pop()
        for name, value in values.items():
            path = (*above, name)
            if path in used:
                continue
            if path not in begun:
                yield path
            elif isinstance(value, dict):
                pending.append((path, value))


def _written(path: Path) -> str:
    text = ".".join(path)
    return text if len(text) <= LONGEST_PATH else f"{text[:LONGEST_PATH]}…"
