"""The journal's part for sources in warm-up: how much of each daily cap was granted.

A grant is committed before a message is sent under it, and never exceeds the rest of the cap. So the caps hold across
the cluster and after a SIGKILL. The unused part of a killed owner's portion is lost for the day.
"""

from datetime import date

from msgspec import Struct

from cluster.journal.database import JournalPart


class WarmUpDay(Struct, frozen=True, array_like=True):
    """The grants of one source for one site on a day."""

    source: str
    site: str
    granted: int
    cap: int
    """The cap at the last request; the active routing may have another one now."""


class WarmUps(JournalPart):
    """Grants portions of daily caps. Days are in UTC. The caller passes the caps (``Routing.cap``)."""

    async def take(self, source: str, site: str, day: date, want: int, cap: int) -> int:
        """Take a portion of the rest of ``cap``; returns how many messages, from 0 to ``want``. ``want`` ≥ 1."""
        row = await self._database.row("take_warm_up", source=source, site=site, day=day, want=want, cap=cap)
        assert row is not None
        return int(row[0])

    async def give_back(self, source: str, site: str, day: date, count: int) -> None:
        """Return the unused part of a portion of that day, so that it can be granted again. Do not retry this after a
        failure: an amount that is returned twice is granted twice."""
        await self._database.execute("give_back_warm_up", source=source, site=site, day=day, count=count)

    async def exhausted(self, day: date) -> list[WarmUpDay]:
        """The sources and sites whose last known cap is used up for the day."""
        return [WarmUpDay(*row) for row in await self._database.rows("exhausted_warm_ups", day=day)]

    async def usage(self, day: date, limit: int) -> list[WarmUpDay]:
        """The grants of a day by source, the largest first."""
        return [WarmUpDay(*row) for row in await self._database.rows("warm_up_usage", day=day, limit=limit)]
