"""One message with all that is known of it: its row in the journal, and its timeline from the event store.

The state comes from the journal and is always current. The timeline may lag by a moment, and is missing while the event
store is unavailable.
"""

import asyncio
import contextlib
from functools import partial

from msgspec import Struct

from analytics.timeline import Timeline, events_of
from api.http.existing import MESSAGE, ThingKind
from api.http.sharing import FairShare
from api.messages.finding import message_of
from api.messages.searching import SEARCH_MAX_WAIT_S
from api.messages.versions import Versions
from api.messages.views import MessageDetail, detail
from cluster.journal.journal import Journal
from cluster.journal.records import ApiKey, MessageRow
from cluster.settings import MessageSettings
from cluster.templates.handlebars.errors import TooMuch

USUAL = {"steps": 2000, "output": 256 * 1024}
"""Within these bounds a template is rendered in some milliseconds."""
RENDERINGS = 1
"""Others that are rendered at one time, tenants in turn: one may take a tenth of a second of a core."""
SHOWN_AT_ONCE_BYTES = 4096
"""The largest content that is prepared on the event loop. A thread prepares larger ones: finding keys may take long."""


class ShownMessage(Struct, frozen=True):
    row: MessageRow
    detail: MessageDetail


class MessageShowing:
    """Shows messages of all tenants."""

    def __init__(self, journal: Journal, versions: Versions, timeline: Timeline, limits: MessageSettings) -> None:
        """``limits`` apply to the composed messages."""
        self._journal = journal
        self._versions = versions
        self._timeline = timeline
        self._limits = limits
        self._renderings = FairShare(RENDERINGS, RENDERINGS, SEARCH_MAX_WAIT_S)

    async def show(self, key: ApiKey, id: str, kind: ThingKind = MESSAGE, *, withheld: bool = False) -> ShownMessage:
        """A message of the key's tenant; ``kind`` is what the client calls it. ``withheld`` leaves out what only some
        keys may read. Raises NotFound, Overloaded, Unavailable."""
        # In parallel: each of the two waits for another process.
        events = asyncio.create_task(events_of(self._timeline, key.tenant_id, id))
        try:
            row = await message_of(self._journal, key, id, kind)
            show = partial(detail, limits=self._limits, withheld=withheld)
            template, timeline = await self._versions.of(row), await events
            if template is not None:
                with contextlib.suppress(TooMuch):
                    shown = await asyncio.to_thread(show, row, timeline, template=template, bounds=USUAL)
                    return ShownMessage(row, shown)
                async with self._renderings.hold(key.tenant_id, 1):
                    return ShownMessage(row, await asyncio.to_thread(show, row, timeline, template=template))
            if len(row.content) <= SHOWN_AT_ONCE_BYTES:
                return ShownMessage(row, show(row, timeline))
            return ShownMessage(row, await asyncio.to_thread(show, row, timeline))
        finally:
            events.cancel()
