"""The sink in its own process: how late it is, what it offers, and that every message is in its log."""

import asyncio
import subprocess
import sys
import time
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

import pytest

from actors.smtp.client import SmtpConnection
from actors.smtp.commands import Envelope
from actors.smtp.tls import ClientContexts
from benchmarks.sink import SinkOptions, Writing
from benchmarks.sink_log import ConnectionEnded, Receipt
from benchmarks.sink_process import SinkProcess
from cluster.policy.tls.level import TlsLevel
from cluster.settings import SmtpSettings, TlsSettings, host_port
from cluster.smtpd.envelope import Extension

ENVELOPE = Envelope("a@example.com", ("b@example.org",))
DELAY_MS = 100.0
MOST_TRIES = 50
ROOT = Path(__file__).parents[3]


@contextmanager
def sink(directory: Path, options: SinkOptions) -> Iterator[tuple[SinkProcess, str]]:
    process = SinkProcess(directory, options)
    try:
        yield process, process.start()
    finally:
        process.stop()


async def connected(address: str) -> SmtpConnection:
    host, port = host_port(address)
    return await SmtpConnection.open(host, host, port, settings=SmtpSettings(), helo_name="bench.test")


def message(name: str) -> bytes:
    return f"Message-ID: <{name}@example.com>\r\n\r\nhello\r\n".encode()


@pytest.mark.parametrize(
    ("without", "flights"),
    [((), 1), ((Extension.CHUNKING,), 2), ((Extension.CHUNKING, Extension.PIPELINING), 4)],
)
async def test_a_message_costs_a_delay_for_each_flight(
    without: tuple[Extension, ...], flights: int, tmp_path: Path
) -> None:
    with sink(tmp_path, SinkOptions(delay_ms=DELAY_MS, without=without)) as (process, address):
        connection = await connected(address)
        assert connection.tls_version
        took_ms: list[float] = []
        # A busy machine can only add to it: the shortest of several counts.
        while len(took_ms) < 3 or (len(took_ms) < MOST_TRIES and min(took_ms) >= (flights + 1) * DELAY_MS):
            began = time.perf_counter()
            await connection.send(ENVELOPE, message(f"m{len(took_ms)}"))
            took_ms.append((time.perf_counter() - began) * 1000)
        await connection.quit()
        # At least the flights, and fewer than one more: a reply is late once, however many came with it.
        assert flights * DELAY_MS * 0.95 <= min(took_ms) < (flights + 1) * DELAY_MS
        taken = [line.message_id for line in process.lines() if isinstance(line, Receipt)]
        assert taken == [f"m{i}" for i in range(len(took_ms))]


async def test_a_sink_that_reads_knows_a_message_by_its_envelope(tmp_path: Path) -> None:
    """A submitted message has the Message-ID of its author."""
    sender = f"b+{'0' * 26}{'a' * 32}@example.com"
    with sink(tmp_path, SinkOptions(reads=True)) as (process, address):
        connection = await connected(address)
        for one in (sender, "a@example.com"):
            await connection.send(Envelope(one, ("b.ok@example.org",)), message("m1"))
        await connection.quit()
        taken = [(line.message_id, line.sender) for line in process.lines() if isinstance(line, Receipt)]
        assert taken == [(f"msg_{'0' * 26}", sender), ("m1", "a@example.com")]


async def test_the_tail_gives_each_line_once(tmp_path: Path) -> None:
    with sink(tmp_path, SinkOptions()) as (process, address):
        tail = process.tail()
        connection = await connected(address)
        seen = []
        for i in range(3):
            await connection.send(ENVELOPE, message(f"m{i}"))
            seen.append([line.message_id for line in tail.take() if isinstance(line, Receipt)])
        connection.abort()
        assert seen == [["m0"], ["m1"], ["m2"]]


async def test_what_is_written_soon_is_written_when_the_sink_ends(tmp_path: Path) -> None:
    with sink(tmp_path, SinkOptions(writing=Writing.SOON)) as (process, address):
        connection = await connected(address)
        for i in range(100):
            await connection.send(ENVELOPE, message(f"m{i}"))
        connection.abort()
    assert len({line.message_id for line in process.lines() if isinstance(line, Receipt)}) == 100


