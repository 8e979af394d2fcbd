"""From the report on a job to verdicts, outcomes and events. ``Committer`` (committer.py) writes them."""

from datetime import UTC, datetime
from math import inf
from typing import Any

import msgspec
from msgspec import Struct

from actors.delivery.job import Hop, Job, NoRoute, Report
from actors.smtp.protocol import ConnectionLost, SmtpFailure
from actors.smtp.reply import Reply
from actors.smtp.transaction import TransactionResult
from cluster.events import Bounced, Deferred, Delivered, Dropped
from cluster.ids import new_id
from cluster.journal.records import Claimed, ClaimSuppression, ListedOutcome, Outcome, OutcomeWithEvent
from cluster.journal.suppressions import entry_fed_by
from cluster.policy.lifecycle import Status, Transition, after
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
from cluster.suppression.lists import ALL_SUPPRESSED, SUPPRESSED


class Circumstances(Struct, frozen=True, kw_only=True):
    """What ``build_outcomes`` needs besides the verdicts."""

    now: datetime
    jitter: float
    """In [0, 1)."""
    site: str
    acceptance: Transition
    """ACCEPTED if the host is the recipient's own and its word is final, RELAYED else."""
    retry_schedule_s: tuple[float, ...]
    """The site's schedule; a class of failures may have its own, within its bounds."""
    lifetime_s: float = inf
    """The lifetime that shaping sets for the site or the domain."""
    default_lifetime_s: float = inf
    """The lifetime from the settings."""
    at_least_until: datetime | None = None
    """Until when the tenant's mail is tried whatever its lifetime: a suspension has delayed it."""


class DeliveryVerdict(Struct, frozen=True, kw_only=True):
    """The verdict on one delivery, its reason, and the reply if there was one."""

    verdict: Verdict
    reason: str
    response: str = ""
    """The raw reply, its lines joined with newlines."""
    code: int = 0
    enhanced: str | None = None
    bad_domain: str = ""
    """The name that does not exist or takes no mail, as the DNS says."""


def verdicts_of(job: Job, report: Report) -> list[DeliveryVerdict]:
    """What the report means for each delivery of the job, in order."""
    match report:
        case TransactionResult(unsendable=None):
            return [_judged(outcome.stage, outcome.reply) for outcome in report.outcomes(job.envelope)]
        case TransactionResult(unsendable=cause):
            assert cause is not None
            judged = DeliveryVerdict(verdict=UNSENDABLE, reason=cause.reason)
        case NoRoute(reason=reason, permanent=permanent, bad_domain=bad_domain):
            verdict = UNROUTABLE if permanent else UNRESOLVED
            judged = DeliveryVerdict(verdict=verdict, reason=reason, bad_domain=bad_domain)
        case SmtpFailure(reply=Reply() as reply):
            judged = _replied(verdict_on(report), str(report), reply)
        case _:
            judged = DeliveryVerdict(verdict=verdict_on(report), reason=str(report))
    refusals = _refusals(report)
    return [refusals.get(number, judged) for number in range(len(job.deliveries))]


def verdict_on(failure: SmtpFailure) -> Verdict:
    """The verdict on a connection that ended or could not be opened."""
    reply = failure.reply
    if reply is None:
        return judge_silence(failure.stage)
    return judge_parting(reply.code, reply.enhanced, reply.text, failure.stage)


def _refusals(report: Report) -> dict[int, DeliveryVerdict]:
    """The verdicts on recipients refused before the connection was lost, by index: those replies remain valid."""
    if not isinstance(report, ConnectionLost):
        return {}
    replies = enumerate(report.recipients)
    return {number: _judged(Stage.RCPT, reply) for number, reply in replies if not reply.positive}


def _judged(stage: Stage, reply: Reply) -> DeliveryVerdict:
    text = reply.text
    return _replied(judge(reply.code, reply.enhanced, text, stage), text, reply)


def _replied(verdict: Verdict, reason: str, reply: Reply) -> DeliveryVerdict:
    return DeliveryVerdict(
        verdict=verdict, reason=reason, response=reply.text, code=reply.code, enhanced=reply.enhanced
    )


def build_outcomes(
    job: Job, hop: Hop, verdicts: list[DeliveryVerdict], duration_ms: int, circumstances: Circumstances
) -> list[OutcomeWithEvent]:
    """An outcome and an event for each delivery of the job."""
    return [
        _build(delivery, job, hop, judged, duration_ms, circumstances)
        for delivery, judged in zip(job.deliveries, verdicts, strict=True)
    ]


