"""Erases the data of deleted tenants in the background: first in the journal, then, once the recorder has read the last
of their events, in ClickHouse. The journal knows which tenants are left, so the next life of the process goes on.
"""

import asyncio
import logging

from cluster.journal.erasure import AFTER_S, STEPS
from cluster.journal.journal import Journal, Unavailable
from cluster.metrics import Counter
from cluster.peers import Call, PeerGone

log = logging.getLogger(__name__)

LOOK_S = 5.0
PAUSE_S = 0.02
"""After each step: mail goes first."""
DELETED = "The tenant was deleted"


class TenantEraser:
    """``call`` calls the recorder, which has ClickHouse."""

    erased = Counter("postray_tenants_erased_total", "Deleted tenants whose data was erased.")

    def __init__(self, journal: Journal, call: Call, *, after_s: float = AFTER_S, pause_s: float = PAUSE_S) -> None:
        self._journal = journal
        self._call = call
        self._after_s = after_s
        self._pause_s = pause_s

    async def run(self) -> None:
        """Erase until cancelled."""
        while True:
            try:
                goes_on = await self.round()
            except (Unavailable, PeerGone) as error:
                goes_on = False
                log.warning("erasing waits reason=%r", error.reason)
            await asyncio.sleep(0 if goes_on else LOOK_S)

    async def round(self) -> bool:
        """Erase one deleted tenant. Returns whether one was erased; False also while mail of it is being sent or its
        events are not all in ClickHouse. Raises Unavailable, PeerGone."""
        erasure = self._journal.erasure
        tenant_id = await erasure.next(self._after_s)
        if tenant_id is None:
            return False
        while unfinished := await erasure.unfinished(tenant_id):
            if not await self._journal.queue_control.give_up(unfinished, DELETED):
                return False  # it is being sent
        for step in STEPS:
            while await erasure.step(tenant_id, step):
                await asyncio.sleep(self._pause_s)
        if not await erasure.is_log_read(tenant_id):
            return False
        if not await self._call("recorder", "erase_events", tenant_id):
            return False
        await erasure.finish(tenant_id)
        self.erased += 1
        log.info("erased tenant=%s", tenant_id)
        return True
