"""The resources that the embedded engine uses, measured in a separate process."""

import subprocess
import sys
from pathlib import Path

import msgspec
from msgspec import Struct

# Pages as large as the recorder inserts, of the smallest events, so that each has the most events.
PROGRAM = """
import sys
from pathlib import Path
import msgspec
from actors.recorder import PACING
from analytics import queries
from analytics.client import ClickHouse
from cluster.events import decode_batch, encode_batch
from analytics.rows import columns
from cluster.settings import ClickHouseSettings
from tests.unit.analytics.samples import processed

def own_mb():
    (line,) = [line for line in Path("/proc/self/status").read_text().splitlines() if line.startswith("RssAnon")]
    return int(line.split()[1]) / 1024

clickhouse = ClickHouse.open(ClickHouseSettings(), Path(sys.argv[1]))
clickhouse.migrate()
many = PACING.page_bytes // len(encode_batch([processed()]))
taken = [own_mb()]
for page in range(10):
    batch = encode_batch([processed(page * many + n, message_id=f"msg_{n}") for n in range(many)])
    clickhouse.insert(columns(decode_batch(batch)))
    taken.append(own_mb())
events = len(queries.timeline(clickhouse, "tnt_1", "msg_7"))
loaded = sorted({"numpy", "pandas", "pyarrow"} & set(sys.modules))
print(msgspec.json.encode({"events": events, "own_mb": max(taken), "loaded": loaded}).decode())
"""


class Taken(Struct, frozen=True):
    events: int
    own_mb: float
    """Memory that is not file-backed; the library's pages come on top, at most about 190 MB."""
    loaded: list[str]


def test_a_process_that_records_and_reads_stays_small(tmp_path: Path) -> None:
    run = subprocess.run(
        [sys.executable, "-c", PROGRAM, str(tmp_path)], capture_output=True, text=True, timeout=60, check=False
    )
    assert run.returncode == 0, run.stderr
    taken = msgspec.json.decode(run.stdout, type=Taken)
    assert taken.events == 10
    assert taken.loaded == []
    assert taken.own_mb < 185  # 166 to 174 were measured: it depends on when parts are merged
