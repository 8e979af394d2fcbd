"""The run folder: the sockets of a running postray, and Ray's temporary files.

A unix socket's path has at most 107 characters, and Ray's take about 70 below their folder. So the run folder is
``data_dir``/run if that is short enough, otherwise a folder in $XDG_RUNTIME_DIR, otherwise a temporary folder with an
unpredictable name; ``data_dir``/run is then a link to it. It is created at every start, private; the folder of a
killed run is removed by the next. Ray opens its folders in it to every user, whatever the umask, and does so again with
each worker that starts. ``close`` makes them private; until then the run folder above them keeps others out.
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
"""The maximum length of the folder's path, in characters."""
NAME = "run"
PREFIX = "postray-"


def make(data_dir: Path, environ: Mapping[str, str] = os.environ) -> Path:
    """A new, empty run folder; the former one is removed. Its path is short enough for the sockets in it.

    Raises Unsafe when no place has a path short enough and takes sockets.
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
    """The run folder of a running or killed postray; None when there is none, or it is not ours."""
    folder = (data_dir / NAME).resolve()
    try:
        status = folder.lstat()
    except OSError:
        return None
    return folder if stat.S_ISDIR(status.st_mode) and status.st_uid == os.geteuid() else None


def opened(folder: Path) -> Iterator[Path]:
    """The paths in it that are open to others, including the folder itself."""
    for place, _, files in os.walk(folder):
        for path in (Path(place), *(Path(place, name) for name in files)):
            try:
                mode = path.lstat().st_mode
            except FileNotFoundError:  # removed meanwhile
                continue
            if mode & OTHERS and not stat.S_ISLNK(mode) and not stat.S_ISSOCK(mode):
                yield path


def close(data_dir: Path) -> None:
    """Make everything in it private."""
    folder = find(data_dir)
    for path in opened(folder) if folder is not None else ():
        with contextlib.suppress(FileNotFoundError):
            path.chmod(stat.S_IMODE(path.lstat().st_mode) & ~OTHERS)


def remove(data_dir: Path) -> None:
    """Remove the folder with its content."""
    here, folder = data_dir / NAME, find(data_dir)
    # Follow a link only to a folder that we made: another user may have put the link there to have files deleted.
    if folder is not None and (folder == here or folder.name.startswith(PREFIX)):
        shutil.rmtree(folder, ignore_errors=True)
    if here.is_symlink():
        here.unlink()


def _candidates(here: Path, environ: Mapping[str, str]) -> Iterator[Path]:
    """Possible folders; each is created when the iterator reaches it."""
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
    """Whether the file system supports sockets: some shared ones do not."""
    path = folder / "socket"
    try:
        with socket.socket(socket.AF_UNIX) as one:
            one.bind(str(path))
    except OSError:
        return False
    finally:
        path.unlink(missing_ok=True)
    return True
