"""A postray on several Ray nodes: what ``postray down`` answers is told."""

import subprocess
from pathlib import Path

import pytest

from benchmarks.cluster_postray import ClusterPostray, DownFailed
from benchmarks.raylets import RayNodes


class EndedNodes(RayNodes):
    """It counts how often it is ended, in place of processes."""

    def __init__(self) -> None:
        self.ended = 0

    def end(self) -> None:
        self.ended += 1


class Answered(ClusterPostray):
    """``postray down`` has answered this."""

    def __init__(self, folder: Path, answer: subprocess.CompletedProcess[str] | subprocess.TimeoutExpired) -> None:
        super().__init__(folder, {}, 3)
        self._answer = answer
        self._ray = self.nodes = EndedNodes()

    def command(
        self, *arguments: str, cwd: Path | None = None, max_wait_s: float = 0
    ) -> subprocess.CompletedProcess[str]:
        assert arguments == ("down",)
        if isinstance(self._answer, subprocess.TimeoutExpired):
            raise self._answer
        return self._answer


@pytest.mark.parametrize(
    ("answer", "told"),
    [
        (subprocess.CompletedProcess(["down"], 1, "", "Error: actors.scheduler: Ray does not end it"), "Ray does not"),
        (subprocess.TimeoutExpired(["down"], 60), "no end after 60 s"),
    ],
)
def test_a_down_that_fails_is_told_and_ray_ends_all_the_same(
    tmp_path: Path, answer: subprocess.CompletedProcess[str] | subprocess.TimeoutExpired, told: str
) -> None:
    postray = Answered(tmp_path, answer)
    with pytest.raises(DownFailed, match=told):
        postray.stop()
    assert postray.nodes.ended == 1


def test_nothing_is_told_of_one_that_did_what_it_should(tmp_path: Path) -> None:
    postray = Answered(tmp_path, subprocess.CompletedProcess(["down"], 0, "stopped", ""))
    assert postray.stop() == []
    assert postray.nodes.ended == 1
    assert postray.stop() == []
