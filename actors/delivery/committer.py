"""Committing outcomes, with their events, in batches.

Until an outcome is committed, its delivery stays claimed. If an outcome is lost, the delivery is found again when its
lease ends. Acceptances are not lost, since they are in the ledger.
"""

import asyncio
import logging
from pathlib import Path

from msgspec.structs import replace

from actors.delivery.ledger import Entry, Ledger, LedgerInUse, others_beside
from cluster.events import Bounced, Deferred, Delivered
from cluster.journal.journal import Journal, Rejected, Unavailable
from cluster.journal.records import ListedOutcome, OutcomeWithEvent
from cluster.metrics import Counter, Counters, Gauge, Histogram
from cluster.policy.lifecycle import Status
from cluster.policy.replies.bounce_class import BounceClass

log = logging.getLogger(__name__)

BATCH_WINDOW_S = 0.1
"""How long the first outcome of a batch waits for others to share its commit. Acceptances are already in the ledger; a
commit costs as much for one as for a hundred."""
BATCH = 500
RETRY_S = 1.0
UNSTORABLE = "the reply cannot be stored"


class Committer:
    """Commits outcomes in batches, in the order in which they are added. An outage of the journal delays them.

    An acceptance is in the ledger from ``add`` until its commit.
    """

    committed = Counters(
        "postray_outcomes_committed_total",
        "Outcomes in the journal, by the status of the delivery: queued is deferred.",
        "status",
        (Status.DELIVERED, Status.SENT, Status.QUEUED, Status.BOUNCED, Status.FAILED),
    )
    deferrals = Counters(
        "postray_deferrals_total", "Deferrals in the journal, by the class of their cause.", "bounce_class", BounceClass
    )
    bounces = Counters(
        "postray_bounces_total", "Bounces in the journal, by the class of their cause.", "bounce_class", BounceClass
    )
    commits = Histogram("postray_outcomes_per_commit", "Outcomes in a commit.", (1, 2, 5, 10, 20, 50, 100, 200, 500))
    given_up = Counter("postray_outcomes_given_up_total", "Outcomes that the journal refused, which is a defect.")
    waiting = Gauge("postray_outcomes_waiting", "Outcomes not yet in the journal.", lambda self: self.uncommitted)

    def __init__(self, journal: Journal, ledger: Ledger, window_s: float = 0.0) -> None:
        """``window_s``: for how long after a host took a message its failure may be reported."""
        self._window_s = window_s
        self._journal = journal
        self._ledger = ledger
        self._keys: set[tuple[str, int]] = set()
        self._owner = 0
        self._results: list[OutcomeWithEvent] = []
        self._something = asyncio.Event()
        self._idle = asyncio.Event()
        self._idle.set()
        self._in_hand = 0

    @property
    def uncommitted(self) -> int:
        return len(self._results) + self._in_hand

    def begin(self, owner: int) -> None:
        """``owner``: the epoch that claims are made with."""
        self._owner = owner

    async def settle_former(self) -> None:
        """Commit the acceptances that a former life left in the ledger, and in those of actors that this machine has no
        more. Raises Unavailable, LedgerInUse, OSError.

        Call it before that life's leases are taken back: then no actor can claim these deliveries in between.
        """
        await self._settle_in(self._ledger)
        for directory in others_beside(self._ledger.directory):
            await self._settle_other(directory)

    async def settle_of(self, actor: str) -> None:
        """Commit what another actor's ledger holds, if it is on this machine and no process uses it. Raises
        Unavailable, OSError."""
        directory = self._ledger.directory.parent / actor
        if directory in others_beside(self._ledger.directory):
            await self._settle_other(directory)

    async def _settle_other(self, directory: Path) -> None:
        other = Ledger(directory)
        try:
            await self._settle_in(other)
        except LedgerInUse:
            log.info("left alone, as its actor lives directory=%s", directory)
        finally:
            other.close()

    async def _settle_in(self, ledger: Ledger) -> None:
        former = ledger.unsettled()
        for start in range(0, len(former), BATCH):
            await self._settle(former[start : start + BATCH])
        ledger.forget_former()

    async def _settle(self, batch: list[Entry]) -> None:
        try:
            settlement = await self._journal.queue.settle(batch, window_s=self._window_s)
        except Rejected as error:
            log.error("entries rejected entries=%d first=%s reason=%r", len(batch), _key(batch[0]), error.reason)
            for entry in batch if len(batch) > 1 else ():
                await self._settle([entry])
            return
        log.warning(
            "settled what a former life left accepted=%d finished=%d known=%d perhaps_sent_twice=%d",
            len(batch),
            settlement.finished,
            settlement.known,
            settlement.claimed_again,
        )

    def holds(self, message_id: str, recipient_no: int) -> bool:
        """Whether a delivery has an outcome that is not committed. It must not be sent, even if the journal returns it:
        a lease may end during an outage, and a commit whose answer was lost is repeated."""
        return (message_id, recipient_no) in self._keys

    def add(self, results: list[OutcomeWithEvent]) -> None:
        """Write acceptances to the ledger at once, and queue all results for the next commit. Call it before anything
        else is done with them."""
        if accepted := accepted_of(results):
            self._ledger.append(accepted)
        self._keys.update(map(_key, results))
        self._results += results
        self._idle.clear()
        self._something.set()

    async def run(self) -> None:
        while True:
            await self._something.wait()
            if len(self._results) < BATCH:
                await asyncio.sleep(BATCH_WINDOW_S)
            batch, self._results = self._results[:BATCH], self._results[BATCH:]
            self._in_hand = len(batch)
            await self._commit(batch)
            self._in_hand = 0
            if not self._results:
                self._something.clear()
                self._idle.set()

    async def flushed(self) -> None:
        """Wait until everything that was added is committed."""
        await self._idle.wait()

    async def _commit(self, batch: list[OutcomeWithEvent]) -> None:
        while True:
            try:
                await self._journal.queue.commit(batch, owner=self._owner, window_s=self._window_s)
                break
            except Unavailable as error:
                log.warning("outcomes wait for the journal outcomes=%d reason=%r", len(batch), error.reason)
                await asyncio.sleep(RETRY_S)
            except Rejected as error:
                log.error("outcomes rejected outcomes=%d reason=%r", len(batch), error.reason)
                await self._commit_rejected(batch)
                return
        self.commits.observe(len(batch))
        committed, accepted = self.committed, 0
        for outcome, event in batch:
            committed[outcome.status] += 1
            if isinstance(event, Delivered):
                accepted += 1
            elif isinstance(event, Deferred):
                self.deferrals[event.bounce_class or BounceClass.OTHER] += 1
            elif isinstance(event, Bounced):
                self.bounces[event.bounce_class or BounceClass.OTHER] += 1
        self._ledger.settle(accepted)
        self._keys.difference_update(map(_key, batch))

    async def _commit_rejected(self, batch: list[OutcomeWithEvent]) -> None:
        """Commit one at a time, so that one bad outcome does not block the others, and then without the reply's text:
        the outcome matters more. Replies are made storable when they are read, so a rejection is a defect."""
        if len(batch) > 1:
            for result in batch:
                await self._commit([result])
            return
        ((outcome, event),) = batch
        if outcome.error_message not in (None, UNSTORABLE):
            outcome = replace(outcome, error_message=UNSTORABLE)
            if isinstance(outcome, ListedOutcome):
                outcome = replace(outcome, listed=replace(outcome.listed, reason=UNSTORABLE))
            await self._commit([(outcome, event)])
            return
        self.given_up += 1
        log.error("outcome given up message=%s recipient_no=%d status=%s", *_key(batch[0]), outcome.status)
        if isinstance(event, Delivered):
            # Its key stays, so that this life does not send it again.
            self._ledger.settle(1)
        else:
            self._keys.discard(_key(batch[0]))


def accepted_of(results: list[OutcomeWithEvent]) -> list[Entry]:
    """The results that the ledger records."""
    return [(outcome, event) for outcome, event in results if isinstance(event, Delivered)]


def _key(result: OutcomeWithEvent | Entry) -> tuple[str, int]:
    return result[0].message_id, result[0].recipient_no
