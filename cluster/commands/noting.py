"""Notes a command that asks no API, in the journal of a running postray. What cannot be noted is done in any case."""

import asyncio

import psycopg

from cluster.access.noting import Notes
from cluster.commands import doing
from cluster.commands.output import errors
from cluster.installation.embedded import journal_dsn
from cluster.journal.journal import Journal, Rejected, Unavailable
from cluster.journal.operator_audit import Doer
from cluster.printable import printable
from cluster.settings import Settings

JOURNAL_S = 5.0
"""How long the journal may take: the command is done in any case."""


def note(settings: Settings, subject: str, outcome: str) -> None:
    """Note the command that runs. Where the journal takes no note, as one that cannot be reached, is read-only or of an
    earlier release, it says so."""
    try:
        asyncio.run(_noted(journal_dsn(settings), subject, outcome))
    except TimeoutError:
        _say(f"the journal did not answer in {JOURNAL_S:g} s")
    except (Unavailable, Rejected, psycopg.Error, OSError) as error:
        reason = next(iter(str(error).splitlines()), type(error).__name__)
        _say(f"the journal did not take it ({reason})")


def _say(why: str) -> None:
    errors.print(printable(f"not noted: {why}"), soft_wrap=True, markup=False)


async def _noted(dsn: str, subject: str, outcome: str) -> None:
    doer = Doer(way="command", operator=doing.operator())
    async with asyncio.timeout(JOURNAL_S):
        journal = Journal(dsn, application="cli", connections=1)
        await journal.open()
        try:
            await Notes(journal.operator_audit).done(doer, doing.command_name(), subject, outcome)
        finally:
            await journal.close()
