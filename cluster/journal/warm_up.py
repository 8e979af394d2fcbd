"""The journal's part for sources in warm-up: how much of each day's caps was granted.

A grant is committed before a message leaves on it, and is never more than the cap leaves: so the caps hold across the
cluster and over any SIGKILL. What a killed owner had not used of its portion is lost for the day.
"""

from datetime import date

from msgspec import Struct

from cluster.journal.database import JournalPart


class WarmUpDay(Struct, frozen=True, array_like=True):
    """What was granted of one source's cap for one site on a day."""

    source: str
    site: str
    granted: int
    cap: int
    """As it was when last asked for; the routing in force may say otherwise by now."""


class WarmUps(JournalPart):
    """Days are those of UTC. The caps are the caller's (``Routing.cap``)."""

    async def take(self, source: str, site: str, day: date, want: int, cap: int) -> int:
        """Take a portion of what is left of ``cap``: as many as wanted, or fewer, or none. ``want`` ≥ 1."""
        row = await self._database.row("take_warm_up", source=source, site=site, day=day, want=want, cap=cap)
        assert row is not None
        return int(row[0])

    async def give_back(self, source: str, site: str, day: date, count: int) -> None:
        """Give back what was taken on that day and is not used, so that it can be granted again. Not to be repeated
        when it fails: twice given back would be granted twice."""
        await self._database.execute("give_back_warm_up", source=source, site=site, day=day, count=count)

    async def exhausted(self, day: date) -> list[WarmUpDay]:
        """What has no room left for the day by the cap that was last asked for."""
        return [WarmUpDay(*row) for row in await self._database.rows("exhausted_warm_ups", day=day)]

    async def usage(self, day: date, limit: int) -> list[WarmUpDay]:
        """What was granted on a day, by source, the most first."""
        return [WarmUpDay(*row) for row in await self._database.rows("warm_up_usage", day=day, limit=limit)]

    async def trim(self, before: date, limit: int = 10_000) -> int:
        """Forget the days before that one; at most so many rows at once, returns how many."""
        return await self._database.execute("trim_warm_ups", before=before, limit=limit)
