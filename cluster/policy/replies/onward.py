"""Whether what a host has put off may go to another host, and when (RFC 5321 §5.1).

A host that is in trouble of its own says nothing of the message: the next one is tried in the same attempt. One that
puts off the message or the mailbox is not gone around at once, which would look like shopping for a willing host; the
next attempt begins elsewhere. What was told to wait, by a filter that counts attempts or by a limit, comes back to
where that was said, but for a few attempts only: another host may take it. A limit of the whole site holds with each of
its hosts.
"""

from enum import StrEnum

from cluster.policy.limits.session import Spent
from cluster.policy.replies.bounce_class import BounceClass
from cluster.policy.replies.bounce_rules import Scope
from cluster.policy.replies.stage import Stage
from cluster.policy.replies.verdict import Judgement, Verdict


class NextHost(StrEnum):
    """When the next host is tried after a 4yz. In a rule of shaping: at the earliest."""

    AT_ONCE = "at_once"
    """In the same attempt, where nothing was said about the message or the mailbox; else in the next one."""
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
        # A filter knows a message that comes back by the host that it comes back to (RFC 6647 §5).
        BounceClass.GREYLISTED,
        BounceClass.RATE_LIMITED,
        BounceClass.TOO_MANY_RECIPIENTS,
        BounceClass.MAILBOX_FULL,
    )
)
PATIENT_ATTEMPTS = 4
"""With a host that says to wait. Filters that mean it let a message pass by then."""
_SUBJECTS_OF_HOSTS = ("0", "3", "4")
"""RFC 3463 §3: other or undefined, mail system, network. The others are of addresses, mailboxes, contents, policy."""


def next_host(
    verdict: Verdict, enhanced: str | None, earliest: NextHost = NextHost.AT_ONCE, attempts: int = 1
) -> NextHost:
    """When the next host is to be tried after the reply that this verdict is on. ``enhanced``: its status code.
    ``attempts``: of the delivery, with this one."""
    if verdict.judgement is not Judgement.DEFERRED or earliest is NextHost.NEVER:
        return NextHost.NEVER
    if verdict.scope is Scope.SITE:
        return NextHost.NEVER
    if verdict.bounce_class in _TOLD_TO_WAIT:
        return NextHost.NEVER if attempts < PATIENT_ATTEMPTS else NextHost.NEXT_ATTEMPT
    is_of_the_host = enhanced is None or enhanced.split(".")[1] in _SUBJECTS_OF_HOSTS
    if is_of_the_host and verdict.bounce_class in _OF_THE_HOST:
        return earliest
    return NextHost.NEXT_ATTEMPT


def is_for_their_number(verdict: Verdict, spent: Spent | None, stage: Stage) -> bool:
    """Whether a connection that ended with words at ``stage``, on which the verdict is, ended for the number of
    recipients. ``spent``: what it had had its share of, by these words; some hosts count a recipient as a message."""
    if verdict.bounce_class is BounceClass.TOO_MANY_RECIPIENTS or spent is Spent.RECIPIENTS:
        return True
    return spent is not None and stage is Stage.RCPT


def may_be_for_one(verdict: Verdict, attempts: int) -> bool:
    """Whether one recipient, or their number, may be why connections are lost at RCPT, though no host says so: it has
    happened before (``attempts``: with this one), and nothing else was given as the reason."""
    return attempts > 1 and (verdict.bounce_class in _OF_THE_HOST or verdict.bounce_class is BounceClass.OTHER)
