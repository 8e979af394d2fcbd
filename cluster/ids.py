"""Identifiers: a prefix that names the kind, and a ULID (https://github.com/ulid/spec).

They sort by their time of making; within one process strictly, also inside one millisecond.
"""

import re
from datetime import datetime
from typing import Literal

from ulid import ULID, LaxMonotonicPolicy, ULIDGenerator

Prefix = Literal["msg_", "bat_", "tnt_", "key_", "req_", "evt_"]

_generator = ULIDGenerator(policy=LaxMonotonicPolicy())
_ULID = re.compile(r"[0-7][0-9A-HJKMNP-TV-Z]{25}", re.ASCII)


def new_id(prefix: Prefix) -> str:
    """A new identifier, such as ``msg_01HXYZ…`` (30 characters)."""
    return f"{prefix}{_generator.generate()}"


def is_id(prefix: Prefix, text: str) -> bool:
    """Whether ``text`` has the form of an identifier of this kind; nothing else is worth asking the journal for."""
    return text.startswith(prefix) and _ULID.fullmatch(text, len(prefix)) is not None


def first_id(prefix: Prefix, at: datetime) -> str:
    """The least identifier of this kind that can be made at a moment: all smaller ones are older."""
    return f"{prefix}{str(ULID.from_datetime(at))[:10]}{'0' * 16}"
