"""When the next host is tried after a reply, and which replies lead to another transaction."""

import pytest
from hypothesis import given
from hypothesis import strategies as st

from actors.smtp.reply import make_reply
from cluster.policy.limits.recipients import Others, wants_another_transaction
from cluster.policy.limits.session import EXAMINED_CHARS
from cluster.policy.replies.onward import NextHost, next_host
from cluster.policy.replies.stage import Stage
from cluster.policy.replies.verdict import judge
from tests.growth import assert_in_proportion

AT_ONCE, NEXT_ATTEMPT, NEVER = NextHost.AT_ONCE, NextHost.NEXT_ATTEMPT, NextHost.NEVER


def next_host_after(says: str, stage: Stage = Stage.RCPT, earliest: NextHost = AT_ONCE) -> NextHost:
    reply = make_reply(int(says[:3]), [says])
    return next_host(judge(reply.code, reply.enhanced, reply.text, stage), reply.enhanced, earliest)


@pytest.mark.parametrize(
    ("says", "when"),
    [
        ("452 4.3.1 insufficient system storage", AT_ONCE),
        ("451 try again later", AT_ONCE),
        ("451 4.3.0 local error in processing", AT_ONCE),
        ("451 4.4.3 directory server is away", AT_ONCE),
        ("452 insufficient system storage", AT_ONCE),
        ("450 mailbox busy", NEXT_ATTEMPT),
        ("451 4.2.0 not now", NEXT_ATTEMPT),
        ("451 4.7.1 not now", NEXT_ATTEMPT),
        ("451 4.1.8 sender's domain is not found", NEXT_ATTEMPT),
        ("451 4.7.1 greylisted, come back in 5 minutes", NEVER),
        ("452 4.5.3 too many recipients", NEVER),
        ("452 4.2.2 mailbox full", NEVER),
        ("421 4.7.28 unusual rate of mail from your address", NEVER),
        ("550 5.1.1 user unknown", NEVER),
        ("550 5.3.0 system failure", NEVER),
        ("250 ok", NEVER),
    ],
)
@pytest.mark.parametrize("stage", [Stage.MAIL, Stage.RCPT, Stage.END_OF_DATA])
def test_the_next_host_is_tried_at_once_where_nothing_was_said_of_the_message(
    says: str, when: NextHost, stage: Stage
) -> None:
    assert next_host_after(says, stage) is when


@pytest.mark.parametrize("says", ["451 4.7.1 greylisted, come back in 5 minutes", "452 4.2.2 mailbox full"])
def test_a_host_that_says_to_wait_is_not_the_only_one(says: str) -> None:
    reply = make_reply(int(says[:3]), [says])
    verdict = judge(reply.code, reply.enhanced, reply.text, Stage.RCPT)
    asked = [next_host(verdict, reply.enhanced, attempts=attempts) for attempts in range(1, 7)]
    assert asked == [NEVER, NEVER, NEVER, NEXT_ATTEMPT, NEXT_ATTEMPT, NEXT_ATTEMPT]
    assert next_host(verdict, reply.enhanced, NEVER, 9) is NEVER


def test_a_site_may_be_one_that_punishes_it() -> None:
    assert next_host_after("451 4.3.0 later", earliest=NEXT_ATTEMPT) is NEXT_ATTEMPT
    assert next_host_after("451 4.3.0 later", earliest=NEVER) is NEVER
    assert next_host_after("450 later", earliest=NEVER) is NEVER


@pytest.mark.parametrize(
    ("says", "alone", "after_others"),
    [
        ("452 4.5.3 too many recipients", True, True),
        ("550 5.7.1 only one recipient per transaction", True, True),
        ("550 only one recipient per message is allowed", True, True),
        ("552 exceeded", False, True),
        ("552 5.3.0 exceeded", False, True),
        ("452 later", False, True),
        ("552 5.2.2 mailbox full", False, False),
        ("452 4.3.1 insufficient system storage", False, False),
        ("452 4.2.2 mailbox full", False, False),
        ("550 5.1.1 user unknown", False, False),
        ("451 later", False, False),
    ],
)
def test_what_is_said_of_their_number_asks_for_another_transaction(says: str, alone: bool, after_others: bool) -> None:
    reply = make_reply(int(says[:3]), [says])
    verdict = judge(reply.code, reply.enhanced, reply.text, Stage.RCPT)
    said = (verdict, reply.code, reply.enhanced, reply.text)
    assert wants_another_transaction(*said, Others.REFUSED) is alone
    assert wants_another_transaction(*said, Others.TAKEN_BEFORE) is after_others


