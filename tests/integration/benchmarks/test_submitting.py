"""The harness's client of SMTP tells what may have been taken from what cannot have been; hosts report until a 250."""

import asyncio
from collections.abc import Sequence
from contextlib import asynccontextmanager
from pathlib import Path
from random import Random
from typing import Any

import msgspec
import pytest

from benchmarks.chaos import load, mail, reporters
from benchmarks.chaos.load import LoadStream
from benchmarks.chaos.mail import RequestDraft
from benchmarks.chaos.records import ReportKind
from benchmarks.chaos.reporters import Reporters
from benchmarks.chaos.submitting import Refused, Submitting
from benchmarks.client import Client, NotSent, Unanswered
from benchmarks.sink_log import Receipt, tail_of
from cluster.installation.ports import ANY_PORT, HeldPort
from cluster.smtpd.certificate import server_context
from cluster.smtpd.envelope import Answer, Behaviour, ReceivedMessage, ServerAction, ServerReply
from cluster.smtpd.server import SmtpServer

MAIL = b"Subject: hello\r\n\r\nHello\r\n"
LATER = ServerReply(451, "4.3.0 later")
RECEIPT = Receipt(
    at=9.0,
    session=1,
    message_id="msg_0",
    recipients=("a.returned@example.org", "b.ok@example.org", "c.complains@example.org"),
    accepted=True,
    replied=False,
    sender="b+x@y",
)


@asynccontextmanager
async def serving(folder: Path, answers: Sequence[Answer], **behaviour: Any) -> Any:
    """A server that gives these answers to messages, then accepts; yields a client of it and what it received."""
    left, received = list(answers), list[ReceivedMessage]()

    async def take(mail: ReceivedMessage) -> Answer:
        received.append(mail)
        return left.pop(0) if left else None

    server = SmtpServer(take, tls=server_context("127.0.0.1", folder), behaviour=Behaviour(**behaviour))
    host, port = await server.start("127.0.0.1", 0)
    yield Submitting(f"{host}:{port}"), received
    await server.stop(1.0)


async def test_each_way_to_fail_is_told(tmp_path: Path) -> None:
    answers: list[Answer] = [ServerReply(250, "2.0.0 msg_1 accepted"), LATER, ServerAction.DROP]
    async with serving(tmp_path, answers) as (client, received):
        assert await client.submit("a@example.com", ["b@example.com"], MAIL) == "msg_1"
        with pytest.raises(Refused) as refused:
            await client.submit("a@example.com", ["b@example.com"], MAIL)
        assert refused.value.code == 451
        with pytest.raises(Unanswered):
            await client.submit("a@example.com", ["b@example.com"], MAIL)
        assert [one.content for one in received] == [MAIL] * 3
    with pytest.raises(NotSent):
        await Submitting(HeldPort(ANY_PORT).bind).submit("a@example.com", ["b@example.com"], MAIL)


async def test_a_refused_recipient_is_told(tmp_path: Path) -> None:
    async with serving(tmp_path, [], rcpt=lambda _: ServerReply(550, "5.1.1 no")) as (client, _):
        with pytest.raises(Refused) as refused:
            await client.submit("", ["b@example.com"], MAIL)
        assert str(refused.value) == "550 5.1.1 no"


async def test_a_report_is_sent_until_it_is_answered(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    for name in ("WITHIN_S", "AGAIN_S", "LOOK_S", "TWICE_SHARE"):
        monkeypatch.setattr(reporters, name, 0.0)
    log = tmp_path / "sink.jsonl"
    log.write_bytes(msgspec.json.encode(RECEIPT) + b"\n")
    async with serving(tmp_path, [LATER, ServerAction.DROP]) as (client, received):
        hosts = Reporters(client, tail_of(log), Random(1))
        ends = asyncio.Event()
        ends.set()
        await hosts.run(ends)
    assert [(one.recipient, one.kind) for one in hosts.reports] == [
        (RECEIPT.recipients[0], ReportKind.RETURNED),
        (RECEIPT.recipients[2], ReportKind.COMPLAINT),
    ]
    assert all(one.answered_at for one in hosts.reports) and not hosts.problems
    assert sum(one.tries for one in hosts.reports) == len(received) == 4
    assert len({one.content for one in received}) == 2, "sent again as it was"


@pytest.mark.parametrize("second", ["msg_1", "msg_2"])
async def test_a_message_is_submitted_until_it_is_answered_and_again(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, second: str
) -> None:
    monkeypatch.setattr(load, "SUBMITTED_AGAIN_SHARE", 1.1)
    monkeypatch.setattr(load, "SUBMIT_WAIT_S", 0.0)
    draft = RequestDraft(fates=(("ok", "later"),), delay_s=None, batch=False, submitted=True)
    monkeypatch.setattr(mail, "draw", lambda _: draft)
    taken = [ServerReply(250, f"2.0.0 {name} accepted") for name in ("msg_1", second)]
    async with serving(tmp_path, [LATER, ServerAction.DROP, *taken]) as (client, received):
        stream = LoadStream(Client("http://127.0.0.1:9", ""), client, 20, Random(1), 1)
        await stream.run(0.03, lambda: False)
    [sent] = stream.sent
    assert (sent.outcome, sent.tries, len(sent.recipients[0]), stream.promised) == ("accepted", 4, 2, 1)
    assert len(received) == 4 and len({one.content for one in received}) == 1
    assert bool(stream.problems) == (second == "msg_2")


async def test_what_may_have_been_taken_stays_unknown(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(load, "MAX_WAIT_S", 0.5)
    monkeypatch.setattr(load, "SUBMIT_WAIT_S", 0.2)
    draft = RequestDraft(fates=(("ok",),), delay_s=None, batch=False, submitted=True)
    monkeypatch.setattr(mail, "draw", lambda _: draft)
    async with serving(tmp_path, [ServerAction.DROP, *[LATER] * 20]) as (client, _):
        stream = LoadStream(Client("http://127.0.0.1:9", ""), client, 20, Random(1), 1)
        await stream.run(0.03, lambda: False)
    [sent] = stream.sent
    assert sent.outcome == "unanswered" and sent.tries > 1


async def test_a_report_that_is_never_answered_is_known_as_such(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    for name, seconds in (("WITHIN_S", 0.0), ("AGAIN_S", 0.05), ("LOOK_S", 0.0), ("MAX_WAIT_S", 0.2)):
        monkeypatch.setattr(reporters, name, seconds)
    log = tmp_path / "sink.jsonl"
    log.write_bytes(msgspec.json.encode(RECEIPT) + b"\n")
    async with serving(tmp_path, [LATER] * 100) as (client, _):
        hosts = Reporters(client, tail_of(log), Random(1))
        ends = asyncio.Event()
        ends.set()
        await hosts.run(ends)
    assert [one.answered_at for one in hosts.reports] == [None, None]
