"""Reads uploaded lists: CSV (RFC 4180) in UTF-8 with a header line, part by part. Pure.

Between two parts everything is in ``Progress``, so that the process that reads may end after any of them. A line that
cannot be read is a fault of its own, and reading goes on at the next line.
"""

import csv
from collections.abc import Sequence
from datetime import UTC, datetime, timedelta

from msgspec import Struct

from cluster.message.addresses import bare, is_address
from cluster.suppression import cells

COLUMNS = ("email", "created", "reason", "status", "ip")
SPELLINGS = {"email_address": "email", "created_at": "created"}
"""Other names of columns, as other products export them."""
DELIMITERS = ",;\t"
LONGEST_RECORD = 65_536
"""Bytes of one line, or of the lines that a quoted field spans."""
MOST_LINES_OF_RECORD = 100
LONGEST_REASON = 1000
LONGEST_CODE = 100
"""Characters of ``status`` and ``ip``."""
MOST_AHEAD = timedelta(days=1)
"""How far ``created`` may lie in the future: clocks and time zones differ."""
NO_HEADER = "The first line must name the columns: email, and if wanted created, reason, status, ip"
NOT_UTF_8 = "The file is not UTF-8"
TOO_LONG = f"The line has more than {LONGEST_RECORD:,} bytes"
OPEN_QUOTE = "A quoted field is not closed"
NO_ADDRESS = "This is not an email address"
NO_TIME = "created is neither seconds since the epoch nor an ISO 8601 time"
FUTURE = "created lies in the future"
_EPOCH = datetime.fromtimestamp(0, UTC)
_BOM = b"\xef\xbb\xbf"
_UTF_16 = (b"\xff\xfe", b"\xfe\xff")


class BadHeader(ValueError):
    """The file does not begin with a line of column names."""


class Columns(Struct, frozen=True):
    """The header line. ``names``: of ``COLUMNS``; empty for a column that means nothing here."""

    delimiter: str
    names: tuple[str, ...]


class Progress(Struct, frozen=True):
    """How far a file is read."""

    columns: Columns | None = None
    line: int = 0
    """The number of the last line that was read; the first is 1."""
    rest: bytes = b""
    """What was read of the next line."""
    is_skipping: bool = False
    """Whether the rest of a line that is too long is still to come."""


class Listed(Struct, frozen=True):
    """An address with what the file says of it. ``created_at`` is None where it says nothing."""

    email: str
    created_at: datetime | None
    reason: str
    status: str
    ip: str


class LineFault(Struct, frozen=True):
    """A line that was not read. Lines have numbers from 1, the header's."""

    line: int
    message: str


class Part(Struct, frozen=True):
    """What a part of a file says. Empty lines do not count."""

    listed: Sequence[Listed]
    faults: Sequence[LineFault]


def header(line: bytes) -> tuple[Columns, list[str]]:
    """The columns that a file's first line names, and those names that mean nothing here. Raises BadHeader."""
    if line.startswith(_UTF_16):
        raise BadHeader(NOT_UTF_8)
    try:
        text = line.removeprefix(_BOM).decode().strip("\r\n")
    except UnicodeDecodeError:
        raise BadHeader(NOT_UTF_8) from None
    delimiter = max(DELIMITERS, key=text.count)
    try:
        given = [name.strip().lower() for name in _fields(text, delimiter)]
    except csv.Error:
        raise BadHeader(NO_HEADER) from None
    meant = [SPELLINGS.get(name, name) for name in given]
    names = tuple(name if name in COLUMNS else "" for name in meant)
    known = [name for name in names if name]
    if "email" not in known or len(set(known)) < len(known):
        raise BadHeader(NO_HEADER)
    return Columns(delimiter, names), [name for name in given if SPELLINGS.get(name, name) not in COLUMNS]


