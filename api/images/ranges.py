"""The part of an image that a request asks for. Pure. RFC 9110 §13.1 (conditions), §14 (ranges)."""

import re

_RANGE = re.compile(rb"bytes=(\d{0,18})-(\d{0,18})", re.IGNORECASE)


class ConditionFailed(Exception):
    """The client asks for another content (412)."""


class Unsatisfiable(Exception):
    """The range is beyond the end (416)."""


def is_known(if_none_match: bytes, etag: bytes) -> bool:
    """Whether the client has this content already (304)."""
    tags = [tag.strip().removeprefix(b"W/") for tag in if_none_match.split(b",")]
    return etag in tags or b"*" in tags


def is_meant(if_match: bytes, etag: bytes) -> bool:
    """Whether this content is what the client asks for; otherwise it wants no other (412)."""
    tags = [tag.strip() for tag in if_match.split(b",")]
    return etag in tags or b"*" in tags


def part(range_: bytes, if_range: bytes | None, etag: bytes, size: int) -> tuple[int, int] | None:
    """The first byte and the one after the last; None: the whole, as for several ranges at once, for a unit that is
    not bytes, and when the client has a part of something else. Raises Unsatisfiable."""
    asked = _RANGE.fullmatch(range_.strip())
    if asked is None or (if_range is not None and if_range != etag):
        return None
    first, last = asked.groups()
    if not first:
        if not last:
            return None
        start, end = max(0, size - int(last)), size
    else:
        if last and int(last) < int(first):
            return None
        start, end = int(first), min(size, int(last) + 1) if last else size
    if start >= end:
        raise Unsatisfiable
    return start, end
