"""Hosts that end connections whenever they like, and those with a better one beside them: the mail gets through at
once, and the message's retries are not spent on it.
"""

import asyncio

import pytest
from msgspec.structs import replace

from cluster.events import Delivered, Event
from cluster.journal.journal import Journal
from cluster.policy.lifecycle import Status
from tests.integration.delivery.hostile import (
    CHUNKS,
    ONE_BY_ONE,
    PIPELINED,
    SETTINGS,
    SMTP,
    Hosts,
    addressed,
    first_events,
    hosts,
)
from tests.integration.smtp.peer import Answer, Peer, Step

ONE_CONNECTION = replace(SETTINGS, connections_per_site=1, connection_idle_s=30)
MODES = {"chunks": CHUNKS, "pipelined": PIPELINED, "one-by-one": ONE_BY_ONE}
CLOSING: Answer = (b"421 4.4.2 closing\r\n", Step.DROP)
FAULTS: dict[str, tuple[str, Answer]] = {
    "refuses": ("GREETING", (b"554 5.7.1 no service\r\n",)),
    "is closing": ("GREETING", CLOSING),
    "drops": ("GREETING", (Step.DROP,)),
    "drops at EHLO": ("EHLO", (Step.DROP,)),
    "closes at MAIL": ("MAIL", CLOSING),
    "drops at MAIL": ("MAIL", (Step.DROP,)),
    "closes at RCPT": ("RCPT", CLOSING),
}


async def sent(there: Hosts, domain: str = "example.test") -> Event:
    """The first event of one more message to the domain."""
    message = addressed(domain)
    await there.world.accept(message)
    ((event,),) = (await first_events(there.world, [message])).values()
    return event


async def delivered(there: Hosts, domain: str = "example.test") -> Delivered:
    """The delivery of one more message, at the first attempt."""
    event = await sent(there, domain)
    assert isinstance(event, Delivered), event
    assert event.attempt == 1
    return event


@pytest.mark.parametrize("words", [b"421 4.4.2 idle for too long\r\n", b"250 what?\r\n", b"\x00\xff\r\n", b""])
async def test_a_connection_that_ends_while_it_is_idle_costs_nothing(journal: Journal, words: bytes) -> None:
    """RFC 5321 §3.8: a host may say 421 at any time. Nothing had been asked, so nothing has been answered."""
    peer, spare = Peer(), Peer()
    async with hosts(journal, ONE_CONNECTION) as there:
        await there.host("example.test", peer, spare)
        await delivered(there)
        peer.writers[0].write(words)
        if not words:
            peer.writers[0].close()
        async with asyncio.timeout(30):
            await peer.disconnected.wait()
        for _ in range(2):
            event = await delivered(there)
            assert event.mx_host == "mx0.example.test", "the host is not to blame for it"
        assert (peer.connections, spare.connections) == (2, 0)


@pytest.mark.parametrize("mode", MODES)
async def test_a_host_that_closes_after_each_message(journal: Journal, mode: str) -> None:
    last = "BDAT" if mode == "chunks" else "END"
    peer = Peer({last: (b"250 2.0.0 thanks\r\n", Step.DROP)}, extensions=MODES[mode])
    await taken_at_the_first_attempt(journal, peer)


@pytest.mark.parametrize("mode", MODES)
async def test_a_host_that_closes_when_a_second_message_comes(journal: Journal, mode: str) -> None:
    answers: list[Answer] = [(b"250 2.1.0 ok\r\n",), (Step.DROP,)]
    peer = Peer({"MAIL": answers * 20}, extensions=MODES[mode])
    await taken_at_the_first_attempt(journal, peer)


async def taken_at_the_first_attempt(journal: Journal, peer: Peer) -> None:
    messages = [addressed("example.test") for _ in range(10)]
    async with hosts(journal, ONE_CONNECTION) as there:
        await there.host("example.test", peer)
        await there.world.accept(*messages)
        events = await first_events(there.world, messages)
        assert {(type(event), event.attempt) for (event,) in events.values()} == {(Delivered, 1)}  # type: ignore[union-attr]
    assert len(peer.messages) == len(messages)
    assert peer.connections == len(messages)


@pytest.mark.parametrize("mode", MODES)
async def test_the_next_host_gets_the_mail_in_the_same_attempt(journal: Journal, mode: str) -> None:
    """RFC 5321 §5.1."""
    async with hosts(journal) as there:
        messages = []
        for number, (verb, answer) in enumerate(FAULTS.values()):
            bad, good = Peer({verb: answer}, extensions=MODES[mode]), Peer(extensions=MODES[mode])
            await there.host(f"d{number}.test", bad, good)
            messages.append(addressed(f"d{number}.test"))
        await there.world.accept(*messages)
        events = await first_events(there.world, messages)
        found = [
            (fault, type(event).__name__, event.attempt, event.mx_host)  # type: ignore[union-attr]
            for fault, (event,) in zip(FAULTS, events.values(), strict=True)
        ]
        assert found == [(fault, "Delivered", 1, f"mx1.d{number}.test") for number, fault in enumerate(FAULTS)]


@pytest.mark.parametrize("answer", [(Step.STALL,), (Step.DROP,), CLOSING], ids=["silent", "drops", "is closing"])
async def test_a_first_host_that_is_dead_is_paid_for_once(journal: Journal, answer: Answer) -> None:
    dead, good = Peer({"GREETING": answer}), Peer()
    settings = replace(ONE_CONNECTION, messages_per_connection=1)
    async with hosts(journal, settings, replace(SMTP, greeting_timeout_s=1.0)) as there:
        await there.host("example.test", dead, good)
        for _ in range(3):
            assert (await delivered(there)).mx_host == "mx1.example.test"
        assert (dead.connections, good.connections) == (1, 3)


async def test_a_dead_host_that_is_the_only_one_left_is_tried_again(journal: Journal) -> None:
    """A host that is known to be dead is tried last, not left out."""
    peer = Peer({"GREETING": [(Step.DROP,), (b"220 back again\r\n",)]})
    settings = replace(ONE_CONNECTION, retry_schedule_s=(0.05,))
    async with hosts(journal, settings) as there:
        await there.host("example.test", peer)
        message = addressed("example.test")
        await there.world.accept(message)
        row = await there.world.finished(message)
        assert (row.status, row.retry_count) == (Status.DELIVERED, 1)


@pytest.mark.parametrize("lacks", ["CHUNKING", "PIPELINING"])
async def test_a_host_that_lacks_what_it_announces_is_believed_once(journal: Journal, lacks: str) -> None:
    """Otherwise each attempt would fail alike until the mail expired."""
    peer = Peer(lacks=frozenset((lacks,)))
    settings = replace(ONE_CONNECTION, messages_per_connection=1, retry_schedule_s=(0.05,))
    async with hosts(journal, settings, replace(SMTP, rcpt_timeout_s=0.5)) as there:
        await there.host("example.test", peer)
        message = addressed("example.test")
        await there.world.accept(message)
        row = await there.world.finished(message)
        # A host that refuses an empty chunk gets DATA at once; one that discards commands is silent until the timeout.
        tries = 1 if lacks == "CHUNKING" else 2
        assert (row.status, row.retry_count) == (Status.DELIVERED, tries - 1)
        await delivered(there)
        assert peer.connections == tries + 1
        assert len(peer.messages) == 2
