"""The process that ``postray up --detach`` starts, and the output that is printed."""

import subprocess
import sys
from pathlib import Path
from typing import Any

import pytest
from click.testing import CliRunner

from cluster.cli import main
from cluster.installation import running
from cluster.installation.local_secrets import DEMO_KEY
from cluster.installation.private_files import write_whole

STARTER = """#!{python}
import os, sys
print("API key                 in {key}")
os.write(int(sys.argv[sys.argv.index("--ready-fd") + 1]), b"\\n")
"""


@pytest.mark.parametrize("hides", [True, False])
def test_a_detached_start_prints_the_key_only_where_it_may(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, hides: bool
) -> None:
    data_dir = tmp_path / "data"
    data_dir.mkdir(mode=0o700)
    key = f"sg_live_{'a' * 32}"
    write_whole(data_dir / DEMO_KEY, key.encode())
    starter = tmp_path / "starter"
    starter.write_text(STARTER.format(python=sys.executable, key=data_dir / DEMO_KEY), encoding="ascii")
    starter.chmod(0o700)
    monkeypatch.setattr(sys, "executable", str(starter))
    started: list[subprocess.Popen[bytes]] = []

    class Kept(subprocess.Popen[bytes]):
        """Keep a process that the command leaves running, so that the test can wait for it."""

        def __init__(self, *given: Any, **options: Any) -> None:
            super().__init__(*given, **options)
            started.append(self)

    monkeypatch.setattr(subprocess, "Popen", Kept)
    arguments = ["up", "--detach", *(["--hide-key"] if hides else [])]
    answer = CliRunner(env={"POSTRAY_DATA_DIR": str(data_dir)}).invoke(main, arguments)
    assert [child.wait() for child in started] == [0]
    assert answer.exit_code == 0, answer.output
    assert ((key in answer.output), (str(data_dir / DEMO_KEY) in answer.output)) == (not hides, hides)
    assert key not in (data_dir / "logs" / "up.out").read_text(encoding="utf-8")


def test_a_detached_start_runs_nothing_of_the_current_folder(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, strangers_folder: Path
) -> None:
    data_dir = tmp_path / "data"
    data_dir.mkdir(mode=0o700)
    monkeypatch.chdir(strangers_folder)
    # The started process stops at this lock.
    with running.DataLock(data_dir):
        answer = CliRunner(env={"POSTRAY_DATA_DIR": str(data_dir)}).invoke(main, ["up", "--detach"])
    assert "already running" in answer.output
