"""The MIME parts of a message by their exact places. Pure; the time is linear in the message.

A body is read line by line only where a line could be a delimiter. A delimiter is a whole line (RFC 2046 §5.1.1: two
hyphens, the boundary, perhaps two more, white space), of the multipart that is open or of one around it, so a part
without its last delimiter ends where that of the part around it does. Multiparts within others are not recursed into.
"""

from msgspec import Struct

from cluster.message.submitted.header import Header, header_at
from cluster.message.submitted.parameters import Media, media_of

DEEPEST = 50
"""Multiparts within each other. One that is deeper is a part without parts."""
MOST_PARTS = 1000
"""A message with more is one part without parts."""
_NONE = Media("")


class Part(Struct, frozen=True):
    """A part: where it begins, its header, and where its content ends. The line end before a delimiter belongs to the
    delimiter. ``parts``: those of a multipart, in order. What stands before, between and behind them is its own."""

    start: int
    header: Header
    media: Media
    end: int
    parts: tuple["Part", ...] = ()

    @property
    def content(self) -> int:
        """Where the content begins."""
        return min(self.header.body, self.end)


class _Open:
    """A part that has not ended."""

    __slots__ = ("digest", "header", "media", "parts", "start")

    def __init__(self, start: int, header: Header, media: Media) -> None:
        self.start, self.header, self.media = start, header, media
        self.parts: list[Part] = []
        self.digest = media.kind == "multipart/digest"

    def ended(self, end: int) -> Part:
        return Part(self.start, self.header, self.media, max(end, self.start), tuple(self.parts))


def structure_of(data: bytes, header: Header | None = None) -> Part:
    """The whole message as a part. ``header``: that of ``data``, if it is at hand."""
    header = header_at(data) if header is None else header
    root = _Open(0, header, media_of(data, header))
    reader = _Reader(data)
    return reader.read(root) or Part(0, header, _NONE, len(data))


class _Reader:
    def __init__(self, data: bytes) -> None:
        self._data = data
        self._multiparts: list[_Open] = []
        """Those that are open, each a part of the one before."""
        self._delimiters: dict[bytes, tuple[int, bool]] = {}
        """The lines that end a part now: the number of their multipart, and whether they end it as well."""
        self._leaf: _Open | None = None
        """The part of the innermost multipart that is open."""
        self._parts = 0

    def read(self, root: _Open) -> Part | None:
        """The parts of ``root``; None if there are too many."""
        data = self._data
        if not self._opened(root):
            return root.ended(len(data))
        at = root.header.body
        while (start := self._next_line(at)) >= 0:
            line_end = data.find(b"\r\n", start)
            after = len(data) if line_end < 0 else line_end + 2
            found = self._delimiters.get(data[start : after if line_end < 0 else line_end].rstrip(b" \t"))
            at = after
            if found is None:
                continue
            number, is_last = found
            end = start - 2 if data.startswith(b"\r\n", start - 2) else start
            self._close(number + 1, end)
            self._end_leaf(end)
            if is_last:
                self._forget(number)
                if number == 0:
                    break
                # The rest of this multipart is its epilogue, up to a delimiter of the one around it.
                self._leaf = self._multiparts.pop()
                continue
            self._parts += 1
            if self._parts > MOST_PARTS:
                return None
            at = self._begin(after)
        self._close(1, len(data))
        if self._multiparts:
            self._end_leaf(len(data))
        return root.ended(len(data))

    def _next_line(self, at: int) -> int:
        """Where the next line begins that could be a delimiter. ``at``: the beginning of a line."""
        if self._data.startswith(b"--", at):
            return at
        found = self._data.find(b"\r\n--", max(at - 2, 0))
        return found + 2 if found >= 0 else -1

    def _begin(self, start: int) -> int:
        """Begin a part; returns where its content begins."""
        data = self._data
        inner = self._multiparts[-1]
        header = header_at(data, start)
        for field in header.fields:  # a header that no empty line ends may run into a delimiter
            if data.startswith(b"--", field.start) and self._is_delimiter(field.start):
                kept = tuple([one for one in header.fields if one.start < field.start])
                header = Header(kept, field.start, field.start, True)
                break
        media = media_of(data, header, "message/rfc822" if inner.digest else "text/plain")
        self._leaf = _Open(start, header, media if not header.is_odd else _NONE)
        if not header.is_odd and self._opened(self._leaf):
            self._leaf = None
        return header.body

    def _is_delimiter(self, start: int) -> bool:
        end = self._data.find(b"\r\n", start)
        return self._data[start : end if end >= 0 else len(self._data)].rstrip(b" \t") in self._delimiters

    def _opened(self, part: _Open) -> bool:
        """Whether the part is a multipart whose parts are read."""
        boundary = part.media.boundary
        delimiter = b"--" + boundary
        if (
            not boundary
            or not part.media.kind.startswith("multipart/")
            or len(self._multiparts) >= DEEPEST
            or delimiter in self._delimiters
            or delimiter + b"--" in self._delimiters
        ):
            return False
        self._delimiters[delimiter] = (len(self._multiparts), False)
        self._delimiters[delimiter + b"--"] = (len(self._multiparts), True)
        self._multiparts.append(part)
        return True

    def _forget(self, number: int) -> None:
        delimiter = b"--" + self._multiparts[number].media.boundary
        del self._delimiters[delimiter], self._delimiters[delimiter + b"--"]

    def _close(self, number: int, end: int) -> None:
        """End the multiparts from this number on, which are within each other."""
        while len(self._multiparts) > number:
            self._end_leaf(end)
            self._forget(len(self._multiparts) - 1)
            self._leaf = self._multiparts.pop()

    def _end_leaf(self, end: int) -> None:
        if self._leaf is not None:
            self._multiparts[-1].parts.append(self._leaf.ended(end))
            self._leaf = None
