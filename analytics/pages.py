"""Releasing the memory that was used for loading a library.

The embedded engine's library is half a gigabyte, much of it tables that the loader reads once. Those pages stay in the
process until memory is short; advising the kernel to page them out (madvise(2), MADV_PAGEOUT) releases about 170 MB
at once. Nothing is lost: needed pages are read from the file again, and modified pages are kept.
"""

import ctypes
from pathlib import Path

MADV_PAGEOUT = 21  # Linux 5.4; the mmap module has no name for it


def page_out(library: str) -> int:
    """Advise the kernel to page out the mapped file with this name; returns the number of bytes concerned.

    Best effort: 0 without such a mapping, without /proc, or on a kernel that does not know the advice.
    """
    maps = Path("/proc/self/maps")
    if not maps.exists():
        return 0
    advise = ctypes.CDLL(None).madvise
    advised = 0
    for line in maps.read_text(encoding="utf-8", errors="replace").splitlines():
        fields = line.split()
        if len(fields) > 5 and Path(fields[5]).name == library:
            start, end = (int(address, 16) for address in fields[0].split("-"))
            if advise(ctypes.c_void_p(start), ctypes.c_size_t(end - start), MADV_PAGEOUT) == 0:
                advised += end - start
    return advised
