"""Erases in the background the data of deleted tenants, and of recipients whose erasure a tenant requested: first in
the journal, then, once the recorder has read the last of their events, in ClickHouse. The journal knows what is left,
so the next life of the process goes on. Finally, what was erased is removed from the disk.
"""

import asyncio
import logging

from cluster.journal.erasure import AFTER_S, STEPS
from cluster.journal.journal import Journal, Unavailable
from cluster.journal.recipient_erasure import TABLES, EraseJob, Stage
from cluster.message.mentions import Mentions
from cluster.metrics import Counter
from cluster.peers import Call, PeerGone
from cluster.policy.routes.membership import ACTOR_ALIVE_S

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
        await forget_committed(self._journal, self._call)
        await self._journal.compaction.compact()
        await erasure.finish(tenant_id)
        self.erased += 1
        log.info("erased tenant=%s", tenant_id)
        return True


RECIPIENT_ERASED = "The recipient's data was erased"
SENDING_WAIT_S = 10.0
"""While mail to a recipient, or to others of the same message, is not finished."""
READ_WAIT_S = 1.0
"""While consumers read the log, posts to webhooks end, or ClickHouse rewrites its parts."""


class RecipientEraser:
    """``call`` calls the recorder, which has ClickHouse."""

    erased = Counter("postray_erase_jobs_done_total", "Jobs that have erased recipients.")

    def __init__(
        self,
        journal: Journal,
        call: Call,
        *,
        look_s: float = LOOK_S,
        pause_s: float = PAUSE_S,
        sending_wait_s: float = SENDING_WAIT_S,
        read_wait_s: float = READ_WAIT_S,
    ) -> None:
        self._journal = journal
        self._call = call
        self._look_s = look_s
        self._pause_s = pause_s
        self._sending_wait_s = sending_wait_s
        self._read_wait_s = read_wait_s
        self._next_look_s = look_s

    async def run(self) -> None:
        """Erase until cancelled."""
        is_restored = False
        while True:
            try:
                if not is_restored:
                    await self._journal.compaction.restore()
                    is_restored = True
                goes_on = await self.round()
            except (Unavailable, PeerGone) as error:
                goes_on = False
                log.warning("erasing recipients waits reason=%r", error.reason)
            if goes_on:
                continue
            wait_s, self._next_look_s = self._next_look_s, self._look_s
            await asyncio.sleep(wait_s)

    async def round(self) -> bool:
        """Do one stage of the job that has waited longest, or postpone it. Returns whether there was one. Raises
        Unavailable, PeerGone."""
        job = await self._journal.recipient_erasure.next()
        if job is None:
            return False
        match Stage(job.stage):
            case Stage.JOURNAL:
                await self._erase_from_journal(job)
            case Stage.MENTIONS:
                await self._erase_mentions(job)
            case Stage.BUNDLES:
                await self._erase_bundles(job)
            case Stage.EVENTS:
                await self._erase_events(job)
            case Stage.LAST:
                await self._erase_rest(job)
            case _:
                await self._end(job)
        return True

    async def _erase_from_journal(self, job: EraseJob) -> None:
        erasure = self._journal.recipient_erasure
        while unfinished := await erasure.unfinished(job):
            if not await self._journal.queue_control.give_up(unfinished, RECIPIENT_ERASED):
                await self._postpone(job, self._sending_wait_s)
                return
        are_all_erased = True
        after: str | None = ""
        while after is not None:
            is_whole, after = await erasure.messages(job, after)
            are_all_erased = are_all_erased and is_whole
            await asyncio.sleep(self._pause_s)
        if not are_all_erased:
            await self._postpone(job, self._sending_wait_s)
            return
        await erasure.mail_in(job)
        await erasure.replies(job)
        await erasure.suppressions(job)
        await erasure.begin(job, Stage.MENTIONS)

    async def _erase_mentions(self, job: EraseJob) -> None:
        mentions = Mentions(job.addresses)
        await self._journal.mention_erasure.search(job, mentions, self._pause_s)
        if await self._journal.mention_erasure.rewrite(job, mentions, self._pause_s):
            await self._journal.recipient_erasure.begin(job, Stage.BUNDLES)
        else:
            await self._postpone(job, self._sending_wait_s)

    async def _erase_bundles(self, job: EraseJob) -> None:
        """Events in the log may yet become owed to endpoints, and a post under way is logged when it ends: wait for
        both."""
        erasure = self._journal.recipient_erasure
        if await erasure.is_log_read(job) and (await erasure.bundles(job))[0]:
            await erasure.begin(job, Stage.EVENTS)
        else:
            await self._postpone(job, self._read_wait_s)

    async def _erase_events(self, job: EraseJob) -> None:
        erasure = self._journal.recipient_erasure
        if await erasure.is_log_read(job) and await self._call("recorder", "erase_recipients", job):
            await erasure.begin(job, Stage.LAST)
        else:
            await self._postpone(job, self._read_wait_s)

    async def _erase_rest(self, job: EraseJob) -> None:
        """A replay may have read events before they were erased; what endpoints are owed from it is erased, too."""
        erasure = self._journal.recipient_erasure
        if await erasure.is_replaying(job):
            await self._postpone(job, self._read_wait_s)
            return
        _, found = await erasure.bundles(job)
        if found:
            await erasure.begin(job, Stage.BUNDLES)
            return
        await erasure.suppressions(job)
        try:
            await forget_committed(self._journal, self._call)
        except PeerGone as error:
            log.warning("erasing recipients waits job=%s reason=%r", job.id, error.reason)
            await self._postpone(job, self._read_wait_s)
            return
        await erasure.forget(job)

    async def _end(self, job: EraseJob) -> None:
        await self._journal.compaction.compact(TABLES)
        await self._journal.recipient_erasure.finish(job)
        self.erased += 1
        log.info("erased recipients tenant=%s job=%s", job.tenant_id, job.id)

    async def _postpone(self, job: EraseJob, wait_s: float) -> None:
        """Go on with the job after this time, and look for jobs again then."""
        await self._journal.recipient_erasure.postpone(job, wait_s)
        self._next_look_s = min(self._next_look_s, wait_s)


async def forget_committed(journal: Journal, call: Call) -> None:
    """Have the live delivery actors delete from their ledgers what is committed. One that is down deletes its files
    when it starts again. Raises Unavailable, PeerGone."""
    for name in await journal.membership.living(ACTOR_ALIVE_S):
        await call(name, "forget_committed")
