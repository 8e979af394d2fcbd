"""Reads the journal for a check."""

import asyncio
from collections.abc import Awaitable, Callable
from typing import TypeVar

from cluster.doctor.findings import Installation
from cluster.installation.embedded import journal_dsn
from cluster.journal.journal import Journal

T = TypeVar("T")

WAIT_S = 5.0
"""How long one statement of a check may take."""


def read_journal(installation: Installation, read: Callable[[Journal], Awaitable[T]]) -> T:
    """What ``read`` finds in the journal. Raises Unavailable."""
    return asyncio.run(_read(installation, read))


async def _read(installation: Installation, read: Callable[[Journal], Awaitable[T]]) -> T:
    journal = Journal(journal_dsn(installation.settings), application="doctor", connections=1, max_wait_s=WAIT_S)
    await journal.open()
    try:
        return await read(journal)
    finally:
        await journal.close()
