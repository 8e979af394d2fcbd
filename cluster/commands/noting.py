"""Notes a command that asks no API, in the journal of a running postray."""

import asyncio
from datetime import UTC, datetime

from cluster.commands import doing
from cluster.commands.output import errors
from cluster.installation.embedded import journal_dsn
from cluster.journal.journal import Journal, Unavailable
from cluster.journal.operator_audit import Doer
from cluster.settings import Settings

JOURNAL_S = 5.0
"""How long the journal may take: the command is done in any case."""


def note(settings: Settings, subject: str, outcome: str) -> None:
    """Note the command that runs. Says so where the journal cannot be reached."""
    try:
        asyncio.run(_noted(journal_dsn(settings), subject, outcome))
    except (Unavailable, TimeoutError) as error:
        errors.print(f"not noted: the journal cannot be reached ({error})", soft_wrap=True, markup=False)


async def _noted(dsn: str, subject: str, outcome: str) -> None:
    doer = Doer(way="command", operator=doing.operator())
    async with asyncio.timeout(JOURNAL_S):
        journal = Journal(dsn, application="cli", connections=1)
        await journal.open()
        try:
            noted = await journal.operator_audit.begin(datetime.now(UTC), doer, doing.command_name(), subject)
            await journal.operator_audit.end(noted, outcome)
        finally:
            await journal.close()
