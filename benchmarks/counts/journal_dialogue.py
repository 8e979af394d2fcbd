"""The traffic between the product and Postgres, read from the wire: statements by name, round trips, transactions.
Pure.

It implements Postgres's protocol 3 as far as counting needs it, independent of the client: pipelines, prepared
statements and COPY are counted alike.
"""

import re
import struct
from collections import deque
from collections.abc import Callable, Iterator, Mapping

from msgspec import Struct, field

BOUNDARIES = frozenset({"BEGIN", "COMMIT", "ROLLBACK"})
"""Statements that only delimit transactions."""
_NAMED = 5
"""Words that name a statement that is not one of the journal's."""
_PLACEHOLDER = re.compile(r"%\((\w+)\)[sbt]|%%")


class Transaction(Struct, frozen=True):
    """Statements that were committed together, or a single one."""

    application: str
    """The application name of its connection."""
    statements: tuple[str, ...]
    round_trips: int
    """Answers that the client waited for."""

    @property
    def work(self) -> frozenset[str]:
        """Its kinds of statements, without BEGIN, COMMIT and ROLLBACK."""
        return frozenset(self.statements) - BOUNDARIES


class StatementNames:
    """The names of statements, by their texts on the wire. ``queries``: texts by name, with ``%(…)s``."""

    def __init__(self, queries: Mapping[str, str]) -> None:
        self._names = {_on_the_wire(text): name for name, text in queries.items()}
        self._found: dict[str, str] = {}

    def of(self, text: str) -> str:
        if (name := self._found.get(text)) is None:
            name = self._found[text] = self._names.get(text) or _first_words(text)
        return name


def _on_the_wire(text: str) -> str:
    """The text as a driver sends it: parameters are numbered in the order of their first use."""
    numbers: dict[str, int] = {}

    def numbered(match: re.Match[str]) -> str:
        name = match[1]
        return "%" if name is None else f"${numbers.setdefault(name, len(numbers) + 1)}"

    return _PLACEHOLDER.sub(numbered, text)


def _first_words(text: str) -> str:
    words = text.replace("(", " (").split() or ["nothing"]
    first = words[0].upper()
    if first in BOUNDARIES:
        return first
    return " ".join(words[: 2 if first == "COPY" else _NAMED])


class _Group(Struct):
    """The messages between two Syncs of the client."""

    statements: list[str] = field(default_factory=list)
    answers: int = 0
    is_simple: bool = False
    """Sent as one text, without a separate Sync."""


class Dialogue:
    """One connection. ``ended`` gets every transaction."""

    def __init__(self, names: StatementNames, ended: Callable[[Transaction], None]) -> None:
        self.application = ""
        self.bytes_asked = 0
        self.bytes_answered = 0
        self._names = names
        self._ended = ended
        self._started = False
        self._client = _Frames()
        self._server = _Frames()
        self._texts: dict[bytes, str] = {}
        self._portals: dict[bytes, str] = {}
        self._open = _Group()
        self._asked: deque[_Group] = deque()
        self._transaction = _Group()
        self._void_sync = False

    def asked(self, data: bytes) -> None:
        self.bytes_asked += len(data)
        if not self._started:
            # Only the first message has no type byte: length, version, then names and values.
            self._started = True
            length = int.from_bytes(data[:4], "big")
            words = data[8:length].split(b"\0")
            said = dict(zip(words[::2], words[1::2], strict=False))
            self.application = said.get(b"application_name", b"").decode()
            self._asked.append(_Group())
            data = data[length:]
        for letter, body in self._client.of(data):
            self._ask(letter, body)

    def _ask(self, letter: bytes, body: bytes) -> None:
        match letter:
            case b"Q":
                self._open.statements.append(self._names.of(_until_nul(body).decode()))
                self._open.is_simple = True
                self._sync()
            case b"P":
                name, text, *_ = body.split(b"\0", 2)
                self._texts[name] = self._names.of(text.decode())
            case b"B":
                portal, statement, *_ = body.split(b"\0", 2)
                self._portals[portal] = self._texts[statement]
            case b"E":
                self._open.statements.append(self._portals[_until_nul(body)])
            case b"S":
                if self._void_sync:
                    # During COPY the server ignored the Sync before the data: this one replaces it.
                    self._void_sync = False
                    self._asked[0].statements += self._open.statements
                    self._open = _Group()
                else:
                    self._sync()

    def _sync(self) -> None:
        self._asked.append(self._open)
        self._open = _Group()

    def answered(self, data: bytes) -> None:
        self.bytes_answered += len(data)
        for letter, body in self._server.of(data):
            if letter == b"G":
                # The server waits for data to copy: this is one answer, and another follows the data.
                self._asked[0].answers += 1
                self._void_sync = not self._asked[0].is_simple
            elif letter == b"Z":
                group = self._asked.popleft()
                self._transaction.statements += group.statements
                self._transaction.answers += group.answers + 1
                if body == b"I":
                    self._end()

    def _end(self) -> None:
        done, self._transaction = self._transaction, _Group()
        if done.statements:
            self._ended(Transaction(self.application, tuple(done.statements), done.answers))


class _Frames:
    """Splits a stream into messages: a type byte, a length that includes itself, and a body."""

    def __init__(self) -> None:
        self._left = b""

    def of(self, data: bytes) -> Iterator[tuple[bytes, bytes]]:
        data = self._left + data
        position = 0
        while position + 5 <= len(data):
            (length,) = struct.unpack_from("!I", data, position + 1)
            end = position + 1 + length
            if end > len(data):
                break
            yield data[position : position + 1], data[position + 5 : end]
            position = end
        self._left = data[position:]


def _until_nul(data: bytes) -> bytes:
    return data.partition(b"\0")[0]
