"""The next host after a 4yz, and the outcome of each recipient, on the wire."""

import pytest

from cluster.events import Bounced, Deferred, Delivered, Dropped
from cluster.journal.journal import Journal
from cluster.journal.records import Address, NewMessage, PreparedPersonalization
from cluster.policy.lifecycle import Status
from tests.integration.delivery.hostile import CHUNKS, ONE_BY_ONE, PIPELINED, Hosts, addressed, hosts
from tests.integration.delivery.world import DELIVERY
from tests.integration.journal.builders import a_message
from tests.integration.smtp.peer import Answer, Peer

WITHOUT_SMTPUTF8 = ("PIPELINING", "8BITMIME")
MODES = {"chunks": CHUNKS, "pipelined": PIPELINED, "one-by-one": ONE_BY_ONE}


def line(text: str) -> Answer:
    return (f"{text}\r\n".encode(),)


async def delivered(there: Hosts, message: NewMessage) -> None:
    await there.world.accept(message)
    row = await there.world.finished(message)
    assert row.status is Status.DELIVERED, row


async def fates(there: Hosts, message: NewMessage, count: int) -> dict[str, str]:
    """The last event of each recipient, by its local part."""
    await there.world.accept(message)
    await there.world.scheduler.paging.round()
    events = await there.world.events_of(message, count)
    return {
        event.recipient.partition("@")[0]: type(event).__name__
        for event in events
        if isinstance(event, Delivered | Deferred | Bounced)
    }


@pytest.mark.parametrize("mode", MODES)
@pytest.mark.parametrize(
    ("verb", "reply"), [("MAIL", "452 4.3.1 storage full"), ("RCPT", "451 later"), ("END", "451 4.3.0 later")]
)
async def test_the_second_host_takes_what_the_first_puts_off(
    journal: Journal, mode: str, verb: str, reply: str
) -> None:
    verb = "BDAT" if (verb, mode) == ("END", "chunks") else verb
    first, second = Peer({verb: line(reply)}, extensions=MODES[mode]), Peer()
    async with hosts(journal) as there:
        await there.host("two.test", first, second)
        message = addressed("two.test")
        await delivered(there, message)
        (event,) = await there.world.events_of(message, 1)
        assert isinstance(event, Delivered)
        assert (event.attempt, event.mx_host) == (1, "mx1.two.test")
        assert (first.verbs.count("MAIL"), len(second.messages)) == (1, 1)


async def test_a_host_that_puts_off_the_mailbox_is_not_the_first_of_the_next_attempt(journal: Journal) -> None:
    first, second = Peer({"RCPT": line("450 4.2.1 mailbox busy")}), Peer()
    async with hosts(journal, DELIVERY) as there:
        await there.host("two.test", first, second)
        message = addressed("two.test")
        await delivered(there, message)
        deferred, taken = await there.world.events_of(message, 2)
        assert isinstance(deferred, Deferred) and isinstance(taken, Delivered)
        assert (deferred.mx_host, taken.mx_host, taken.attempt) == ("mx0.two.test", "mx1.two.test", 2)


async def test_a_rule_says_when_the_next_host_may_be_tried(journal: Journal) -> None:
    first, second = Peer({"MAIL": line("451 4.3.0 later")}), Peer()
    async with hosts(journal) as there:
        await there.world.put_in_force(shaping='[[rule]]\nname = "one"\nnext_host = "never"\n')
        await there.host("two.test", first, second)
        message = addressed("two.test")
        assert await fates(there, message, 1) == {"r0": "Deferred"}
        assert second.connections == 0


async def test_a_blind_copy_that_needs_smtputf8_does_not_keep_the_others_from_their_mail(journal: Journal) -> None:
    async with hosts(journal) as there:
        await there.host("old.test", peer := Peer(extensions=WITHOUT_SMTPUTF8))
        visible = PreparedPersonalization(to=(Address("ada@old.test"),))
        message = a_message("ada@old.test", "é@old.test", "bob@old.test", personalization=visible)
        assert await fates(there, message, 3) == {"ada": "Delivered", "bob": "Delivered", "é": "Bounced"}
        assert len(peer.messages) == 1


@pytest.mark.parametrize("mode", MODES)
@pytest.mark.parametrize(
    "replies",
    [
        ["250 ok", "550 5.7.1 only one recipient per transaction", "550 5.7.1 only one recipient per transaction"],
        ["250 ok", "250 ok", "552 5.3.0 exceeded"],
        ["250 ok", "452 4.5.3 too many recipients", "452 4.5.3 too many recipients"],
    ],
)
async def test_what_one_transaction_cannot_carry_goes_in_another_at_once(
    journal: Journal, mode: str, replies: list[str]
) -> None:
    script: dict[str, Answer | list[Answer]] = {"RCPT": [line(reply) for reply in (*replies, "250 ok")]}
    async with hosts(journal) as there:
        await there.host("few.test", Peer(script, extensions=MODES[mode]))
        message = addressed("few.test", 3)
        await there.world.accept(message)
        await there.world.finished(message)
        events = await there.world.events_of(message, 3)
        assert [(type(event), getattr(event, "attempt", 0)) for event in events] == [(Delivered, 1)] * 3


async def test_an_address_that_no_command_can_hold_fails_alone(journal: Journal) -> None:
    async with hosts(journal) as there:
        await there.host("some.test", peer := Peer())
        visible = PreparedPersonalization(to=(Address("ada@some.test"),))
        message = a_message("ada@some.test", '"a\\é"@some.test', personalization=visible)
        await there.world.accept(message)
        await there.world.scheduler.paging.round()
        events = await there.world.events_of(message, 2)
        kinds = {event.recipient: type(event) for event in events}
        assert kinds == {"ada@some.test": Delivered, '"a\\é"@some.test': Dropped}
        assert len(peer.messages) == 1
