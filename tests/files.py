"""The files of a folder that a program is at work in."""

import os
from collections.abc import Iterator
from pathlib import Path


def files_in(folder: Path) -> Iterator[tuple[Path, bytes]]:
    """Each file with its content; not what is deleted meanwhile, and no links."""
    for place, _, names in os.walk(folder):
        for name in sorted(names):
            path = Path(place, name)
            try:
                if not path.is_symlink() and path.is_file():
                    yield path, path.read_bytes()
            except FileNotFoundError:
                continue
