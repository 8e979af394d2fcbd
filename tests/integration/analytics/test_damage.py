"""Parts that ClickHouse cannot read are found at the start and reported; timelines are marked as possibly
incomplete."""

import asyncio
import shutil
import subprocess
import sys
from pathlib import Path

import pytest

from actors.recorder import Recorder
from analytics.client import ClickHouse
from analytics.damage import Damage, find_damage
from tests.integration.analytics.recording import QUICK, SETTINGS, ListLog

FILL = """
import sys
from pathlib import Path
from analytics.client import ClickHouse
from analytics.engine import open_engine
from cluster.clickhouse_dsn import DATABASE
from cluster.installation.private_files import make_folder
folder = Path(sys.argv[1]) / "clickhouse"
make_folder(folder)
engine = open_engine(folder)
client = ClickHouse(engine, DATABASE)
client.migrate()
engine.command("SYSTEM STOP MERGES events")
for message in ("msg_1", "msg_2"):
    engine.command(
        "INSERT INTO events (event_id, at, tenant_id, message_id, event) "
        f"VALUES ('{message}', toDateTime64('2026-04-05 00:00:00', 3), 'tnt_1', '{message}', 'delivered')"
    )
client.close()
"""


@pytest.fixture
def part(tmp_path: Path) -> Path:
    """The folder of the part with the event of msg_1, from an engine that has ended. The engine runs in a separate
    process, since a process that has opened an engine cannot open it again on damaged files like a new process."""
    subprocess.run([sys.executable, "-c", FILL, str(tmp_path)], check=True, capture_output=True)
    return min((tmp_path / "clickhouse" / "data" / "postray" / "events").glob("202604_*")).resolve()


def truncated(part: Path) -> None:
    with (part / "data.bin").open("r+b") as file:
        file.truncate(10)


def without_data(part: Path) -> None:
    (part / "data.bin").unlink()


def with_garbage(part: Path) -> None:
    (part / "checksums.txt").write_text("garbage", encoding="ascii")


def without_columns(part: Path) -> None:
    (part / "columns.txt").unlink()


@pytest.mark.parametrize("damage", [truncated, without_data, with_garbage, without_columns])
async def test_a_damaged_part_is_told_and_timelines_are_incomplete(part: Path, tmp_path: Path, damage: object) -> None:
    assert callable(damage)
    damage(part)
    recorder = Recorder(SETTINGS, tmp_path, ListLog(), pacing=QUICK, look_for_damage_s=0.0)  # type: ignore[arg-type]
    await recorder.start()
    try:
        problem = await recorder.problem()
        assert problem is not None
        assert problem.startswith("degraded: ClickHouse set 1 damaged part aside (events/broken-on-start_202604_")
        lost, there = await recorder.timeline("tnt_1", "msg_1"), await recorder.timeline("tnt_1", "msg_2")
        assert (lost.events, lost.incomplete) == ([], True)
        assert ([event.event_type for event in there.events], there.incomplete) == (["delivered"], True)
        # An operator removes it like this.
        for folder in (tmp_path / "clickhouse" / "store").glob("*/*/detached/*"):
            shutil.rmtree(folder)
        while await recorder.problem() is not None:
            await asyncio.sleep(0.01)
        assert not (await recorder.timeline("tnt_1", "msg_2")).incomplete
    finally:
        await recorder.stop()


def test_without_damage_nothing_is_found(clickhouse: ClickHouse) -> None:
    assert find_damage(clickhouse) == Damage()


def test_damage_to_other_tables_is_told_and_makes_no_timeline_incomplete() -> None:
    damage = Damage(("migrations/broken_all_1_1_0",))
    assert not damage.of_events
    assert "1 damaged part aside" in str(damage)
    many = Damage(tuple(f"events/broken_{i}" for i in range(5)))
    assert many.of_events
    assert str(many).count("broken") == 3
