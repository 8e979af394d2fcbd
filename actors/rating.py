"""Counts what ended into the rates of tenants, and reports those over a limit; the scheduler runs it."""

import asyncio
import logging

from cluster.journal.journal import Journal, Unavailable
from cluster.journal.tenant_rates import OverRate
from cluster.metrics import Counter
from cluster.tenancy.rates import RateLimits

log = logging.getLogger(__name__)

EVERY_S = 5.0
"""A tenant with bad addresses goes on sending for at most this long, and then what its sites hold."""


class TenantRating:
    """``pause``: whether a tenant over a limit is suspended, unless the tenant has a choice of its own."""

    passed = Counter("postray_tenant_rates_passed_total", "Limits of bounces and complaints that tenants passed.")
    paused = Counter("postray_tenant_rates_paused_total", "Tenants suspended because they passed one.")

    def __init__(self, journal: Journal, limits: RateLimits, *, pause: bool) -> None:
        self._journal = journal
        self._limits = limits
        self._pause = pause

    async def run(self) -> None:
        """Count until cancelled."""
        while True:
            try:
                await self.round()
            except Unavailable as error:
                log.warning("rates not counted reason=%r", error.reason)
            await asyncio.sleep(EVERY_S)

    async def round(self) -> list[OverRate]:
        """Count once. Raises Unavailable."""
        found = await self._journal.tenant_rates.count(self._limits, pause=self._pause)
        for one in found:
            self.passed += len(one.passed)
            self.paused += one.is_paused
            for passed in one.passed:
                log.warning("tenant over a limit tenant=%s rate=%r: %s", one.tenant_id, str(passed.rate), passed)
            if one.is_paused:
                log.warning("tenant suspended tenant=%s", one.tenant_id)
        return found
