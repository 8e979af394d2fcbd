"""A real postray: ``postray up`` as a user runs it, in its own process over a scratch directory.

It owns that process and everything it starts, until they end: ``stop`` and ``kill`` leave nothing running in any case.
It makes no API calls. The scenarios and the acceptance tests use it.
"""

import os
import signal
import subprocess
import time
from collections.abc import Mapping
from pathlib import Path

import psutil

from benchmarks.processes import is_under, kill_all
from cluster.installation import running
from cluster.installation.local_secrets import SQL_PASSWORD
from cluster.installation.own_python import run_module
from cluster.installation.ports import ANY_PORT, HeldPort
from cluster.installation.private_files import make_folder
from cluster.keys import operator_token
from cluster.settings import Settings, load
from cluster.topology import on_one_node
from cluster.vault import find_ring

START_S = 60.0
STOP_S = 60.0
"""After this, its processes are ended."""
STOP_WAIT_S = 10.0
"""How long it may wait for hosts' replies."""
POLL_S = 0.05
PORTS = (
    "POSTRAY_HTTP_BIND",
    "POSTRAY_CAPTURE_SMTP_BIND",
    "POSTRAY_CAPTURE_HTTP_BIND",
    "POSTRAY_SUBMISSION_BIND",
    "POSTRAY_ANALYTICS_BIND",
    "POSTRAY_ADMIN_BIND",
)
READY = "Ctrl-C stops it."
"""The last line that it prints when it is ready."""


class PostrayDidNotStart(Exception):
    """``postray up`` ended or was not ready in time; the message contains its output."""

    def __init__(self, output: str) -> None:
        super().__init__(output)


UNLIMITED = dict.fromkeys(
    ("POSTRAY_LIMITS_MESSAGES_PER_S", "POSTRAY_LIMITS_READS_PER_S", "POSTRAY_LIMITS_REQUESTS_PER_S"), "1e9"
)
"""A benchmark sends as one tenant as much as the machine takes. The limits are checked, but never reached."""


