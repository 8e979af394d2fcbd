"""What ``postray doctor`` says of the machine, fault by fault."""

import pytest

from cluster.doctor.findings import FindingState
from cluster.doctor.judging.machine import (
    Clock,
    Disk,
    Memory,
    of_clock,
    of_disk,
    of_disk_speed,
    of_memory,
    of_open_files,
)
from cluster.sizes import GB, MB

OK, WARNING, PROBLEM = FindingState
ROOM = Disk(free=100 * GB, inodes=10**7, kind="ext4")


@pytest.mark.parametrize(
    ("clock", "states"),
    [
        (Clock(is_kept=True), [OK]),
        (Clock(is_kept=False), [WARNING]),
        (Clock(is_kept=None), [OK]),
        (Clock(is_kept=True, ahead_s=0.5), [OK, OK]),
        (Clock(is_kept=True, ahead_s=-5.0), [WARNING, OK]),
        (Clock(is_kept=True, ahead_s=5.0, within_s=4.0), [OK, OK]),
        (Clock(is_kept=False, ahead_s=120.0), [PROBLEM, WARNING]),
    ],
)
def test_the_clock(clock: Clock, states: list[FindingState]) -> None:
    assert [finding.state for finding in of_clock(clock)] == states


def test_which_of_two_clocks_is_ahead() -> None:
    ahead, behind = (next(iter(of_clock(Clock(True, seconds)))).text for seconds in (9.0, -9.0))
    assert "this clock is 9 s ahead of that of Postgres" in ahead
    assert "this clock is 9 s behind that of Postgres" in behind


@pytest.mark.parametrize(
    ("disk", "states"),
    [
        (ROOM, [OK]),
        (Disk(free=100 * GB, inodes=None, kind="btrfs"), [OK]),
        (Disk(free=3 * GB, inodes=None, kind=""), [WARNING]),
        (Disk(free=1023 * MB, inodes=None, kind=""), [PROBLEM]),
        (Disk(free=100 * GB, inodes=50, kind="ext4"), [OK, WARNING]),
        (Disk(free=100 * GB, inodes=None, kind="tmpfs"), [OK, PROBLEM]),
    ],
)
def test_the_disk(disk: Disk, states: list[FindingState]) -> None:
    assert [finding.state for finding in of_disk(disk, "/data", 1024 * MB)] == states


@pytest.mark.parametrize(
    ("writes_s", "state"),
    [
        ([0.001, 0.001, 5.0], OK),  # one slow write is no slow disk
        ([0.03] * 3, WARNING),
        ([0.5], PROBLEM),
    ],
)
def test_how_soon_a_write_is_on_the_disk(writes_s: list[float], state: FindingState) -> None:
    assert of_disk_speed(writes_s, "/data").state is state


def test_how_many_commits_that_are() -> None:
    assert "30.0 ms, so there are 33 commits a second" in of_disk_speed([0.03], "/data").text


@pytest.mark.parametrize(("limit", "state"), [(1024, PROBLEM), (10_999, WARNING), (11_000, OK), (2**31, OK)])
def test_open_files(limit: int, state: FindingState) -> None:
    assert of_open_files(limit, 10_000).state is state


@pytest.mark.parametrize(
    ("memory", "state"),
    [
        (Memory(16 * GB, 4 * GB), OK),
        (Memory(16 * GB, 14 * GB), WARNING),
        (Memory(1000 * GB, 960 * GB), PROBLEM),
        (Memory(1 * GB, GB // 2), WARNING),
    ],
)
def test_memory(memory: Memory, state: FindingState) -> None:
    assert of_memory(memory).state is state
