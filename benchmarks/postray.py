"""A real postray: ``postray up`` as a user runs it, in a process of its own over a scratch directory.

Owns that process and everything it starts, up to their end: whatever happens, ``stop`` or ``kill`` leave nothing
running. Asks nothing of the API. Used by the scenarios and the acceptance tests.
"""

import os
import signal
import subprocess
import sys
import time
from collections.abc import Mapping, Sequence
from pathlib import Path

import psutil

from cluster.installation import running
from cluster.installation.ports import ANY_PORT, HeldPort
from cluster.installation.private_files import make_folder
from cluster.settings import Settings, load
from cluster.topology import place

START_S = 60.0
STOP_S = 20.0
"""More than this and its processes are ended."""
STOP_WAIT_S = 10.0
"""What it may wait for the answers of hosts."""
POLL_S = 0.05
PORTS = ("POSTRAY_HTTP_BIND", "POSTRAY_CAPTURE_SMTP_BIND", "POSTRAY_CAPTURE_HTTP_BIND")
READY = "Ctrl-C stops it."
"""The last that it prints before it only works."""


class DidNotStart(Exception):
    """``postray up`` ended or was not ready in time; the message holds what it printed."""

    def __init__(self, output: str) -> None:
        super().__init__(output)


class Postray:
    """``variables``: ``POSTRAY_…``, over the environment's. Ports are free ones, the same in every life."""

    def __init__(self, data_dir: Path, variables: Mapping[str, str]) -> None:
        self.data_dir = data_dir
        # Held here and not by its port 0, so that clients find the next life where the last one was.
        self._ports = {name: HeldPort(ANY_PORT) for name in PORTS if name not in variables}
        ports = {name: port.bind for name, port in self._ports.items()}
        inherited = {name: value for name, value in os.environ.items() if not name.startswith("POSTRAY_")}
        self._environ = inherited | ports | {"POSTRAY_DATA_DIR": str(data_dir)}
        self._environ |= {"POSTRAY_DELIVERY_STOP_WAIT_S": str(STOP_WAIT_S)} | dict(variables)
        self._process: subprocess.Popen[bytes] | None = None

    @property
    def settings(self) -> Settings:
        return load(None, self._environ)

    @property
    def url(self) -> str:
        return f"http://{self._environ['POSTRAY_HTTP_BIND']}"

    @property
    def key(self) -> str:
        """The API key of the demo tenant, who may send from mail.example.com."""
        return (self.data_dir / "demo.key").read_text(encoding="ascii").strip()

    @property
    def output(self) -> str:
        """What its latest life has printed."""
        path = self._output_path
        return path.read_text(encoding="utf-8") if path.exists() else ""

    @property
    def _output_path(self) -> Path:
        return self.data_dir / "logs" / "up.out"

    def start(self) -> None:
        """Return when it is ready. Raises DidNotStart, leaving nothing running."""
        make_folder(self._output_path.parent)
        self._output_path.touch(mode=0o600)
        with self._output_path.open("wb") as output:
            # A session of its own: Ctrl-C at the terminal is for the scenario, which then stops it in order.
            process = subprocess.Popen(
                [sys.executable, "-m", "cluster.cli", "up", "--hide-key"],
                env=self._environ,
                cwd=Path(__file__).parents[1],
                stdin=subprocess.DEVNULL,
                stdout=output,
                stderr=subprocess.STDOUT,
                start_new_session=True,
            )
        self._process = process
        deadline = time.monotonic() + START_S
        while process.poll() is None and time.monotonic() < deadline:
            if READY in self.output:
                return
            time.sleep(POLL_S)
        self.kill()
        raise DidNotStart(self.output)

    def stop(self, how: signal.Signals = signal.SIGINT) -> list[int]:
        """Stop it as Ctrl-C does; returns the pids that were left after that, which are ended."""
        if self._process is None:
            return []
        marks = self._marks()
        self._process.send_signal(how)
        try:
            self._process.wait(STOP_S)
        except subprocess.TimeoutExpired:
            self._process.kill()
        self._process.wait()
        self._process = None
        return running.end(marks)

    def kill(self) -> list[int]:
        """SIGKILL the command and all that it started, at once; returns their pids."""
        if self._process is None:
            return []
        marks = self._marks()
        killed = kill_all(marks)
        self._process.wait()
        self._process = None
        return killed

    def _marks(self) -> list[running.ProcessMark]:
        """Every process of this life. Of a command that is dead, those it has told of."""
        assert self._process is not None
        run = running.read_run(self.data_dir)
        marks = set(run.processes) if run is not None and run.pid == self._process.pid else set()
        try:
            process = psutil.Process(self._process.pid)
            marks |= {running.mark(one) for one in (process, *process.children(recursive=True))}
        except psutil.NoSuchProcess:
            pass
        return list(marks)

    def names(self, kind: str) -> list[str]:
        """The names of the actors of a kind, on one node."""
        return [placement.name for placement in place(("",), self.settings) if placement.spec.kind == kind]

    def pid_of(self, name: str) -> int | None:
        """The actor's process; None while there is none."""
        pid = self._told_pid(name)
        return pid if pid is not None and self.has(pid) else None

    def has(self, pid: int) -> bool:
        """Whether a process lives and is of this postray."""
        return self._process is not None and _is_under(pid, self._process.pid)

    def _told_pid(self, name: str) -> int | None:
        """By the last line of the actor's log that tells it."""
        try:
            text = (self.data_dir / "logs" / f"{name}.log").read_text(encoding="utf-8")
        except FileNotFoundError:
            return None
        line = next((line for line in reversed(text.splitlines()) if " running pid=" in line), None)
        return int(line.rpartition("pid=")[2]) if line is not None else None

    def parts(self) -> dict[str, list[int]]:
        """Every process of it by the part it belongs to: each actor by its name, ``postgres``, ``ray`` (what Ray runs
        beside the actors), ``up``."""
        if self._process is None:
            return {}
        actors = [placement.name for placement in place(("",), self.settings)]
        parts = {name: [pid] for name in actors if (pid := self.pid_of(name)) is not None}
        known = {pid for pids in parts.values() for pid in pids}
        children = psutil.Process(self._process.pid).children(recursive=True)
        parts["ray"] = [child.pid for child in children if child.pid not in known]
        parts["postgres"] = self._postgres_processes()
        parts["up"] = [self._process.pid]
        return parts

    def _postgres_processes(self) -> list[int]:
        """Of an embedded one, which is a child of nobody."""
        try:
            pid = int((self.data_dir / "postgres" / "postmaster.pid").read_text(encoding="ascii").split()[0])
            return [pid, *(child.pid for child in psutil.Process(pid).children())]
        except (OSError, ValueError, IndexError, psutil.NoSuchProcess):
            return []


def _is_under(pid: int, ancestor: int) -> bool:
    """Whether a process lives and was started, at however many removes, by ``ancestor``: a pid may be another's now."""
    try:
        process = psutil.Process(pid)
        return process.status() != psutil.STATUS_ZOMBIE and any(one.pid == ancestor for one in process.parents())
    except psutil.NoSuchProcess:
        return False


def kill_all(marks: Sequence[running.ProcessMark]) -> list[int]:
    """SIGKILL those that are still the same, and wait for their end; returns their pids."""
    alive = []
    for mark in marks:
        try:
            process = psutil.Process(mark.pid)
            if process.create_time() == mark.created:
                process.kill()
                alive.append(process)
        except psutil.NoSuchProcess:
            continue
    psutil.wait_procs(alive, timeout=5)
    return [process.pid for process in alive]