def read(progress: Progress, data: bytes, *, is_last: bool, now: datetime) -> tuple[Part, Progress]:
    """Read the next bytes of a file. Raises BadHeader."""
    lines, rest, is_skipping = _lines(progress, data, is_last=is_last)
    columns, number = progress.columns, progress.line
    listed: list[Listed] = []
    faults: list[LineFault] = []
    index = 0
    while index < len(lines):
        if columns is None:
            columns, _ = header(lines[index])
            count = 1
        else:
            count, problem = _extent(lines, index, len(rest), is_last=is_last)
            if not count:
                rest = b"\n".join([*lines[index:], rest])
                break
            found = problem or _listed(b"\n".join(lines[index : index + count]), columns, now)
            if isinstance(found, str):
                faults.append(LineFault(number + 1, found))
            elif found is not None:
                listed.append(found)
        index, number = index + count, number + count
    if len(rest) > LONGEST_RECORD:
        if columns is None:
            raise BadHeader(NO_HEADER)
        number, rest, is_skipping = number + 1, b"", True
        faults.append(LineFault(number, TOO_LONG))
    return Part(listed, faults), Progress(columns, number, rest, is_skipping)


def _lines(progress: Progress, data: bytes, *, is_last: bool) -> tuple[list[bytes], bytes, bool]:
    """The complete lines, the beginning of the next one, and whether a line that is too long still goes on."""
    if progress.is_skipping:
        _, newline, data = data.partition(b"\n")
        if not newline:
            return [], b"", True
    lines = (progress.rest + data).split(b"\n")
    rest = lines.pop()
    if is_last and rest:
        lines.append(rest)
        rest = b""
    return lines, rest, False


def _extent(lines: Sequence[bytes], index: int, begun: int, *, is_last: bool) -> tuple[int, str | None]:
    """How many lines the record at ``index`` spans, and what is wrong with it; 0 lines where more have to come.
    ``begun``: the bytes of the line after all these."""
    quotes, size = 0, -1
    for count, line in enumerate(lines[index : index + MOST_LINES_OF_RECORD], 1):
        quotes += line.count(b'"')
        size += 1 + len(line)
        if size > LONGEST_RECORD:
            return 1, TOO_LONG if count == 1 else OPEN_QUOTE
        if quotes % 2 == 0:
            return count, None
    if is_last or len(lines) - index >= MOST_LINES_OF_RECORD or size + 1 + begun > LONGEST_RECORD:
        return 1, OPEN_QUOTE
    return 0, None


def _listed(line: bytes, columns: Columns, now: datetime) -> Listed | str | None:
    """What a record says, or what is wrong with it; None for an empty line."""
    try:
        text = line.decode().strip("\r")
    except UnicodeDecodeError:
        return "The line is not UTF-8"
    if not text.strip():
        return None
    try:
        fields = _fields(text, columns.delimiter)
    except csv.Error:
        return "The quotes of the line are misplaced"
    if len(fields) > len(columns.names):
        return f"The line has {len(fields)} fields, and the header {len(columns.names)}"
    given = dict(zip(columns.names, fields, strict=False))
    email = bare(given.get("email", ""))
    if not is_address(email):
        return NO_ADDRESS
    created_at = _moment(given.get("created", "").strip(), now)
    if isinstance(created_at, str):
        return created_at
    return Listed(
        email,
        created_at,
        _one_line(cells.read(given.get("reason", "")), LONGEST_REASON),
        _one_line(cells.read(given.get("status", "")), LONGEST_CODE),
        _one_line(given.get("ip", ""), LONGEST_CODE),
    )


def _fields(text: str, delimiter: str) -> list[str]:
    """Raises csv.Error."""
    if '"' not in text:
        return text.split(delimiter)
    return next(csv.reader([text], delimiter=delimiter, strict=True), [])


def _moment(text: str, now: datetime) -> datetime | str | None:
    """A time, or what is wrong with it; None for an empty text."""
    if not text:
        return None
    try:
        if text.isascii() and text.isdecimal():
            at = datetime.fromtimestamp(int(text[:15]), UTC)
        else:
            at = datetime.fromisoformat(text)
            at = at.replace(tzinfo=UTC) if at.tzinfo is None else at.astimezone(UTC)
    except (ValueError, OverflowError, OSError):
        return NO_TIME
    if at < _EPOCH:
        return NO_TIME
    return at if at <= now + MOST_AHEAD else FUTURE


def _one_line(text: str, most: int) -> str:
    if not text.isprintable():
        text = "".join(character if character.isprintable() else " " for character in text)
    return text.strip()[:most]
