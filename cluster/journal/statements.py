"""Every statement that the journal makes, by name: a ``.sql`` file for each part, beside its module.

A statement has a line on what it does. One that changes what deliveries are (it inserts or deletes rows of deliveries
or outcomes, or sets a status) has a header for each status that it leads to:
``-- moves: status, status -> status (transition, transition)``, with the transitions of policy/lifecycle.py. ``new`` is
what the journal did not have before. ``-- moves: nothing`` is for a statement that only keeps the books of a move made
by another. Tests hold these headers against the table, and what happens in Postgres against these headers.

Batches take SKIP LOCKED: no statement waits for a row, so none deadlocks.

A batch finds its deliveries by ``= ANY (ARRAY[id])``, which says no more than ``= id``, but leaves one plan only: each
by the primary key. With the plain equation the planner goes through the whole queue, if that was empty when it planned.
"""

import re
from collections.abc import Iterable
from importlib import resources


def load_queries(texts: Iterable[str]) -> dict[str, str]:
    """The statements of ``.sql`` files by the names in their ``-- name:`` lines. Raises ValueError where two have one
    name."""
    queries: dict[str, str] = {}
    for text in texts:
        parts = re.split(r"^-- name: (\w+)$", text, flags=re.MULTILINE)
        for name, body in zip(parts[1::2], parts[2::2], strict=True):
            if name in queries:
                raise ValueError(f"two statements are named {name}")
            queries[name] = body.strip()
    return queries


def _files() -> list[str]:
    files = [file for file in resources.files("cluster.journal").iterdir() if file.name.endswith(".sql")]
    return [file.read_text(encoding="utf-8") for file in sorted(files, key=lambda file: file.name)]


QUERIES = load_queries(_files())
"""Texts with ``%(…)s`` for parameters."""
