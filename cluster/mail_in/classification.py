"""The verdict on what a report says of a recipient: the same that a host's reply gets."""

from cluster.mail_in.replies import code_of
from cluster.mail_in.report import Action, RecipientReport
from cluster.policy.replies.verdict import ACCEPTED, Verdict, judge_report


def classified(recipient: RecipientReport) -> Verdict:
    """BOUNCED for a failure, DEFERRED for a delay, else ACCEPTED."""
    if recipient.action not in (Action.FAILED, Action.DELAYED):
        return ACCEPTED
    failed = recipient.action is Action.FAILED
    return judge_report(code_of(recipient.diagnostic), recipient.status or None, recipient.diagnostic, failed=failed)
