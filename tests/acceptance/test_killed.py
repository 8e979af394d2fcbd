"""SIGKILL of all processes that Ctrl-C would reach, and of others: the next ``up`` ends the processes that are left."""

import os
import signal
from pathlib import Path

import psutil

from cluster.installation import run_folder, running
from tests.acceptance.running import RunningPostray, is_alive


def test_the_next_up_ends_what_ray_left_after_a_kill_of_the_group(tmp_path: Path) -> None:
    postray = RunningPostray(tmp_path)
    postray.start()
    # Processes that started after it had recorded its own, and those that lead their own groups.
    told = postray.run
    postray.kill_actor("scheduler")
    os.killpg(os.getpgid(told.pid), signal.SIGKILL)
    postray.over()
    folder = run_folder.find(tmp_path)
    assert folder is not None
    # As if it had been killed before it recorded its processes.
    running.forget_run(tmp_path)
    left = running.leftovers(tmp_path)
    assert left, "Ray ended by itself at once: nothing is tested"
    # A process of another Ray, with its logs elsewhere.
    with (tmp_path / "log").open("wb") as log, psutil.Popen(["sleep", "600"], stdout=log) as other:
        postray.start()
        assert not [mark for mark in left if is_alive(mark)]
        assert other.is_running()
        other.kill()
    postray.stop()
    assert run_folder.find(tmp_path) is None
