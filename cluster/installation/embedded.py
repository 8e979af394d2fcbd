"""The embedded Postgres: a real server from a wheel, on a socket in its own folder, started and stopped by postray.

Only the wheel's programs are used. Its Python code, run as root, opens every folder above the data to all users, and
puts sockets with long paths in a world-writable folder.
"""

import contextlib
import logging
import os
import shutil
import signal
import subprocess
import time
from pathlib import Path
from typing import Any
from urllib.parse import quote

import psutil
from msgspec import Struct

from cluster.installation import base_backup, run_folder
from cluster.installation.owners import SERVER_FOLDER, commands_for_server, user_name
from cluster.installation.postgres_programs import PROGRAMS, VERSION, Programs, packages
from cluster.installation.private_files import FOLDER_MODE, make_folder, write_whole
from cluster.installation.run_folder import LONGEST_SOCKET_PATH
from cluster.journal.compaction import EMBEDDED
from cluster.journal.database import Unavailable
from cluster.settings import Settings

CONFIGURATION = f"""\
# Written by postray at every start.
max_connections = 200
# A statement locks each partition of its tables; so many locks of a connection cost next to nothing.
max_locks_per_transaction = 256
shared_buffers = '256MB'
max_wal_size = '4GB'
checkpoint_timeout = '15min'
jit = off
io_workers = 1
max_logical_replication_workers = 0
autovacuum_naptime = '15s'
log_min_messages = warning
unix_socket_permissions = 0700
{EMBEDDED} = on
"""
SOCKET = ".s.PGSQL.5432"
START_S = 10.0
INIT_S = 120.0
STOP_MAX_WAIT_S = 5.0
RECOVERY_MAX_WAIT_S = 120.0
"""A crashed server replays its log before it answers."""
LOOK_S = 0.1

log = logging.getLogger(__name__)


class _Postmaster(Struct, frozen=True):
    """The content of a server's postmaster.pid."""

    pid: int
    ready: bool


