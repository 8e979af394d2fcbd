"""The ledger: the deliveries that a host has accepted, in a local file until the journal has them too.

This module owns the files of one delivery actor. An acceptance is written before anything else is done with it, so that
after a SIGKILL the actor's next life commits it instead of sending the message again. Nothing is synced: what a process
wrote outlives it in the page cache. Only if the machine fails are the last entries lost, which costs duplicates and no
message. The ledger does not use the journal and decides nothing. Its caller is the committer (committer.py).

A segment is a file of records. A record is the length and the CRC-32 of its payload (little-endian, 4 bytes each), and
the payload in msgpack: ``[number, outcome, event]`` for an acceptance, or a number alone: up to it all is committed.
Zeros are room that was reserved and not written.
"""

import contextlib
import errno
import fcntl
import logging
import os
import struct
from collections import deque
from collections.abc import Callable, Iterator, Sequence
from pathlib import Path
from zlib import crc32

import msgspec

from cluster.events import Delivered
from cluster.installation.private_files import make_folder
from cluster.journal.records import Outcome
from cluster.metrics import Counter, Gauge

log = logging.getLogger(__name__)

SEGMENT_BYTES = 1024 * 1024
"""About 2,000 acceptances."""
SEGMENTS_AT_MOST = 16
"""With more uncommitted segments the actor must not claim. What it has claimed still finds room."""
SUFFIX = ".ledger"

Entry = tuple[Outcome, Delivered]
"""An accepted delivery: what is to be committed, and its event."""

_HEADER = struct.Struct("<II")
_encoder = msgspec.msgpack.Encoder()
_decoder = msgspec.msgpack.Decoder(tuple[int, Outcome, Delivered] | int)


class LedgerInUse(Exception):
    """Another process, a life of this actor that has not ended yet, holds the ledger's lock."""

    def __init__(self, directory: str) -> None:
        super().__init__(directory)

    def __str__(self) -> str:
        return f"in use by another process: {self.args[0]}"


class Segment:
    """One file. Its space is reserved when it is created, so that an append does not find the disk full."""

    def __init__(self, path: Path, size: int) -> None:
        """Create the file. Raises OSError."""
        self.last = 0
        """The number of the last acceptance in the file."""
        self._path = path
        self._size = size
        self._written = 0
        self.is_ended = False
        """Whether nothing more is to be written to the file."""
        self._file = os.open(path, os.O_WRONLY | os.O_CREAT | os.O_EXCL | os.O_CLOEXEC, 0o600)
        try:
            os.posix_fallocate(self._file, 0, size)
        except OSError:
            self.remove()
            raise

    def fits(self, size: int) -> bool:
        return not self.is_ended and self._written + size <= self._size

    def write(self, data: bytes) -> None:
        """Append. Raises OSError; after that nothing fits any more, since the state of the file's end is unknown."""
        at, self._written = self._written, self._size
        if os.pwrite(self._file, data, at) != len(data):
            raise OSError(errno.ENOSPC, os.strerror(errno.ENOSPC))
        self._written = at + len(data)

    def close(self) -> None:
        os.close(self._file)

    def remove(self) -> None:
        """Close and delete the file."""
        self.close()
        _delete(self._path)


