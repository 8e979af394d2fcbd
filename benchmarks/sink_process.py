"""Starting, controlling and stopping the sink (``sink.py``) from a scenario."""

from pathlib import Path

import msgspec

from benchmarks.server_process import ServerProcess
from benchmarks.sink import SinkBehavior, SinkOptions
from benchmarks.sink_log import Line, read_log, tail_of
from benchmarks.tail import Tail

DEFAULT = SinkOptions()


class SinkProcess(ServerProcess):
    """One sink; its log is ``directory``/sink.jsonl."""

    def __init__(self, directory: Path, options: SinkOptions = DEFAULT) -> None:
        self.directory = directory
        self._log = directory / "sink.jsonl"
        arguments = (str(self._log), msgspec.json.encode(options).decode())
        super().__init__("benchmarks.sink", arguments, directory / "sink.err")

    def order(self, order: SinkBehavior) -> None:
        """Change its behaviour from now on."""
        self.tell(msgspec.json.encode(order))

    def tail(self) -> Tail[Line]:
        """A reader of its log, from the first line."""
        return tail_of(self._log)

    def lines(self) -> list[Line]:
        """All lines of its log."""
        return read_log(self._log)
