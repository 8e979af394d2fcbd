"""What a report says of a recipient is judged like the same reply to RCPT."""

import pytest

from cluster.mail_in.classification import classified
from cluster.mail_in.report import Action, RecipientReport
from cluster.policy.replies.bounce_class import BounceClass
from cluster.policy.replies.bounce_rules import ReplyScope
from cluster.policy.replies.stage import Stage
from cluster.policy.replies.verdict import ACCEPTED, Judgement, judge


def failed(diagnostic: str, status: str = "") -> RecipientReport:
    return RecipientReport(action=Action.FAILED, status=status, diagnostic=diagnostic)


@pytest.mark.parametrize(
    ("diagnostic", "status"),
    [
        ("550 5.1.1 <kim@example.org>: Recipient address rejected: User unknown", "5.1.1"),
        ("552 5.2.2 Mailbox full", "5.2.2"),
        ("554 5.7.1 Service unavailable; Client host [192.0.2.1] blocked using zen.spamhaus.org", "5.7.1"),
        ("550 5.4.1 Recipient address rejected: Access denied.", "5.4.1"),
        ("550 No such user here", ""),
        ("550 4.2.1 contradictory", "4.2.1"),
        ("550", ""),
    ],
)
def test_a_permanent_failure_has_the_class_and_type_of_the_reply(diagnostic: str, status: str) -> None:
    code = int(diagnostic[:3])
    at_once = judge(code, status or None, diagnostic, Stage.RCPT)
    later = classified(failed(diagnostic, status))
    assert (later.judgement, later.bounce_class) == (Judgement.BOUNCED, at_once.bounce_class)
    assert (later.bounce_type, later.rule) == (at_once.bounce_type, at_once.rule)


def test_what_the_host_tried_to_the_end_has_expired() -> None:
    for recipient in (
        failed("451 4.7.1 Greylisted", "4.7.1"),
        failed("", "4.4.7"),
        failed("421 Service not available"),
    ):
        verdict = classified(recipient)
        assert (verdict.judgement, verdict.bounce_class) == (Judgement.BOUNCED, BounceClass.EXPIRED)
        assert verdict.bounce_type == "soft"


def test_without_a_code_a_failure_is_hard_only_when_its_words_or_status_say_so() -> None:
    assert classified(failed("")).bounce_type == "soft"
    assert classified(failed("something went wrong")).bounce_class is BounceClass.OTHER
    assert classified(failed("user unknown")).bounce_type == "hard"
    assert classified(failed("", "5.1.1")).bounce_type == "hard"
    assert classified(failed("", "5.0.0")).bounce_type == "soft"


def test_a_delay_defers_and_the_rest_changes_nothing() -> None:
    delayed = RecipientReport(action=Action.DELAYED, status="4.4.1", diagnostic="connection timed out")
    assert classified(delayed).judgement is Judgement.DEFERRED
    assert classified(delayed).bounce_type is None
    for action in (Action.DELIVERED, Action.RELAYED, Action.EXPANDED):
        assert classified(RecipientReport(action=action, status="2.0.0")) == ACCEPTED


def test_a_report_reaches_no_further_than_its_recipient() -> None:
    said = "554 5.7.1 Client host [192.0.2.1] blocked using zen.spamhaus.org"
    assert judge(554, "5.7.1", said, Stage.RCPT).scope is ReplyScope.SITE
    assert classified(failed(said, "5.7.1")).scope is ReplyScope.RECIPIENT
