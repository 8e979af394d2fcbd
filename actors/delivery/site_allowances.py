"""Sources in warm-up: each site takes portions of the day's cap, which all actors share, from the journal."""

from actors.delivery.giving_back import GivingBack
from actors.delivery.site import Site, Withdrawn
from actors.delivery.site_turns import SiteTurns
from actors.delivery.sites import Sites
from cluster.journal.journal import Journal
from cluster.routing.active_policy import ActivePolicy


class SiteAllowances:
    def __init__(
        self, journal: Journal, active_policy: ActivePolicy, turns: SiteTurns, giving_back: GivingBack, sites: Sites
    ) -> None:
        self._journal = journal
        self._active_policy = active_policy
        self._turns = turns
        self._giving_back = giving_back
        self._sites = sites

    async def grant(self) -> None:
        """Renew the allowances, and take portions of the day's caps for those that run short. Raises Unavailable."""
        day = self._active_policy.today()
        for site in self._sites:
            place, allowance = site.destination, site.allowance
            if allowance is None:
                continue
            allowance.renew(day, self._active_policy.routing.cap(place.source, place.site, day))
            if not self._active_policy.is_exhausted(place.source, place.site):
                allowance.reopen()
            if (want := allowance.wanted()) and allowance.cap is not None:
                granted = await self._journal.warm_up.take(place.source, place.site, day, want, allowance.cap)
                allowance.granted(day, want, granted)
                self._turns.look_at(site)
            if allowance.is_exhausted and site.queue:
                # Another source of the pool may take these from the lane.
                await self._giving_back.give_back(Withdrawn(site, site.queue.clear(), []))

    async def leave(self, site: Site) -> None:
        """Give back the unused part of a site's allowance. Raises Unavailable."""
        if site.allowance is not None and (left := site.allowance.leave()):
            place = site.destination
            await self._journal.warm_up.give_back(place.source, place.site, site.allowance.day, left)
