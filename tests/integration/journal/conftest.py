"""What several tests of the journal use."""

from collections.abc import AsyncIterator

import pytest

from cluster.journal.database import Database
from cluster.journal.rewriting import Rewriting


@pytest.fixture
async def clearing(journal_dsn: str) -> AsyncIterator[Rewriting]:
    """Another process's, which does not wait for long."""
    database = Database(journal_dsn, application="clearing")
    await database.open()
    yield Rewriting(database, again_s=0.05)
    await database.close()
