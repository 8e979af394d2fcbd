"""What the parts of a data directory take on the disk."""

import os
from pathlib import Path


def part_sizes(data_dir: Path) -> dict[str, int]:
    """The bytes on the disk of each file and folder in the data directory. Files that go meanwhile do not count."""
    sizes: dict[str, int] = {}
    with os.scandir(data_dir) as parts:
        for part in parts:
            sizes[part.name] = _size(part)
    return sizes


def _size(part: os.DirEntry[str]) -> int:
    total = 0
    left = [part]
    while left:
        one = left.pop()
        try:
            total += one.stat(follow_symlinks=False).st_blocks * 512
            if one.is_dir(follow_symlinks=False):
                with os.scandir(one.path) as entries:
                    left += entries
        except FileNotFoundError:
            continue
    return total
