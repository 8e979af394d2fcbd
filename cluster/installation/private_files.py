"""Files and folders that only their owner may read: how they are created, written atomically, read and checked.

All files of postray are in one folder, ``data_dir``, which other users cannot enter. So nothing below it can be
reached, whatever its own mode is; new files and folders are private anyway, from their creation. A mode that an older
version left open is tightened, and logged. What cannot be repaired this way is an error: a folder or secret of another
user, a secret that is a link, a parent folder in which other users may rename.
"""

import contextlib
import fcntl
import grp
import logging
import os
import pwd
import secrets
import stat
from collections.abc import Iterator
from pathlib import Path
from shlex import quote

from cluster.installation.owners import commands_for, user_name

log = logging.getLogger(__name__)

UMASK = 0o077
FOLDER_MODE = 0o700
FILE_MODE = 0o600
OTHERS = 0o077
"""The permission bits of group and others."""


class Unsafe(Exception):
    """A file or folder cannot be used as it is; the message is one line with its path, the problem and the remedy."""

    def __init__(self, reason: str) -> None:
        super().__init__(reason)


def keep_to_ourselves() -> None:
    """From now on, this process and its children create files and folders that only their owner may read."""
    os.umask(UMASK)


def make_folder(path: Path) -> None:
    """Create the folder and its missing parents, each private from its creation. An existing one is unchanged."""
    # One by one: the mode given to makedirs is only for the last.
    for folder in (*reversed(path.parents), path):
        if not folder.is_dir():
            folder.mkdir(mode=FOLDER_MODE, exist_ok=True)


def write_whole(path: Path, data: bytes, owner: int | None = None) -> None:
    """Write or replace a file atomically: after a crash at any moment it has the old content or all of the new.

    ``owner``: a user's id, when it is not our own. Raises OSError.
    """
    with _draft(path, data, owner) as draft:
        os.replace(draft, path)


def create_whole(path: Path, data: bytes) -> bool:
    """The same for a file that must not be replaced: False when it exists already. Raises OSError."""
    with _draft(path, data, None) as draft:
        try:
            os.link(draft, path)
        except FileExistsError:
            return False
    return True


@contextlib.contextmanager
def _draft(path: Path, data: bytes, owner: int | None) -> Iterator[Path]:
    """A complete temporary file beside ``path``, on disk. The caller's rename or link is synced to disk as well."""
    draft = path.with_name(f".{path.name}.{secrets.token_hex(8)}")
    try:
        descriptor = os.open(draft, os.O_WRONLY | os.O_CREAT | os.O_EXCL | os.O_NOFOLLOW | os.O_CLOEXEC, FILE_MODE)
        with os.fdopen(descriptor, "wb") as file:
            file.write(data)
            file.flush()
            if owner is not None:
                os.fchown(descriptor, owner, -1)
            os.fsync(descriptor)
        yield draft
    finally:
        draft.unlink(missing_ok=True)
    sync_folder(path.parent)


@contextlib.contextmanager
def locked(folder: Path) -> Iterator[None]:
    """Hold a lock on a folder, for those that change a file in it. It is on the folder, because files are replaced."""
    descriptor = os.open(folder, os.O_RDONLY | os.O_DIRECTORY | os.O_CLOEXEC)
    try:
        fcntl.flock(descriptor, fcntl.LOCK_EX)
        yield
    finally:
        os.close(descriptor)


def sync_folder(folder: Path) -> None:
    """Sync a folder's directory entries to disk. Raises OSError."""
    descriptor = os.open(folder, os.O_RDONLY | os.O_DIRECTORY | os.O_CLOEXEC)
    try:
        os.fsync(descriptor)
    finally:
        os.close(descriptor)


def read_secret(path: Path, remedy: str) -> str | None:
    """The text of a file with a secret, without surrounding white space; None when the file does not exist.

    An open mode is tightened. Raises Unsafe when it is not a regular file of ours, is empty or is not ASCII.
    """
    try:
        descriptor = os.open(path, os.O_RDONLY | os.O_NOFOLLOW | os.O_NONBLOCK | os.O_CLOEXEC)
    except FileNotFoundError:
        return None
    except OSError as error:
        reason = "is a link, and must be the file itself" if path.is_symlink() else f"cannot be read: {error.strerror}"
        raise Unsafe(f"{path} {reason}") from error
    status = os.fstat(descriptor)
    if not stat.S_ISREG(status.st_mode):
        os.close(descriptor)
        raise Unsafe(f"{path} is not a regular file: {remedy}")
    with os.fdopen(descriptor, "rb") as file:
        if status.st_uid != os.geteuid():
            own = f"chown {user_name(os.geteuid())} {quote(str(path))}"
            raise Unsafe(_foreign(path, status.st_uid, own))
        if status.st_mode & OTHERS:
            os.fchmod(descriptor, FILE_MODE)
            log.warning("others could read it; closed file=%s mode=%o", path, stat.S_IMODE(status.st_mode))
        content = file.read()
    try:
        text = content.decode("ascii").strip()
    except UnicodeDecodeError:
        raise Unsafe(f"{path} is malformed: {remedy}") from None
    if not text:
        raise Unsafe(f"{path} is empty: {remedy}")
    return text


