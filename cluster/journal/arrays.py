"""Fast conversion of Python lists to Postgres arrays in the binary format.

The journal's statements take batches as one array per column. psycopg writes a list in the text format and searches
each item for characters to quote. Here items of the types in ``_WRITERS`` are only measured and joined. psycopg
converts lists of other types.
"""

from collections.abc import Callable
from datetime import UTC, datetime, timedelta
from functools import lru_cache
from struct import Struct
from typing import Any

import psycopg
from psycopg import pq
from psycopg.abc import AdaptContext, DumperKey
from psycopg.adapt import AdaptersMap, Dumper, PyFormat
from psycopg.types.array import BaseListDumper, ListDumper

# The format: the number of dimensions, whether there are NULLs, the type of the items; the size of the dimension and
# the index of its first item; then the items, each after its length in bytes.
_head = Struct("!iiiii").pack
_length = Struct("!i").pack
_integer = Struct("!iq").pack
_NULL = _length(-1)
_EPOCH = datetime(2000, 1, 1, tzinfo=UTC)
_MICROSECOND = timedelta(microseconds=1)


def _texts(items: list[Any]) -> bytes:
    return b"".join([_NULL if item is None else _length(len(octets := item.encode())) + octets for item in items])


def _integers(items: list[Any]) -> bytes:
    # Always eight bytes: psycopg prepares a statement again for each combination of types.
    return b"".join([_NULL if item is None else _integer(8, item) for item in items])


def _octets(items: list[Any]) -> bytes:
    return b"".join([_NULL if item is None else _length(len(item)) + item for item in items])


def _bools(items: list[Any]) -> bytes:
    return b"".join([_NULL if item is None else b"\0\0\0\1\1" if item else b"\0\0\0\1\0" for item in items])


def _times(items: list[Any]) -> bytes:
    return b"".join([_NULL if item is None else _of_time(item) for item in items])


@lru_cache(maxsize=256)  # the messages of a request usually have the same time
def _of_time(item: datetime) -> bytes:
    """``item`` must have a time zone."""
    return _integer(8, (item - _EPOCH) // _MICROSECOND)


class _Array(Dumper):
    """An array of items of one type, or None."""

    format = pq.Format.BINARY

    def __init__(
        self, cls: type, context: AdaptContext | None, type_name: str, write: Callable[[list[Any]], bytes]
    ) -> None:
        super().__init__(cls, context)
        info = psycopg.adapters.types[type_name]
        self.oid = info.array_oid
        self._item_oid = info.oid
        self._write = write

    def dump(self, obj: list[Any]) -> bytes:
        first, count = obj[0], len(obj)
        # The rows of a request have many values in common: such a value is written once.
        is_one_value = first == obj[-1] and obj.count(first) == count
        items = self._write([first]) * count if is_one_value else self._write(obj)
        return _head(1, None in obj, self._item_oid, count, 1) + items


_WRITERS: dict[type, tuple[str, Callable[[list[Any]], bytes]]] = {
    str: ("text", _texts),
    int: ("int8", _integers),
    bytes: ("bytea", _octets),
    bool: ("bool", _bools),
    datetime: ("timestamptz", _times),
    # Only NULLs. The statements cast the array to its type.
    type(None): ("text", _texts),
}


class _Lists(ListDumper):
    def get_key(self, obj: list[Any], format: PyFormat) -> DumperKey:
        kind = _kind_of(obj)
        return (self.cls, kind) if kind in _WRITERS else super().get_key(obj, format)

    def upgrade(self, obj: list[Any], format: PyFormat) -> BaseListDumper:
        kind = _kind_of(obj)
        if kind not in _WRITERS:
            return ListDumper(self.cls, self._tx).upgrade(obj, format)
        return _Array(self.cls, self._tx, *_WRITERS[kind])  # type: ignore[return-value]  # any Dumper will do


def _kind_of(items: list[Any]) -> type | None:
    """The type of the items; None for an empty list."""
    for item in items:
        if item is not None:
            return type(item)
    return type(None) if items else None


ADAPTERS = AdaptersMap(psycopg.adapters)
"""The adapters of the journal's connections."""
ADAPTERS.register_dumper(list, _Lists)
