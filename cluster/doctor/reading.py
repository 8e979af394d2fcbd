"""Reads for a check: the journal, the policy files, and what packages above know."""

import asyncio
from collections.abc import Awaitable, Callable, Iterator
from pathlib import Path
from typing import TypeVar

from cluster.doctor.findings import Finding, Installation, ok, problem
from cluster.entry_points import CHECKS, NotInstalled, load
from cluster.installation.embedded import journal_dsn
from cluster.journal.journal import Journal
from cluster.policies import BadPolicies, parse_files
from cluster.policy.routes.routing import Routing
from cluster.settings import ClickHouseSettings

T = TypeVar("T")
Look = Callable[[ClickHouseSettings, Path], list[str]]
"""A check of a package above (``entry_points.CHECKS``): returns a line for each thing that is wrong. The path is
data_dir, for what is embedded."""

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


def routing_of(installation: Installation) -> Routing | None:
    """The routing of the file; None where the policy files cannot be used, which another check reports."""
    try:
        return parse_files(installation.settings.delivery)[1]
    except BadPolicies:
        return None


def look_above(
    installation: Installation, name: str, finding: Callable[[str], Finding], otherwise: str
) -> Iterator[Finding]:
    """What a check of a package above finds; ``otherwise`` is said where nothing is wrong."""
    try:
        look: Look = load(CHECKS, name)
    except NotInstalled as error:
        yield problem(str(error))
        return
    found = look(installation.settings.clickhouse, installation.data_dir)
    yield from map(finding, found)
    if not found:
        yield ok(otherwise)
