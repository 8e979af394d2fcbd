"""The run folder: where the sockets of a running postray are, and what Ray keeps for as long as it runs.

A unix socket's path has at most 107 characters, and Ray's take some 70 below their folder. So it is ``data_dir``/run
where that is short enough, else a folder in $XDG_RUNTIME_DIR, else one among the temporary files whose name cannot be
foreseen; ``data_dir``/run is then a link to it. It is made anew at every start, closed to others; the folder of a run
that was killed is removed by the next. Ray opens folders that it makes in it to every user, whatever the umask, and
again with each worker that starts; ``close`` is for them, and the run folder above them keeps others out meanwhile.
"""

import contextlib
import os
import shutil
import socket
import stat
import tempfile
from collections.abc import Iterator, Mapping
from pathlib import Path

from cluster.installation.private_files import FOLDER_MODE, OTHERS, Unsafe, make_folder

LONGEST_SOCKET_PATH = 107
LONGEST = LONGEST_SOCKET_PATH - len("/ray/session_2026-01-01_00-00-00_000000_4194304/sockets/plasma_store.1")
"""Characters of the folder's path."""
NAME = "run"
PREFIX = "postray-"


def make(data_dir: Path, environ: Mapping[str, str] = os.environ) -> Path:
    """A new, empty run folder, the former one removed; its path is short enough for what comes into it.

    Raises Unsafe when there is no place for one.
    """
    remove(data_dir)
    here = data_dir / NAME
    for folder in _candidates(here, environ):
        if len(str(folder)) <= LONGEST and _takes_sockets(folder):
            if folder != here:
                here.symlink_to(folder)
            return folder
        folder.rmdir()
    raise Unsafe(
        f"no place for sockets: {here} has more than {LONGEST} characters or takes none; "
        f"set data_dir, XDG_RUNTIME_DIR or TMPDIR to a shorter path"
    )


def find(data_dir: Path) -> Path | None:
    """The run folder of the postray that runs, or was killed; None when there is none, or it is not ours."""
    folder = (data_dir / NAME).resolve()
    try:
        status = folder.lstat()
    except OSError:
        return None
    return folder if stat.S_ISDIR(status.st_mode) and status.st_uid == os.geteuid() else None


def opened(folder: Path) -> Iterator[Path]:
    """What is open to others in it, the folder itself included."""
    for place, _, files in os.walk(folder):
        for path in (Path(place), *(Path(place, name) for name in files)):
            try:
                mode = path.lstat().st_mode
            except FileNotFoundError:  # it went meanwhile
                continue
            if mode & OTHERS and not stat.S_ISLNK(mode) and not stat.S_ISSOCK(mode):
                yield path


def close(data_dir: Path) -> None:
    """Close to others what is open to them in it."""
    folder = find(data_dir)
    for path in opened(folder) if folder is not None else ():
        with contextlib.suppress(FileNotFoundError):
            path.chmod(stat.S_IMODE(path.lstat().st_mode) & ~OTHERS)


def remove(data_dir: Path) -> None:
    """Remove it, and everything in it."""
    here, folder = data_dir / NAME, find(data_dir)
    # Where a link leads, only what we made: a link that another user put there is no reason to delete anything.
    if folder is not None and (folder == here or folder.name.startswith(PREFIX)):
        shutil.rmtree(folder, ignore_errors=True)
    if here.is_symlink():
        here.unlink()


def _candidates(here: Path, environ: Mapping[str, str]) -> Iterator[Path]:
    """Each made when it is asked for."""
    make_folder(here)
    yield here
    runtime = Path(environ.get("XDG_RUNTIME_DIR") or "/nonexistent")
    for parent in (runtime, Path(tempfile.gettempdir()), Path("/tmp")):
        if parent.is_dir() and os.access(parent, os.W_OK) and (parent != runtime or _is_ours_alone(parent)):
            folder = Path(tempfile.mkdtemp(prefix=PREFIX, dir=parent))
            folder.chmod(FOLDER_MODE)
            yield folder


def _is_ours_alone(folder: Path) -> bool:
    status = folder.stat()
    return status.st_uid == os.geteuid() and not status.st_mode & OTHERS


def _takes_sockets(folder: Path) -> bool:
    """Some shared file systems do not."""
    path = folder / "socket"
    try:
        with socket.socket(socket.AF_UNIX) as one:
            one.bind(str(path))
    except OSError:
        return False
    finally:
        path.unlink(missing_ok=True)
    return True
