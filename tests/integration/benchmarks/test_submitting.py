"""The harness's client of SMTP tells what may have been taken from what cannot have been; hosts report until a 250."""

import asyncio
import time
from collections.abc import Sequence
from contextlib import asynccontextmanager
from pathlib import Path
from random import Random
from typing import Any

import msgspec
import pytest

from benchmarks.chaos import reporters
from benchmarks.chaos.records import ReportKind
from benchmarks.chaos.reporters import Reporters
from benchmarks.chaos.submitting import Refused, Submitting
from benchmarks.client import NotSent, Unanswered
from benchmarks.sink_log import Receipt, tail_of
from cluster.installation.ports import ANY_PORT, HeldPort
from cluster.smtpd.certificate import server_context
from cluster.smtpd.envelope import Answer, Behaviour, ReceivedMessage, ServerAction, ServerReply
from cluster.smtpd.server import SmtpServer

MAIL = b"Subject: hello\r\n\r\nHello\r\n"
LATER = ServerReply(451, "4.3.0 later")


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
        assert [mail.content for mail in received] == [MAIL] * 3
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
    recipients = ("a.returned@example.org", "b.ok@example.org", "c.complains@example.org")
    receipt = Receipt(
        at=time.time(),
        session=1,
        message_id="msg_0",
        recipients=recipients,
        accepted=True,
        replied=False,
        sender="b+x@y",
    )
    log = tmp_path / "sink.jsonl"
    log.write_bytes(msgspec.json.encode(receipt) + b"\n")
    async with serving(tmp_path, [LATER, ServerAction.DROP]) as (client, received):
        hosts = Reporters(client, tail_of(log), Random(1))
        ends = asyncio.Event()
        ends.set()
        await hosts.run(ends)
    assert [(one.recipient, one.kind) for one in hosts.reports] == [
        (recipients[0], ReportKind.RETURNED),
        (recipients[2], ReportKind.COMPLAINT),
    ]
    assert all(one.answered_at for one in hosts.reports) and not hosts.problems
    assert sum(one.tries for one in hosts.reports) == len(received) == 4
    assert len({mail.content for mail in received}) == 2, "sent again as it was"
