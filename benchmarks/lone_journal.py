"""A journal without the rest of postray, over an embedded Postgres in a scratch directory."""

import tempfile
from collections.abc import AsyncIterator
from contextlib import AsyncExitStack, asynccontextmanager
from pathlib import Path
from typing import Any

from msgspec import Struct

from benchmarks.blocking import to_its_end
from cluster.installation.embedded import EmbeddedPostgres
from cluster.journal.journal import Journal, migrate


class LoneJournal(Struct, frozen=True):
    directory: Path
    """The scratch directory, for other files too."""
    postgres: EmbeddedPostgres
    dsn: str
    journal: Journal


@asynccontextmanager
async def lone_journal(name: str, **options: Any) -> AsyncIterator[LoneJournal]:
    """Within this context it is open, with all migrations. ``name``: of the scenario; ``options``: of ``Journal``."""
    async with AsyncExitStack() as stack:
        directory = Path(stack.enter_context(tempfile.TemporaryDirectory(prefix=f"pr-{name}-")))
        postgres = EmbeddedPostgres(directory / "postgres")
        stack.push_async_callback(to_its_end, postgres.stop)
        dsn = await to_its_end(postgres.start)
        await migrate(dsn)
        journal = Journal(dsn, application=name, **options)
        await journal.open()
        stack.push_async_callback(journal.close)
        yield LoneJournal(directory, postgres, dsn, journal)
