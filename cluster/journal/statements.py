"""The journal's SQL statements by name. Each part has a ``.sql`` file beside its module.

A statement whose purpose is not obvious has a comment. A statement that inserts or deletes rows of deliveries or
outcomes, or sets a status, has a header for each status that it leads to:
``-- moves: status, status -> status (transition, transition)``, with the transitions of policy/lifecycle.py. ``new`` is
the state before the journal has the message. ``-- moves: nothing`` marks a statement that only completes a move made
by another. Tests compare these headers with the table of transitions, and the effects in Postgres with these headers.

Batches use SKIP LOCKED: no statement waits for a row, so none deadlocks.

A batch finds its deliveries by ``= ANY (ARRAY[id])``. This means the same as ``= id`` but permits only one plan: a
lookup of each row by primary key. With ``= id`` the planner reads the whole queue if it was empty at planning time.
"""

import re
from collections.abc import Iterable
from importlib import resources


def load_queries(texts: Iterable[str]) -> dict[str, str]:
    """The statements of ``.sql`` files by the names in their ``-- name:`` lines. Raises ValueError when two statements
    have the same name."""
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
"""SQL texts by name, with ``%(…)s`` for parameters."""
