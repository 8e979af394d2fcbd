"""What a service manager is told, and what SIGHUP does."""

import os
import pty
import socket
import subprocess
import sys
import threading
from collections.abc import Iterator
from pathlib import Path

import click
import pytest

from cluster.commands.hanging_up import HangUp
from cluster.installation.private_files import Unsafe
from cluster.installation.service import VARIABLE, Service

MAX_WAIT_S = 30.0


@pytest.fixture
def manager(tmp_path: Path) -> Iterator[socket.socket]:
    with socket.socket(socket.AF_UNIX, socket.SOCK_DGRAM) as listening:
        listening.bind(str(tmp_path / "notify"))
        listening.settimeout(MAX_WAIT_S)
        yield listening


def test_a_service_manager_is_told_each_state(manager: socket.socket) -> None:
    environ = {VARIABLE: manager.getsockname(), "OTHER": "1"}
    service = Service(environ)
    assert environ == {"OTHER": "1"}  # what we start does not speak for us
    service.starting("journal")
    service.ready("runs at http://127.0.0.1:1")
    service.status("two\nlines")
    service.stopping("stops")
    assert [manager.recv(1000).decode() for _ in range(4)] == [
        "STATUS=starting: journal runs",
        "READY=1\nSTATUS=runs at http://127.0.0.1:1",
        "STATUS=two lines",
        "STOPPING=1\nSTATUS=stops",
    ]


def test_an_address_in_the_abstract_namespace() -> None:
    with socket.socket(socket.AF_UNIX, socket.SOCK_DGRAM) as listening:
        listening.bind("")  # the kernel chooses one
        listening.settimeout(MAX_WAIT_S)
        Service({VARIABLE: "@" + listening.getsockname()[1:].decode()}).ready("runs")
        assert listening.recv(100) == b"READY=1\nSTATUS=runs"


def test_a_manager_that_is_gone_or_never_was_keeps_nothing_from_running(
    tmp_path: Path, caplog: pytest.LogCaptureFixture
) -> None:
    Service({}).ready("runs")
    assert not caplog.records
    Service({VARIABLE: str(tmp_path / "gone")}).ready("runs")
    assert "was not told" in caplog.text


class Told:
    """What was told, one after the other."""

    def __init__(self) -> None:
        self._said: list[str] = []
        self._new = threading.Condition()

    def __call__(self, text: str) -> None:
        with self._new:
            self._said.append(text)
            self._new.notify()

    def next(self) -> str:
        with self._new:
            assert self._new.wait_for(lambda: self._said, MAX_WAIT_S)
            return self._said.pop(0)


def test_each_signal_reloads_also_after_one_that_failed() -> None:
    results: list[Exception | str] = [
        click.ClickException("shaping: line 3"),
        Unsafe("secret.key is open"),
        "version 2 is in force",
    ]
    stopped: list[bool] = []
    told = Told()

    def reload() -> str:
        match results.pop(0):
            case Exception() as error:
                raise error
            case text:
                return text

    hang_up = HangUp(reload, told, lambda: stopped.append(True))
    said = []
    while results:
        hang_up()
        said.append(told.next())
    assert said == ["not reloaded: shaping: line 3", "not reloaded: secret.key is open", "version 2 is in force"]
    assert not stopped


def test_a_signal_during_a_reload_reloads_again() -> None:
    begun, goes_on, told = threading.Semaphore(0), threading.Semaphore(0), Told()

    def reload() -> str:
        begun.release()
        assert goes_on.acquire(timeout=MAX_WAIT_S)
        return "done"

    hang_up = HangUp(reload, told, lambda: None)
    hang_up()
    assert begun.acquire(timeout=MAX_WAIT_S)
    hang_up()  # the files may have changed since the first one read them
    goes_on.release(2)
    assert (told.next(), told.next()) == ("done", "done")


PROGRAM = """
import signal, sys
from cluster.commands.hanging_up import HangUp
from cluster.installation.signal_flag import SignalFlag
stop = SignalFlag()
signal.signal(signal.SIGHUP, HangUp(lambda: "again", lambda text: print(text, flush=True), stop.set))
print("ready", flush=True)
stop.wait(30)
print("this goes nowhere", flush=True)
open(sys.argv[1], "w").close()
"""


def test_where_the_terminal_is_gone_it_stops_in_order(tmp_path: Path) -> None:
    ours, theirs = pty.openpty()
    program = subprocess.Popen(
        [sys.executable, "-c", PROGRAM, str(tmp_path / "stopped")],
        stdin=theirs,
        stdout=theirs,
        stderr=theirs,
        start_new_session=True,
        cwd=Path(__file__).parents[3],
    )
    os.close(theirs)
    said = b""
    while b"ready" not in said:
        said += os.read(ours, 1000)
    program.send_signal(1)
    while b"again" not in said:
        said += os.read(ours, 1000)
    os.close(ours)  # the terminal closes
    program.send_signal(1)
    assert program.wait(MAX_WAIT_S) == 0
    assert (tmp_path / "stopped").exists()
