"""Which list a recipient is put on when a delivery ends without success. Pure."""

from cluster.policy.replies.bounce_class import BounceClass
from cluster.policy.replies.bounce_rules import ReplyScope
from cluster.policy.replies.verdict import Judgement, Verdict, says_malformed
from cluster.suppression.lists import SuppressionList


def list_fed_by(
    verdict: Verdict, enhanced: str | None = None, *, is_bad_domain: bool = False
) -> SuppressionList | None:
    """The list for the recipient that this verdict ends; None for none. ``enhanced``: the status code of the reply.
    ``is_bad_domain``: the DNS says that the recipient's domain does not exist, or that it takes no mail.

    A soft bounce feeds no list. A hard one does only where the reply is about the recipient: what refuses a sender or a
    message says nothing about the address.
    """
    if is_bad_domain:
        return SuppressionList.INVALID_EMAILS
    if verdict.judgement is not Judgement.BOUNCED:
        return None
    if verdict.bounce_type == "block":
        return SuppressionList.BLOCKS
    if verdict.bounce_type != "hard" or verdict.scope is not ReplyScope.RECIPIENT:
        return None
    if verdict.bounce_class is BounceClass.BAD_DOMAIN or says_malformed(enhanced):
        return SuppressionList.INVALID_EMAILS
    return SuppressionList.BOUNCES
