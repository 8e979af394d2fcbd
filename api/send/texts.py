"""Rules for what a request to send may carry: what can be stored, and what can stand in a header. Pure."""

import re
from collections.abc import Mapping
from typing import Any

import msgspec

from api.http.refusals import Fault

LINE_ENDS = re.compile(r"[\r\n\0]")
"""In a header field, these would end it or begin another (RFC 5322 §2.2)."""
LONGEST_CUSTOM_ARGS = 10_000
DEEPEST = 64
"""Levels of nesting in free-form data. What is accepted here is decoded again in other processes, whose stacks must
never be too short for it."""

_json = msgspec.json.Encoder()
_msgpack = msgspec.msgpack.Encoder()


def check_data(data: Mapping[str, Any], where: str, faults: list[Fault], *, longest: int | None) -> int:
    """Free-form JSON: what cannot be stored in it. Returns its length in bytes, as JSON."""
    try:
        text = _json.encode(data)
        _msgpack.encode(data)  # the form that it is stored in; it refuses integers that JSON allows
    except OverflowError:
        faults.append(Fault("An integer must be within 64 bits", where))
        return 0
    except RecursionError:
        faults.append(Fault(f"At most {DEEPEST} levels of nesting", where))
        return 0
    # Searching the encoded form is quick, and finds too much rather than too little.
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
    """Levels of nesting; stops counting just beyond what is allowed."""
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
