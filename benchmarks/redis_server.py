"""Debian's Redis on loopback, in which the head of a Ray cluster remembers what it knew. It owns the process, until it
ends."""

import shutil
import subprocess
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

from cluster.installation.ports import ANY_PORT, HeldPort

END_S = 10.0


def is_installed() -> bool:
    return shutil.which("redis-server") is not None


class RedisServer:
    """An empty one that keeps nothing on disk. ``folder``: where it runs."""

    def __init__(self, folder: Path) -> None:
        """Returns when it answers. Raises RuntimeError."""
        port = HeldPort(ANY_PORT)
        port.release()
        folder.mkdir(parents=True, exist_ok=True)
        command = ["redis-server", "--port", str(port.number), "--bind", "127.0.0.1", "--dir", str(folder)]
        self.address = port.bind
        # A session of its own: Ctrl-C at the terminal is for the scenario, which ends it last.
        self._process = subprocess.Popen(
            [*command, "--save", "", "--appendonly", "no", "--logfile", ""],
            stdin=subprocess.DEVNULL,
            stdout=subprocess.PIPE,
            text=True,
            start_new_session=True,
        )
        assert self._process.stdout is not None
        said = []
        for line in self._process.stdout:
            said.append(line)
            if "Ready to accept connections" in line:
                return
        self.end()
        raise RuntimeError(f"redis-server does not start: {''.join(said)[-2000:]}")

    def end(self) -> None:
        self._process.terminate()
        try:
            self._process.communicate(timeout=END_S)
        except subprocess.TimeoutExpired:
            self._process.kill()
            self._process.wait()


@contextmanager
def redis_server(folder: Path) -> Iterator[str]:
    """The address of an empty one."""
    server = RedisServer(folder)
    try:
        yield server.address
    finally:
        server.end()
