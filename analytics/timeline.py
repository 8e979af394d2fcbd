"""The events of a message from the event store. They lag by a moment, and are missing while it is unavailable."""

import asyncio
import logging
from collections.abc import Awaitable, Callable
from functools import partial
from pathlib import Path

import msgspec

from analytics.queries import MessageEvents
from cluster.ids import is_id
from cluster.near_calls import Answer, NearCalls, NotNear, socket_of
from cluster.peers import Call

log = logging.getLogger(__name__)

Timeline = Callable[[str, str], Awaitable[MessageEvents]]
"""Returns the events of (tenant id, message id), in order."""

MAX_WAIT_S = 3.0
RECORDER = "recorder"
"""The actor that has them."""

_asked = msgspec.msgpack.Decoder(tuple[str, str])
_found = msgspec.msgpack.Decoder(MessageEvents)


def timelines_of(call: Call, data_dir: Path) -> Timeline:
    """Asks the recorder: through its socket where it is on this machine, which takes a tenth of the time, and otherwise
    through Ray. Raises what ``call`` and the recorder raise."""
    near = NearCalls(partial(socket_of, data_dir, RECORDER))

    async def timeline(tenant_id: str, message_id: str) -> MessageEvents:
        try:
            return _found.decode(await near.call(msgspec.msgpack.encode((tenant_id, message_id))))
        except (NotNear, msgspec.DecodeError):  # another release decodes other answers
            events: MessageEvents = await call(RECORDER, "timeline", tenant_id, message_id)
            return events

    return timeline


def answering(timeline: Timeline) -> Answer:
    """What the recorder answers at its socket."""

    async def answer(data: bytes) -> bytes:
        return msgspec.msgpack.encode(await timeline(*_asked.decode(data)))

    return answer


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
