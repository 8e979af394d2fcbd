"""One running postray for the acceptance tests that leave it as they found it."""

import signal
from collections.abc import AsyncIterator, Iterator

import pytest

from tests.acceptance.running import Client, RunningPostray


@pytest.fixture(scope="package")
def postray(tmp_path_factory: pytest.TempPathFactory) -> Iterator[RunningPostray]:
    """Ends before the tests of other folders begin: it takes its part of the machine even when it is idle."""
    postray = RunningPostray(tmp_path_factory.mktemp("postray"))
    postray.start()
    yield postray
    postray.stop(signal.SIGTERM)  # as a service manager does


@pytest.fixture(autouse=True)
def nothing_left_running() -> Iterator[None]:
    """Whatever a test that failed has left running would slow down all that come after it."""
    before = set(RunningPostray.alive)
    yield
    for postray in RunningPostray.alive - before:
        postray.kill()


@pytest.fixture
async def client(postray: RunningPostray) -> AsyncIterator[Client]:
    client = Client(postray)
    yield client
    await client.close()
