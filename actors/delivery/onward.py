"""What becomes of a job whose recipients were not all told the same: a part is settled, the rest goes on at once.

Each recipient has its own fate. What one transaction could not carry goes in others, to the same hosts; what a host put
off for reasons of its own goes to the next host. Both belong to the same attempt. Values alone: the pool carries it
out, and the policy says what replies mean.
"""

from collections.abc import Sequence

from msgspec import Struct
from msgspec.structs import replace

from actors.delivery.job import Hop, Job
from actors.delivery.pool_group import Queued
from actors.smtp.commands import needs_smtputf8
from actors.smtp.protocol import ConnectionLost
from actors.smtp.reply import Reply
from actors.smtp.share import Share
from actors.smtp.transaction import RcptReply, TransactionResult
from cluster.policy.limits.recipients import Others, wants_another_transaction
from cluster.policy.limits.session import Spent, spent
from cluster.policy.replies.onward import NextHost, is_for_their_number, may_be_for_one, next_host
from cluster.policy.replies.stage import Stage
from cluster.policy.replies.verdict import (
    Judgement,
    Verdict,
    judge,
    judge_parting,
    judge_silence,
    wants_ascii,
)
from cluster.policy.routes.next_hop import NextHop

TRIES_AT_MOST = 3
"""Connections that a job may be lost with, and hosts that may put it off, before that is reported."""
MOVES_AT_MOST = 10
"""Used-up connections that a job may meet before what they say is reported."""
_NOTHING_SAID = frozenset((Stage.IDLE, Stage.RSET, Stage.MAIL))
"""A connection lost here has not even seen the sender accepted: replies come in the order of the commands (RFC 2920
§3.2), so the message is not accepted either, though all of it may have been written."""
_AFTER_MAIL = frozenset((Stage.RCPT, Stage.DATA, Stage.END_OF_DATA))

Told = tuple[Job, TransactionResult | ConnectionLost]


class Division(Struct, frozen=True, kw_only=True):
    """A job in parts, each recipient in one of them."""

    settled: Told | None
    """To be reported."""
    rest: tuple[tuple[NextHop, Queued], ...] = ()
    """Goes on, each to its next hop. Every part has fewer recipients or fewer hosts before it than the whole had, or
    needs SMTPUTF8 no more, so this comes to an end."""
    moved: Queued | None = None
    """Of the rest, what goes over another connection, since this one is used up or lost; before all that waits."""
    spent: Spent | None = None
    """What this connection has had its share of, as its host says."""
    put_off: Told | None = None
    """Of the rest, what automation is to hear of: what goes to another host, or whose connection was lost, and why."""
    is_host_done: bool = False
    """The host takes no mail at all for now: this connection is not worth keeping."""

    @property
    def parts(self) -> int:
        return len(self.rest) + (self.settled is not None) + (self.moved is not None)


def may_try_again(queued: Queued, lost: ConnectionLost, alternatives: int, reused: bool) -> bool:
    """Whether losing the connection says nothing about the message: the host closed one that had been idle, or there
    are ``alternatives`` to it (RFC 5321 §5.1)."""
    if (lost.after_end_of_data and lost.stage not in _NOTHING_SAID) or queued.tries >= TRIES_AT_MOST - 1:
        return False
    return (reused and lost.reply is None) or alternatives > 0


def spent_with(lost: ConnectionLost) -> Spent | None:
    """What the connection had had its share of, if its host ended it with these words."""
    if lost.reply is None or lost.after_end_of_data:
        return None
    return spent(lost.reply.code, lost.reply.enhanced, lost.reply.text)


def may_move(queued: Queued, reused: bool) -> bool:
    """Whether a used-up connection costs a job no attempt. The first transaction of a connection cannot have used it
    up, whatever the host says; so each connection moves jobs only after it has carried others, and this comes to an
    end."""
    return reused and queued.moves < MOVES_AT_MOST


def fit(queued: Queued, share: Share) -> tuple[Queued | None, Queued | None]:
    """The part of a job that the next transaction of a connection may carry, and the rest; None where there is none."""
    job = queued.job
    fitting = share.fitting(job.envelope.recipients)
    if len(fitting) == len(job.deliveries):
        return queued, None
    if not fitting:
        return None, queued
    left = sorted(set(range(len(job.deliveries))) - set(fitting))
    return replace(queued, job=part(job, fitting)), replace(queued, job=part(job, left))