ONE_TOO_MANY = [
    "554 5.7.1 only one recipient allowed per message",
    "550 5.7.1 all recipients must be in same domain",
    "550 5.7.1 All recipients must belong to the same domain",
    "550 5.7.1 Multiple recipients not allowed",
    "550 Exceeded allowed number of recipients",
    "550 Recipients limit exceeded",
    "550 5.7.0 message has more than 5 recipients",
    "571 Number of recipients exceeds limit",
    "554 5.5.0 max 1 recipient",
    "501 5.5.4 recipient count exceeds limit",
    "550 5.7.1 a message may have at most 20 recipients",
    "554 5.7.1 Single recipient only",
    "550 number of RCPT commands: maximum of 10 recipients",
    "550 5.7.1 maximum allowed recipients exceeded",
    "554 recipients exceed the limit",
    "550 5.7.1 Messages to different domains are not accepted",
    "550 5.7.1 no more recipients, please",
    "451 4.7.1 Only 3 recipients are allowed",
    "550 5.7.1 You are limited to 2 recipients",
    "550 5.7.1 You may only send to one recipient at once",
    "550 5.7.1 Too many addresses",
    "554 Rejected: message has too many destinations",
    "550 5.7.1 mixed domains not allowed",
    "550 5.7.1 cannot mix recipients of different organisations",
    "550 5.7.1 multi-recipient messages are not accepted",
]
OF_SOMETHING_ELSE = [
    "550 5.7.1 recipient rejected",
    "550 5.7.1 at least one recipient rejected",
    "550 5.7.1 too many bad recipient addresses",
    "550 5.7.1 number of recipients per hour exceeds the limit",
    "550 5.1.1 recipient unknown",
    "550 5.1.1 no such recipient in this domain",
    "550 5.2.1 The recipient has reached the limit of messages",
    "550 5.7.1 recipient exceeded the limit of messages",
    "550 5.7.1 only local recipients are allowed",
    "554 5.7.1 relaying denied, recipients must authenticate",
    "550 5.2.2 recipient over quota",
    "550 5.7.1 the same domain is blocked",
    "550 5.7.1 only authenticated senders may write to this recipient",
    "451 4.3.0 later",
]


@pytest.mark.parametrize("says", ONE_TOO_MANY)
def test_other_wordings_mean_their_number_where_another_was_taken(says: str) -> None:
    reply = make_reply(int(says[:3]), [says])
    for stage in (Stage.RCPT, Stage.END_OF_DATA):
        verdict = judge(reply.code, reply.enhanced, reply.text, stage)
        assert wants_another_transaction(verdict, reply.code, reply.enhanced, reply.text, Others.TAKEN)
        assert wants_another_transaction(verdict, reply.code, reply.enhanced, reply.text, Others.TAKEN_BEFORE)
        assert not wants_another_transaction(verdict, reply.code, reply.enhanced, reply.text, Others.REFUSED)


@pytest.mark.parametrize("says", OF_SOMETHING_ELSE)
def test_what_is_said_of_one_recipient_is_meant_for_it(says: str) -> None:
    reply = make_reply(int(says[:3]), [says])
    verdict = judge(reply.code, reply.enhanced, reply.text, Stage.RCPT)
    assert not wants_another_transaction(verdict, reply.code, reply.enhanced, reply.text, Others.TAKEN_BEFORE)


def test_503_to_a_later_recipient_is_about_the_transaction() -> None:
    verdict = judge(503, "5.5.1", "503 5.5.1 bad sequence of commands", Stage.RCPT)
    said = (verdict, 503, "5.5.1", "503 5.5.1 bad sequence of commands")
    assert wants_another_transaction(*said, Others.TAKEN_BEFORE)
    assert not wants_another_transaction(*said, Others.TAKEN)


@given(st.text(), st.sampled_from([Others.TAKEN, Others.TAKEN_BEFORE]))
def test_no_reply_breaks_it(text: str, others: Others) -> None:
    verdict = judge(550, None, text, Stage.RCPT)
    assert wants_another_transaction(verdict, 550, None, text, others) in (True, False)


@pytest.mark.parametrize("words", ["number of a ", "exceed a b c ", "recipients a b c d ", "only "])
def test_a_long_reply_takes_time_in_proportion(words: str) -> None:
    verdict = judge(550, None, "550 no", Stage.RCPT)

    def wants(chars: int) -> None:
        text = "550 " + (words * chars)[:chars]
        for _ in range(10):
            assert not wants_another_transaction(verdict, 550, None, text, Others.TAKEN)

    assert_in_proportion(wants, EXAMINED_CHARS // 16, EXAMINED_CHARS)
    assert_in_proportion(wants, EXAMINED_CHARS, EXAMINED_CHARS * 16)
