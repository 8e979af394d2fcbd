"""Calls over a socket between two processes of one machine, each of which may end or stand still at any moment."""

import asyncio
import contextlib
import socket
import tempfile
from collections.abc import AsyncIterator, Iterator
from contextlib import asynccontextmanager
from pathlib import Path

import pytest

from cluster import near_calls
from cluster.near_calls import AT_ONCE, HEAD, MOST_BYTES, NearCalls, NearServer, NotNear, socket_of
from tests.waiting import until


@pytest.fixture
def path() -> Iterator[Path]:
    with tempfile.TemporaryDirectory() as folder:  # short: a socket's path has at most 107 characters
        yield Path(folder, "a.sock")


class Recorder:
    """Answers with what it is asked, once it may."""

    def __init__(self) -> None:
        self.may = asyncio.Event()
        self.may.set()
        self.asked: list[bytes] = []
        self.late: bytes | None = None
        """What is answered later than others, when it is freed."""
        self.freed = asyncio.Event()
        self.broken_off: list[bytes] = []

    async def answer(self, data: bytes) -> bytes:
        self.asked.append(data)
        try:
            await self.may.wait()
            if data == self.late:
                await self.freed.wait()
        except asyncio.CancelledError:
            self.broken_off.append(data)
            raise
        if data == b"fail":
            raise ValueError("no such thing")
        if data == b"large":
            return bytes(MOST_BYTES + 1)
        return data[::-1]


@asynccontextmanager
async def serving(path: Path) -> AsyncIterator[Recorder]:
    recorder = Recorder()
    server = NearServer(recorder.answer)
    await server.start(path)
    try:
        yield recorder
    finally:
        await server.stop()


@asynccontextmanager
async def calling(path: Path) -> AsyncIterator["Clocked"]:
    calls = Clocked(path)
    try:
        yield calls
    finally:
        calls.close()


class Clocked(NearCalls):
    def __init__(self, path: Path) -> None:
        self.now = 0.0
        super().__init__(lambda: path, lambda: self.now)


async def test_each_call_gets_its_answer_in_whatever_order_they_come(path: Path) -> None:
    async with serving(path) as recorder, calling(path) as calls:
        assert await calls.call(b"first") == b"tsrif"
        recorder.may.clear()
        several = [asyncio.ensure_future(calls.call(f"call {n}".encode())) for n in range(50)]
        empty = asyncio.ensure_future(calls.call(b""))
        while len(recorder.asked) < 52:
            await asyncio.sleep(0)
        several[3].cancel()
        recorder.may.set()
        assert await empty == b""
        answers = await asyncio.gather(*several, return_exceptions=True)
        assert [one for n, one in enumerate(answers) if n != 3] == [
            f"call {n}".encode()[::-1] for n in range(50) if n != 3
        ]
        assert await calls.call(b"x" * 3_000_000) == b"x" * 3_000_000


async def test_what_fails_there_is_not_near_and_the_next_call_is(path: Path) -> None:
    async with serving(path), calling(path) as calls:
        for data in (b"fail", b"large"):
            with pytest.raises(NotNear, match="it failed there"):
                await calls.call(data)
        assert await calls.call(b"ab") == b"ba"


async def test_where_nobody_listens_it_is_tried_again_after_a_while(path: Path) -> None:
    async with calling(path) as calls:
        with pytest.raises(NotNear):
            await calls.call(b"ab")
        async with serving(path):
            with pytest.raises(NotNear, match="not connected"):
                await calls.call(b"ab")
            calls.now += near_calls.RETRY_S
            assert await calls.call(b"ab") == b"ba"


async def test_a_server_that_ends_fails_its_calls_and_its_successor_is_found_at_once(path: Path) -> None:
    async with calling(path) as calls:
        async with serving(path) as recorder:
            recorder.may.clear()
            waiting = asyncio.ensure_future(calls.call(b"ab"))
            while not recorder.asked:
                await asyncio.sleep(0)
        with pytest.raises(NotNear):
            await waiting
        async with serving(path):
            assert await calls.call(b"ab") == b"ba"


