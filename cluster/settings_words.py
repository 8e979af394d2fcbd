"""Translates the decoder's messages about settings into messages that name the key. Pure."""

import re
from collections.abc import Collection
from typing import Any, Literal, get_args, get_origin, get_type_hints

from msgspec import Struct

from cluster.typed_names import nearest

NEAR_SHOWN = 3

_KINDS = {
    "str": "a text",
    "int": "a whole number",
    "float": "a number",
    "bool": "true or false",
    "array": "a list",
    "object": "a table",
    "date": "a date",
    "datetime": "a date",
    "time": "a time",
}
"""msgspec's names of types, and the words for them in messages."""
_EXPECTED = re.compile(r"Expected `([^`]+)`, got `([^`]+)`")


class SettingsError(Exception):
    """The configuration cannot be used; the message names the key or variable at fault."""

    def __init__(self, message: str) -> None:
        super().__init__(message)


def keys_of(section: type[Struct], prefix: tuple[str, ...] = ()) -> list[tuple[tuple[str, ...], Any]]:
    """Every key below a section, as the path of its names, with its type."""
    keys: list[tuple[tuple[str, ...], Any]] = []
    for name, kind in get_type_hints(section).items():
        if isinstance(kind, type) and issubclass(kind, Struct):
            keys += keys_of(kind, (*prefix, name))
        else:
            keys.append(((*prefix, name), kind))
    return keys


def in_words(message: str, settings: type[Struct]) -> str:
    """msgspec's message, rewritten with the dotted key: "`$.http`" and "unknown field `x`" become "http.x"."""
    path = re.search(r"at `\$\.?([^`]*)`", message)
    place = path[1] if path else ""
    fault = message.split(" - at")[0]
    if unknown := re.search(r"unknown field `([^`]+)`", message):
        key = ".".join(part for part in (place, unknown[1]) if part)
        return f"unknown key {key}{nearest_names(key, ['.'.join(names) for names, _ in keys_of(settings)])}"
    if invalid := re.fullmatch(r"Invalid enum value (.*)", fault):
        *others, last = _choices(settings, place)
        return f"{place}: must be {', '.join(others)} or {last}, not {invalid[1]}"
    if expected := _EXPECTED.fullmatch(fault):
        needed, found = (_KINDS.get(kind, kind) for kind in expected.groups())
        return f"{place}: must be {needed}, not {found}"
    return f"{place}: {fault}"


def nearest_names(name: str, names: Collection[str]) -> str:
    """The suggestion for the message about an unknown name; "" where no known name is similar."""
    near = nearest(name, names, NEAR_SHOWN)
    return f"; the nearest names: {', '.join(near)}" if near else ""


def number(text: str, kind: type[int] | type[float]) -> int | float:
    """The number in ``text``. Raises ValueError for other text."""
    try:
        return kind(text)
    except ValueError:
        raise ValueError(f"{text!r} is not {_KINDS[kind.__name__]}") from None


def _choices(settings: type[Struct], place: str) -> tuple[str, ...]:
    """The values that an enumerated key may have; for a table, the values that its entries may have."""
    kind = next(kind for names, kind in keys_of(settings) if ".".join(names) == place.partition("[")[0])
    return _literals(kind)


def _literals(kind: Any) -> tuple[str, ...]:
    if get_origin(kind) is Literal:
        return get_args(kind)
    return tuple(one for part in get_args(kind) for one in _literals(part))
