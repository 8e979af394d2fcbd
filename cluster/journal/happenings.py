"""The journal's part for what happened to processes and to the journal itself: each process notes it, with its exact
times, as soon as the journal takes it. The flight recorder copies the notes (``actors/sampling``), so that it tells of
the time in which it was away itself.
"""

from collections.abc import Sequence

from msgspec import Struct
from psycopg import AsyncConnection

from cluster.journal.database import JournalPart, execute, failures_named

CONNECT_S = 5


class Happening(Struct, frozen=True, kw_only=True):
    """Times are in seconds since the epoch."""

    kind: str
    """A ``HappeningKind``, or one of a later release."""
    actor: str
    """Whose process it was; "" where it is no actor's own."""
    began_at: float
    ended_at: float


class HappeningNotes(JournalPart):
    """Read by the flight recorder."""

    async def since(self, age_s: float, most: int) -> list[Happening]:
        """What was noted within so many seconds, the newest first, at most so many."""
        found = await self._database.rows("happenings_since", age_s=age_s, most=most)
        return [
            Happening(kind=kind, actor=actor, began_at=began, ended_at=ended) for kind, actor, began, ended in found
        ]


async def note(dsn: str, application: str, some: Sequence[Happening]) -> None:
    """Note them over a connection that is opened for it: this is rare. Raises Unavailable."""
    async with (
        failures_named(),
        await AsyncConnection.connect(
            dsn, autocommit=True, application_name=application, connect_timeout=CONNECT_S
        ) as connection,
    ):
        await execute(
            connection,
            "note_happenings",
            kinds=[one.kind for one in some],
            actors=[one.actor for one in some],
            began=[one.began_at for one in some],
            ended=[one.ended_at for one in some],
        )