class Ledger:
    """``begin`` creates a segment from a path and a size. ``unsettled`` opens the ledger, for one process at a time."""

    segments = Gauge("postray_ledger_segments", "Files of the ledger.", lambda ledger: len(ledger._segments))
    unsettled_now = Gauge(
        "postray_ledger_unsettled",
        "Acceptances in the ledger that the journal does not have yet.",
        lambda ledger: ledger._number - ledger._settled,
    )
    failures = Counter("postray_ledger_failures_total", "Writes to the ledger that failed.")

    def __init__(
        self,
        directory: Path,
        *,
        segment_bytes: int = SEGMENT_BYTES,
        segments_at_most: int = SEGMENTS_AT_MOST,
        begin: Callable[[Path, int], Segment] = Segment,
    ) -> None:
        self.directory = directory
        """The folder of the segments and the lock."""
        self._segment_bytes = segment_bytes
        self._segments_at_most = segments_at_most
        self._begin = begin
        self._lock: int | None = None
        self._former: list[Path] = []
        self._files = 0
        self._segments: deque[Segment] = deque()
        self._number = 0
        self._settled = 0
        self._unwritten: deque[tuple[int, bytes]] = deque()
        self._failure: str | None = None

    @property
    def problem(self) -> str | None:
        """Why nothing more should be sent; None if acceptances can be written."""
        if self._failure is not None:
            return f"ledger cannot be written: {self._failure}"
        if len(self._segments) > self._segments_at_most:
            return "ledger full: the journal has not taken what was accepted"
        return None

    # What a former life left

    def unsettled(self) -> list[Entry]:
        """Open the ledger. Returns the acceptances of former lives not known to be committed, oldest first.

        Raises LedgerInUse, OSError.
        """
        make_folder(self.directory)
        self._lock = _locked(self.directory)
        self._former = _segments_in(self.directory)
        entries, settled = _read(self._former)
        # Numbering continues, so that the entries of several lives keep their order.
        self._number = self._settled = max([settled, *entries])
        self._files = int(self._former[-1].stem) if self._former else 0
        return [entry for number, entry in sorted(entries.items()) if number > settled]

    def forget_former(self) -> None:
        """What ``unsettled`` returned is committed: delete its files."""
        for path in self._former:
            _delete(path)
        self._former = []

    # This life

    def append(self, entries: Sequence[Entry]) -> None:
        """Write acceptances, in one write. Raises nothing: if the write fails, they are kept and ``problem`` is set."""
        first = self._number + 1
        self._number += len(entries)
        data = b"".join(_record((number, *entry)) for number, entry in enumerate(entries, first))
        if self._failure is None:
            try:
                self._write(data)
                return
            except OSError as error:
                self.failures += 1
                log.error("cannot write directory=%s reason=%r", self.directory, str(error))
                self._failure = str(error)
        self._unwritten.append((self._number, data))

    def settle(self, count: int) -> None:
        """The ``count`` oldest unsettled acceptances of this life are committed. Fully committed segments go."""
        if not count:
            return
        self._settled += count
        while self._unwritten and self._unwritten[0][0] <= self._settled:
            self._unwritten.popleft()
        self._remove_settled()
        mark = _record(self._settled)
        if self._segments and self._segments[-1].fits(len(mark)):
            # Without the mark a replay finds these finished, so it is not worth a new segment or a failure.
            with contextlib.suppress(OSError):
                self._segments[-1].write(mark)

    def forget_settled(self) -> None:
        """Delete the acceptances that are committed: at once, or as soon as all others in their file are."""
        if self._segments:
            self._segments[-1].is_ended = True
        self._remove_settled()

    def retry(self) -> None:
        """After a failure, try again to write what could not be written. Call it at intervals."""
        if self._failure is None:
            return
        try:
            # In a new segment, even if nothing is left to write: that shows whether the next entries find room.
            self._write_to_new(b"".join((_record(self._settled), *(data for _, data in self._unwritten))))
        except OSError as error:
            self._failure = str(error)
        else:
            log.info("written again directory=%s", self.directory)
            self._unwritten.clear()
            self._failure = None

    def close(self) -> None:
        """Release the lock. Acceptances that are not settled stay in the files."""
        is_settled = self._settled == self._number
        for segment in self._segments:
            if is_settled:
                segment.remove()
            else:
                segment.close()
        self._segments.clear()
        if self._lock is not None:
            os.close(self._lock)
            self._lock = None

    def _remove_settled(self) -> None:
        """The segment that is written to stays."""
        while self._segments and self._segments[0].last <= self._settled:
            if len(self._segments) == 1 and not self._segments[0].is_ended:
                break
            self._segments.popleft().remove()

    def _write(self, data: bytes) -> None:
        """Raises OSError."""
        if not self._segments or not self._segments[-1].fits(len(data)):
            self._write_to_new(data)
            return
        self._segments[-1].write(data)
        self._segments[-1].last = self._number

    def _write_to_new(self, data: bytes) -> None:
        """Write to a new segment. Raises OSError after deleting the segment."""
        self._files += 1
        path = self.directory / f"{self._files:08d}{SUFFIX}"
        segment = self._begin(path, max(self._segment_bytes, len(data)))
        try:
            segment.write(data)
        except OSError:
            segment.remove()
            raise
        segment.last = self._number
        self._segments.append(segment)


