"""The embedded engine on confined threads: what no check of a query holds back, the kernel does."""

import json
import subprocess
import sys
from pathlib import Path

import pytest

from cluster.installation import confinement

pytestmark = pytest.mark.skipif(not confinement.version(), reason="this kernel has no Landlock")

PROGRAM = """
import json, sys, threading
from pathlib import Path
from analytics.client import keep_temporary_files_in
from analytics.door.server import confinement_of
from analytics.engine import connect
from cluster.settings import ClickHouseSettings

data_dir, outside = Path(sys.argv[1]), sys.argv[2]
keep_temporary_files_in(data_dir / "clickhouse" / "tmp-of-test")
confine = confinement_of(data_dir, ClickHouseSettings())
found = {}

def ask(connection, name, query):
    try:
        found[name] = str(connection.query(query, "TSV")).strip()
    except RuntimeError as error:
        found[name] = "Permission denied" if "Permission denied" in str(error) else str(error)[:300]

def work():
    confine()
    connection = connect(data_dir / "clickhouse")
    ask(connection, "create", "CREATE TABLE t (a UInt64) ENGINE = MergeTree ORDER BY a")
    ask(connection, "insert", "INSERT INTO t SELECT number FROM numbers(100000)")
    ask(connection, "merge", "OPTIMIZE TABLE t FINAL")
    ask(connection, "count", "SELECT count() FROM t WHERE a >= 50000 SETTINGS max_threads = 8")
    ask(connection, "scalar", f"SELECT file('{outside}')")
    ask(connection, "table", f"SELECT * FROM file('{outside}', 'LineAsString')")
    ask(connection, "threads", f"SELECT count() FROM file('{outside}', 'LineAsString') SETTINGS max_threads = 8")
    ask(connection, "write", f"SELECT 1 INTO OUTFILE '{outside}.csv'")
    ask(connection, "insert into", f"INSERT INTO FUNCTION file('{outside}.csv', 'CSV') SELECT 1")
    ask(connection, "key", f"SELECT file('{data_dir}/secret.key')")
    connection.close()

thread = threading.Thread(target=work)
thread.start()
thread.join()
print(json.dumps({**found, "others": Path(outside).read_text()}))
"""


def test_the_engine_opens_its_own_folder_only(tmp_path: Path) -> None:
    data_dir, outside = tmp_path / "data", tmp_path / "outside"
    data_dir.mkdir()
    outside.write_text("secret")
    (data_dir / "secret.key").write_text("secret")
    ended = subprocess.run(
        [sys.executable, "-c", PROGRAM, str(data_dir), str(outside)],
        capture_output=True,
        text=True,
        timeout=60,
        check=False,
    )
    assert ended.returncode == 0, ended.stderr
    found = json.loads(ended.stdout.splitlines()[-1])
    assert found.pop("count") == "50000"
    assert found.pop("others") == "secret", "other threads of the process are not confined"
    assert [found.pop(name) for name in ("create", "insert", "merge")] == ["", "", ""]
    assert found == dict.fromkeys(found, "Permission denied")
    assert not list(tmp_path.glob("outside.csv"))