async def test_one_that_stands_still_is_left_alone_for_a_while(path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(near_calls, "ANSWER_S", 0.05)
    with socket.socket(socket.AF_UNIX) as stopped:
        stopped.bind(str(path))
        stopped.listen()
        async with calling(path) as calls:
            with pytest.raises(NotNear, match="no answer"):
                await calls.call(b"ab")
            with pytest.raises(NotNear, match="not connected"):
                await calls.call(b"ab")
            async with serving(path):  # its successor takes its place
                calls.now += near_calls.RETRY_S
                assert await calls.call(b"ab") == b"ba"


async def test_a_call_is_waited_for_while_others_are_answered(path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """Under load all are late, and asking once more the other way would only add to it."""
    monkeypatch.setattr(near_calls, "ANSWER_S", 0.2)
    async with serving(path) as recorder, calling(path) as calls:
        await calls.call(b"first")
        recorder.may.clear()
        late = asyncio.create_task(calls.call(b"abc"))
        await until(lambda: b"abc" in recorder.asked, 10)
        recorder.late = b"abc"
        recorder.may.set()
        ends = asyncio.get_running_loop().time() + 3 * near_calls.ANSWER_S
        while asyncio.get_running_loop().time() < ends:
            await calls.call(b"other")
            await asyncio.sleep(0.01)
        assert not late.done()
        recorder.freed.set()
        assert await late == b"cba"


async def test_what_is_asked_on_a_lost_connection_is_broken_off(path: Path) -> None:
    async with serving(path) as recorder, calling(path) as calls:
        recorder.may.clear()
        asked = asyncio.create_task(calls.call(b"abc"))
        await until(lambda: b"abc" in recorder.asked, 10)
        calls.close()
        with pytest.raises(NotNear):
            await asked
        await until(lambda: recorder.broken_off == [b"abc"], 10)


async def test_calls_without_end_are_bounded(path: Path) -> None:
    async with serving(path) as recorder, calling(path) as calls:
        assert await calls.call(b"ab") == b"ba"
        recorder.may.clear()
        several = [asyncio.ensure_future(calls.call(b"ab")) for _ in range(AT_ONCE)]
        while len(recorder.asked) < AT_ONCE + 1:
            await asyncio.sleep(0)
        with pytest.raises(NotNear, match="it failed there"):
            await calls.call(b"ab")
        recorder.may.set()
        assert await asyncio.gather(*several) == [b"ba"] * AT_ONCE


@pytest.mark.parametrize("data", [HEAD.pack(1, 0, MOST_BYTES + 1), b"\xff" * 100], ids=["too large", "noise"])
async def test_what_is_no_frame_ends_the_connection(path: Path, data: bytes) -> None:
    async with serving(path) as recorder, calling(path) as calls:
        reader, writer = await asyncio.open_unix_connection(str(path))
        writer.write(data)
        with contextlib.suppress(ConnectionResetError):
            assert await reader.read() == b""
        writer.close()
        assert recorder.asked == []
        assert await calls.call(b"ab") == b"ba"


async def test_frames_may_come_in_any_pieces(path: Path) -> None:
    async with serving(path):
        reader, writer = await asyncio.open_unix_connection(str(path))
        for byte in HEAD.pack(7, 0, 2) + b"ab" + HEAD.pack(8, 0, 0):
            writer.write(bytes([byte]))
            await writer.drain()
            await asyncio.sleep(0)
        assert await reader.readexactly(2 * HEAD.size + 2) == HEAD.pack(7, 0, 2) + b"ba" + HEAD.pack(8, 0, 0)
        writer.close()


async def test_without_a_run_folder_there_is_no_socket(tmp_path: Path) -> None:
    assert socket_of(tmp_path, "recorder") is None
    (tmp_path / "run").mkdir()
    assert socket_of(tmp_path, "recorder") == tmp_path / "run" / "recorder.sock"


async def test_a_place_that_takes_no_socket_is_told(tmp_path: Path, caplog: pytest.LogCaptureFixture) -> None:
    server = NearServer(Recorder().answer)
    await server.start(tmp_path / "missing" / "a.sock")
    await server.stop()
    assert "not listening" in caplog.text
