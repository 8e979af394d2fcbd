"""The events of a message from the event store. They lag by a moment, and are missing while it is unavailable."""

import asyncio
import logging
from collections.abc import Awaitable, Callable

from analytics.queries import MessageEvents
from cluster.ids import is_id

log = logging.getLogger(__name__)

Timeline = Callable[[str, str], Awaitable[MessageEvents]]
"""Returns the events of (tenant id, message id), in order."""

MAX_WAIT_S = 3.0


async def events_of(timeline: Timeline, tenant_id: str, message_id: str) -> MessageEvents | None:
    """The events of a message; None when they cannot be read now, and for text that is not a message id."""
    if not is_id("msg_", message_id):
        return None
    try:
        async with asyncio.timeout(MAX_WAIT_S):
            return await timeline(tenant_id, message_id)
    except Exception as error:
        # The journal's state must stay readable, whatever the problem with the event store or the network.
        log.warning("no timeline message_id=%s reason=%r", message_id, error)
        return None
