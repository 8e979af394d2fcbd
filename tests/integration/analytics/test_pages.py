"""Released memory returns to the system, and no needed memory is lost."""

import subprocess
import sys
from pathlib import Path

from analytics.pages import page_out

# A separate process: only there the library is newly loaded, and the engine is not shared.
PROGRAM = """
import sys
from pathlib import Path
import psutil
from analytics.client import ClickHouse
from analytics.engine import LIBRARY
from analytics.pages import page_out
from cluster.settings import ClickHouseSettings
def library_mb():
    maps = [map for map in psutil.Process().memory_maps() if Path(map.path).name == LIBRARY]
    return sum(map.rss for map in maps) >> 20, sum(map.private_clean for map in maps) >> 20
clickhouse = ClickHouse.open(ClickHouseSettings(), Path(sys.argv[1]))
loaded_mb, _ = library_mb()
assert page_out(LIBRARY) > 0, "the library is not where it was looked for"
_, kept_mb = library_mb()
clickhouse.migrate()
assert clickhouse.rows("SELECT count() FROM events") == [(0,)]
print(loaded_mb, kept_mb)
"""


def test_the_engine_works_on_without_the_pages_that_its_loading_took(tmp_path: Path) -> None:
    run = subprocess.run(
        [sys.executable, "-c", PROGRAM, str(tmp_path)], capture_output=True, text=True, timeout=60, check=False
    )
    assert run.returncode == 0, run.stderr
    loaded_mb, kept_mb = map(int, run.stdout.split())
    # The kernel keeps the pages that other processes of this machine have as well, and no others.
    assert loaded_mb > 100 and kept_mb < loaded_mb / 10


def test_a_library_that_is_not_there_is_no_matter() -> None:
    assert page_out("absent.so") == 0
