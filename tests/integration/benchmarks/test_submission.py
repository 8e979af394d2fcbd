"""The load of ``peers``: every letter once, over all connections, and an end at the first refusal."""

from pathlib import Path

import pytest

from benchmarks.load import NotAccepted
from benchmarks.mail import Mail, Shape
from benchmarks.sink import Manner, SinkBehavior, SinkOptions
from benchmarks.sink_log import Receipt
from benchmarks.submission import Credentials, Way, letters, submit, unverified
from cluster.smtpd.certificate import server_context
from cluster.smtpd.envelope import ReceivedMessage
from cluster.smtpd.server import SmtpServer
from tests.integration.benchmarks.test_sink import sink

MAIL = Mail(Shape())


async def test_every_letter_arrives_once(tmp_path: Path) -> None:
    mail = letters(MAIL.body(range(1, 41)))
    with sink(tmp_path, SinkOptions()) as (process, address):
        accepted = (await submit(address, mail, clients=3)).message_ids
        receipts = [line for line in process.lines() if isinstance(line, Receipt)]
    assert sorted(accepted) == sorted(receipt.message_id for receipt in receipts)
    assert set(accepted) == {letter.message_id for letter in mail}
    assert len({receipt.session for receipt in receipts}) <= 3


@pytest.mark.parametrize("way", Way)
async def test_every_way_over_tls_brings_the_same_message(tmp_path: Path, way: Way) -> None:
    arrived: list[ReceivedMessage] = []
    server = SmtpServer(arrived.append, tls=server_context("127.0.0.1", tmp_path))
    host, port = await server.start()
    (letter,) = letters(MAIL.body([1]), way, b"X: 1\r\n.y: 2\r\n")
    try:
        submitted = await submit(f"{host}:{port}", [letter], 2, Credentials(unverified()))
    finally:
        await server.stop()
    assert submitted.message_ids == [letter.message_id] and len(submitted.took_s) == 1
    (message,) = arrived
    assert message.tls_version == "TLSv1.3" and message.rcpt_to == ("reader1-0@example.org",)
    assert message.content.startswith(b"X: 1\r\n.y: 2\r\n")
    assert letter.message_id.encode() in message.content and message.content.endswith(b"--\r\n")
    assert message.chunked == (way is Way.CHUNKING)


async def test_letters_for_several_recipients(tmp_path: Path) -> None:
    mail = letters(Mail(Shape(recipients=3)).body([1, 2]))
    with sink(tmp_path, SinkOptions()) as (process, address):
        assert len((await submit(address, mail, clients=1)).message_ids) == 2
        assert [len(line.recipients) for line in process.lines() if isinstance(line, Receipt)] == [3, 3]


async def test_a_refusal_is_the_end(tmp_path: Path) -> None:
    with sink(tmp_path, SinkOptions()) as (process, address):
        process.order(SinkBehavior(Manner.REFUSE))
        with pytest.raises(NotAccepted, match="421"):
            while True:  # until the sink has received its order
                await submit(address, letters(MAIL.body([1])), clients=1)
