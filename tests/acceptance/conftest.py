"""One running postray for the acceptance tests that do not change its state."""

import signal
from collections.abc import AsyncIterator, Iterator

import pytest

from tests.acceptance.running import Client, RunningPostray


@pytest.fixture(scope="package")
def postray(tmp_path_factory: pytest.TempPathFactory) -> Iterator[RunningPostray]:
    """A running postray. It ends before the tests of other folders begin, since it uses the machine even when idle."""
    postray = RunningPostray(tmp_path_factory.mktemp("postray"))
    postray.start()
    yield postray
    postray.stop(signal.SIGTERM)  # as a service manager does


@pytest.fixture(scope="module", autouse=True)
def nothing_left_running() -> Iterator[None]:
    """End the processes that a failed test has left, which would slow down all later tests."""
    before = set(RunningPostray.alive)
    yield
    for postray in RunningPostray.alive - before:
        postray.kill()


@pytest.fixture
async def client(postray: RunningPostray) -> AsyncIterator[Client]:
    client = Client(postray)
    yield client
    await client.close()
