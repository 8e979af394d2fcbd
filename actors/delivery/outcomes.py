"""From the report on a job to verdicts, outcomes and events, and their commit in batches.

``verdicts_of`` and ``tell`` decide with the policy and do nothing; ``Committer`` writes what they said. Until an
outcome is committed its delivery stays claimed, so whatever is lost here is found again by the lease; what was accepted
is not even lost, for it is in the ledger.
"""

import asyncio
import logging
from datetime import UTC, datetime
from math import inf
from typing import Any

from msgspec import Struct
from msgspec.structs import replace

from actors.delivery.job import Hop, Job, NoRoute, Report
from actors.delivery.ledger import Entry, Ledger
from actors.smtp.protocol import ConnectionLost, SmtpFailure
from actors.smtp.reply import Reply
from actors.smtp.transaction import TransactionResult
from cluster.events import Bounced, Deferred, Delivered, Dropped, Event, encode_batch
from cluster.ids import new_id
from cluster.journal.journal import Journal, Rejected, Unavailable
from cluster.journal.records import Claimed, Outcome
from cluster.policy.lifecycle import Status
from cluster.policy.limits.retry import next_attempt, schedule_for, tried_until
from cluster.policy.replies.stage import Stage
from cluster.policy.replies.verdict import (
    UNRESOLVED,
    UNROUTABLE,
    UNSENDABLE,
    Judgement,
    Verdict,
    expired,
    judge,
    judge_parting,
    judge_silence,
)

log = logging.getLogger(__name__)

LULL_S = 0.1
"""How long the first outcome of a batch waits for others to share its commit. What was accepted is in the ledger by
then; a commit costs as much for one as for a hundred."""
BATCH = 500
RETRY_S = 1.0
UNSTORABLE = "the reply cannot be stored"

Told = tuple[Outcome, Event]


class Circumstances(Struct, frozen=True, kw_only=True):
    """What ``tell`` needs beside the verdicts."""

    now: datetime
    jitter: float
    """In [0, 1)."""
    site: str
    accepted_status: Status
    """DELIVERED where the host is the recipient's own, SENT behind a smarthost."""
    retry_schedule_s: tuple[float, ...]
    """The site's; a class of failures may have its own, within its bounds."""
    lifetime_s: float = inf
    """As shaping gives it to the site or the domain."""
    default_lifetime_s: float = inf
    """The settings'."""


class Said(Struct, frozen=True, kw_only=True):
    """The verdict on one delivery, why, and the reply if there was one."""

    verdict: Verdict
    reason: str
    response: str = ""
    """The raw reply, its lines joined with newlines."""
    code: int = 0
    enhanced: str | None = None


def verdicts_of(job: Job, report: Report) -> list[Said]:
    """What the report means for each delivery of the job, in order."""
    match report:
        case TransactionResult(unsendable=None):
            return [_judged(outcome.stage, outcome.reply) for outcome in report.outcomes(job.envelope)]
        case TransactionResult(unsendable=cause):
            assert cause is not None
            said = Said(verdict=UNSENDABLE, reason=cause.reason)
        case NoRoute(reason=reason, permanent=permanent):
            said = Said(verdict=UNROUTABLE if permanent else UNRESOLVED, reason=reason)
        case SmtpFailure(reply=Reply() as reply):
            said = _replied(verdict_on(report), str(report), reply)
        case _:
            said = Said(verdict=verdict_on(report), reason=str(report))
    refusals = _refusals(report)
    return [refusals.get(number, said) for number in range(len(job.deliveries))]


def verdict_on(failure: SmtpFailure) -> Verdict:
    """The verdict on a connection that ended, or was not to be had."""
    reply = failure.reply
    if reply is None:
        return judge_silence(failure.stage)
    return judge_parting(reply.code, reply.enhanced, reply.text, failure.stage)


def _refusals(report: Report) -> dict[int, Said]:
    """Recipients, by their places, that had been refused before the connection was lost: that was meant for them."""
    if not isinstance(report, ConnectionLost):
        return {}
    replies = enumerate(report.recipients)
    return {number: _judged(Stage.RCPT, reply) for number, reply in replies if not reply.positive}


