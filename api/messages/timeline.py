"""The events of a message, as the event store has them: behind by a moment, and missing while that store is away."""

import asyncio
import logging
from collections.abc import Awaitable, Callable

from analytics.queries import MessageEvents
from cluster.ids import is_id

log = logging.getLogger(__name__)

Timeline = Callable[[str, str], Awaitable[MessageEvents]]
"""The events of (tenant id, message id), in order."""

MAX_WAIT_S = 3.0


async def events_of(timeline: Timeline, tenant_id: str, message_id: str) -> MessageEvents | None:
    """None where they cannot be read now, and of what is no message's id."""
    if not is_id("msg_", message_id):
        return None
    try:
        async with asyncio.timeout(MAX_WAIT_S):
            return await timeline(tenant_id, message_id)
    except Exception as error:
        # Whatever is wrong with the event store or the way to it, the journal's state must stay readable.
        log.warning("timeline unreachable message_id=%s reason=%r", message_id, error)
        return None