def _build(
    delivery: Claimed, job: Job, hop: Hop, judged: DeliveryVerdict, duration_ms: int, circumstances: Circumstances
) -> OutcomeWithEvent:
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
        "smtp_response": judged.response,
        "duration_ms": duration_ms,
    }
    verdict, reason, end = judged.verdict, judged.reason, Transition.REJECTED
    if verdict.judgement is Judgement.ACCEPTED:
        return outcome_of(delivery, circumstances.acceptance, is_counted=not job.is_notice), Delivered(**facts)
    if verdict.judgement is Judgement.DEFERRED:
        due_at = _due_at(delivery, verdict, circumstances)
        if due_at is not None:
            outcome = outcome_of(delivery, Transition.DEFERRED, reason, due_at)
            next_attempt_at = due_at.timestamp()
            bounce_class = verdict.bounce_class or ""
            return outcome, Deferred(reason=reason, bounce_class=bounce_class, next_attempt_at=next_attempt_at, **facts)
        reason = f"expired after {delivery.attempts} attempts: {reason}"
        verdict, end = expired(verdict), Transition.EXPIRED
    outcome = outcome_of(delivery, end, reason, is_counted=not job.is_notice)
    if not job.is_notice:
        outcome = _listing(outcome, delivery, judged, verdict, circumstances.now)
    return outcome, Bounced(
        bounce_type=verdict.bounce_type or "soft", bounce_class=verdict.bounce_class or "", reason=reason, **facts
    )


def _listing(outcome: Outcome, delivery: Claimed, judged: DeliveryVerdict, verdict: Verdict, now: datetime) -> Outcome:
    """The outcome, with the entry of the suppression list that it feeds. ``verdict`` is what ended the delivery."""
    entry = entry_fed_by(
        verdict,
        judged.enhanced,
        tenant_id=delivery.tenant_id,
        email=delivery.recipient,
        reason=judged.reason,
        at=now,
        is_bad_domain=judged.bad_domain == delivery.domain,
    )
    if entry is None:
        return outcome
    return ListedOutcome(**msgspec.structs.asdict(outcome), listed=entry)


def _due_at(delivery: Claimed, verdict: Verdict, circumstances: Circumstances) -> datetime | None:
    expires_at = tried_until(
        delivery.expires_at,
        delivery.send_at,
        shaped_s=circumstances.lifetime_s,
        default_s=circumstances.default_lifetime_s,
    )
    if circumstances.at_least_until is not None:
        expires_at = max(expires_at, circumstances.at_least_until)
    return next_attempt(
        schedule_for(verdict.bounce_class, circumstances.retry_schedule_s),
        delivery.attempts,
        now=circumstances.now,
        expires_at=expires_at,
        jitter=circumstances.jitter,
    )


def outcome_of(
    delivery: Claimed,
    transition: Transition,
    error_message: str | None = None,
    due_at: datetime | None = None,
    *,
    is_counted: bool = True,
) -> Outcome:
    """The outcome of a claimed delivery by a transition."""
    return Outcome(
        tenant_id=delivery.tenant_id,
        message_id=delivery.message_id,
        recipient_no=delivery.recipient_no,
        status=after(Status.SENDING, transition),
        due_at=due_at,
        sole_recipient=delivery.sole_recipient,
        error_message=error_message,
        is_counted=is_counted,
    )


def dropped(delivery: Claimed, reason: str, now: datetime) -> OutcomeWithEvent:
    """A delivery that cannot be composed: failed, without an attempt."""
    return outcome_of(delivery, Transition.GAVE_UP, reason), _drop(delivery, reason, now)


def suppressed(delivery: Claimed, by: ClaimSuppression, now: datetime) -> OutcomeWithEvent:
    """A delivery whose recipient is on a suppression list: failed, without an attempt."""
    error = ALL_SUPPRESSED if delivery.sole_recipient else f"{SUPPRESSED}{by.name}"
    return outcome_of(delivery, Transition.SUPPRESSED, error), _drop(delivery, by.name, now, by.categories)


def _drop(delivery: Claimed, reason: str, now: datetime, categories: tuple[str, ...] = ()) -> Dropped:
    return Dropped(
        id=new_id("evt_"),
        at=now.timestamp(),
        tenant_id=delivery.tenant_id,
        message_id=delivery.message_id,
        recipient=delivery.recipient,
        batch_id=delivery.batch_id,
        categories=categories,
        reason=reason,
    )


def put_off(delivery: Claimed, reason: str, now: datetime, due_at: datetime) -> OutcomeWithEvent:
    """A delivery that cannot be composed now: queued again, without an attempt at a host. ``due_at``: of the next
    attempt, unless its lifetime ends before."""
    due_at = min(due_at, delivery.expires_at)
    return outcome_of(delivery, Transition.DEFERRED, reason, due_at), Deferred(
        id=new_id("evt_"),
        at=now.timestamp(),
        tenant_id=delivery.tenant_id,
        message_id=delivery.message_id,
        recipient=delivery.recipient,
        batch_id=delivery.batch_id,
        attempt=delivery.attempts,
        reason=reason,
        next_attempt_at=due_at.timestamp(),
    )


def is_ambiguous(report: Report) -> bool:
    """Whether the host may have accepted the message without our knowledge, so that a retry may make a duplicate."""
    return isinstance(report, ConnectionLost) and report.after_end_of_data


def utc_now() -> datetime:
    return datetime.now(UTC)
