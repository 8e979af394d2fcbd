"""A real postray for tests, the commands that a user types beside it, and a client of it."""

import asyncio
import os
import signal
import time
from collections.abc import Callable
from pathlib import Path
from typing import Any, ClassVar

import httpx
import psutil

from benchmarks.postray import PORTS, START_S, PostrayProcess
from cluster.installation import running
from cluster.installation.ports import ANY_PORT
from tests.waiting import pauses

MAX_WAIT_S = 60.0
"""Time limit for what takes a second or two unless the machine is very busy."""

ANY_PORTS = dict.fromkeys(PORTS, ANY_PORT)
"""Free ports that postray chooses, which is also tested."""


class RunningPostray(PostrayProcess):
    """``postray up`` in a separate process. After the stop, none of its processes may be left."""

    alive: ClassVar[set["RunningPostray"]] = set()
    """The instances that were started and have not ended."""

    def __init__(self, data_dir: Path, **variables: str) -> None:
        super().__init__(data_dir, ANY_PORTS | variables)

    @property
    def environ(self) -> dict[str, str]:
        """The environment of the commands that a user runs beside it."""
        return dict(self._environ)

    @property
    def run(self) -> running.Run:
        run = running.read_run(self.data_dir)
        assert run is not None
        return run

    def start(self) -> None:
        self.alive.add(self)
        super().start()

    def stop(self, how: signal.Signals = signal.SIGINT) -> list[int]:
        left = super().stop(how)
        self.alive.discard(self)
        assert not left, f"processes left: {left}\n{self.output}"
        return left

    def kill(self) -> list[int]:
        self.alive.discard(self)
        return super().kill()

    @property
    def is_running(self) -> bool:
        """Whether the command has not ended."""
        return self._process is not None and self._process.poll() is None

    def kill_command(self) -> None:
        """SIGKILL the command itself, but not the processes that it started."""
        assert self._process is not None
        self._process.kill()
        self.over()

    def ended(self) -> str:
        """Wait until the command has ended by itself; returns its output."""
        assert self._process is not None
        assert self._process.wait(START_S) != 0
        self.over()
        return self.output

    def over(self) -> int:
        """Wait until the command has ended; returns its exit status. Another one can be started afterwards."""
        assert self._process is not None
        status = self._process.wait(START_S)
        self._process = None
        self.alive.discard(self)
        return status

    def signal_command(self, number: signal.Signals) -> None:
        """Send a signal to the command alone."""
        assert self._process is not None
        self._process.send_signal(number)

    def kill_actor(self, name: str) -> None:
        """SIGKILL the process of an actor."""
        os.kill(self.pid_of(name), signal.SIGKILL)

    def pid_of(self, name: str) -> int:
        """The actor's process. It is no child of the command where the command has joined a cluster."""
        pid = self._told_pid(name)
        assert pid is not None
        return pid


def is_alive(mark: running.ProcessMark) -> bool:
    try:
        process = psutil.Process(mark.pid)
        return process.create_time() == mark.created and process.status() != psutil.STATUS_ZOMBIE
    except psutil.NoSuchProcess:
        return False


class Client:
    """A client of the HTTP API and of the page of captured mail."""

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
        """POST /v3/mail/send; returns the message ids of its 202."""
        answer = await self.api.post("/v3/mail/send", json=mail(**fields))
        assert answer.status_code == 202, answer.text
        body = answer.json()
        return list(body["message_ids"]) if "message_ids" in body else [body["message_id"]]

    async def message(self, message_id: str) -> dict[str, Any]:
        answer = await self.api.get(f"/v3/messages/{message_id}")
        assert answer.status_code == 200, answer.text
        return dict(answer.json())

    async def until(
        self, path: str, holds: Callable[[dict[str, Any]], bool], *, may_be_away: bool = False
    ) -> dict[str, Any]:
        """GET ``path`` until the condition holds for its response; after the time limit, fail with the last
        response. ``may_be_away``: after an outage of Postgres, a read may be asked to come again (503)."""
        deadline, again = time.monotonic() + MAX_WAIT_S, pauses(most_s=0.5)
        while True:
            answer = await self.api.get(path)
            is_away = may_be_away and answer.status_code == 503 and int(answer.headers["Retry-After"]) >= 1
            assert is_away or answer.status_code == 200, answer.text
            body: dict[str, Any] = answer.json()
            if not is_away and holds(body):
                return body
            assert time.monotonic() < deadline, body
            await asyncio.sleep(next(again))

    async def captured(self, recipient: str) -> list[bytes]:
        """The raw captured messages to a recipient."""
        listed = (await self.page.get("/api/messages", params={"recipient": recipient, "page_size": 100})).json()
        return [(await self.page.get(f"/messages/{m['id']}/raw")).content for m in listed["messages"]]

    async def captured_count(self) -> int:
        return int((await self.page.get("/api/messages")).json()["total"])


def mail(**fields: Any) -> dict[str, Any]:
    """A minimal request body for tests."""
    return {
        "personalizations": [{"to": [{"email": "ada@example.com"}]}],
        "from": {"email": "hello@mail.example.com", "name": "Acme"},
        "subject": "Welcome",
        "content": [{"type": "text/plain", "value": "Welcome!"}],
        **fields,
    }
