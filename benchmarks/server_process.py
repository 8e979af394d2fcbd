"""A server of the harness in its own process: it prints its address, and ends when its input does."""

import asyncio
import os
import subprocess
import sys
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import TypeVar

import msgspec

from cluster.installation.private_files import make_folder

STOP_S = 5.0

T = TypeVar("T")


class ServerProcess:
    """``python -m MODULE ARGUMENTS``; its standard error is appended to ``errors``."""

    def __init__(self, module: str, arguments: Sequence[str], errors: Path) -> None:
        self._command = [sys.executable, "-m", module, *arguments]
        self._errors = errors
        self._process: subprocess.Popen[bytes] | None = None

    def start(self) -> str:
        """Returns its host:port. It ends with this process in any case: it reads our end of a pipe."""
        make_folder(self._errors.parent)
        with self._errors.open("ab") as errors:
            self._process = subprocess.Popen(
                self._command,
                cwd=Path(__file__).parents[1],
                stdin=subprocess.PIPE,
                stdout=subprocess.PIPE,
                stderr=errors,
                start_new_session=True,
            )
        assert self._process.stdout is not None
        return self._process.stdout.readline().decode("ascii").strip()

    @property
    def pid(self) -> int:
        assert self._process is not None
        return self._process.pid

    def tell(self, line: bytes) -> None:
        assert self._process is not None and self._process.stdin is not None
        self._process.stdin.write(line + b"\n")
        self._process.stdin.flush()

    def stop(self) -> None:
        if self._process is None:
            return
        process, self._process = self._process, None
        try:
            process.communicate(timeout=STOP_S)
        except subprocess.TimeoutExpired:
            process.kill()
            process.communicate()


async def obey_orders(order: type[T], obey: Callable[[T], None]) -> None:
    """In the server: take orders from standard input, a JSON object per line, until it ends."""
    orders = asyncio.StreamReader()
    loop = asyncio.get_running_loop()
    await loop.connect_read_pipe(lambda: asyncio.StreamReaderProtocol(orders), os.fdopen(0, "rb"))
    decode = msgspec.json.Decoder(order).decode
    while line := await orders.readline():
        obey(decode(line))
