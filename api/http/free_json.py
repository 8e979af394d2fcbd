"""Rules for JSON whose names a client chooses itself. Pure."""

from collections.abc import Mapping
from typing import Any

import msgspec

from api.http.refusals import Fault

DEEPEST = 64
"""The most levels of nesting in free-form data. Other processes decode the accepted data again, and their stacks must
suffice for it."""

_json = msgspec.json.Encoder()


def check_json(data: Mapping[str, Any], where: str, faults: list[Fault], *, longest: int | None) -> int:
    """Add the faults of data that is stored as JSON, in which an integer may have any size. Returns its length as JSON
    in bytes."""
    try:
        text = _json.encode(data)
    except RecursionError:
        faults.append(Fault(f"At most {DEEPEST} levels of nesting", where))
        return 0
    # A search of the encoded form is fast; it may have false positives but misses nothing.
    if b"\\u0000" in text and _holds_nul(data):
        faults.append(Fault("Text may not contain NUL", where))
    if text.count(b"{") + text.count(b"[") > DEEPEST and _depth(data) > DEEPEST:
        faults.append(Fault(f"At most {DEEPEST} levels of nesting", where))
    if longest is not None and len(text) > longest:
        faults.append(Fault(f"At most {longest} bytes", where))
    return len(text)


def _holds_nul(value: Any) -> bool:
    pending = [value]
    while pending:
        item = pending.pop()
        if isinstance(item, str):
            if "\0" in item:
                return True
        elif isinstance(item, dict):
            pending += item.keys()
            pending += item.values()
        elif isinstance(item, list):
            pending += item
    return False


def _depth(value: Any) -> int:
    """The levels of nesting; counting stops just above the limit."""
    level, depth = [value], 0
    while level and depth <= DEEPEST:
        inner: list[Any] = []
        for item in level:
            if isinstance(item, dict):
                inner += item.values()
            elif isinstance(item, list):
                inner += item
        depth += any(isinstance(item, dict | list) for item in level)
        level = inner
    return depth
