"""Backups of the embedded ClickHouse, by its own BACKUP and RESTORE. A server of the operator has its own means.

The engine may write to its own folder only, so a backup is made in there, in ``BACKUPS``; the command that asked for it
(``cluster/commands/backup.py``) moves it to where it belongs.
"""

import shutil
from pathlib import Path
from typing import Literal

from analytics.client import ClickHouse, ClickHouseUnavailable
from analytics.engine import BACKUPS
from analytics.rows import Position
from cluster.clickhouse_dsn import DATABASE
from cluster.installation.private_files import make_folder
from cluster.journal.database import Unavailable
from cluster.policy.forms import Form
from cluster.settings import ClickHouseSettings

BEHIND_S = 30.0
"""How long a backup waits for ClickHouse to have what the event log had when it was asked for."""
NAMED = "restored"

PROGRESS = """
SELECT toString(status), error FROM system.backups WHERE id = {id:String}
ORDER BY start_time DESC LIMIT 1
"""


class BackupState(Form, frozen=True, kw_only=True):
    """How far a backup of ClickHouse is."""

    state: Literal["waiting", "running", "done", "failed"]
    reason: str = ""
    """Why it failed."""
    folder: str = ""
    """Where it is, on the node of the recorder; once it is done."""
    is_behind: bool = False
    """ClickHouse did not have all events in time: the backup lacks the last ones."""


class ClickHouseBackup:
    """One backup. It waits until ClickHouse has the event log up to ``end``, and begins after ``BEHIND_S`` in any
    case. Times are monotonic seconds."""

    def __init__(self, name: str, data_dir: Path, end: Position, now: float) -> None:
        """``name`` is part of a path and of a statement: letters, digits and hyphens."""
        self.name = name
        self._data_dir = data_dir
        self._folder = _backups(data_dir) / name
        self._end = end
        self._begins_by = now + BEHIND_S
        self._has_begun = False
        self._is_behind = False

    def step(self, client: ClickHouse, position: Position, now: float) -> BackupState:
        """Begin it when it is time, and say how far it is. ``position``: up to where ClickHouse has the log. Raises
        ClickHouseUnavailable."""
        if not self._has_begun:
            if position < self._end and now < self._begins_by:
                return BackupState(state="waiting")
            self._is_behind = position < self._end
            self._begin(client)
        ((status, error),) = client.rows(PROGRESS, id=self.name)
        if status == "BACKUP_CREATED":
            return BackupState(state="done", folder=str(self._folder), is_behind=self._is_behind)
        if status == "CREATING_BACKUP":
            return BackupState(state="running", is_behind=self._is_behind)
        return BackupState(state="failed", reason=f"{status}: {error}")

    def _begin(self, client: ClickHouse) -> None:
        forget_backups(self._data_dir)
        make_folder(self._folder.parent)
        client.command(f"BACKUP DATABASE `{DATABASE}` TO File('{self.name}') SETTINGS id = '{self.name}' ASYNC")
        self._has_begun = True


def forget_backups(data_dir: Path) -> None:
    """Delete what commands that were killed have left in the engine's folder: no erasure would reach it."""
    shutil.rmtree(_backups(data_dir), ignore_errors=True)


def restore(data_dir: Path, backup: Path) -> None:
    """Make the embedded engine's data in ``data_dir``, which has none, from a backup. Raises Unavailable when
    ClickHouse cannot, OSError."""
    folder = _backups(data_dir) / NAMED
    make_folder(folder.parent)
    shutil.copytree(backup, folder)
    try:
        client = ClickHouse.open(ClickHouseSettings(), data_dir)
        try:
            client.command(f"RESTORE DATABASE `{DATABASE}` FROM File('{NAMED}')")
        finally:
            client.close()
    except ClickHouseUnavailable as error:
        raise Unavailable(f"ClickHouse: {error.reason}") from error
    forget_backups(data_dir)


def _backups(data_dir: Path) -> Path:
    return data_dir / "clickhouse" / BACKUPS
