"""A message's content as it is received: collected, limited, with dots unstuffed.

This module owns the end-of-data rule (RFC 5321 §4.5.2): only CRLF.CRLF ends DATA, whatever other line ends surround a
dot, since peers that disagree on this can be made to see different messages (SMTP smuggling). Octets of BDAT (RFC 3030)
are taken unchanged. Content with a bare CR or LF is refused, also from BDAT: only BODY=BINARYMIME allows it there, and
the server does not offer that.
"""

import re
from enum import Enum, auto

from cluster.message.line_ends import are_all_crlf
from cluster.smtpd.protocol import Service

_END = b"\r\n.\r\n"
_EMPTY_LINE = b"\r\n\r\n"
_has_dot = re.compile(rb"\r\n\.").search
"""Whether a line begins with a dot. ``in`` takes five times as long in a text of many lines."""


class Problem(Enum):
    """Why a message will be refused after it has been read."""

    TOO_BIG = auto()
    LONG_HEADER = auto()
    NO_ROOM = auto()
    BARE_LINE_END = auto()


class ContentReader:
    """Reads one message. After a problem it keeps almost nothing, but still finds the end."""

    def __init__(self, service: Service) -> None:
        self.problem: Problem | None = None
        self._service = service
        self._max = service.options.max_message_bytes
        # Dots added for transparency do not count (RFC 1870 §5); they lengthen a text by at most a third.
        self._max_with_dots = self._max + self._max // 3 + len(_END)
        self._octets = bytearray()
        self._held = 0
        self._prefix = 0
        self._is_in_header = True
        self._searched = 0
        """How far the end of the header was searched for."""

    def take_lines(self, source: bytearray, start: int) -> int | None:
        """Continues DATA from ``start``. Returns the position after the end; None when the end has not arrived."""
        octets = self._octets
        if not self._prefix:
            octets += b"\r\n"  # so that a dot on the first line is found like any other
            self._prefix = 2
        searched = max(0, len(octets) - len(_END) + 1)
        with memoryview(source) as view:
            octets += view[start:]
        end = octets.find(_END, searched)
        if end < 0:
            if not self._keep(self._max_with_dots):
                del octets[: -len(_END) + 1]
            return None
        after = len(source) - (len(octets) - end - len(_END))
        del octets[end + 2 :]
        if _has_dot(octets):
            self._octets = octets.replace(b"\r\n.", b"\r\n")
            self._searched = 0
        if self._keep(self._max + self._prefix):
            self._check_line_ends()
        return after

    def take_octets(self, source: bytearray, start: int, length: int) -> None:
        """Continues a BDAT chunk."""
        if self.problem is None:
            with memoryview(source) as view:
                self._octets += view[start : start + length]
            if not self._keep(self._max):
                self._octets.clear()

    def end_octets(self) -> None:
        """The last BDAT chunk is complete."""
        if self.problem is None:
            self._check_line_ends()

    def finish(self) -> bytes:
        """The content; its octets stay counted until ``release``."""
        return bytes(memoryview(self._octets)[self._prefix :])

    def release(self) -> None:
        self._service.held_bytes -= self._held
        self._held = 0

    def _check_line_ends(self) -> None:
        if not are_all_crlf(self._octets):
            self.problem = Problem.BARE_LINE_END
            self.release()

    def _keep(self, limit: int) -> bool:
        """Counts the new octets. False: there is a problem, and nothing need be kept."""
        if self.problem is not None:
            return False
        size = len(self._octets)
        self._service.held_bytes += size - self._held
        self._held = size
        if size > limit:
            self.problem = Problem.TOO_BIG
        elif self._is_in_header and self._has_long_header():
            self.problem = Problem.LONG_HEADER
        elif self._service.held_bytes > self._service.options.max_held_bytes:
            self.problem = Problem.NO_ROOM
        else:
            return True
        self.release()
        return False

    def _has_long_header(self) -> bool:
        """Whether ``max_header_bytes`` have come without the empty line that ends the header (RFC 5322 §2.1)."""
        octets = self._octets
        limit = self._service.options.max_header_bytes + len(_EMPTY_LINE) - 2 + self._prefix
        ends = octets.startswith(b"\r\n", self._prefix) or octets.find(_EMPTY_LINE, self._searched, limit) >= 0
        self._is_in_header = not ends
        self._searched = max(0, len(octets) - len(_EMPTY_LINE) + 1)
        return not ends and len(octets) >= limit
