"""The marker: a small mapped file with the messages that a delivery actor is working on at the moment.

A write costs a memory access and outlives the process, however it ends. So the actor's next life knows which message
the last one was working on (setting_aside.py). A message is named only while it alone is worked on, so that the others
of its claim are not suspected. This module owns the file, which lies beside the ledger and under its lock. It does not
use the journal and decides nothing.

The file is a header and ``SLOTS`` slots. The header: a magic with the version, the life's epoch and its process as
little-endian numbers of 8 bytes, and the CRC-32 of all these. A slot: a byte that is 1 while something is named, and
then in ASCII ``message`` or ``content``, the tenant's id and the message's id, separated by spaces and ended by LF.
"""

import logging
import mmap
import os
import struct
from collections.abc import Iterable
from pathlib import Path
from zlib import crc32

from msgspec import Struct

from cluster.ids import is_id
from cluster.journal.records import Claimed
from cluster.journal.strikes import Struck

log = logging.getLogger(__name__)

NAME = "at-work"
SLOTS = 32
"""Messages that are worked on at a time: one in the event loop, and one in each of its threads."""

_MAGIC = b"PRmark1\n"
_SLOT_BYTES = 128
_HEADER = struct.Struct("<8sQQ")
_CHECKSUM = struct.Struct("<I")
_SIZE = _SLOT_BYTES * (1 + SLOTS)
_MESSAGE, _CONTENT = "message", "content"


class Life(Struct, frozen=True):
    """The content of a marker: the life that wrote it."""

    epoch: int
    pid: int
    struck: tuple[Struck, ...]
    """What the life was working on."""


class Damaged(ValueError):
    """A marker that cannot be read: it is of another version, or damaged."""


class Marker:
    """``directory`` is the ledger's, whose lock must be held from ``left`` on."""

    def __init__(self, directory: Path) -> None:
        self.path = directory / NAME
        """The file that names what is being worked on."""
        self._map: mmap.mmap | None = None
        self._free: list[int] = []

    def left(self) -> Life | None:
        """The marker of a former life; None if there is none or it cannot be read. The file stays until ``begin``."""
        try:
            return read(self.path)
        except FileNotFoundError:
            return None
        except (OSError, Damaged) as error:
            log.error("what the last life was at work on is not known file=%s reason=%r", self.path, str(error))
            return None

    def begin(self, epoch: int) -> None:
        """Begin a life that works on nothing yet. Raises OSError."""
        descriptor = os.open(self.path, os.O_RDWR | os.O_CREAT | os.O_CLOEXEC, 0o600)
        try:
            os.ftruncate(descriptor, _SIZE)
            # Writing to a mapped page for which the disk has no room would end the process.
            os.posix_fallocate(descriptor, 0, _SIZE)
            self._map = mmap.mmap(descriptor, _SIZE)
        finally:
            os.close(descriptor)
        self._clear_all()
        header = _HEADER.pack(_MAGIC, epoch, os.getpid())
        self._map[: _HEADER.size + _CHECKSUM.size] = header + _CHECKSUM.pack(crc32(header))
        self._free = list(range(SLOTS, 0, -1))

    def name(self, delivery: Claimed) -> int:
        """Record that work on this message begins. Returns the slot for ``done``. Do not call ``done`` when the work
        ends with an unexpected error: that ends the process, and the message caused it."""
        return self._write(f"\1{_MESSAGE} {delivery.tenant_id} {delivery.message_id}\n")

    def name_content(self, delivery: Claimed) -> int:
        """The same for the content that the messages of a request share; ``delivery`` is the first that needs it."""
        return self._write(f"\1{_CONTENT} {delivery.tenant_id} {delivery.message_id}\n")

    def blame(self, delivery: Claimed) -> None:
        """Record that this message caused an unexpected error, which is about to end the process."""
        if self._free:
            self.name(delivery)

    def done(self, slot: int) -> None:
        """The work of this slot has ended."""
        assert self._map is not None
        self._map[slot * _SLOT_BYTES] = 0
        self._free.append(slot)

    def close(self) -> None:
        """End this life in order, with no message named."""
        if self._map is not None:
            self._clear_all()
            self._map.close()
            self._map = None

    def _write(self, text: str) -> int:
        assert self._map is not None, "no life has begun"
        data = text.encode("ascii")
        assert len(data) <= _SLOT_BYTES
        slot = self._free.pop()
        at = slot * _SLOT_BYTES
        # The first byte last: the process may end between the two writes.
        self._map[at + 1 : at + len(data)] = data[1:]
        self._map[at] = 1
        return slot

    def _clear_all(self) -> None:
        assert self._map is not None
        for slot in range(1, SLOTS + 1):
            self._map[slot * _SLOT_BYTES] = 0


def read(path: Path) -> Life:
    """Read a marker, whether its life goes on or not. Raises OSError, Damaged."""
    data = path.read_bytes()
    if len(data) != _SIZE:
        raise Damaged(f"{len(data)} bytes, not {_SIZE}")
    magic, epoch, pid = _HEADER.unpack_from(data)
    (checksum,) = _CHECKSUM.unpack_from(data, _HEADER.size)
    if magic != _MAGIC or checksum != crc32(data[: _HEADER.size]):
        raise Damaged("its header is of another version, or damaged")
    slots = (data[at : at + _SLOT_BYTES] for at in range(_SLOT_BYTES, _SIZE, _SLOT_BYTES))
    return Life(epoch, pid, tuple(_struck(slots)))


def _struck(slots: Iterable[bytes]) -> Iterable[Struck]:
    for slot in slots:
        if slot[0] == 0:
            continue
        line, end, _ = slot[1:].partition(b"\n")
        words = line.decode("ascii", "replace").split(" ")
        if slot[0] != 1 or not end or len(words) != 3 or words[0] not in (_MESSAGE, _CONTENT):
            raise Damaged("a slot is not as it was written")
        what, tenant_id, message_id = words
        if not is_id("msg_", message_id):
            raise Damaged("a slot names no message")
        yield Struck(tenant_id=tenant_id, message_id=message_id, shared=what == _CONTENT)
