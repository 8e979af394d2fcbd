"""A real postray for tests: the command as a user runs it, on free ports, over a scratch directory."""

import asyncio
import os
import signal
import subprocess
import sys
import time
from collections.abc import Callable
from pathlib import Path
from typing import Any, ClassVar

import httpx
import psutil

from cluster import running

START_S = 60.0
STOP_S = 10.0
"""What a user may wait after Ctrl-C."""


class RunningPostray:
    """``postray up`` in a process of its own."""

    alive: ClassVar[set["RunningPostray"]] = set()
    """Those that were started and have not ended."""

    def __init__(self, data_dir: Path, **variables: str) -> None:
        self.data_dir = data_dir
        self._environ = os.environ | {
            "POSTRAY_DATA_DIR": str(data_dir),
            "POSTRAY_HTTP_BIND": "127.0.0.1:0",
            "POSTRAY_CAPTURE_SMTP_BIND": "127.0.0.1:0",
            "POSTRAY_CAPTURE_HTTP_BIND": "127.0.0.1:0",
            **variables,
        }
        self._process: subprocess.Popen[str] | None = None
        self.output = ""

    @property
    def run(self) -> running.Run:
        run = running.read_run(self.data_dir)
        assert run is not None
        return run

    @property
    def key(self) -> str:
        return (self.data_dir / "demo.key").read_text(encoding="ascii")

    def start(self) -> None:
        """Return when it says that it is ready."""
        self._process = subprocess.Popen(
            [sys.executable, "-m", "cluster.cli", "up"],
            env=self._environ,
            stdout=subprocess.PIPE,
            stderr=subprocess.STDOUT,
            text=True,
            start_new_session=True,
        )
        self.alive.add(self)
        assert self._process.stdout is not None
        lines = []
        for line in self._process.stdout:
            lines.append(line)
            if "Ctrl-C stops it" in line:
                break
        self.output = "".join(lines)
        assert self._process.poll() is None and "postray is ready" in self.output, self.output

    def command(self, *arguments: str) -> subprocess.CompletedProcess[str]:
        """Another ``postray`` command over the same directory."""
        return subprocess.run(
            [sys.executable, "-m", "cluster.cli", *arguments],
            env=self._environ,
            capture_output=True,
            text=True,
            timeout=START_S,
            check=False,
        )

    def stop(self, how: signal.Signals = signal.SIGINT) -> float:
        """Ctrl-C it; returns the seconds it took. Fails when a process of it is left."""
        assert self._process is not None
        marks = [*self.run.processes, *_processes_under(self._process.pid)]
        began = time.monotonic()
        self._process.send_signal(how)
        output, _ = self._process.communicate(timeout=STOP_S * 3)
        took = time.monotonic() - began
        left = [process for process in marks if is_alive(process)]
        running.end(left)
        assert not left, f"processes left: {left}\n{output}"
        self._process = None
        self.alive.discard(self)
        return took

    def ended(self) -> str:
        """Wait until the command has ended by itself; what it printed since it was ready."""
        assert self._process is not None
        output, _ = self._process.communicate(timeout=START_S)
        assert self._process.returncode != 0
        self._process = None
        self.alive.discard(self)
        return output

    def kill(self) -> None:
        """SIGKILL the command itself; what it started is left to itself."""
        assert self._process is not None
        self._process.kill()
        self._process.communicate()
        self._process = None
        self.alive.discard(self)

    def kill_actor(self, name: str) -> int:
        """SIGKILL the process of an actor; returns its pid."""
        pid = self.pid_of(name)
        os.kill(pid, signal.SIGKILL)
        return pid

    def pid_of(self, name: str) -> int:
        """The actor's process, by the last line of its log that tells it."""
        lines = (self.data_dir / "logs" / f"{name}.log").read_text(encoding="utf-8").splitlines()
        return int(next(line.rpartition("pid=")[2] for line in reversed(lines) if " running pid=" in line))


def _processes_under(pid: int) -> list[running.ProcessMark]:
    return [running.mark(child) for child in psutil.Process(pid).children(recursive=True)]


def is_alive(mark: running.ProcessMark) -> bool:
    try:
        process = psutil.Process(mark.pid)
        return process.create_time() == mark.created and process.status() != psutil.STATUS_ZOMBIE
    except psutil.NoSuchProcess:
        return False


class Client:
    """The HTTP API and the page of captured mail, as a user's program sees them."""

    def __init__(self, postray: RunningPostray) -> None:
        run = postray.run
        self.api = httpx.AsyncClient(
            base_url=run.url, headers={"Authorization": f"Bearer {postray.key}"}, timeout=30, trust_env=False
        )
        self.page = httpx.AsyncClient(base_url=run.page or run.url, timeout=30, trust_env=False)

    async def close(self) -> None:
        await self.api.aclose()
        await self.page.aclose()

    async def send(self, **fields: Any) -> list[str]:
        """POST /v3/mail/send; the message ids of its 202."""
        answer = await self.api.post("/v3/mail/send", json=mail(**fields))
        assert answer.status_code == 202, answer.text
        body = answer.json()
        return list(body["message_ids"]) if "message_ids" in body else [body["message_id"]]

    async def message(self, message_id: str) -> dict[str, Any]:
        answer = await self.api.get(f"/v3/messages/{message_id}")
        assert answer.status_code == 200, answer.text
        return dict(answer.json())

    async def until(self, path: str, holds: Callable[[dict[str, Any]], bool], within_s: float) -> dict[str, Any]:
        """GET ``path`` until its answer holds; fails with the last answer when it does not in time."""
        deadline = time.monotonic() + within_s
        while True:
            answer = await self.api.get(path)
            assert answer.status_code == 200, answer.text
            body: dict[str, Any] = answer.json()
            if holds(body):
                return body
            assert time.monotonic() < deadline, f"not within {within_s} s: {body}"
            await asyncio.sleep(0.05)

    async def captured(self, recipient: str) -> list[bytes]:
        """The raw captured messages to a recipient."""
        listed = (await self.page.get("/api/messages", params={"recipient": recipient, "page_size": 100})).json()
        return [(await self.page.get(f"/messages/{m['id']}/raw")).content for m in listed["messages"]]

    async def captured_count(self) -> int:
        return int((await self.page.get("/api/messages")).json()["total"])


def mail(**fields: Any) -> dict[str, Any]:
    """A request body, with as little said as a test needs."""
    return {
        "personalizations": [{"to": [{"email": "ada@example.com"}]}],
        "from": {"email": "hello@mail.example.com", "name": "Acme"},
        "subject": "Welcome",
        "content": [{"type": "text/plain", "value": "Welcome!"}],
        **fields,
    }
