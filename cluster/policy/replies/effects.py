"""The effects of a verdict on the connection, its host's address, the site, and the recipients.

This module decides, and the delivery actor performs the effects. ``effects_of`` takes the verdict, the stage that it
concerns, and the facts that only the actor knows. The class of the facts is the kind of event:

- ``Answered``: a transaction ended, and this is one recipient's reply in it;
- ``Broken``: the connection was lost during a transaction;
- ``Unreached``: there was no connection: an address refused it, or the DNS named no host;
- ``Settled``: an attempt at a delivery is over.

The scope of a verdict determines what else is affected: from HOST on, the address, and the site if it has no working
connection; at SITE, no other host is tried.
"""

from enum import StrEnum

from msgspec import Struct

from cluster.policy.limits.recipients import Others, wants_another_transaction
from cluster.policy.limits.session import Spent, spent
from cluster.policy.replies.bounce_rules import ReplyScope
from cluster.policy.replies.onward import NextHost, is_for_their_number, may_be_for_one, next_host
from cluster.policy.replies.stage import Stage
from cluster.policy.replies.verdict import Judgement, Verdict, reaches, wants_ascii

TRIES_AT_MOST = 3
"""Lost connections and deferring hosts that a job may meet before the failure is reported."""
MOVES_AT_MOST = 10
"""Used-up connections that a job may meet before their reply is reported."""

_OF_ONE_DOMAIN = frozenset((None, Stage.STARTTLS, Stage.TLS))
"""Failures of the domain's DNS or TLS policy: the site's other mail may succeed."""
_NOTHING_SAID = frozenset((Stage.IDLE, Stage.RSET, Stage.MAIL))
"""Stages at which a lost connection has not even accepted the sender: replies come in the order of the commands (RFC
2920 §3.2), so the message is not accepted either, though all of it may have been written."""
_AFTER_MAIL = frozenset((Stage.RCPT, Stage.DATA, Stage.END_OF_DATA))


class Onward(StrEnum):
    """How a recipient continues in this attempt."""

    SETTLED = "settled"
    """It does not continue: the verdict is its outcome."""
    MOVED = "moved"
    """Over another connection to the same hosts. It does not count as a try."""
    DIVIDED = "divided"
    """With the same hosts, in transactions of fewer recipients."""
    IN_ASCII = "in_ascii"
    """With the same hosts, without SMTPUTF8."""
    RETRIED = "retried"
    """Over another connection to the same hosts. It counts as a try."""
    ELSEWHERE = "elsewhere"
    """To the next hosts. It counts as a try."""


class OfSite(StrEnum):
    UNTOUCHED = "untouched"
    WORKS = "works"
    """Its back-off ends."""
    BACKS_OFF = "backs_off"
    BACKS_OFF_FOR_DNS = "backs_off_for_dns"
    """No longer than a DNS failure is cached: no host was contacted."""


class Effects(Struct, frozen=True, kw_only=True):
    """What to do, level by level. The defaults change nothing."""

    spent: Spent | None = None
    """The connection's allowance that is used up, so that it carries no more; None: none."""
    address_failed: bool = False
    """The host's address failed: close the connection, and try other addresses first for a while."""
    site: OfSite = OfSite.UNTOUCHED
    """The change to the site's back-off."""
    tells_automation: bool = False
    """Whether automation, which adjusts the site's limits, gets the reply."""
    onward: Onward = Onward.SETTLED
    costs_try: bool = False
    """Whether continuing counts towards ``TRIES_AT_MOST``."""
    next_elsewhere: bool = False
    """Whether the delivery's next attempt begins with another host."""


CARRIED = Effects(site=OfSite.WORKS)
"""The effects on the site of a transaction that a connection carried, accepted or not."""
_NOTHING = Effects()


class Answered(Struct, frozen=True, kw_only=True):
    """One recipient's reply in a transaction that has ended."""

    code: int
    enhanced: str | None
    text: str
    others: Others = Others.REFUSED
    recipients: int = 1
    """The number in the transaction."""
    needs_ascii: bool = False
    """The transaction used SMTPUTF8, which this recipient does not need."""
    is_reused: bool = False
    """The connection had carried other transactions before."""
    tries: int = 0
    moves: int = 0
    next_host: NextHost = NextHost.AT_ONCE
    """When the site's rules allow the next host, at the earliest."""
    has_next_host: bool = True


class Broken(Struct, frozen=True, kw_only=True):
    """A connection that was lost during a transaction."""

    code: int = 0
    """The code of the reply that ended it; 0: there was none."""
    enhanced: str | None = None
    text: str = ""
    may_be_taken: bool = False
    """The host had the whole message, and may have accepted it."""
    recipients: int = 1
    """The number in the transaction."""
    taken: int = 0
    """Recipients whose RCPT was accepted before the loss."""
    is_one_refused: bool = False
    """Whether one RCPT was refused before because of the number of recipients."""
    is_reused: bool = False
    alternatives: int = 0
    """The number of other addresses for the same mail."""
    tries: int = 0
    moves: int = 0
    attempts: int = 1
    """The most attempts of any of its deliveries, including this one."""


class Unreached(Struct, frozen=True, kw_only=True):
    """There was no connection. The stage is None if the DNS named no host."""

    has_reply: bool = False
    is_backing_off: bool = False
    """The site is backing off after an earlier failure."""
    is_own_site: bool = False
    """The site consists of the domain alone, and has its name."""
    is_connected: bool = False
    """The site has other connections."""
    is_of_tenant: bool = False
    """The host has not the TLS that the tenant requires for its mail: other tenants' mail may succeed."""