class PostrayProcess:
    """``variables``: ``POSTRAY_…``, overriding the environment's. Ports are free ones, the same in every life."""

    start_s = START_S
    """Time limit for being ready."""

    def __init__(self, data_dir: Path, variables: Mapping[str, str]) -> None:
        self.data_dir = data_dir
        # Reserved here instead of by port 0, so that clients find the next life at the same ports.
        self._ports = {name: HeldPort(ANY_PORT) for name in PORTS if name not in variables}
        ports = {name: port.bind for name, port in self._ports.items()}
        inherited = {name: value for name, value in os.environ.items() if not name.startswith("POSTRAY_")}
        self._environ = inherited | ports | {"POSTRAY_DATA_DIR": str(data_dir)}
        self._environ |= UNLIMITED | {"POSTRAY_DELIVERY_STOP_WAIT_S": str(STOP_WAIT_S)} | dict(variables)
        self._process: subprocess.Popen[bytes] | None = None

    @property
    def settings(self) -> Settings:
        return load(None, self._environ)

    @property
    def url(self) -> str:
        return f"http://{self._environ['POSTRAY_HTTP_BIND']}"

    @property
    def submission(self) -> str:
        """host:port where it takes mail by SMTP."""
        return self._environ["POSTRAY_SUBMISSION_BIND"]

    @property
    def key(self) -> str:
        """The API key of the demo tenant, which may send from mail.example.com."""
        return (self.data_dir / "demo.key").read_text(encoding="ascii").strip()

    @property
    def operator_token(self) -> str:
        """The token for /api/admin."""
        ring = find_ring(self.settings.secret, self.settings.previous_secret, self.data_dir)
        assert ring is not None
        return operator_token(ring.current)

    @property
    def sql(self) -> str:
        """Where it answers SQL."""
        return f"http://{self._environ['POSTRAY_ANALYTICS_BIND']}"

    @property
    def sql_password(self) -> str:
        """Of the operator's login there."""
        return (self.data_dir / SQL_PASSWORD).read_text(encoding="ascii").strip()

    @property
    def output(self) -> str:
        """The output of its latest life."""
        path = self._output_path
        return path.read_text(encoding="utf-8") if path.exists() else ""

    @property
    def _output_path(self) -> Path:
        return self.data_dir / "logs" / "up.out"

    def start(self) -> None:
        """Return when it is ready. Raises PostrayDidNotStart, and then leaves nothing running."""
        try:
            self._start_command()
        except PostrayDidNotStart:
            self.kill()
            raise

    def _start_command(self) -> None:
        """Start ``postray up``; returns when it is ready. Raises PostrayDidNotStart."""
        make_folder(self._output_path.parent)
        self._output_path.touch(mode=0o600)
        with self._output_path.open("wb") as output:
            # A separate session: Ctrl-C at the terminal is for the scenario, which then stops it properly.
            process = subprocess.Popen(
                run_module("cluster.cli", "up", "--hide-key"),
                env=self._environ,
                cwd=Path(__file__).parents[1],
                stdin=subprocess.DEVNULL,
                stdout=output,
                stderr=subprocess.STDOUT,
                start_new_session=True,
            )
        self._process = process
        deadline = time.monotonic() + self.start_s
        while process.poll() is None and time.monotonic() < deadline:
            if READY in self.output:
                return
            time.sleep(POLL_S)
        raise PostrayDidNotStart(self.output)

    def stop(self, how: signal.Signals = signal.SIGINT) -> list[int]:
        """Stop it as Ctrl-C does; returns the pids of processes that were left, which are ended."""
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
        """SIGKILL the command and all that it started at once; returns their pids."""
        if self._process is None:
            return []
        marks = self._marks()
        killed = kill_all(marks)
        self._process.wait()
        self._process = None
        return killed

    def _marks(self) -> list[running.ProcessMark]:
        """Every process of this life. If the command is dead, those in run.json."""
        assert self._process is not None
        run = running.read_run(self.data_dir)
        marks = set(run.processes) if run is not None and run.pid == self._process.pid else set()
        try:
            process = psutil.Process(self._process.pid)
            marks |= {running.mark(one) for one in (process, *process.children(recursive=True))}
        except psutil.NoSuchProcess:
            pass
        return list(marks)

    def command(
        self, *arguments: str, cwd: Path | None = None, max_wait_s: float = START_S
    ) -> subprocess.CompletedProcess[str]:
        """Run another ``postray`` command on the same data directory, in the folder ``cwd``."""
        return subprocess.run(
            run_module("cluster.cli", *arguments),
            env=self._environ,
            cwd=cwd,
            capture_output=True,
            text=True,
            timeout=max_wait_s,
            check=False,
        )

    def names(self, kind: str) -> list[str]:
        """The names of the actors of a kind, on one node."""
        return [place.name for place in on_one_node(self.settings) if place.kind == kind]

    def idle(self) -> list[str]:
        """The names of the actors whose process is not there, or has not started its work."""
        return [place.name for place in on_one_node(self.settings) if self.pid_of(place.name) is None]

    def pid_of(self, name: str) -> int | None:
        """The pid of the actor's process; None while there is none."""
        pid = self._told_pid(name)
        return pid if pid is not None and self.has(pid) else None

    def has(self, pid: int) -> bool:
        """Whether a process is alive and belongs to this postray."""
        return self._process is not None and is_under(pid, self._process.pid)

    def _told_pid(self, name: str) -> int | None:
        """The pid in the last line of the actor's log that has one."""
        try:
            text = (self.data_dir / "logs" / f"{name}.log").read_text(encoding="utf-8")
        except FileNotFoundError:
            return None
        line = next((line for line in reversed(text.splitlines()) if " running pid=" in line), None)
        return int(line.rpartition("pid=")[2]) if line is not None else None

    def parts(self) -> dict[str, list[int]]:
        """Its processes by part: each actor by its name, ``postgres``, ``ray`` (Ray's processes besides the actors),
        ``up``."""
        if self._process is None:
            return {}
        actors = [place.name for place in on_one_node(self.settings)]
        parts = {name: [pid] for name in actors if (pid := self.pid_of(name)) is not None}
        known = {pid for pids in parts.values() for pid in pids}
        children = psutil.Process(self._process.pid).children(recursive=True)
        parts["ray"] = [child.pid for child in children if child.pid not in known]
        parts["postgres"] = self._postgres_processes()
        parts["up"] = [self._process.pid]
        return parts

    def _postgres_processes(self) -> list[int]:
        """The processes of an embedded Postgres, which is not a child process of ``up``."""
        try:
            pid = int((self.data_dir / "postgres" / "postmaster.pid").read_text(encoding="ascii").split()[0])
            return [pid, *(child.pid for child in psutil.Process(pid).children())]
        except (OSError, ValueError, IndexError, psutil.NoSuchProcess):
            return []
