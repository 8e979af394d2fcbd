"""When the next host is tried after a reply, and what asks for another transaction."""

import pytest

from actors.delivery.reply import make_reply
from cluster.policy.onward import NextHost, next_host
from cluster.policy.stage import Stage
from cluster.policy.verdict import judge, wants_another_transaction

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
    assert wants_another_transaction(verdict, reply.code, reply.enhanced, False) is alone
    assert wants_another_transaction(verdict, reply.code, reply.enhanced, True) is after_others