class Settled(Struct, frozen=True, kw_only=True):
    """An attempt at a delivery is over."""

    code: int = 0
    """0: there was no reply."""
    enhanced: str | None = None
    attempts: int = 1
    """Attempts of the delivery, including this one."""
    next_host: NextHost = NextHost.AT_ONCE
    """When the site's rules allow the next host, at the earliest."""


Facts = Answered | Broken | Unreached | Settled


def effects_of(verdict: Verdict, stage: Stage | None, facts: Facts) -> Effects:
    """The effects of a verdict on an event at ``stage``. Raises ValueError when a connection's stage is None."""
    match facts:
        case Answered():
            return _NOTHING if verdict.judgement is Judgement.ACCEPTED else _of_reply(verdict, _known(stage), facts)
        case Broken():
            return _of_loss(verdict, _known(stage), facts)
        case Unreached():
            return _of_no_connection(verdict, stage, facts)
        case Settled():
            return _of_end(verdict, facts)


def _of_reply(verdict: Verdict, stage: Stage, facts: Answered) -> Effects:
    said = verdict, facts.code, facts.enhanced, facts.text
    used_up = spent(facts.code, facts.enhanced, facts.text)
    earliest = facts.next_host if facts.has_next_host and _may_try(facts) else NextHost.NEVER
    if used_up and _may_move(facts):
        return Effects(onward=Onward.MOVED, spent=used_up)
    is_one_of_many = facts.recipients > 1 and stage is not Stage.MAIL
    if is_one_of_many and wants_another_transaction(*said, facts.others):
        return Effects(onward=Onward.DIVIDED, spent=used_up)
    if facts.needs_ascii and wants_ascii(*said, stage):
        return Effects(onward=Onward.IN_ASCII, spent=used_up)
    if next_host(verdict, facts.enhanced, earliest) is NextHost.AT_ONCE:
        # A host that defers the sender for its own reasons accepts no mail for now.
        is_down = stage is Stage.MAIL
        return Effects(
            onward=Onward.ELSEWHERE, costs_try=True, spent=used_up, address_failed=is_down, tells_automation=True
        )
    return Effects(spent=used_up)


def _of_loss(verdict: Verdict, stage: Stage, facts: Broken) -> Effects:
    has_reply = facts.code != 0
    used_up = spent(facts.code, facts.enhanced, facts.text) if has_reply and not facts.may_be_taken else None
    if used_up and _may_move(facts):
        return Effects(onward=Onward.MOVED, spent=used_up)
    if facts.recipients > 1 and not facts.may_be_taken and stage in _AFTER_MAIL:
        # A host that ends the connection at one RCPT too many would do so at every attempt, and the recipients before
        # it would never get the message. Without this reason, it costs a try, and only after the first attempt.
        is_said = facts.is_one_refused or is_for_their_number(verdict, used_up, stage)
        may_guess = stage is Stage.RCPT and _may_try(facts) and may_be_for_one(verdict, facts.attempts)
        if facts.taken if is_said else may_guess:
            return Effects(
                onward=Onward.DIVIDED,
                costs_try=not is_said,
                spent=used_up,
                address_failed=not is_said,
                tells_automation=has_reply and not is_said,
            )
    if _says_nothing_of_the_message(stage, facts) and _may_try(facts):
        is_idle_close = facts.is_reused and not has_reply
        if is_idle_close or facts.alternatives > 0:
            return Effects(
                onward=Onward.RETRIED,
                costs_try=True,
                address_failed=not is_idle_close,
                tells_automation=has_reply,
            )
    return Effects(address_failed=True)


def _of_no_connection(verdict: Verdict, stage: Stage | None, facts: Unreached) -> Effects:
    if facts.is_of_tenant:
        return Effects(tells_automation=facts.has_reply)
    is_of_all = reaches(verdict, ReplyScope.HOST) and stage not in _OF_ONE_DOMAIN
    site = OfSite.UNTOUCHED
    if not facts.is_backing_off and (facts.is_own_site or (is_of_all and not facts.is_connected)):
        site = OfSite.BACKS_OFF_FOR_DNS if stage is None else OfSite.BACKS_OFF
    return Effects(address_failed=is_of_all, site=site, tells_automation=facts.has_reply)


def _of_end(verdict: Verdict, facts: Settled) -> Effects:
    if verdict.judgement is Judgement.ACCEPTED:
        return _NOTHING
    when = next_host(verdict, facts.enhanced, facts.next_host, facts.attempts) if facts.code else NextHost.NEVER
    return Effects(tells_automation=True, next_elsewhere=when is not NextHost.NEVER)


def _says_nothing_of_the_message(stage: Stage, facts: Broken) -> bool:
    return not facts.may_be_taken or stage in _NOTHING_SAID


def _may_try(facts: Answered | Broken) -> bool:
    return facts.tries < TRIES_AT_MOST - 1


def _may_move(facts: Answered | Broken) -> bool:
    """Whether a used-up connection costs no attempt. The first transaction cannot have used a connection up, whatever
    the reply says; so a connection moves jobs only after it has carried others, and the moves end."""
    return facts.is_reused and facts.moves < MOVES_AT_MOST


def _known(stage: Stage | None) -> Stage:
    if stage is None:
        raise ValueError("a connection has a stage")
    return stage
