"""Rules for the texts of a send request: those that can be stored, and those that a header field may contain. Pure."""

import re
from collections.abc import Mapping
from typing import Any

import msgspec

from api.http.free_json import check_json
from api.http.refusals import Fault

LINE_ENDS = re.compile(r"[\r\n\0]")
"""Characters that would end a header field or begin another (RFC 5322 §2.2)."""
LONGEST_CUSTOM_ARGS = 10_000

_msgpack = msgspec.msgpack.Encoder()


def check_data(data: Mapping[str, Any], where: str, faults: list[Fault], *, longest: int | None) -> int:
    """Add the faults of free-form JSON that cannot be stored. Returns its length as JSON in bytes."""
    try:
        _msgpack.encode(data)  # the storage format; it refuses some integers that JSON allows
    except OverflowError:
        faults.append(Fault("An integer must be within 64 bits", where))
        return 0
    except RecursionError:
        pass  # its fault is found below
    return check_json(data, where, faults, longest=longest)
