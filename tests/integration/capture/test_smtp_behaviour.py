"""The scripted server delays, gives false replies, drops connections or does not reply as scripted, and ends
cleanly."""

import asyncio

import pytest

from cluster.smtpd.server import Answer, Behaviour, ReceivedMessage, ServerAction, ServerOptions, ServerReply, Then
from tests.integration.capture.peers import Peer, RawClient

START = b"MAIL FROM:<a@example.com>\r\nRCPT TO:<b@example.org>\r\n"
FLIGHT = START + b"BDAT 4 LAST\r\nbody"


async def test_a_refused_recipient_takes_no_effect() -> None:
    behaviour = Behaviour(rcpt=lambda address: ServerReply(550, "5.1.1 no such user") if "bad" in address else None)
    async with Peer(behaviour=behaviour) as peer, await RawClient.greeted(peer.port) as client:
        client.send(
            b"MAIL FROM:<a@b.example>\r\nRCPT TO:<bad@c.example>\r\nRCPT TO:<good@c.example>\r\nBDAT 1 LAST\r\nx"
        )
        assert [reply[:3] for reply in await client.replies(4)] == ["250", "550", "250", "250"]
        client.send(b"MAIL FROM:<a@b.example>\r\nRCPT TO:<bad@c.example>\r\nBDAT 1 LAST\r\nx")
        assert [reply[:3] for reply in await client.replies(3)] == ["250", "550", "554"]
    assert [envelope.rcpt_to for envelope in peer.taken] == [("good@c.example",)]


async def test_greeting_and_a_close_after_a_reply() -> None:
    behaviour = Behaviour(greeting=lambda: ServerReply(421, "4.7.0 busy\ntry later", then=Then.CLOSE))
    async with Peer(behaviour=behaviour) as peer, await RawClient.connect(peer.port) as client:
        assert await client.reply() == "421-4.7.0 busy\n421 try later"
        assert await client.closed()


async def test_malformed_replies_are_sent_as_they_are() -> None:
    behaviour = Behaviour(mail=lambda _: b"banana\r\n", data=lambda: b"999 \xff\r\n")
    async with Peer(behaviour=behaviour) as peer, await RawClient.greeted(peer.port) as client:
        assert await client.ask("MAIL FROM:<a@b.example>") == "banana"
        assert (await client.ask("RCPT TO:<a@b.example>")).startswith("503")


async def test_drop_before_the_final_reply_after_the_message_was_taken() -> None:
    taken: list[ReceivedMessage] = []

    def take_and_drop(envelope: ReceivedMessage) -> Answer:
        taken.append(envelope)
        return ServerAction.DROP

    async with Peer(on_message=take_and_drop) as peer, await RawClient.greeted(peer.port) as client:
        client.send(FLIGHT)
        assert [reply[:3] for reply in await client.replies(3)] == ["250", "250", ""]
    assert len(taken) == 1


async def test_silence_lasts() -> None:
    behaviour = Behaviour(end_of_data=lambda _: ServerAction.SILENCE)
    async with (
        Peer(ServerOptions(idle_timeout_s=0.05), behaviour) as peer,
        await RawClient.greeted(peer.port) as client,
    ):
        client.send(FLIGHT + b"NOOP\r\n")
        # The idle limit ends the connection, without a reply.
        assert [reply[:3] for reply in await client.replies(3)] == ["250", "250", ""]
    assert not peer.taken


async def test_a_delay_holds_what_follows_but_not_what_came_before() -> None:
    behaviour = Behaviour(rcpt=lambda _: ServerReply(250, "slow", delay_s=0.1))
    async with Peer(behaviour=behaviour) as peer, await RawClient.greeted(peer.port) as client:
        started = asyncio.get_running_loop().time()
        client.send(FLIGHT)
        await client.reply()
        assert [await client.reply(), (await client.reply())[:3]] == ["250 slow", "250"]
        assert asyncio.get_running_loop().time() - started > 0.05
    assert len(peer.taken) == 1


async def test_commands_are_seen_and_can_be_answered() -> None:
    seen: list[str] = []

    def see(line: str) -> Answer:
        seen.append(line)
        return ServerReply(502, "no") if line == "NOOP" else None

    async with Peer(behaviour=Behaviour(command=see)) as peer, await RawClient.greeted(peer.port) as client:
        assert await client.ask("NOOP") == "502 no"
        assert (await client.ask("quit")).startswith("221")
    assert seen == ["EHLO client.example", "NOOP", "quit"]


@pytest.mark.parametrize("asynchronous", [True, False])
async def test_an_exception_is_a_local_error(asynchronous: bool, caplog: pytest.LogCaptureFixture) -> None:
    async def fail_later(envelope: ReceivedMessage) -> Answer:
        raise ValueError("no")

    def fail(envelope: ReceivedMessage) -> Answer:
        raise ValueError("no")

    async with (
        Peer(on_message=fail_later if asynchronous else fail) as peer,
        await RawClient.greeted(peer.port) as client,
    ):
        client.send(FLIGHT + b"NOOP\r\n")
        assert [reply[:3] for reply in await client.replies(4)] == ["250", "250", "451", "250"]
    assert "could not be taken" in caplog.text


async def test_input_is_held_back_while_an_answer_is_awaited() -> None:
    answered: asyncio.Future[Answer] = asyncio.get_running_loop().create_future()
    async with (
        Peer(ServerOptions(max_backlog_bytes=100), on_message=lambda _: answered) as peer,
        await RawClient.greeted(peer.port) as client,
    ):
        client.send(FLIGHT + b"NOOP\r\n" * 10_000)
        asyncio.get_running_loop().call_later(0.05, answered.set_result, ServerReply(250, "done"))
        assert (await client.replies(3))[2] == "250 done"
        assert {reply[:3] for reply in await client.replies(10_000)} == {"250"}


async def test_stopping_answers_what_was_received_and_says_421_to_the_rest() -> None:
    answered: asyncio.Future[Answer] = asyncio.get_running_loop().create_future()
    received = asyncio.Event()

    def take(envelope: ReceivedMessage) -> "asyncio.Future[Answer]":
        received.set()
        return answered

    async with (
        Peer(on_message=take) as peer,
        await RawClient.greeted(peer.port) as busy,
        await RawClient.greeted(peer.port) as idle,
    ):
        busy.send(FLIGHT)
        await received.wait()
        stopping = asyncio.create_task(peer.server.stop())
        assert (await idle.reply()).startswith("421 4.3.2")
        answered.set_result(ServerReply(250, "kept"))
        assert (await busy.replies(4))[2:] == ["250 kept", "421 4.3.2 shutting down"]
        await stopping
    assert peer.server.totals.open == 0


async def test_an_idle_client_is_told_so() -> None:
    async with Peer(ServerOptions(idle_timeout_s=0.05)) as peer, await RawClient.greeted(peer.port) as client:
        assert (await client.reply()).startswith("421 4.4.2")
        assert await client.closed()