def _judged(stage: Stage, reply: Reply) -> Said:
    text = reply.text
    return _replied(judge(reply.code, reply.enhanced, text, stage), text, reply)


def _replied(verdict: Verdict, reason: str, reply: Reply) -> Said:
    return Said(verdict=verdict, reason=reason, response=reply.text, code=reply.code, enhanced=reply.enhanced)


def tell(job: Job, hop: Hop, verdicts: list[Said], duration_ms: int, circumstances: Circumstances) -> list[Told]:
    """An outcome and an event for each delivery of the job."""
    return [
        _told(delivery, job, hop, said, duration_ms, circumstances)
        for delivery, said in zip(job.deliveries, verdicts, strict=True)
    ]


def _told(delivery: Claimed, job: Job, hop: Hop, said: Said, duration_ms: int, circumstances: Circumstances) -> Told:
    facts: dict[str, Any] = {
        "id": new_id("evt_"),
        "at": circumstances.now.timestamp(),
        "tenant_id": delivery.tenant_id,
        "message_id": delivery.message_id,
        "recipient": delivery.recipient,
        "batch_id": delivery.batch_id,
        "categories": job.categories,
        "attempt": delivery.attempts,
        "site": circumstances.site,
        "mx_host": hop.mx_host,
        "mx_ip": hop.mx_ip,
        "source_ip": hop.source_ip,
        "tls_version": hop.tls_version,
        "tls_cipher": hop.tls_cipher,
        "smtp_response": said.response,
        "duration_ms": duration_ms,
    }
    verdict, reason = said.verdict, said.reason
    if verdict.judgement is Judgement.ACCEPTED:
        return outcome_of(delivery, circumstances.accepted_status), Delivered(**facts)
    if verdict.judgement is Judgement.DEFERRED:
        due_at = _due_at(delivery, verdict, circumstances)
        if due_at is not None:
            outcome = outcome_of(delivery, Status.QUEUED, reason, due_at)
            next_attempt_at = due_at.timestamp()
            bounce_class = verdict.bounce_class or ""
            return outcome, Deferred(reason=reason, bounce_class=bounce_class, next_attempt_at=next_attempt_at, **facts)
        reason = f"expired after {delivery.attempts} attempts: {reason}"
        verdict = expired(verdict)
    return outcome_of(delivery, Status.BOUNCED, reason), Bounced(
        bounce_type=verdict.bounce_type or "soft", bounce_class=verdict.bounce_class or "", reason=reason, **facts
    )


def _due_at(delivery: Claimed, verdict: Verdict, circumstances: Circumstances) -> datetime | None:
    expires_at = tried_until(
        delivery.expires_at,
        delivery.send_at,
        shaped_s=circumstances.lifetime_s,
        default_s=circumstances.default_lifetime_s,
    )
    return next_attempt(
        schedule_for(verdict.bounce_class, circumstances.retry_schedule_s),
        delivery.attempts,
        now=circumstances.now,
        expires_at=expires_at,
        jitter=circumstances.jitter,
    )


def outcome_of(
    delivery: Claimed, status: Status, error_message: str | None = None, due_at: datetime | None = None
) -> Outcome:
    return Outcome(
        tenant_id=delivery.tenant_id,
        message_id=delivery.message_id,
        recipient_no=delivery.recipient_no,
        status=status,
        due_at=due_at,
        alone=delivery.alone,
        error_message=error_message,
    )


def dropped(delivery: Claimed, reason: str, now: datetime) -> Told:
    """A delivery that cannot be composed: failed, without an attempt."""
    return outcome_of(delivery, Status.FAILED, reason), Dropped(
        id=new_id("evt_"),
        at=now.timestamp(),
        tenant_id=delivery.tenant_id,
        message_id=delivery.message_id,
        recipient=delivery.recipient,
        batch_id=delivery.batch_id,
        reason=reason,
    )


def is_ambiguous(report: Report) -> bool:
    """Whether the host may have accepted the message without our knowing: another try may make a duplicate."""
    return isinstance(report, ConnectionLost) and report.after_end_of_data


