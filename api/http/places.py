"""Where in a body something is wrong, found in the body itself: what a decoder says of it is too little. Pure.

Called for bodies that were refused, never for others: it decodes them a second time, as plain values.
"""

import json
import re
from collections.abc import Iterator
from typing import Any

import msgspec

Place = tuple[str | int, ...]
"""Names and indices from the body's root; ``ANY`` where a map's key is not known."""

ANY = "..."
LONGEST_NAME = 100
"""Characters of a client's own name that are repeated to it."""

_STEP = re.compile(r"\.([^.\[\]]+)|\[(\d+|\.\.\.)\]")
_SURROGATE = re.compile("[\ud800-\udfff]")


def steps(path: str) -> Place:
    """msgspec's path, such as ``.personalizations[0].headers[...]``."""
    return tuple(name or (int(number) if number.isdigit() else number) for name, number in _STEP.findall(path))


def written(place: Place) -> str | None:
    """As a fault's field has it, such as ``personalizations[0].to``; None of the body itself."""
    text = ""
    for step in place:
        if step == ANY or isinstance(step, int):
            text += f"[{step}]"
        else:
            text += f".{step[:LONGEST_NAME]}"
    return text.removeprefix(".") or None


def named(place: Place, kind: str, body: bytes) -> Place:
    """The place with its keys: the first that leads to a value of ``kind``, which is msgspec's name of a JSON type that
    is wrong there. As it came, where none is found."""
    if ANY not in place:
        return place
    try:
        return next(_reaching(msgspec.json.decode(body), place, kind), place)
    except (msgspec.DecodeError, UnicodeDecodeError, RecursionError):
        return place  # what is beyond the fault need not be JSON


def half_pair(body: bytes) -> Place | None:
    """Where the first text with half of a UTF-16 surrogate pair is: of a key, the map that has it. None: there is none,
    or the body is not JSON."""
    try:
        # The standard library's decoder takes such text, which RFC 8259 §8.2 leaves open.
        return next(_halves(json.loads(body.decode()), ()), None)
    except (ValueError, RecursionError):
        return None


def _reaching(value: Any, place: Place, kind: str) -> Iterator[Place]:
    if not place:
        if _kind(value) == kind:
            yield ()
        return
    step, rest = place[0], place[1:]
    if isinstance(value, dict):
        keys = list(value) if step == ANY else [step] if step in value else []
        for key in keys:
            yield from ((key, *found) for found in _reaching(value[key], rest, kind))
    elif isinstance(value, list) and isinstance(step, int) and step < len(value):
        yield from ((step, *found) for found in _reaching(value[step], rest, kind))


def _kind(value: Any) -> str:
    for kind, name in ((bool, "bool"), (str, "str"), (int, "int"), (float, "float"), (list, "array"), (dict, "object")):
        if isinstance(value, kind):
            return name
    return "null"


def _halves(value: Any, place: Place) -> Iterator[Place]:
    if isinstance(value, str):
        if _SURROGATE.search(value):
            yield place
    elif isinstance(value, list):
        for index, item in enumerate(value):
            yield from _halves(item, (*place, index))
    elif isinstance(value, dict):
        for key, item in value.items():
            if _SURROGATE.search(key):
                yield place
            else:
                yield from _halves(item, (*place, key))
