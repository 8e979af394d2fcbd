"""Counts the values of a JSON body before it is decoded: what decoding takes depends on them more than on the body's
size. Too long lists are refused without using memory.

Pure. In a body with many values it examines every bracket and comma, for a second at most.
"""

import re

from api.http.refusals import Fault
from api.send.personalizations import (
    MOST_PERSONALIZATIONS,
    MOST_RECIPIENTS,
    too_many_personalizations,
    too_many_recipients,
)

MOST_VALUES = 1_000_000
"""The limit for a request. A decoded value takes up to some 250 bytes."""
FEW_VALUES = 400_000
"""A body with fewer values is decoded without this check: 100,000 recipients with names are 300,000."""
DEEPEST = 200
"""The most levels that are examined; the decoder refuses deeper ones."""

# A string is one token (RFC 8259 §7). The quantifiers are possessive, so that an unterminated string costs no more.
_TOKEN = re.compile(rb'"(?:[^"\\]++|\\.)*+"|[\[\]{},]', re.DOTALL)
_STRING = re.compile(rb'"(?:[^"\\]++|\\.)*+"', re.DOTALL)
_RECIPIENTS = (b"to", b"cc", b"bcc")


def has_more_values(body: bytes, most: int) -> bool:
    """Whether a body may have more than ``most`` values. It is fast: what looks like a value within a text counts."""
    return len(body) > most and body.count(b",") + body.count(b"{") + body.count(b"[") > most


class _Container:
    """An open object or list, and its members so far."""

    __slots__ = ("key", "members", "path")

    def __init__(self, path: str, key: bytes) -> None:
        self.path = path
        self.key = key
        self.members = 0


def crowded(body: bytes) -> Fault | None:
    """The fault of the first list that is too long, or of a body with too many values; None for a body that may be
    decoded. The decoder refuses a body that is not JSON."""
    if not has_more_values(body, FEW_VALUES) or not has_more_values(_STRING.sub(b"", body), FEW_VALUES):
        return None
    counted = 0
    text = b""
    open_: list[_Container] = []
    for match in _TOKEN.finditer(body):
        token = match[0]
        if token[0] == 0x22:
            text = token[1:-1]
            continue
        if token in (b"]", b"}"):
            if not open_:
                return None
            open_.pop()
            continue
        counted += 1
        if token == b",":
            if not open_:
                return None
            inner = open_[-1]
            inner.members += 1
            if fault := _fault_of(inner, open_):
                return fault
        else:
            if len(open_) >= DEEPEST:
                return None
            open_.append(_child(open_, text))
        if counted > MOST_VALUES:
            return Fault(f"At most {MOST_VALUES} values in a request", open_[-1].path or None)
    return None


def _child(open_: list[_Container], text: bytes) -> _Container:
    if not open_:
        return _Container("", b"")
    outer = open_[-1]
    if outer.key == b"personalizations":
        return _Container(f"personalizations[{outer.members}]", b"[]")
    name = text[:100].decode("utf-8", "replace")
    return _Container(f"{outer.path}.{name}" if outer.path else name, text)


def _fault_of(inner: _Container, open_: list[_Container]) -> Fault | None:
    """``members`` counts commas: one less than the values."""
    if inner.members >= MOST_PERSONALIZATIONS and len(open_) == 2 and inner.key == b"personalizations":
        return too_many_personalizations()
    if inner.members >= MOST_RECIPIENTS and len(open_) == 4 and inner.key in _RECIPIENTS and open_[2].key == b"[]":
        return too_many_recipients(open_[2].path)
    return None
