"""A large body while it is read and waits: in memory that is given back at once, not on this process's heap.

Freed blocks of some megabytes may stay with the C library's allocator; a file in memory does not.
"""

import os
import tempfile
from collections.abc import Iterator
from typing import BinaryIO

PIECE_BYTES = 128 * 1024


class Spool:
    """Bytes to write once, to read once, and to close."""

    def __init__(self) -> None:
        self._file = _file_in_memory()
        self.size = 0

    def write(self, data: bytes) -> None:
        self._file.write(data)
        self.size += len(data)

    def pieces(self) -> Iterator[bytes]:
        """All that was written, in pieces that take little time each."""
        self._file.seek(0)
        while piece := self._file.read(PIECE_BYTES):
            yield piece

    def close(self) -> None:
        self._file.close()


def _file_in_memory() -> BinaryIO:
    if hasattr(os, "memfd_create"):
        return os.fdopen(os.memfd_create("postray-body", os.MFD_CLOEXEC), "w+b", buffering=0)
    return tempfile.TemporaryFile(buffering=0)  # macOS has no memfd
