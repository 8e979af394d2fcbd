"""Starting, ordering and stopping the sink (``sink.py``) from a scenario."""

import subprocess
import sys
from pathlib import Path

import msgspec

from benchmarks.sink import Order
from benchmarks.sink_log import Line, read_log

STOP_S = 5.0


class SinkProcess:
    """One sink; its log is ``directory``/sink.jsonl."""

    def __init__(self, directory: Path) -> None:
        self._directory = directory
        self._log = directory / "sink.jsonl"
        self._process: subprocess.Popen[bytes] | None = None

    def start(self) -> str:
        """Returns its host:port. It ends with this process, however that ends: its orders come through a pipe."""
        self._directory.mkdir(parents=True, exist_ok=True)
        with (self._directory / "sink.err").open("ab") as errors:
            self._process = subprocess.Popen(
                [sys.executable, "-m", "benchmarks.sink", str(self._log)],
                cwd=Path(__file__).parents[1],
                stdin=subprocess.PIPE,
                stdout=subprocess.PIPE,
                stderr=errors,
                start_new_session=True,
            )
        assert self._process.stdout is not None
        return self._process.stdout.readline().decode("ascii").strip()

    def order(self, order: Order) -> None:
        """Have it behave so from now on."""
        assert self._process is not None and self._process.stdin is not None
        self._process.stdin.write(msgspec.json.encode(order) + b"\n")
        self._process.stdin.flush()

    def lines(self) -> list[Line]:
        """What it has written down."""
        return read_log(self._log)

    def stop(self) -> None:
        if self._process is None:
            return
        process, self._process = self._process, None
        try:
            process.communicate(timeout=STOP_S)
        except subprocess.TimeoutExpired:
            process.kill()
            process.communicate()
