"""The journal's part for moving deliveries: making deferred ones due now, and giving them another pool or route.

No statement here waits for a row that another transaction has locked: two operators may ask for the same at once.
"""

from collections.abc import Sequence
from enum import StrEnum

from cluster.journal.database import Database
from cluster.journal.operations import Queued
from cluster.journal.records import Waiting

SOON_S = 0.5
"""When what was moved is due: by then, the delivery actor that holds it has let go of it."""


class Wait(StrEnum):
    """What an unfinished delivery waits for."""

    SENDING = "sending"
    """It is on the wire, or about to be."""
    PAUSED = "paused"
    """Its batch is."""
    SCHEDULED = "scheduled"
    """For its send time."""
    DEFERRED = "deferred"
    """For the next attempt."""
    TURN = "turn"
    """It is due: for its turn, or for room at its site."""


class Moving(Database):
    """What operators move."""

    async def waits(self, queued: Sequence[Queued]) -> list[tuple[Queued, Wait]]:
        """What each of these waits for; those that are finished meanwhile are left out."""
        found = await self._rows("waits", **_keys(queued))
        kinds = {(message_id, recipient_no): Wait(kind) for message_id, recipient_no, kind in found}
        return [(one, kinds[key]) for one in queued if (key := (one.message_id, one.recipient_no)) in kinds]

    async def make_due(self, queued: Sequence[Queued]) -> int:
        """Have deferred deliveries tried now; returns how many these were. Rows that are locked are passed over."""
        return await self._execute("make_due", **_keys(queued))

    async def reroute(self, queued: Sequence[Queued], pool: str | None, route: str | None) -> list[Waiting]:
        """Move those that are not being sent to a pool, to a route ("": as the routing says) or both; None leaves it as
        it is. Returns what was moved, as it is now; what was there already is not, nor are rows that are locked."""
        found = await self._rows("reroute", pool=pool, route=route, soon_s=SOON_S, **_keys(queued))
        return [Waiting(*row) for row in found]


def _keys(queued: Sequence[Queued]) -> dict[str, list[str] | list[int]]:
    return {
        "message_ids": [one.message_id for one in queued],
        "recipient_nos": [one.recipient_no for one in queued],
    }