async def test_a_message_of_many_records(tmp_path: Path) -> None:
    with sink(tmp_path, SinkOptions()) as (process, address):
        connection = await connected(address)
        for i in range(3):
            await connection.send(ENVELOPE, message(f"m{i}") + b"all is well\r\n" * 20_000)
        await connection.quit()
    assert [line.message_id for line in process.lines() if isinstance(line, Receipt)] == ["m0", "m1", "m2"]


async def test_a_session_is_resumed(tmp_path: Path) -> None:
    context = ClientContexts(TlsSettings()).of_level(TlsLevel.REQUIRED)
    with sink(tmp_path, SinkOptions()) as (_, address):
        host, port = host_port(address)
        resumed = []
        for _ in range(2):
            connection = await SmtpConnection.open(
                host, host, port, settings=SmtpSettings(), helo_name="bench.test", ssl_context=context
            )
            assert connection.tls_version == "TLSv1.3"
            resumed.append(connection.tls_resumed)
            await connection.quit()
    assert resumed == [False, True]


async def test_what_is_no_tls_ends_the_connection(tmp_path: Path) -> None:
    with sink(tmp_path, SinkOptions()) as (_, address):
        reader, writer = await asyncio.open_connection(*host_port(address))
        await reader.readline()
        writer.write(b"STARTTLS\r\n")
        await reader.readline()
        writer.write(b"MAIL FROM:<a@b.test>\r\n" * 20)
        assert b"250" not in await reader.read()
        writer.close()


READER = """
import asyncio, sys
from tests.integration.benchmarks.test_sink import ENVELOPE, connected, message

async def main():
    connection = await connected(sys.argv[1])
    await connection.send(ENVELOPE, message("first"))
    print("ready", flush=True)
    if sys.argv[2] == "unread":
        sending = asyncio.create_task(connection.send(ENVELOPE, message("second")))
        await asyncio.sleep(0)  # it is written
        import time; time.sleep(60)
    elif sys.argv[2] == "quits":
        await connection.quit()
    await asyncio.sleep(60)

asyncio.run(main())
"""


@pytest.mark.parametrize(
    ("does", "spoke_after", "reset"), [("unread", False, True), ("stays", False, False), ("quits", True, False)]
)
async def test_how_a_client_that_is_killed_had_read_its_last_reply(
    does: str, spoke_after: bool, reset: bool, tmp_path: Path
) -> None:
    with sink(tmp_path, SinkOptions()) as (process, address):
        client = subprocess.Popen(
            [sys.executable, "-c", READER, address, does], cwd=ROOT, stdout=subprocess.PIPE, text=True
        )
        try:
            assert client.stdout is not None
            assert client.stdout.readline() == "ready\n"
            tail = process.tail()
            lines = tail.take()
            while sum(isinstance(line, Receipt) for line in lines) < (2 if does == "unread" else 1):
                await asyncio.sleep(0.01)
                lines += tail.take()
            if does != "quits":
                client.kill()
            while not isinstance(lines[-1], ConnectionEnded):
                await asyncio.sleep(0.01)
                lines += tail.take()
        finally:
            client.kill()
            client.communicate()
    end = lines[-1]
    assert isinstance(end, ConnectionEnded)
    last = [line for line in lines if isinstance(line, Receipt)][-1]
    assert (end.heard_at > last.at, end.reset) == (spoke_after, reset)
    assert last.at <= end.replied_at <= end.at


async def test_a_sink_that_reads_keeps_mail_with_files_as_it_came(tmp_path: Path) -> None:
    with_file = message("m2").replace(b"\r\n\r\n", b"\r\nContent-Disposition: attachment; filename=a.txt\r\n\r\n")
    with sink(tmp_path, SinkOptions(reads=True)) as (process, address):
        connection = await connected(address)
        for content in (message("m1"), with_file):
            await connection.send(Envelope("a@example.com", ("b.ok@example.org",)), content)
        await connection.quit()
        plain, kept = (line.kept for line in process.lines() if isinstance(line, Receipt))
        assert plain == "" and (process.directory / kept).read_bytes() == with_file
