"""Questions to the recorder, which has the counts, and to the directory for a tenant's time zone."""

import asyncio
import logging
from collections.abc import Awaitable, Callable
from typing import Any
from zoneinfo import ZoneInfo

from analytics.statistics import Count, Names, Statistics
from api.http.sharing import FairShare
from cluster.intake.backpressure import Overloaded
from cluster.tenancy.directory import TenantDirectory

log = logging.getLogger(__name__)

MAX_WAIT_S = 12.0
"""More than a query may take, as it may wait for the question of another process."""
MAX_TURN_S = 30.0
NOT_NOW = "Events cannot be counted now; try again later"
TOO_MANY = "Too many counts at once; try again later"

AskRecorder = Callable[[str, Statistics | Names], Awaitable[Any]]
"""Calls a method of the recorder: ``statistics`` or ``categories``."""


class Counting:
    """What the routes of statistics ask. One question is asked at a time, tenant by tenant."""

    def __init__(self, ask: AskRecorder, directory: TenantDirectory) -> None:
        self._ask = ask
        self._directory = directory
        self._turns = FairShare(1, 1, MAX_TURN_S, TOO_MANY)

    async def zone(self, tenant_id: str) -> ZoneInfo:
        """The zone of the tenant's days. Raises Unavailable."""
        tenant = await self._directory.tenant(tenant_id)
        return ZoneInfo(tenant.settings.time_zone if tenant is not None else "UTC")

    async def counts(self, wanted: Statistics) -> list[Count]:
        """Raises Overloaded."""
        found: list[Count] = await self._asked("statistics", wanted)
        return found

    async def categories(self, wanted: Names) -> list[str]:
        """Raises Overloaded."""
        found: list[str] = await self._asked("categories", wanted)
        return found

    async def _asked(self, method: str, wanted: Statistics | Names) -> Any:
        async with self._turns.hold(wanted.tenant_id, 1):
            try:
                async with asyncio.timeout(MAX_WAIT_S):
                    return await self._ask(method, wanted)
            except Exception as error:
                # Whatever the problem with the event store or the network is.
                log.warning("not counted tenant=%s reason=%r", wanted.tenant_id, error)
                raise Overloaded(NOT_NOW) from error
