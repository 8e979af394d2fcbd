"""Dividing a job whose recipients got different replies: a part is settled, the rest is sent again at once.

Each recipient has its own outcome. Recipients that one transaction could not carry go in others, to the same hosts.
Recipients that a host deferred for a reason of its own go to the next host. Both belong to the same attempt. The
functions are pure: the courier performs the division, and ``cluster.policy.replies`` decides what replies mean.
"""

from collections.abc import Sequence

from msgspec import Struct
from msgspec.structs import replace

from actors.delivery.job import Hop, Job
from actors.delivery.outcomes import verdict_on
from actors.delivery.pool_group import QueuedJob
from actors.smtp.commands import needs_smtputf8
from actors.smtp.protocol import ConnectionLost
from actors.smtp.reply import Reply
from actors.smtp.share import Share
from actors.smtp.transaction import TransactionResult
from cluster.policy.limits.recipients import Others, wants_another_transaction
from cluster.policy.limits.session import Spent
from cluster.policy.replies.effects import Answered, Broken, Onward, effects_of
from cluster.policy.replies.onward import NextHost
from cluster.policy.replies.stage import Stage
from cluster.policy.replies.verdict import Judgement, judge
from cluster.policy.routes.next_hop import NextHop

JobReport = tuple[Job, TransactionResult | ConnectionLost]


class Division(Struct, frozen=True, kw_only=True):
    """A job in parts, each recipient in one of them."""

    settled: JobReport | None
    """The part to report."""
    rest: tuple[tuple[NextHop, QueuedJob], ...] = ()
    """The parts to send again, each to its next hop. Every part has fewer recipients or fewer hosts left than the whole
    job, or no longer needs SMTPUTF8, so this ends."""
    moved: QueuedJob | None = None
    """The part that goes over another connection, before all queued jobs, since this one is used up or lost."""
    spent: Spent | None = None
    """The limit of this connection that its host says is reached."""
    passed_over: JobReport | None = None
    """The part that is reported to automation though it is sent again: it goes to another host, or its connection was
    lost."""
    is_host_done: bool = False
    """The host takes no mail at all for now, so the connection is closed."""

    @property
    def goes_on(self) -> bool:
        """Whether a part is sent again at once."""
        return bool(self.rest) or self.moved is not None

    @property
    def parts(self) -> int:
        return len(self.rest) + (self.settled is not None) + (self.moved is not None)


def fit(queued: QueuedJob, share: Share) -> tuple[QueuedJob | None, QueuedJob | None]:
    """The part of a job that the next transaction of a connection may carry, and the rest; None for an empty part."""
    job = queued.job
    fitting = share.fitting(job.envelope.recipients)
    if len(fitting) == len(job.deliveries):
        return queued, None
    if not fitting:
        return None, queued
    left = sorted(set(range(len(job.deliveries))) - set(fitting))
    return replace(queued, job=part(job, fitting)), replace(queued, job=part(job, left))


