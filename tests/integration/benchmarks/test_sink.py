"""The sink in its own process: how late it is, what it offers, and that every message is in its log."""

import time
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

import pytest

from actors.capture.envelope import Extension
from actors.delivery.envelope import Envelope
from actors.delivery.smtp import SmtpConnection
from benchmarks.sink import SinkOptions, Writing
from benchmarks.sink_log import Receipt
from benchmarks.sink_process import SinkProcess
from cluster.settings import SmtpSettings, host_port

ENVELOPE = Envelope("a@example.com", ("b@example.org",))
DELAY_MS = 100.0


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
        took_ms = 1000.0  # the shortest: a busy machine can only add to it
        for i in range(3):
            began = time.perf_counter()
            await connection.send(ENVELOPE, message(f"m{i}"))
            took_ms = min(took_ms, (time.perf_counter() - began) * 1000)
        await connection.quit()
        # At least the flights, and fewer than one more: a reply is late once, however many came with it.
        assert flights * DELAY_MS * 0.95 <= took_ms < (flights + 1) * DELAY_MS
        assert [line.message_id for line in process.lines() if isinstance(line, Receipt)] == ["m0", "m1", "m2"]


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
