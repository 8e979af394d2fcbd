"""Whether a delivery that a host deferred may go to another host, and when (RFC 5321 §5.1).

A failure of the host itself says nothing about the message: the next host is tried in the same attempt. When a host
defers the message or the mailbox, the next host is not tried at once, as that would look like searching for a lenient
host; the next attempt begins elsewhere. When a filter that counts attempts, or a limit, asks us to wait, the delivery
returns to the same host, but for a few attempts only: another host may accept it. A limit of the whole site applies
to each of its hosts.
"""

from enum import StrEnum

from cluster.policy.limits.session import Spent
from cluster.policy.replies.bounce_class import BounceClass
from cluster.policy.replies.bounce_rules import ReplyScope
from cluster.policy.replies.stage import Stage
from cluster.policy.replies.verdict import Judgement, Verdict


class NextHost(StrEnum):
    """When the next host is tried after a 4yz. In a shaping rule: the earliest time."""

    AT_ONCE = "at_once"
    """In the same attempt, if the reply was not about the message or the mailbox; otherwise in the next attempt."""
    NEXT_ATTEMPT = "next_attempt"
    NEVER = "never"
    """Each attempt begins with the hosts of the lowest preference value."""


_OF_THE_HOST = frozenset(
    (
        BounceClass.SYSTEM_FAILURE,
        BounceClass.DNS_FAILURE,
        BounceClass.NO_ANSWER,
        BounceClass.CONNECTION_LOST,
    )
)
_TOLD_TO_WAIT = frozenset(
    (
        # Such a filter recognises a returning message by the host that it returns to (RFC 6647 §5).
        BounceClass.GREYLISTED,
        BounceClass.RATE_LIMITED,
        BounceClass.TOO_MANY_RECIPIENTS,
        BounceClass.MAILBOX_FULL,
    )
)
PATIENT_ATTEMPTS = 4
"""Attempts at a host that asks us to wait. Genuine greylisting accepts a message within these."""
_SUBJECTS_OF_HOSTS = ("0", "3", "4")
"""RFC 3463 §3: other or undefined, mail system, network. The others are about address, mailbox, content, policy."""


def next_host(
    verdict: Verdict, enhanced: str | None, earliest: NextHost = NextHost.AT_ONCE, attempts: int = 1
) -> NextHost:
    """When to try the next host after the reply with this verdict. ``enhanced``: its enhanced status code.
    ``attempts``: of the delivery, including this one."""
    if verdict.judgement is not Judgement.DEFERRED or earliest is NextHost.NEVER:
        return NextHost.NEVER
    if verdict.scope is ReplyScope.SITE:
        return NextHost.NEVER
    if verdict.bounce_class in _TOLD_TO_WAIT:
        return NextHost.NEVER if attempts < PATIENT_ATTEMPTS else NextHost.NEXT_ATTEMPT
    is_of_the_host = enhanced is None or enhanced.split(".")[1] in _SUBJECTS_OF_HOSTS
    if is_of_the_host and verdict.bounce_class in _OF_THE_HOST:
        return earliest
    return NextHost.NEXT_ATTEMPT


def is_for_their_number(verdict: Verdict, spent: Spent | None, stage: Stage) -> bool:
    """Whether a connection that ended with a reply at ``stage`` ended because of the number of recipients. ``verdict``
    and ``spent`` (the allowance that is used up) are those of the reply; some hosts count a recipient as a message."""
    if verdict.bounce_class is BounceClass.TOO_MANY_RECIPIENTS or spent is Spent.RECIPIENTS:
        return True
    return spent is not None and stage is Stage.RCPT


def may_be_for_one(verdict: Verdict, attempts: int) -> bool:
    """Whether one recipient, or the number of recipients, may be the unstated reason for connections lost at RCPT: it
    has happened before (``attempts`` includes this one), and the host gave no other reason."""
    return attempts > 1 and (verdict.bounce_class in _OF_THE_HOST or verdict.bounce_class is BounceClass.OTHER)
