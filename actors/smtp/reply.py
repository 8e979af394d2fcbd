"""SMTP replies: bytes in, ``Reply`` values out (RFC 5321 §4.2, RFC 2034, RFC 3463).

This module owns the grammar of a reply and its size limits. ``cluster.policy.replies`` judges what a reply means for a
message. The wire calls it, and code that shows replies to people.
"""

import re
from collections.abc import Iterator
from functools import lru_cache

from msgspec import Struct

from cluster.policy.replies.enhanced import enhanced_code
from cluster.printable import printable

MAX_LINE_BYTES = 4096
"""RFC 5321 §4.5.3.1.5 allows 512; servers exceed it with URLs and session ids. The rest of a longer line is cut: the
code, which decides, is at its beginning."""
MAX_LINES = 100
"""EHLO replies, the longest in use, have about 20 lines. Of a longer reply, the first lines and the last are kept."""
MAX_REPLY_BYTES = 256 * 1024
"""A longer reply is cut here and used, and the connection is closed."""

SHORT_BYTES = 120
"""The longest line that is worth remembering: longer ones tell of this one message."""

_LINE = re.compile(rb"([2-5][0-9]{2})(?:([ -])(.*))?", re.DOTALL)


class MalformedReply(Exception):
    """The peer sent bytes that are no SMTP reply, or a reply that exceeds ``MAX_REPLY_BYTES``."""

    def __init__(self, reason: str) -> None:
        super().__init__(reason)
        self.reason = reason


class Reply(Struct, frozen=True):
    code: int
    """200 to 599."""
    enhanced: str | None
    """The enhanced status code (RFC 3463), such as "5.1.1"; None when the peer gave none."""
    lines: tuple[str, ...]
    """Each as received ("550-5.1.1 No such user"), without its line end and safe to print."""

    @property
    def text(self) -> str:
        return "\n".join(self.lines)

    @property
    def positive(self) -> bool:
        """2xx: the command succeeded. For the flow of the protocol only."""
        return 200 <= self.code <= 299

    @property
    def intermediate(self) -> bool:
        """3xx: the peer expects more. For the flow of the protocol only."""
        return 300 <= self.code <= 399


def readable(raw: bytes) -> str:
    """Text that is safe to show in terminals, logs and CSV files. Undecodable bytes are replaced."""
    return printable(raw.decode("utf-8", "replace"))


def make_reply(code: int, lines: list[str]) -> Reply:
    """A reply from its printable raw lines (at least one)."""
    return Reply(code, enhanced_code(lines[0]), tuple(lines))


@lru_cache(256)
def _short_reply(line: bytes) -> Reply | None:
    """The reply that is this line, if it is a whole one. Cached, since a host says the same to every MAIL and RCPT."""
    line = line.removesuffix(b"\r")
    parts = _LINE.fullmatch(line)
    return None if parts is None or parts[2] == b"-" else make_reply(int(parts[1]), [readable(line)])


class ReplyParser:
    """Parses replies from a stream that may be split at any byte.

    A lone LF ends a line like CRLF, since some servers send it. Where the codes of a multiline reply differ, which
    RFC 5321 §4.2.1 forbids, the code of the last line counts, as in Postfix.
    """

    def __init__(self) -> None:
        self.partial = b""
        """The beginning of the current line, up to ``MAX_LINE_BYTES``."""
        self._cut = 0
        """Number of bytes that were cut from the current line."""
        self.lines: list[str] = []
        """The lines of the current reply, up to ``MAX_LINES``."""
        self._bytes = 0
        """Number of bytes in the complete lines of the current reply."""

    @property
    def size(self) -> int:
        """Number of bytes in the current reply, with those that were cut."""
        return self._bytes + len(self.partial) + self._cut

    def feed(self, data: bytes) -> Iterator[Reply]:
        """The replies that ``data`` completes. Raises MalformedReply, after the replies before the fault."""
        *pieces, rest = data.split(b"\n")
        for piece in pieces:
            is_short = len(piece) <= SHORT_BYTES and not (self._bytes or self.partial)
            reply = _short_reply(piece) if is_short else None
            if reply is None:
                yield from self._extend(piece)
                reply = self._line()
            if reply is not None:
                yield reply
        if rest:
            yield from self._extend(rest)

    def _extend(self, piece: bytes) -> Iterator[Reply]:
        """Append to the current line. When the reply becomes too long, yield it and raise MalformedReply."""
        kept = (self.partial + piece) if self.partial else piece
        self._cut += max(len(kept) - MAX_LINE_BYTES, 0)
        self.partial = kept[:MAX_LINE_BYTES]
        if self._cut and not _LINE.match(self.partial):
            raise MalformedReply(f"not a reply: {readable(self.partial[:100])!r}")
        if self.size > MAX_REPLY_BYTES:
            code = int(self.partial[:3]) if _LINE.match(self.partial) else int(self.lines[-1][:3])
            yield make_reply(code, [*self.lines, readable(self.partial)][:MAX_LINES])
            raise MalformedReply(f"a reply of more than {MAX_REPLY_BYTES} bytes")

    def _line(self) -> Reply | None:
        line, self.partial = self.partial, b""
        self._bytes += len(line) + self._cut + 1
        if line.endswith(b"\r") and not self._cut:
            line = line[:-1]
        self._cut = 0
        parts = _LINE.fullmatch(line)
        if parts is None:
            raise MalformedReply(f"not a reply: {readable(line[:100])!r}")
        if len(self.lines) == MAX_LINES:
            self.lines.pop()
        self.lines.append(readable(line))
        if parts[2] == b"-":
            return None
        lines, self.lines, self._bytes = self.lines, [], 0
        return make_reply(int(parts[1]), lines)
