"""Finds the place of a fault in a body, because the decoder's message is not exact enough. Pure.

It is called only for refused bodies, and decodes them a second time as plain values.
"""

import json
import re
from collections.abc import Iterator
from typing import Any

import msgspec

Place = tuple[str | int, ...]
"""Names and indices from the body's root; ``ANY`` when a map's key is not known."""

ANY = "..."
LONGEST_NAME = 100
"""The most characters of a client's own name that an error repeats."""

_STEP = re.compile(r"\.([^.\[\]]+)|\[(\d+|\.\.\.)\]")
_SURROGATE = re.compile("[\ud800-\udfff]")


def steps(path: str) -> Place:
    """The place for msgspec's path, such as ``.personalizations[0].headers[...]``."""
    return tuple(name or (int(number) if number.isdigit() else number) for name, number in _STEP.findall(path))


def written(place: Place) -> str | None:
    """The place as a fault's field, such as ``personalizations[0].to``; None for the body itself."""
    text = ""
    for step in place:
        if step == ANY or isinstance(step, int):
            text += f"[{step}]"
        else:
            text += f".{step[:LONGEST_NAME]}"
    return text.removeprefix(".") or None


def named(place: Place, kind: str, body: bytes) -> Place:
    """The place with its unknown keys resolved: the first one that leads to a value of ``kind``, msgspec's name of the
    wrong JSON type. Unchanged when there is none."""
    if ANY not in place:
        return place
    try:
        return next(_reaching(msgspec.json.decode(body), place, kind), place)
    except (msgspec.DecodeError, UnicodeDecodeError, RecursionError):
        return place  # after the fault, the body need not be JSON


def half_pair(body: bytes) -> Place | None:
    """The place of the first text with an unpaired UTF-16 surrogate; for a key, the place of its map. None when there
    is none or the body is not JSON."""
    try:
        # The standard library's decoder accepts such text, which RFC 8259 §8.2 permits.
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