def make_data_dir(path: Path) -> Path:
    """Create the data directory, or check an existing one; returns its path with links resolved.

    ``path``: as configured, with links unresolved. Raises Unsafe or OSError; then nothing was created.
    """
    _refuse_place(path)
    make_folder(path.resolve())
    _refuse_place(path)  # another process may have created it meanwhile
    return path.resolve()


def _refuse_place(path: Path) -> None:
    if problem := place_problem(path):
        raise Unsafe(problem)


def prepare_data_dir(path: Path) -> list[str]:
    """Create the data directory, or check and tighten an existing one; returns what was tightened, one line each.

    ``path``: as configured, with links unresolved. Raises Unsafe or OSError.
    """
    folder = make_data_dir(path)
    tightened = []
    # The folder first: once it is private, its content cannot be reached.
    for one in (folder, *sorted(folder.iterdir())):
        status = one.stat() if one.exists() else one.lstat()
        if status.st_uid == os.geteuid() and status.st_mode & OTHERS and not stat.S_ISLNK(status.st_mode):
            one.chmod(stat.S_IMODE(status.st_mode) & ~OTHERS)
            tightened.append(f"{one} was open to other users (mode {stat.S_IMODE(status.st_mode):o}); closed")
    return tightened


def access_problem(path: Path) -> str | None:
    """Why a data directory cannot be created or written, in one line; None when it can."""
    folder = path.resolve()
    there = next(one for one in (folder, *folder.parents) if os.path.lexists(one))
    if not there.is_dir():
        return f"{there} is not a folder"
    if not os.access(there, os.W_OK | os.X_OK):
        return f"{there} cannot be written by user {user_name(os.geteuid())}"
    return None


def place_problem(path: Path) -> str | None:
    """Why a data directory, which need not exist, must not be used, in one line; None when it may be.

    ``path``: as configured, with links unresolved.
    """
    named, folder = Path(os.path.abspath(path)), path.resolve()
    if os.path.lexists(folder):
        if not folder.is_dir():
            return f"{folder} is not a folder: set data_dir to one"
        owner = folder.stat().st_uid
        if owner != os.geteuid():
            return _foreign(folder, owner, commands_for(folder))
    for link in (named, *named.parents):
        if link.is_symlink() and link.lstat().st_uid not in (os.geteuid(), 0):
            return f"{link} is a link that user {user_name(link.lstat().st_uid)} made: set data_dir to {folder} itself"
    for parent in dict.fromkeys((*named.parents, *folder.parents)):
        if parent.exists() and (who := _may_rename_in(parent.stat())):
            return (
                f"{who} may rename what is in {parent}, {folder} as well: "
                f"chmod go-w {quote(str(parent))}, or set data_dir to another place"
            )
    return None


def _foreign(path: Path, owner: int, remedy: str) -> str:
    ours, theirs = user_name(os.geteuid()), user_name(owner)
    return f"{path} belongs to user {theirs}, and postray runs as {ours}: run it as {theirs}, or as root: {remedy}"


def _may_rename_in(folder: os.stat_result) -> str | None:
    """Which users, besides the owner and administrators, may rename or replace the content of a folder; None: none."""
    if folder.st_mode & stat.S_ISVTX:
        return None
    if folder.st_mode & stat.S_IWOTH:
        return "every user"
    if folder.st_mode & stat.S_IWGRP and not _is_own_group(folder.st_gid):
        return f"group {_group_name(folder.st_gid)}"
    return None


def _is_own_group(gid: int) -> bool:
    """Whether a group contains only us and administrators: many systems give every user a group of the same name,
    and create folders that it may write."""
    if gid == 0:
        return True
    try:
        group, us = grp.getgrgid(gid), pwd.getpwuid(os.geteuid())
    except KeyError:
        return False
    return group.gr_name == us.pw_name and us.pw_gid == gid and set(group.gr_mem) <= {us.pw_name}


def _group_name(gid: int) -> str:
    try:
        return grp.getgrgid(gid).gr_name
    except KeyError:
        return str(gid)