class Committer:
    """Commits what was told, many at a time, in the order of telling; through outages of the journal, for ever.

    What was accepted stands in the ledger from ``add`` until its commit.
    """

    def __init__(self, journal: Journal, ledger: Ledger) -> None:
        self._journal = journal
        self._ledger = ledger
        self._keys: set[tuple[str, int]] = set()
        self._owner = 0
        self._told: list[Told] = []
        self._something = asyncio.Event()
        self._idle = asyncio.Event()
        self._idle.set()
        self._in_hand = 0

    @property
    def uncommitted(self) -> int:
        return len(self._told) + self._in_hand

    def begin(self, owner: int) -> None:
        """``owner``: the epoch in whose name claims were made."""
        self._owner = owner

    async def settle_former(self) -> None:
        """Commit what a former life was told to be accepted. Raises Unavailable, LedgerInUse, OSError.

        Must come before that life's leases are taken back: then nobody can claim these deliveries in between.
        """
        former = self._ledger.unsettled()
        for start in range(0, len(former), BATCH):
            await self._settle(former[start : start + BATCH])
        self._ledger.forget_former()

    async def _settle(self, batch: list[Entry]) -> None:
        attempts = [event.attempt for _, event in batch]
        events = encode_batch([event for _, event in batch])
        try:
            settlement = await self._journal.queue.settle([outcome for outcome, _ in batch], attempts, events=events)
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
        """Whether a delivery has an outcome that is not committed. It must not be sent, whatever the journal says: a
        lease may end during an outage, and a commit whose answer was lost is repeated."""
        return (message_id, recipient_no) in self._keys

    def add(self, told: list[Told]) -> None:
        """Write down what was accepted, and commit all of it soon. To be called before anything else is done."""
        if accepted := accepted_of(told):
            self._ledger.append(accepted)
        self._keys.update(map(_key, told))
        self._told += told
        self._idle.clear()
        self._something.set()

    async def run(self) -> None:
        while True:
            await self._something.wait()
            if len(self._told) < BATCH:
                await asyncio.sleep(LULL_S)
            batch, self._told = self._told[:BATCH], self._told[BATCH:]
            self._in_hand = len(batch)
            await self._commit(batch)
            self._in_hand = 0
            if not self._told:
                self._something.clear()
                self._idle.set()

    async def flushed(self) -> None:
        """Return when everything told so far is committed."""
        await self._idle.wait()

    async def _commit(self, batch: list[Told]) -> None:
        events = encode_batch([event for _, event in batch])
        while True:
            try:
                await self._journal.queue.commit([o for o, _ in batch], owner=self._owner, events=events)
                break
            except Unavailable as error:
                log.warning("outcomes wait for the journal outcomes=%d reason=%r", len(batch), error.reason)
                await asyncio.sleep(RETRY_S)
            except Rejected as error:
                log.error("outcomes rejected outcomes=%d reason=%r", len(batch), error.reason)
                await self._commit_rejected(batch)
                return
        self._ledger.settle(len(accepted_of(batch)))
        self._keys.difference_update(map(_key, batch))

    async def _commit_rejected(self, batch: list[Told]) -> None:
        """Replies are made storable when they are read, so this is a defect. One at a time, the others live; and what
        became of a delivery matters more than the words."""
        if len(batch) > 1:
            for told in batch:
                await self._commit([told])
            return
        ((outcome, event),) = batch
        if outcome.error_message not in (None, UNSTORABLE):
            await self._commit([(replace(outcome, error_message=UNSTORABLE), event)])
            return
        log.error("outcome given up message=%s recipient_no=%d status=%s", *_key(batch[0]), outcome.status)
        if isinstance(event, Delivered):
            # Its key stays, so that this life does not send it again.
            self._ledger.settle(1)
        else:
            self._keys.discard(_key(batch[0]))


def accepted_of(told: list[Told]) -> list[Entry]:
    """What of it is for the ledger."""
    return [(outcome, event) for outcome, event in told if isinstance(event, Delivered)]


def _key(told: Told | Entry) -> tuple[str, int]:
    return told[0].message_id, told[0].recipient_no


def utc_now() -> datetime:
    return datetime.now(UTC)
