"""Inflates a gzip body (RFC 1952) in chunks, with limits for its inflated size and for its number of members."""

import zlib
from typing import Any

from api.http.refusals import Fault, Invalid, TooLarge

MOST_MEMBERS = 1000
"""The most gzip members in a body. A body in blocks of 64 KB, as some tools write them, has 320. Without the limit,
empty members could waste time."""


class Gunzip:
    """Inflates a body to at most ``limit`` bytes in total."""

    def __init__(self, limit: int) -> None:
        self._limit = limit
        self._made = 0
        self._members = 0
        self._member: Any = None

    def feed(self, data: bytes) -> bytes:
        """Inflate these bytes. Raises TooLarge above the limit, and Invalid for data that is not gzip or has too many
        members."""
        pieces = []
        while data:
            if self._member is None:
                self._members += 1
                if self._members > MOST_MEMBERS:
                    raise Invalid([Fault(f"The gzip body has more than {MOST_MEMBERS} members")])
                self._member = zlib.decompressobj(zlib.MAX_WBITS | 16)
            try:
                piece = self._member.decompress(data, self._limit - self._made + 1)
            except zlib.error as error:
                raise Invalid([Fault("The body is not gzip, as its Content-Encoding says")]) from error
            self._made += len(piece)
            if self._made > self._limit:
                raise too_large(self._limit)
            pieces.append(piece)
            data = self._member.unconsumed_tail
            if self._member.eof:  # RFC 1952 §2.2: a file is a series of members
                data, self._member = self._member.unused_data, None
        return b"".join(pieces)

    def end(self) -> None:
        """Raises Invalid when the data is incomplete."""
        if self._member is not None:
            raise Invalid([Fault("The gzip body ends too early")])


def too_large(limit: int) -> TooLarge:
    """The error for a body over ``limit`` bytes."""
    return TooLarge(f"Request body exceeds maximum size of {limit / (1024 * 1024):g} MB")