def acceptances_in(directory: Path) -> list[Entry]:
    """All acceptances in a ledger that no process uses any more, oldest first, those known to be committed among them:
    the journal may have been restored since."""
    entries, _ = _read(_segments_in(directory))
    return [entry for _, entry in sorted(entries.items())]


def others_beside(directory: Path) -> list[Path]:
    """The ledgers on this machine that hold something, but for this one: they may be of actors that live, or of a node
    that came back under another number."""
    others = {path.parent for path in directory.parent.glob(f"*/*{SUFFIX}")}
    return sorted(others - {directory})


def _segments_in(directory: Path) -> list[Path]:
    return sorted(path for path in directory.glob(f"*{SUFFIX}") if path.stem.isdecimal())


def _read(segments: Sequence[Path]) -> tuple[dict[int, Entry], int]:
    """The acceptances by their numbers, and the number up to which all are committed."""
    entries: dict[int, Entry] = {}
    settled = 0
    for path in segments:
        for record in _records_of(path):
            if isinstance(record, int):
                settled = max(settled, record)
            else:
                number, outcome, event = record
                entries[number] = outcome, event
    return entries, settled


def _locked(directory: Path) -> int:
    """A descriptor that holds the ledger's lock. The kernel releases it when the process ends, however that happens.
    Raises LedgerInUse, OSError."""
    descriptor = os.open(directory / "lock", os.O_RDWR | os.O_CREAT | os.O_CLOEXEC, 0o600)
    try:
        fcntl.flock(descriptor, fcntl.LOCK_EX | fcntl.LOCK_NB)
    except OSError as error:
        os.close(descriptor)
        if isinstance(error, BlockingIOError):
            raise LedgerInUse(str(directory)) from error
        raise
    return descriptor


def _delete(path: Path) -> None:
    """Delete a file. If that fails, the next life reads the file again and finds its entries committed."""
    try:
        path.unlink()
    except OSError as error:
        log.warning("cannot delete file=%s reason=%r", path, str(error))


def _record(content: tuple[int, Outcome, Delivered] | int) -> bytes:
    payload = _encoder.encode(content)
    return _HEADER.pack(len(payload), crc32(payload)) + payload


def _records_of(path: Path) -> Iterator[tuple[int, Outcome, Delivered] | int]:
    """The records of a segment, up to the first that is incomplete or damaged."""
    try:
        data = path.read_bytes()
    except OSError as error:
        log.error("cannot read file=%s reason=%r", path, str(error))
        return
    position = 0
    while position + _HEADER.size <= len(data):
        length, checksum = _HEADER.unpack_from(data, position)
        end = position + _HEADER.size + length
        payload = data[position + _HEADER.size : end]
        if not length or end > len(data) or crc32(payload) != checksum:
            break
        try:
            yield _decoder.decode(payload)
        except msgspec.DecodeError as error:
            # Undamaged, but in a form that this version does not know.
            log.error("record skipped file=%s at=%d bytes=%d reason=%r", path, position, length, str(error))
        position = end
    if rest := data[position:].rstrip(b"\0"):
        log.warning("damaged end skipped file=%s at=%d bytes=%d", path, position, len(rest))
