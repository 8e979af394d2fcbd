"""Identifiers: a prefix that names the kind, and a ULID (https://github.com/ulid/spec).

They sort by creation time; those of one process sort strictly, also within one millisecond. A request of a thousand
messages needs two thousand of them at once, so this module counts up within a millisecond. A general library reads the
clock and formats all 26 digits for each, which costs ten times as much.
"""

import os
import re
import time
from datetime import UTC, datetime
from threading import Lock
from typing import Literal

Prefix = Literal[
    "msg_", "bat_", "tnt_", "key_", "opt_", "req_", "evt_", "d-", "v_", "img_", "imp_", "wh_", "rpl_", "att_", "ers_"
]

_ULID = re.compile(r"[0-7][0-9A-HJKMNP-TV-Z]{25}", re.ASCII)
_DIGITS = "0123456789ABCDEFGHJKMNPQRSTVWXYZ"
"""Crockford's base 32; a digit has 5 bits."""
_PAIRS = [high + low for high in _DIGITS for low in _DIGITS]
_PYTHON_DIGITS = str.maketrans(_DIGITS, "0123456789abcdefghijklmnopqrstuv")
"""From Crockford's digits to those that ``int`` reads."""
_COUNTED = 1 << 20
"""Number of values of the last four digits."""


def new_id(prefix: Prefix) -> str:
    """A new identifier, such as ``msg_01HXYZ…`` (30 characters)."""
    with _lock:
        return _ulids.next(prefix)


def new_ids(prefix: Prefix, count: int) -> list[str]:
    """``count`` new identifiers, in ascending order."""
    with _lock:
        return _ulids.make(prefix, count) if count != 1 else [_ulids.next(prefix)]


def is_id(prefix: Prefix, text: str) -> bool:
    """Whether ``text`` has the form of an identifier of this kind. Checked before the journal is queried."""
    return text.startswith(prefix) and _ULID.fullmatch(text, len(prefix)) is not None


def first_id(prefix: Prefix, at: datetime) -> str:
    """The smallest identifier of this kind that can be made at this time; all smaller ones are older."""
    return f"{prefix}{_digits(max(0, int(at.timestamp() * 1000)), 10)}{'0' * 16}"


def made_at(identifier: str) -> datetime:
    """When an identifier was made, to the millisecond."""
    ms = moment_ms(identifier)
    assert ms is not None, identifier
    return datetime.fromtimestamp(ms / 1000, UTC)


def moment(ms: int) -> str:
    """What identifiers that are made at this time, in milliseconds since the epoch, begin with after their prefix."""
    return _digits(ms, 10)


def moment_ms(identifier: str) -> int | None:
    """When an identifier was made, in milliseconds since the epoch; None for a text that is no identifier."""
    ulid = identifier[-26:]
    return int(ulid[:10].translate(_PYTHON_DIGITS), 32) if _ULID.fullmatch(ulid) else None


def new_request_ids(messages: int) -> tuple[str, list[str]]:
    """Identifiers of a request and of its messages, all of the same moment."""
    first, *ids = new_ids("msg_", messages + 1)
    return f"req_{first.removeprefix('msg_')}", ids


def same_moment(identifier: str) -> tuple[str, str]:
    """The smallest and the largest identifier of the same kind and millisecond. All identifiers of one call of
    ``new_ids`` are in this range."""
    stem = identifier[:-16]
    return f"{stem}{'0' * 16}", f"{stem}{'Z' * 16}"


class _Ulids:
    """Makes ULIDs: 10 digits of milliseconds, then 16 digits that start at random in each millisecond and count up."""

    def __init__(self) -> None:
        self._ms = -1
        self._high = 0
        self._stem = ""
        """All digits except the last four, which are ``_next``."""
        self._next = 0

    def next(self, prefix: str) -> str:
        """One ULID; the same as ``make`` with a count of 1, but faster."""
        if (ms := time.time_ns() // 1_000_000) != self._ms:
            self._begin(ms)
        elif self._next == _COUNTED:
            self._carry()
        number = self._next
        self._next = number + 1
        return f"{prefix}{self._stem}{_PAIRS[number >> 10]}{_PAIRS[number & 1023]}"

    def make(self, prefix: str, count: int) -> list[str]:
        if (ms := time.time_ns() // 1_000_000) != self._ms:
            self._begin(ms)
        made: list[str] = []
        while len(made) < count:
            if self._next == _COUNTED:
                self._carry()
            end = min(_COUNTED, self._next + count - len(made))
            stem = prefix + self._stem
            made += [f"{stem}{_PAIRS[number >> 10]}{_PAIRS[number & 1023]}" for number in range(self._next, end)]
            self._next = end
        return made

    def _begin(self, ms: int) -> None:
        self._ms = ms
        # The highest bit stays 0, so that the count cannot overflow.
        self._high, self._next = divmod(int.from_bytes(os.urandom(10), "big") >> 1, _COUNTED)
        self._stem = _stem(ms, self._high)

    def _carry(self) -> None:
        self._high, self._next = self._high + 1, 0
        self._stem = _stem(self._ms, self._high)


def _stem(ms: int, high: int) -> str:
    """The 10 digits of ``ms`` and the 12 of ``high``. Written out, as nearly every event of a message has its own."""
    pairs = _PAIRS
    left, right = high >> 30, high & 0x3FFFFFFF
    return (
        f"{pairs[ms >> 40]}{pairs[ms >> 30 & 1023]}{pairs[ms >> 20 & 1023]}"
        f"{pairs[ms >> 10 & 1023]}{pairs[ms & 1023]}"
        f"{pairs[left >> 20]}{pairs[left >> 10 & 1023]}{pairs[left & 1023]}"
        f"{pairs[right >> 20]}{pairs[right >> 10 & 1023]}{pairs[right & 1023]}"
    )


def _digits(number: int, length: int) -> str:
    """``number`` in base 32; ``length`` is even."""
    return "".join([_PAIRS[number >> shift & 1023] for shift in range(length * 5 - 10, -1, -10)])


_lock = Lock()
_ulids = _Ulids()
