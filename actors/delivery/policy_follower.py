"""Following the active policy, which operators and automation change: every site applies it within a second."""

from actors.delivery.giving_back import GivingBack
from actors.delivery.site_turns import SiteTurns
from actors.delivery.sites import Sites
from cluster.routing.active_policy import ActivePolicy


class PolicyFollower:
    def __init__(self, active_policy: ActivePolicy, turns: SiteTurns, giving_back: GivingBack, sites: Sites) -> None:
        self._active_policy = active_policy
        self._turns = turns
        self._giving_back = giving_back
        self._sites = sites

    async def follow(self) -> None:
        """Load the active policy and apply it to the sites. Raises Unavailable."""
        change = await self._active_policy.follow()
        for site in self._sites if change else ():
            if change.policies:
                self._sites.shape(site)
            for name, tenant_id in change.ended:
                if name in ("", site.destination.site):
                    site.resume(tenant_id)
            if change.begun:
                self._giving_back.later(self._sites.suspend_if_due(site))
            self._turns.look_at(site)
        # Only now: a change is returned once, and must reach every site even if the journal does not answer.
        await self._giving_back.withdrawn()
