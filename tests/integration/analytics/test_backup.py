"""A backup of the embedded engine, by its own BACKUP: it waits for the event log, and what is left of one goes."""

from pathlib import Path

import pytest

from analytics.backup import BEHIND_S, BackupState, ClickHouseBackup, forget_backups
from analytics.client import ClickHouse
from analytics.rows import columns
from tests.unit.analytics.samples import delivered
from tests.waiting import until


@pytest.mark.parametrize(("position", "now", "is_behind"), [((7, 3), 1.0, False), ((7, 2), 1.0 + BEHIND_S, True)])
async def test_a_backup_waits_for_what_the_log_had_but_not_for_ever(
    clickhouse: ClickHouse, tmp_path: Path, position: tuple[int, int], now: float, is_behind: bool
) -> None:
    clickhouse.insert(columns([delivered()]))
    backup = ClickHouseBackup("one", tmp_path, (7, 3), 0.0)
    assert backup.step(clickhouse, (7, 2), 1.0).state == "waiting"
    states: list[BackupState] = []

    async def is_done() -> bool:
        states.append(backup.step(clickhouse, position, now))
        return states[-1].state != "running"

    await until(is_done)
    assert (states[-1].state, states[-1].is_behind) == ("done", is_behind)
    assert (Path(states[-1].folder) / ".backup").is_file()
    forget_backups(tmp_path)
    assert not Path(states[-1].folder).exists()
