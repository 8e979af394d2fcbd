"""The embedded engine on confined threads: what no check of a query holds back, the kernel does."""

import json
import subprocess
import sys
import venv
from pathlib import Path

import pytest

from cluster.installation import confinement
from tests.documents import ROOT

pytestmark = pytest.mark.skipif(not confinement.version(), reason="this kernel has no Landlock")

PROGRAM = """
import json, sys, threading
from pathlib import Path
from analytics.client import keep_temporary_files_in
from analytics.door.server import confinement_of
from analytics.engine import connect
from cluster.settings import ClickHouseSettings

data_dir, outside = Path(sys.argv[1]), sys.argv[2]
sys.path.insert(0, str(data_dir))  # as Ray does in its workers
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
    ask(connection, "settings", f"SELECT file('{data_dir.parent}/postray.toml')")
    connection.close()

thread = threading.Thread(target=work)
thread.start()
thread.join()
print(json.dumps({**found, "others": Path(outside).read_text()}))
"""


@pytest.fixture
def folder(tmp_path: Path) -> Path:
    """A virtual environment, in which the settings and the data directory are as well. Its packages come by a .pth."""
    folder = tmp_path / "postray"
    venv.EnvBuilder(symlinks=True).create(folder)
    (site_packages,) = folder.glob("lib/python*/site-packages")
    (site_packages / "others.pth").write_text("\n".join([str(ROOT), *filter(None, sys.path)]))
    (folder / "postray.toml").write_text("secret = 'secret'")
    (folder / "data").mkdir()
    (folder / "data" / "secret.key").write_text("secret")
    return folder


def test_the_engine_opens_its_own_folder_only(tmp_path: Path, folder: Path) -> None:
    outside = tmp_path / "outside"
    outside.write_text("secret")
    ended = subprocess.run(
        [folder / "bin" / "python", "-c", PROGRAM, str(folder / "data"), str(outside)],
        cwd=tmp_path,
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
