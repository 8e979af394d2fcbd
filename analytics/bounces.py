"""How many bounces a tenant has had, by day. The event store lags by a moment; without it there is no answer."""

import asyncio
import logging
from collections.abc import Awaitable, Callable, Sequence
from datetime import date

from msgspec import Struct

log = logging.getLogger(__name__)

MAX_WAIT_S = 12.0
"""More than the query may take, as it waits for the recorder's thread."""


class Bounces(Struct, frozen=True, kw_only=True):
    """Which bounces to count, blocked mail among them."""

    tenant_id: str
    first: date
    last: date
    """Both days belong to the range; days are UTC."""
    classes: Sequence[str] | None = None
    """Those of these bounce classes, by the recipients' domain; None: all, by bounce class."""


class BounceCount(Struct, frozen=True):
    """How many bounces of a day have this bounce class, or this domain. ``day``: YYYY-MM-DD."""

    day: str
    name: str
    count: int


CountBounces = Callable[[Bounces], Awaitable[list[BounceCount]]]
"""Counts, by day, the most frequent first."""


async def counted(count: CountBounces, bounces: Bounces) -> list[BounceCount] | None:
    """The counts; None when they cannot be read now."""
    try:
        async with asyncio.timeout(MAX_WAIT_S):
            return await count(bounces)
    except Exception as error:
        # Whatever the problem with the event store or the network is.
        log.warning("bounces not counted tenant=%s reason=%r", bounces.tenant_id, error)
        return None
