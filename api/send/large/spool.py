"""Holds a large body while it is read and waits, in an in-memory file instead of on this process's heap.

The C library's allocator may keep freed blocks of some megabytes; the memory of the file is freed at once.
"""

import os
import tempfile
from collections.abc import Iterator
from typing import BinaryIO

PIECE_BYTES = 128 * 1024


class Spool:
    """A buffer that is written once, read once, and closed."""

    def __init__(self) -> None:
        self._file = _file_in_memory()
        self.size = 0

    def write(self, data: bytes) -> None:
        self._file.write(data)
        self.size += len(data)

    def pieces(self) -> Iterator[bytes]:
        """All written bytes, in chunks that each take little time."""
        self._file.seek(0)
        while piece := self._file.read(PIECE_BYTES):
            yield piece

    def close(self) -> None:
        self._file.close()


def _file_in_memory() -> BinaryIO:
    if hasattr(os, "memfd_create"):
        return os.fdopen(os.memfd_create("postray-body", os.MFD_CLOEXEC), "w+b", buffering=0)
    return tempfile.TemporaryFile(buffering=0)  # macOS has no memfd
