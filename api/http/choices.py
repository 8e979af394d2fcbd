"""The values that a type allows at a place, where it lists them: a client that gives another learns which. Pure.

It is called only for refused requests.
"""

from collections.abc import Iterator, Sequence
from typing import Any

from msgspec import inspect

from api.http.places import ANY, Place


def choices(type_: Any, place: Place = ()) -> list[str]:
    """As a client writes them, without null; empty where the type lists none."""
    try:
        return list(dict.fromkeys(_values(inspect.type_info(type_), place)))
    except TypeError:  # not a type of JSON
        return []


def listed(values: Sequence[str]) -> str:
    """Such as ``a, b or c``."""
    return ", ".join(values[:-1]) + " or " + values[-1] if len(values) > 1 else "".join(values)


def _values(info: inspect.Type, place: Place) -> Iterator[str]:
    if isinstance(info, inspect.UnionType):
        for one in info.types:
            yield from _values(one, place)
    elif place:
        yield from _inside(info, place[0], place[1:])
    elif isinstance(info, inspect.LiteralType):
        yield from (str(value) for value in info.values)
    elif isinstance(info, inspect.EnumType):
        yield from (str(one.value) for one in info.cls)
    elif isinstance(info, inspect.BoolType):
        yield from ("true", "false")


def _inside(info: inspect.Type, step: str | int, rest: Place) -> Iterator[str]:
    if isinstance(info, inspect.StructType):
        for field in info.fields:
            if field.encode_name == step:
                yield from _values(field.type, rest)
    elif isinstance(info, inspect.DictType) and isinstance(step, str):
        yield from _values(info.value_type, rest)
    elif isinstance(info, inspect.CollectionType) and (step == ANY or isinstance(step, int)):
        yield from _values(info.item_type, rest)
