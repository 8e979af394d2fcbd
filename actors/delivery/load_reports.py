"""What this actor carries: measured as transactions end, reported to the journal every few seconds.

The scheduler's process makes the assignment of it (actors/balancing.py).
"""

from collections.abc import Callable, Mapping

from actors.delivery.ownership import Ownership
from actors.delivery.sites import Sites
from cluster.journal.journal import Journal
from cluster.policy.balance.loads import ActorLoad, DestinationLoad, Rates
from cluster.policy.balance.splitting import MOST_OF_IT, hot_s
from cluster.policy.routes.destinations import Destination

REPORT_S = 10.0


class LoadReports:
    """``clock``: monotonic seconds. ``worked_s``: seconds for which the event loop has worked."""

    def __init__(
        self,
        journal: Journal,
        ownership: Ownership,
        sites: Sites,
        rates: Rates,
        clock: Callable[[], float],
        worked_s: Callable[[], float],
    ) -> None:
        self._journal = journal
        self._ownership = ownership
        self._sites = sites
        self._rates = rates
        self._clock = clock
        self._worked_s = worked_s
        self._measured_at, self._worked_before_s = clock(), worked_s()
        self._hot: Mapping[Destination, float] = {}
        """For how long this actor has stood at its limit because of these."""

    async def report_if_due(self) -> None:
        """Report when ``REPORT_S`` are over. Raises Unavailable."""
        if self._clock() - self._measured_at >= REPORT_S:
            await self.report()

    async def report(self) -> None:
        """Report what was carried until now. Raises Unavailable."""
        now, worked_s = self._clock(), self._worked_s()
        passed_s = now - self._measured_at
        busy = (worked_s - self._worked_before_s) / passed_s
        self._measured_at, self._worked_before_s = now, worked_s
        self._rates.pass_time(passed_s)
        named = self._ownership.assignment.placed
        heaviest = self._rates.heaviest(lambda place: str(place) in named)
        self._hot = self._hotter(heaviest, busy, passed_s)
        load = ActorLoad(
            destinations=tuple(self._load(place, per_min) for place, per_min in heaviest.items()),
            others=self._rates.others(heaviest),
        )
        await self._journal.balance.report(self._ownership.name, load)

    def _hotter(self, heaviest: Mapping[Destination, float], busy: float, passed_s: float) -> dict[Destination, float]:
        total = self._rates.per_min
        found = {}
        for place, per_min in heaviest.items():
            if (part := per_min / total) >= MOST_OF_IT and (site := self._sites.get(place)) is not None:
                found[place] = hot_s(self._hot.get(place, 0.0), passed_s, busy=busy, part=part, waits=bool(site.queue))
        return found

    def _load(self, place: Destination, per_min: float) -> DestinationLoad:
        site = self._sites.get(place)
        return DestinationLoad(
            name=str(place),
            per_min=per_min,
            hot_s=self._hot.get(place, 0.0),
            most_shares=1 if site is None else site.throttle.most_shares(),
            stays=site is not None and site.adjustments.is_lowered,
        )