def divide(
    queued: Queued, hop: NextHop, host: Hop, result: TransactionResult, earliest: NextHost, reused: bool = False
) -> Division:
    """The parts of a job after a transaction with one of its hosts. ``earliest``: when the next one may be tried;
    ``reused``: whether its connection had carried others before."""
    job = queued.job
    if result.unsendable is not None:
        return _without_smtputf8(queued, hop, result)
    others = hop.without(host.mx_host)
    found = _sorted(queued, result, NextHost.NEVER if others is None else earliest, reused)
    # As many together as were taken, or half of them: a host that takes one at a time is soon understood.
    pieces = _pieces(found.again, found.taken or max(1, len(found.again) // 2))
    rest = [(hop, replace(queued, job=part(job, piece))) for piece in pieces]
    if found.in_ascii:
        rest.append((hop, replace(queued, job=_in_ascii(part(job, found.in_ascii)))))
    put_off = None
    if found.elsewhere and others is not None:
        put_off = elsewhere, said = _told(job, result, found.elsewhere)
        rest.append((others, Queued(elsewhere, queued.tries + 1, instead=(host, said))))
    return Division(
        settled=_told(job, result, found.settled) if found.settled else None,
        rest=tuple(rest),
        moved=replace(queued, job=part(job, found.moved), moves=queued.moves + 1) if found.moved else None,
        spent=found.spent,
        put_off=put_off,
        is_host_done=put_off is not None and result.mail is not None and not result.mail.positive,
    )


def after_loss(queued: Queued, hop: NextHop, lost: ConnectionLost, alternatives: int, reused: bool) -> Division | None:
    """How a job goes on at once whose connection was lost; None where that is to be reported."""
    had_its_share_of = spent_with(lost)
    if had_its_share_of and may_move(queued, reused):
        return Division(settled=None, moved=replace(queued, moves=queued.moves + 1), spent=had_its_share_of)
    if (division := _divide_lost(queued, hop, lost, had_its_share_of)) is not None:
        return division
    if not may_try_again(queued, lost, alternatives, reused):
        return None
    return Division(
        settled=None,
        moved=replace(queued, tries=queued.tries + 1),
        put_off=(queued.job, lost),
        is_host_done=lost.reply is not None or not reused,
    )


def _divide_lost(queued: Queued, hop: NextHop, lost: ConnectionLost, had_its_share_of: Spent | None) -> Division | None:
    """The parts of a job whose connection was lost, where fewer recipients may fare better; None where it stays whole.

    A host that ends the connection at one RCPT too many would do so at every attempt, and those before would never be
    sent to. Where it does not say that this is why, one try more is spent, and only after the first attempt.
    """
    job, is_at_rcpt = queued.job, lost.stage is Stage.RCPT
    if len(job.deliveries) == 1 or lost.after_end_of_data or lost.stage not in _AFTER_MAIL:
        return None
    verdict = _judged_loss(lost)
    taken, again, settled = _sorted_before(lost, len(job.deliveries))
    is_one_refused = any(number < len(lost.recipients) for number in again)
    is_said = is_one_refused or is_for_their_number(verdict, had_its_share_of, lost.stage)
    attempts = max(delivery.attempts for delivery in job.deliveries)
    may_guess = is_at_rcpt and queued.tries < TRIES_AT_MOST - 1 and may_be_for_one(verdict, attempts)
    if not (taken if is_said else may_guess):
        return None
    if taken:
        # The host has shown how many it takes together; where it changed its mind later, half of them.
        size = len(taken) if is_at_rcpt or is_one_refused else max(1, len(taken) // 2)
        pieces = _pieces(taken, size) + _pieces(again, size)
    else:
        pieces = [piece for piece in (again[:1], again[1:]) if piece]
    tries = queued.tries if is_said else queued.tries + 1
    return Division(
        settled=_told_of_loss(job, lost, settled) if settled else None,
        rest=tuple([(hop, replace(queued, job=part(job, piece), tries=tries)) for piece in pieces]),
        spent=had_its_share_of,
        put_off=None if is_said else (job, lost),
        is_host_done=not is_said,
    )


def _judged_loss(lost: ConnectionLost) -> Verdict:
    reply = lost.reply
    if reply is None:
        return judge_silence(lost.stage)
    return judge_parting(reply.code, reply.enhanced, reply.text, lost.stage)


def _sorted_before(lost: ConnectionLost, count: int) -> tuple[list[int], list[int], list[int]]:
    """The places of recipients that were taken before the loss, that another transaction may take, that are settled."""
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
    """The places of a job's recipients, each in one of the lists."""

    settled: list[int] = []
    again: list[int] = []
    in_ascii: list[int] = []
    elsewhere: list[int] = []
    moved: list[int] = []
    taken: int = 0
    spent: Spent | None = None


def _sorted(queued: Queued, result: TransactionResult, earliest: NextHost, reused: bool) -> _Sorted:
    job = queued.job
    plain = _plain(job)
    found = _Sorted()
    for number, outcome in enumerate(result.outcomes(job.envelope)):
        verdict, reply = _judged(outcome), outcome.reply
        found.taken += verdict.judgement is Judgement.ACCEPTED
        others = _others(number, result.recipients, outcome.stage)
        is_one_of_many = len(job.deliveries) > 1 and outcome.stage is not Stage.MAIL
        is_spent = None if verdict.judgement is Judgement.ACCEPTED else spent(reply.code, reply.enhanced, reply.text)
        found.spent = found.spent or is_spent
        if is_spent and may_move(queued, reused):
            found.moved.append(number)
        elif is_one_of_many and wants_another_transaction(verdict, reply.code, reply.enhanced, reply.text, others):
            found.again.append(number)
        elif number in plain and wants_ascii(verdict, reply.code, reply.enhanced, reply.text, outcome.stage):
            found.in_ascii.append(number)
        elif next_host(verdict, reply.enhanced, earliest) is NextHost.AT_ONCE:
            found.elsewhere.append(number)
        else:
            found.settled.append(number)
    return found


def _others(number: int, recipients: Sequence[Reply], stage: Stage) -> Others:
    """What the recipients of a transaction beside that with this place were told to RCPT."""
    if stage is Stage.RCPT and any(reply.positive for reply in recipients[:number]):
        return Others.TAKEN_BEFORE
    is_taken = any(reply.positive for place, reply in enumerate(recipients) if place != number)
    return Others.TAKEN if is_taken else Others.REFUSED


def _without_smtputf8(queued: Queued, hop: NextHop, result: TransactionResult) -> Division:
    """Recipients whose own addresses need what the host lacks fail; the others do without, where the message can."""
    job = queued.job
    if not (plain := _plain(job)):
        return Division(settled=(job, result))
    others = [number for number in range(len(job.deliveries)) if number not in plain]
    return Division(
        settled=(part(job, others), result) if others else None,
        rest=((hop, replace(queued, job=_in_ascii(part(job, plain)))),),
    )


def _plain(job: Job) -> list[int]:
    """The recipients that can be sent to without SMTPUTF8, where it is asked for now: those with ASCII addresses,
    unless sender or header cannot do without."""
    envelope = job.envelope
    if not needs_smtputf8(envelope) or not envelope.mail_from.isascii() or (envelope.smtputf8 and not job.downgraded):
        return []
    return [number for number, recipient in enumerate(envelope.recipients) if recipient.isascii()]


def _in_ascii(job: Job) -> Job:
    """With the header that needs no SMTPUTF8."""
    if job.downgraded is None:
        return job
    return replace(job, data=job.downgraded, downgraded=None, envelope=replace(job.envelope, smtputf8=False))


def _judged(outcome: RcptReply) -> Verdict:
    reply = outcome.reply
    return judge(reply.code, reply.enhanced, reply.text, outcome.stage)


def _told(job: Job, result: TransactionResult, numbers: Sequence[int]) -> tuple[Job, TransactionResult]:
    if result.recipients:
        result = replace(result, recipients=tuple([result.recipients[number] for number in numbers]))
    return part(job, numbers), result


def _told_of_loss(job: Job, lost: ConnectionLost, numbers: Sequence[int]) -> Told:
    told = ConnectionLost(lost.stage, lost.reason, lost.after_end_of_data, lost.reply)
    told.recipients = tuple([lost.recipients[number] for number in numbers])
    return part(job, numbers), told


def part(job: Job, numbers: Sequence[int]) -> Job:
    """The job for those of its recipients alone that have these places."""
    if len(numbers) == len(job.deliveries):
        return job
    recipients = tuple([job.envelope.recipients[number] for number in numbers])
    return replace(
        job,
        deliveries=tuple([job.deliveries[number] for number in numbers]),
        envelope=replace(job.envelope, recipients=recipients),
    )
