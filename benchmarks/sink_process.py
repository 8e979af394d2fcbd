"""Starting, ordering and stopping the sink (``sink.py``) from a scenario."""

from pathlib import Path

import msgspec

from benchmarks.server_process import ServerProcess
from benchmarks.sink import Order, SinkOptions
from benchmarks.sink_log import Line, Tail, read_log

DEFAULT = SinkOptions()


class SinkProcess(ServerProcess):
    """One sink; its log is ``directory``/sink.jsonl."""

    def __init__(self, directory: Path, options: SinkOptions = DEFAULT) -> None:
        self._log = directory / "sink.jsonl"
        arguments = (str(self._log), msgspec.json.encode(options).decode())
        super().__init__("benchmarks.sink", arguments, directory / "sink.err")

    def order(self, order: Order) -> None:
        """Have it behave so from now on."""
        self.tell(msgspec.json.encode(order))

    def tail(self) -> Tail:
        """A reader of what it writes down, from its first line."""
        return Tail(self._log)

    def lines(self) -> list[Line]:
        """What it has written down."""
        return read_log(self._log)