class EmbeddedPostgres:
    """One Postgres server over one directory. A server that a killed postray left running is taken over.

    ``links``: a folder with a short path, for a link to the directory when its own path is too long for a socket's.
    """

    def __init__(self, directory: Path, links: Path | None = None) -> None:
        self._directory = directory.resolve()
        self._link = links / "postgres" if links is not None else None
        self._programs = Programs(self._directory)
        self._pid: int | None = None

    @property
    def dsn(self) -> str:
        """The address of the server, running or not. Raises Unavailable when its path is too long."""
        return f"postgresql://postgres:@/postgres?host={quote(str(self._reached_at()))}"

    def start(self) -> str:
        """Start the server, creating the database on first use; returns its DSN. Raises Unavailable when it does not
        start."""
        make_folder(self._directory.parent)
        self._programs.make_usable()
        self._make_directory()
        folder = self._reached_at()
        if folder != self._directory:
            folder.unlink(missing_ok=True)
            folder.symlink_to(self._directory)
        self._end_unreachable()
        self._configure()
        deadline = time.monotonic() + RECOVERY_MAX_WAIT_S
        while not self.restart():
            if time.monotonic() > deadline:
                raise Unavailable(f"the embedded Postgres did not start; see {self._directory / 'log'}")
            time.sleep(LOOK_S)
        return self.dsn

    def restart(self) -> bool:
        """Start the server again if it has ended. False while it is not up: recovery from a crash takes time."""
        postmaster = self._postmaster()
        if postmaster is None:
            # The socket in the folder itself, as a relative path, which is always short enough.
            options = f"-w -t {START_S:.0f} -l log -D {self._programs.place} start".split()
            try:
                self._run("pg_ctl", "-o", "-h '' -k .", *options, timeout=START_S + 5)
            except subprocess.SubprocessError as error:
                log.warning("embedded Postgres not up yet reason=%r", error)
                return False
            postmaster = self._postmaster()
        if postmaster is None or not postmaster.ready:
            return False
        self._pid = postmaster.pid
        return True

    @property
    def has_ended(self) -> bool:
        """Whether the server process has ended without a call of ``stop``."""
        if self._pid is None:
            return False
        try:
            return psutil.Process(self._pid).status() == psutil.STATUS_ZOMBIE
        except psutil.NoSuchProcess:
            return True

    @property
    def pid(self) -> int:
        assert self._pid is not None
        return self._pid

    def stop(self) -> None:
        """Stop the server within a few seconds; returns when it has ended. Committed work is on disk in any case."""
        if self._pid is not None:
            _stop(self._pid)
            self._pid = None
        self._programs.forget()

    def back_up(self, target: Path) -> None:
        """Copy the running server's data to a folder that does not exist yet, with the log that makes it consistent:
        as of the end of the copy. Raises Unavailable."""
        folder = str(self._reached_at())
        command = [str(packages() / PROGRAMS / "pg_basebackup"), "--host", folder, "--username", "postgres"]
        command += ["--no-password", "--checkpoint=fast", "--wal-method=stream", "--pgdata", str(target)]
        command += [f"--manifest-checksums={base_backup.ALGORITHM}"]
        try:
            # As our own user, and however long it takes.
            subprocess.run(command, stdin=subprocess.DEVNULL, capture_output=True, check=True)
        except (subprocess.SubprocessError, OSError) as error:
            said = (getattr(error, "stderr", None) or b"").decode(errors="replace").strip() or str(error)
            raise Unavailable(f"pg_basebackup: {said}") from error

    def take(self, copy: Path) -> None:
        """Make the directory, which must not exist, from a folder of ``back_up``. The copy is checked first. Raises
        Unavailable, OSError."""
        base_backup.check(copy)
        make_folder(self._directory.parent)
        self._programs.make_usable()
        # What the running server had in its folder besides its data: it is not this server's.
        shutil.copytree(copy, self._directory, symlinks=True, ignore=shutil.ignore_patterns(f"{SOCKET}*", "log"))
        for one in (self._directory, *self._directory.rglob("*")):
            os.chown(one, self._programs.owner, -1, follow_symlinks=False)

    def begin_epoch(self, epoch: int) -> None:
        """Set the upper 32 bits of transaction numbers, while the server is stopped. Raises Unavailable."""
        self._programs.make_usable()
        try:
            self._run("pg_resetwal", "--epoch", str(epoch), "-D", self._programs.place, timeout=INIT_S)
        except (subprocess.SubprocessError, OSError) as error:
            raise Unavailable(f"pg_resetwal failed on {self._directory}: {error}") from error
        finally:
            self._programs.forget()

    def _reached_at(self) -> Path:
        """The folder in the clients' DSN."""
        if len(str(self._directory / SOCKET)) <= LONGEST_SOCKET_PATH:
            return self._directory
        if self._link is None:
            raise Unavailable(f"{self._directory} is too long for a socket's path: set data_dir to a shorter one")
        return self._link

    def _make_directory(self) -> None:
        directory, owner = self._directory, self._programs.owner
        with contextlib.suppress(FileExistsError):
            directory.mkdir(mode=FOLDER_MODE)
        version_file = directory / "PG_VERSION"
        if version_file.exists():
            found, theirs = version_file.read_text(encoding="ascii").strip(), directory.stat().st_uid
            if found != VERSION:
                raise Unavailable(f"{directory} is of Postgres {found}, and this postray brings {VERSION}")
            if theirs != owner:
                said = f"{directory} belongs to user {user_name(theirs)}, not {user_name(owner)}"
                raise Unavailable(f"{said}: as root, {commands_for_server(directory)}")
            return
        os.chown(directory, owner, -1)
        arguments = ["--auth=trust", "--encoding=utf8", "-U", "postgres", "-D"]
        try:
            self._run("initdb", *arguments, self._programs.place, timeout=INIT_S, stderr=subprocess.PIPE)
        except (subprocess.SubprocessError, OSError) as error:
            said = (getattr(error, "stderr", None) or b"").decode(errors="replace").split("\n")[0] or str(error)
            raise Unavailable(f"cannot make the embedded Postgres's data in {directory}: {said}") from error

    def _configure(self) -> None:
        write_whole(self._directory / "postray.conf", CONFIGURATION.encode(), self._programs.owner)
        main = self._directory / "postgresql.conf"
        include = "include_if_exists = 'postray.conf'\n"
        if include not in main.read_text(encoding="utf-8"):
            with main.open("a", encoding="utf-8") as file:
                file.write(include)

    def _end_unreachable(self) -> None:
        """Stop a server whose socket is elsewhere, as older versions had it."""
        postmaster = self._postmaster()
        if postmaster is not None and postmaster.ready and not (self._directory / SOCKET).is_socket():
            _stop(postmaster.pid)

    def _postmaster(self) -> _Postmaster | None:
        """The server that runs over the directory; None when there is none."""
        try:
            lines = (self._directory / "postmaster.pid").read_text(encoding="utf-8").splitlines()
            pid = int(lines[0])
        except (FileNotFoundError, ValueError, IndexError):
            return None
        if not self._is_ours(pid):
            return None
        return _Postmaster(pid, ready=len(lines) > 7 and lines[7].strip() == "ready")

    def _is_ours(self, pid: int) -> bool:
        """Whether a process is a server over this directory: the pid may have been reused."""
        try:
            process = psutil.Process(pid)
            if process.status() == psutil.STATUS_ZOMBIE or process.name() != "postgres":
                return False
            try:
                return Path(process.cwd()) == self._directory
            except psutil.AccessDenied:  # root without the capability to inspect another user's process
                return process.uids().real == self._programs.owner
        except psutil.NoSuchProcess:
            return False

    def _run(self, program: str, *arguments: str, timeout: float, stderr: int = subprocess.DEVNULL) -> None:
        """Raises subprocess.SubprocessError or OSError when the program fails."""
        as_user: dict[str, Any] = self._programs.as_user
        # No pipes for pg_ctl: the server that it starts would keep them open.
        subprocess.run(
            [str(self._programs.folder / program), *arguments],
            cwd=self._directory,
            stdin=subprocess.DEVNULL,
            stdout=subprocess.DEVNULL,
            stderr=stderr,
            timeout=timeout,
            check=True,
            **as_user,
        )


def journal_dsn(settings: Settings) -> str:
    """The DSN of an installation's journal, running or not. Raises Unavailable when the socket's path is too long."""
    data_dir = Path(settings.data_dir).resolve()
    return settings.postgres.dsn or EmbeddedPostgres(data_dir / SERVER_FOLDER, run_folder.find(data_dir)).dsn


def _stop(pid: int) -> None:
    try:
        process = psutil.Process(pid)
    except psutil.NoSuchProcess:
        return
    # Fast shutdown disconnects clients; immediate shutdown leaves recovery to the next start.
    for request, max_wait_s in ((signal.SIGINT, STOP_MAX_WAIT_S), (signal.SIGQUIT, STOP_MAX_WAIT_S)):
        with contextlib.suppress(ProcessLookupError):
            os.kill(pid, request)
        if _gone(process, max_wait_s):
            return
    process.kill()


def _gone(process: psutil.Process, max_wait_s: float) -> bool:
    # pg_ctl's grandchild is not our child, so it cannot be waited for.
    deadline = time.monotonic() + max_wait_s
    while time.monotonic() < deadline:
        if not process.is_running() or process.status() == psutil.STATUS_ZOMBIE:
            return True
        time.sleep(0.02)
    return False
