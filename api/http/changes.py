"""Bodies that change some fields of a resource: the type of such a body, made from that of the whole resource, and the
fields that a body gives. Pure."""

from functools import cache
from types import NoneType
from typing import Any, get_args

import msgspec
from msgspec import UNSET, Struct, UnsetType, structs


@cache
def change_of(kind: type[Struct]) -> type[Struct]:
    """The body of a change: each field may be absent, also those of a part. ``null`` means absent, but for a field that
    may be null."""
    fields: list[Any] = []
    for one in structs.fields(kind):
        if NoneType in get_args(one.type):
            fields.append((one.name, one.type | UnsetType, UNSET))
        else:
            is_part = isinstance(one.type, type) and issubclass(one.type, Struct)
            fields.append((one.name, (change_of(one.type) if is_part else one.type) | None, None))
    return msgspec.defstruct(f"{kind.__name__}Change", fields, kw_only=True, frozen=True, module=kind.__module__)


def given_in(change: Struct) -> dict[str, Any]:
    """The fields that a change names, with their values."""
    named = {one.name: (getattr(change, one.name), one.default) for one in structs.fields(change)}
    return {name: value for name, (value, default) in named.items() if value is not default}
