"""The journal's part for what operators did: who, when, from where, the command, and what became of it.

A command is noted before it is done, so that none is done without a note; its outcome is added afterwards.
"""

from datetime import UTC, datetime

from msgspec import Struct

from cluster.journal.database import JournalPart

NEWEST = 2**63 - 1
"""As ``before``: from the newest on."""


class OperatorCommand(Struct, frozen=True, kw_only=True):
    """A command of an operator."""

    id: int
    at: datetime
    operator: str
    """The name of the token."""
    address: str
    """Of the client."""
    command: str
    subject: str
    """What it was done to: an id or a site's name."""
    outcome: str
    """"" while it is being done, or when the process ended meanwhile."""


class OperatorAudit(JournalPart):
    """Writes and reads what operators did."""

    async def begin(self, at: datetime, *, operator: str, address: str, command: str, subject: str) -> int:
        """Note a command that is about to be done; returns its number."""
        row = await self._database.row(
            "begin_operator_command", at=at, operator=operator, address=address, command=command, subject=subject
        )
        assert row is not None
        return int(row[0])

    async def end(self, id: int, outcome: str) -> None:
        await self._database.execute("end_operator_command", id=id, outcome=outcome)

    async def latest(self, before: int, limit: int) -> list[OperatorCommand]:
        """The commands with numbers below ``before``, the newest first."""
        return [
            OperatorCommand(
                id=id,
                at=at.astimezone(UTC),
                operator=operator,
                address=address,
                command=command,
                subject=subject,
                outcome=outcome,
            )
            for id, at, operator, address, command, subject, outcome in await self._database.rows(
                "operator_commands", before=before, limit=limit
            )
        ]
