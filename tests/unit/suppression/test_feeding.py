"""Which ends of a delivery put its recipient on which list."""

import pytest

from actors.smtp.reply import make_reply
from cluster.policy.replies.stage import Stage
from cluster.policy.replies.verdict import UNRESOLVED, UNROUTABLE, UNSENDABLE, expired, judge, judge_parting
from cluster.suppression.feeding import list_fed_by
from cluster.suppression.lists import SuppressionList


@pytest.mark.parametrize(
    ("says", "stage", "fed"),
    [
        ("550 5.1.1 No such user", Stage.RCPT, "bounces"),
        ("550 no such user here", Stage.RCPT, "bounces"),
        ("550 5.2.1 Mailbox disabled", Stage.RCPT, "bounces"),
        ("550 5.1.1 No such user", Stage.END_OF_DATA, None),
        ("550 5.1.1 No such user", Stage.MAIL, None),
        ("450 4.1.1 No such user, for now", Stage.RCPT, None),
        ("550 4.1.1 No such user", Stage.RCPT, None),
        ("552 5.2.2 Mailbox full", Stage.RCPT, None),
        ("452 4.2.2 Mailbox full", Stage.RCPT, None),
        ("554 5.7.1 Message rejected as spam", Stage.END_OF_DATA, "blocks"),
        ("550 5.7.1 Your address is on a block list", Stage.RCPT, "blocks"),
        ("451 4.7.1 Greylisted", Stage.RCPT, None),
        ("550 5.1.2 Host unknown", Stage.RCPT, "invalid_emails"),
        ("556 5.1.10 Domain does not accept mail (nullMX)", Stage.RCPT, "invalid_emails"),
        ("553 5.1.3 Bad address syntax", Stage.RCPT, "invalid_emails"),
        ("450 4.1.2 Domain not found", Stage.RCPT, None),
        ("250 2.1.5 Ok", Stage.END_OF_DATA, None),
    ],
)
def test_replies(says: str, stage: Stage, fed: str | None) -> None:
    reply = make_reply(int(says[:3]), [says])
    verdict = judge(reply.code, reply.enhanced, reply.text, stage)
    assert list_fed_by(verdict, reply.enhanced) == (fed and SuppressionList(fed))


def test_what_is_not_a_reply_feeds_a_list_only_if_the_domain_is_at_fault() -> None:
    assert list_fed_by(UNROUTABLE, is_bad_domain=True) is SuppressionList.INVALID_EMAILS
    last = judge_parting(421, "4.7.0", "421 4.7.0 try later", Stage.GREETING)
    for verdict in (UNROUTABLE, UNRESOLVED, UNSENDABLE, last, expired(last), expired(UNRESOLVED)):
        assert list_fed_by(verdict) is None
