"""The journal's part for what operators did: who, when, from where, the command, and what became of it.

A command is noted before it is done, so that none is done without a note; its outcome is added afterwards. What an
operator does again and again within an hour, with nothing else between, is one row with a count: long commands ask the
API once for each part.
"""

from datetime import datetime
from typing import Literal, get_args

from msgspec import Struct

from cluster.journal.database import JournalPart, Row

NEWEST = 2**63 - 1
"""As ``before``: from the newest on."""
DONE = "done"

Way = Literal["console", "http", "command"]
WAYS: tuple[Way, ...] = get_args(Way)


class Doer(Struct, frozen=True, kw_only=True):
    """Who does something."""

    way: Way
    operator: str
    """The name of the token; of a command, the user and the host."""
    address: str = ""
    """Of the client, where there is one."""


class OperatorCommand(Struct, frozen=True, kw_only=True):
    """A command of an operator."""

    id: int
    at: datetime
    doer: Doer
    command: str
    subject: str
    """What it was done to: an id or a site's name."""
    outcome: str
    """"" while it is being done, or when the process ended meanwhile."""
    times: int
    last_at: datetime | None
    """The last of several times."""


class OperatorAudit(JournalPart):
    """Writes and reads what operators did."""

    async def begin(self, at: datetime, doer: Doer, command: str, subject: str) -> int:
        """Note a command that is about to be done; returns its number."""
        row = await self._database.row(
            "begin_operator_command",
            at=at,
            operator=doer.operator,
            way=doer.way,
            address=doer.address,
            command=command,
            subject=subject,
        )
        assert row is not None
        return int(row[0])

    async def end(self, id: int, outcome: str) -> None:
        if outcome == DONE and await self._database.execute("repeat_operator_command", id=id, outcome=outcome):
            return
        await self._database.execute("end_operator_command", id=id, outcome=outcome)

    async def latest(self, before: int, limit: int) -> list[OperatorCommand]:
        """The commands with numbers below ``before``, the newest first."""
        return [_command(row) for row in await self._database.rows("operator_commands", before=before, limit=limit)]

    async def find(self, id: int) -> OperatorCommand | None:
        row = await self._database.row("operator_command", id=id)
        return _command(row) if row is not None else None


def _command(row: Row) -> OperatorCommand:
    id, at, operator, way, address, command, subject, outcome, times, last_at = row
    return OperatorCommand(
        id=id,
        at=at,
        doer=Doer(way=way, operator=operator, address=address),
        command=command,
        subject=subject,
        outcome=outcome,
        times=times,
        last_at=last_at,
    )