def divide(
    queued: QueuedJob, hop: NextHop, host: Hop, result: TransactionResult, earliest: NextHost, reused: bool = False
) -> Division:
    """The parts of a job after a transaction with one of its hosts. ``earliest``: when the next host may be tried;
    ``reused``: whether the connection had carried other transactions before."""
    job = queued.job
    if result.unsendable is not None:
        return _without_smtputf8(queued, hop, result)
    others = hop.without(host.mx_host)
    found = _sorted(queued, result, earliest, others is not None, reused)
    settled, again, in_ascii, elsewhere, moved = map(
        found.places.__getitem__,
        (Onward.SETTLED, Onward.DIVIDED, Onward.IN_ASCII, Onward.ELSEWHERE, Onward.MOVED),
    )
    # As many at a time as the host accepted. If it accepted none, half: that soon finds a host's limit of one.
    pieces = _pieces(again, found.taken or max(1, len(again) // 2))
    rest = [(hop, replace(queued, job=part(job, piece))) for piece in pieces]
    if in_ascii:
        rest.append((hop, replace(queued, job=_in_ascii(part(job, in_ascii)))))
    passed_over = None
    if elsewhere and others is not None:
        passed_over = _settled_by(job, result, elsewhere)
        later, report = passed_over
        rest.append((others, QueuedJob(later, queued.tries + 1, instead=(host, report))))
    return Division(
        settled=_settled_by(job, result, settled) if settled else None,
        rest=tuple(rest),
        moved=replace(queued, job=part(job, moved), moves=queued.moves + 1) if moved else None,
        spent=found.spent,
        passed_over=passed_over,
        is_host_done=found.address_failed,
    )


def after_loss(queued: QueuedJob, hop: NextHop, lost: ConnectionLost, alternatives: int, reused: bool) -> Division:
    """The parts of a job whose connection was lost. If nothing is sent again at once, the whole job is settled."""
    job, reply = queued.job, lost.reply
    taken, again, settled = _sorted_before(lost, len(job.deliveries))
    is_one_refused = any(number < len(lost.recipients) for number in again)
    facts = Broken(
        code=reply.code if reply else 0,
        enhanced=reply.enhanced if reply else None,
        text=reply.text if reply else "",
        may_be_taken=lost.after_end_of_data,
        recipients=len(job.deliveries),
        taken=len(taken),
        is_one_refused=is_one_refused,
        is_reused=reused,
        alternatives=alternatives,
        tries=queued.tries,
        moves=queued.moves,
        attempts=max(delivery.attempts for delivery in job.deliveries),
    )
    effects = effects_of(verdict_on(lost), lost.stage, facts)
    passed_over = (job, lost) if effects.tells_automation else None
    tries = queued.tries + effects.costs_try
    match effects.onward:
        case Onward.MOVED:
            moved = replace(queued, moves=queued.moves + 1)
            return Division(settled=None, moved=moved, spent=effects.spent)
        case Onward.RETRIED:
            moved = replace(queued, tries=tries)
            return Division(settled=None, moved=moved, passed_over=passed_over, is_host_done=effects.address_failed)
        case Onward.DIVIDED:
            pieces = _pieces_after_loss(taken, again, is_exact=lost.stage is Stage.RCPT or is_one_refused)
            return Division(
                settled=_report_of_loss(job, lost, settled) if settled else None,
                rest=tuple([(hop, replace(queued, job=part(job, piece), tries=tries)) for piece in pieces]),
                spent=effects.spent,
                passed_over=passed_over,
                is_host_done=effects.address_failed,
            )
    return Division(settled=(job, lost), is_host_done=effects.address_failed)


def _pieces_after_loss(taken: list[int], again: list[int], is_exact: bool) -> list[list[int]]:
    """``is_exact``: the host has shown how many recipients it takes at a time. Otherwise half of those it took."""
    if not taken:
        return [piece for piece in (again[:1], again[1:]) if piece]
    size = len(taken) if is_exact else max(1, len(taken) // 2)
    return _pieces(taken, size) + _pieces(again, size)


def _sorted_before(lost: ConnectionLost, count: int) -> tuple[list[int], list[int], list[int]]:
    """The indices of recipients accepted before the loss, of those for another transaction, and of settled ones."""
    taken = [number for number, reply in enumerate(lost.recipients) if reply.positive]
    again = list(range(len(lost.recipients), count))
    settled: list[int] = []
    for number, reply in enumerate(lost.recipients):
        if reply.positive:
            continue
        verdict = judge(reply.code, reply.enhanced, reply.text, Stage.RCPT)
        others = _others(number, lost.recipients, Stage.RCPT)
        is_one_too_many = wants_another_transaction(verdict, reply.code, reply.enhanced, reply.text, others)
        (again if is_one_too_many else settled).append(number)
    return taken, sorted(again), settled


def _pieces(numbers: list[int], size: int) -> list[list[int]]:
    return [numbers[start : start + size] for start in range(0, len(numbers), size)]


class _Sorted(Struct):
    """The indices of a job's recipients by what happens to them next, and the effects on the connection."""

    places: dict[Onward, list[int]]
    taken: int = 0
    spent: Spent | None = None
    address_failed: bool = False


def _sorted(
    queued: QueuedJob, result: TransactionResult, next_host: NextHost, has_next_host: bool, reused: bool
) -> _Sorted:
    job = queued.job
    plain = _plain(job)
    found = _Sorted({onward: [] for onward in Onward})
    for number, outcome in enumerate(result.outcomes(job.envelope)):
        reply, stage = outcome.reply, outcome.stage
        verdict = judge(reply.code, reply.enhanced, reply.text, stage)
        facts = Answered(
            code=reply.code,
            enhanced=reply.enhanced,
            text=reply.text,
            others=_others(number, result.recipients, stage),
            recipients=len(job.deliveries),
            needs_ascii=number in plain,
            is_reused=reused,
            tries=queued.tries,
            moves=queued.moves,
            next_host=next_host,
            has_next_host=has_next_host,
        )
        effects = effects_of(verdict, stage, facts)
        found.places[effects.onward].append(number)
        found.taken += verdict.judgement is Judgement.ACCEPTED
        found.spent = found.spent or effects.spent
        found.address_failed |= effects.address_failed
    return found


def _others(number: int, recipients: Sequence[Reply], stage: Stage) -> Others:
    """How the host answered RCPT for the recipients of a transaction other than the one with this index."""
    if stage is Stage.RCPT and any(reply.positive for reply in recipients[:number]):
        return Others.TAKEN_BEFORE
    is_taken = any(reply.positive for place, reply in enumerate(recipients) if place != number)
    return Others.TAKEN if is_taken else Others.REFUSED


def _without_smtputf8(queued: QueuedJob, hop: NextHop, result: TransactionResult) -> Division:
    """Recipients whose own addresses need SMTPUTF8 fail; the others are sent to without it if the message allows."""
    job = queued.job
    if not (plain := _plain(job)):
        return Division(settled=(job, result))
    others = [number for number in range(len(job.deliveries)) if number not in plain]
    return Division(
        settled=(part(job, others), result) if others else None,
        rest=((hop, replace(queued, job=_in_ascii(part(job, plain)))),),
    )


def _plain(job: Job) -> list[int]:
    """The indices of recipients that can be sent to without SMTPUTF8 though the job asks for it: those with ASCII
    addresses, unless the sender or the header needs it."""
    envelope = job.envelope
    if not needs_smtputf8(envelope) or not envelope.mail_from.isascii() or (envelope.smtputf8 and not job.downgraded):
        return []
    return [number for number, recipient in enumerate(envelope.recipients) if recipient.isascii()]


def _in_ascii(job: Job) -> Job:
    """The job with the header that needs no SMTPUTF8."""
    if job.downgraded is None:
        return job
    return replace(job, data=job.downgraded, downgraded=None, envelope=replace(job.envelope, smtputf8=False))


def _settled_by(job: Job, result: TransactionResult, numbers: Sequence[int]) -> tuple[Job, TransactionResult]:
    if result.recipients:
        result = replace(result, recipients=tuple([result.recipients[number] for number in numbers]))
    return part(job, numbers), result


def _report_of_loss(job: Job, lost: ConnectionLost, numbers: Sequence[int]) -> JobReport:
    report = ConnectionLost(lost.stage, lost.reason, lost.after_end_of_data, lost.reply)
    report.recipients = tuple([lost.recipients[number] for number in numbers])
    return part(job, numbers), report


def part(job: Job, numbers: Sequence[int]) -> Job:
    """The job for the recipients with these indices only."""
    if len(numbers) == len(job.deliveries):
        return job
    return replace(
        job,
        deliveries=tuple([job.deliveries[number] for number in numbers]),
        envelope=job.envelope.part(numbers),
    )
