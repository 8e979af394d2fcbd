"""What the tests of this folder share."""

from collections.abc import Iterator
from pathlib import Path

import pytest

from tests.integration.cluster.hosted import Process, Started


@pytest.fixture
def started(journal_dsn: str) -> Iterator[Started]:
    """Starts a process of a kind with a data directory; returns when it runs."""
    processes: list[Process] = []

    def start(kind: str, data_dir: Path) -> Process:
        processes.append(Process(kind, journal_dsn, data_dir))
        processes[-1].until_said("running")
        return processes[-1]

    yield start
    for process in processes:
        process.popen.kill()
        process.popen.wait()
