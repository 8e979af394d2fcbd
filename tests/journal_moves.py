"""Parses the headers of statements, which declare the moves of deliveries, and finds moves in the texts of statements.

A header is ``-- moves: queued, processing -> sending (claimed)``, a line for each status that the statement leads to,
or ``-- moves: nothing``. cluster/journal/statements.py explains the format.
"""

import ast
import re
from collections.abc import Iterator
from importlib import resources
from pathlib import Path

from msgspec import Struct

from cluster.policy.lifecycle import NEW, Status, Transition

PRODUCT = [Path(str(resources.files(package))) for package in ("actors", "analytics", "api", "cluster")]

_HEADER = re.compile(r"^--[ \t]*moves\b(.*)$", re.MULTILINE)
_MOVE = re.compile(r": ([a-z_, ]+) -> ([a-z_]+) \(([a-z_, ]+)\)")
_COMMENT = re.compile(r"--[^\n]*")
_ADDS_OR_REMOVES = re.compile(
    r"\b(?:INSERT\s+INTO|DELETE\s+FROM|MERGE\s+INTO|TRUNCATE(?:\s+TABLE)?)\s+(?:deliveries|outcomes)\b", re.I
)
_UPDATES = re.compile(
    r"\bUPDATE\s+(?:ONLY\s+)?(?:deliveries|outcomes)\b.*?\bSET\b(.*?)(?:\bFROM\b|\bWHERE\b|\bRETURNING\b|$)",
    re.I | re.S,
)
_SETS_STATUS = re.compile(r"\bstatus\s*=\s*('(\w+)')?", re.I)


class Move(Struct, frozen=True, order=True):
    """A move from one status to another, and its transition."""

    start: Status | None
    transition: Transition
    end: Status


class BadHeader(ValueError):
    """A header is malformed."""


def moves_of(statement: str) -> set[Move] | None:
    """The moves in the header of a statement; None where it has no header. Raises BadHeader."""
    said = _HEADER.findall(statement)
    if not said:
        return None
    if said == [": nothing"]:
        return set()
    return {move for line in said for move in _parsed(line)}


def _parsed(line: str) -> Iterator[Move]:
    match = _MOVE.fullmatch(line)
    if match is None:
        raise BadHeader(line)
    starts, end, transitions = match.groups()
    try:
        for start in starts.split(", "):
            for transition in transitions.split(", "):
                yield Move(None if start == NEW else Status(start), Transition(transition), Status(end))
    except ValueError as error:
        raise BadHeader(line) from error


def may_move(statement: str) -> bool:
    """Whether a statement inserts or deletes deliveries or outcomes, or sets their status."""
    text = _COMMENT.sub("", statement)
    return bool(_ADDS_OR_REMOVES.search(text)) or any(_SETS_STATUS.search(change) for change in _UPDATES.findall(text))


def statuses_written(statement: str) -> set[Status]:
    """The statuses that a statement's updates set by name."""
    text = _COMMENT.sub("", statement)
    found = [match[2] for change in _UPDATES.findall(text) for match in _SETS_STATUS.finditer(change)]
    return {Status(name) for name in found if name}


def sql_statements() -> Iterator[tuple[str, str]]:
    """(place, text) of every statement in the product's .sql files; a file without names is one statement."""
    for folder in PRODUCT:
        for file in sorted(folder.rglob("*.sql")):
            parts = re.split(r"^-- name: (\w+)$", file.read_text(encoding="utf-8"), flags=re.MULTILINE)
            yield file.name, parts[0]
            for name, text in zip(parts[1::2], parts[2::2], strict=True):
                yield f"{file.name}: {name}", text


def python_texts() -> Iterator[tuple[str, str]]:
    """(place, text) of every string in the product's Python."""
    for folder in PRODUCT:
        for file in sorted(folder.rglob("*.py")):
            for node in ast.walk(ast.parse(file.read_text(encoding="utf-8"))):
                if isinstance(node, ast.Constant) and isinstance(node.value, str):
                    yield f"{file.name}:{node.lineno}", node.value
