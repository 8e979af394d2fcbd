"""SIGKILL while the engine writes: confirmed inserts are there afterwards, and the engine opens."""

import signal
import subprocess
import sys
from pathlib import Path

from analytics.client import ClickHouse
from cluster.settings import ClickHouseSettings

WRITER = """
import sys
from pathlib import Path
from analytics.client import ClickHouse
from analytics.rows import columns
from cluster.settings import ClickHouseSettings
from tests.unit.analytics.samples import processed

client = ClickHouse.open(ClickHouseSettings(), Path(sys.argv[1]))
client.migrate()
for block in range(100_000):
    client.insert(columns([processed(block * 50 + n) for n in range(50)]))
    print(block + 1, flush=True)
"""
BLOCKS = 15


def test_confirmed_inserts_survive_sigkill(tmp_path: Path) -> None:
    confirmed = 0
    for _ in range(2):  # the second writer opens the data of the first, which was killed, and repeats its blocks
        with subprocess.Popen(
            [sys.executable, "-c", WRITER, str(tmp_path)], stdout=subprocess.PIPE, text=True
        ) as writer:
            assert writer.stdout is not None
            for line in writer.stdout:
                if int(line) == BLOCKS:
                    # The writer keeps inserting, so that the kill interrupts an insert or a merge.
                    writer.kill()
                confirmed = max(confirmed, int(line))
        assert writer.returncode == -signal.SIGKILL
    client = ClickHouse.open(ClickHouseSettings(), tmp_path)
    assert client.migrate() == []
    ((events, distinct),) = client.rows("SELECT count(), uniqExact(event_id) FROM events_once")
    client.close()
    assert events == distinct
    assert distinct >= confirmed * 50
    assert distinct % 50 == 0, "a block is there as a whole or not at all"
