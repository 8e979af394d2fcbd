"""What a delivery actor does every second beside its heartbeat: it follows the active policy, takes allowances for
warm-ups, records automation's actions, drops idle sites, measures what it uses and reports what it carries.
"""

import asyncio
import logging
from collections.abc import Callable
from contextlib import suppress

from actors.delivery.automation import Automation
from actors.delivery.giving_back import GivingBack
from actors.delivery.load_reports import LoadReports
from actors.delivery.policy_follower import PolicyFollower
from actors.delivery.site_allowances import SiteAllowances
from actors.delivery.site_turns import SiteTurns
from actors.delivery.sites import Sites
from actors.delivery.strain import Strain
from cluster.journal.journal import Journal, Unavailable
from cluster.lookup.tls_results import TlsResults

log = logging.getLogger(__name__)

UPKEEP_S = 1.0
COUNTS_S = 30.0
"""Time between two flushes of the counts for TLS reports."""


class Upkeep:
    """``clock``: monotonic seconds."""

    def __init__(
        self,
        journal: Journal,
        turns: SiteTurns,
        giving_back: GivingBack,
        automation: Automation,
        sites: Sites,
        policy_follower: PolicyFollower,
        allowances: SiteAllowances,
        load_reports: LoadReports,
        strain: Strain,
        tls_results: TlsResults,
        clock: Callable[[], float],
    ) -> None:
        self._journal = journal
        self._turns = turns
        self._giving_back = giving_back
        self._automation = automation
        self._sites = sites
        self._policy_follower = policy_follower
        self._allowances = allowances
        self._load_reports = load_reports
        self._strain = strain
        self._tls_results = tls_results
        self._clock = clock
        self._counts_at = clock() + COUNTS_S

    async def run(self) -> None:
        """Run until the actor stops; without waiting if a site needs its allowance."""
        wanted = self._sites.wants_allowance
        while True:
            with suppress(TimeoutError):
                await asyncio.wait_for(wanted.wait(), UPKEEP_S)
            wanted.clear()
            self._strain.measure_if_due()
            try:
                await self._policy_follower.follow()
                await self._allowances.grant()
                await self._record()
                await self._drop_idle()
                await self._load_reports.report_if_due()
            except Unavailable as error:
                log.warning("upkeep failed reason=%r", error.reason)
                await asyncio.sleep(UPKEEP_S)

    async def end(self) -> None:
        """Write to the journal what is only in memory. Raises Unavailable."""
        await self._record()
        await self._tls_results.flush(self._journal.tls_results)
        for site in self._sites:
            await self._allowances.leave(site)

    async def _record(self) -> None:
        await self._giving_back.withdrawn()
        await self._automation.record()
        if self._clock() >= self._counts_at:
            self._counts_at = self._clock() + COUNTS_S
            await self._tls_results.flush(self._journal.tls_results)

    async def _drop_idle(self) -> None:
        for site in self._turns.at_work():
            if not site.is_busy:
                site.progressed()
        for site in self._sites:
            if self._sites.drop_if_idle(site):
                await self._allowances.leave(site)
