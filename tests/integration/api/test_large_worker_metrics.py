"""What an API process tells of the worker that takes in large requests."""

import subprocess
import sys
from types import SimpleNamespace
from typing import Any, cast

from api.send.large.frames import Setup
from api.send.large.process import WorkerProcess
from cluster.metrics import read


def told(worker: WorkerProcess) -> dict[str, float]:
    return {one.name.removeprefix("postray_large_worker_"): one.values[""] for one in read(worker)}


def test_of_no_worker_of_one_and_of_one_that_has_ended() -> None:
    worker = WorkerProcess(cast(Setup, None), lambda found: None)
    assert told(worker) == {"cpu_seconds_total": 0, "resident_memory_bytes": 0, "open_fds": 0}
    busy = "import sys; sum(range(3_000_000)); print('done', flush=True); sys.stdin.read()"
    process = subprocess.Popen([sys.executable, "-c", busy], stdin=subprocess.PIPE, stdout=subprocess.PIPE)
    assert process.stdout is not None and process.stdout.readline() == b"done\n"
    worker._process = process
    worker._writer = cast(Any, SimpleNamespace(transport=SimpleNamespace(abort=lambda: None)))
    running = told(worker)
    assert running["cpu_seconds_total"] > 0 and running["resident_memory_bytes"] > 1 << 20 and running["open_fds"] >= 3
    worker.end()
    ended = told(worker)
    assert ended["cpu_seconds_total"] >= running["cpu_seconds_total"], "a counter never falls"
    assert (ended["resident_memory_bytes"], ended["open_fds"]) == (0, 0)
    process.communicate(timeout=10)
    assert process.returncode is not None
