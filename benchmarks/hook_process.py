"""Starting, controlling and stopping the endpoint (``hook.py``) from a scenario."""

from pathlib import Path

import msgspec

from benchmarks.hook import HookBehavior, HookOptions
from benchmarks.hook_log import Post, read_posts, tail_of
from benchmarks.server_process import ServerProcess
from benchmarks.tail import Tail

DEFAULT = HookOptions()


class HookProcess(ServerProcess):
    """One endpoint; its log is ``directory``/hook.jsonl."""

    def __init__(self, directory: Path, options: HookOptions = DEFAULT) -> None:
        self._log = directory / "hook.jsonl"
        arguments = (str(self._log), msgspec.json.encode(options).decode())
        super().__init__("benchmarks.hook", arguments, directory / "hook.err")

    def order(self, order: HookBehavior) -> None:
        """Change its behaviour from now on."""
        self.tell(msgspec.json.encode(order))

    def tail(self) -> Tail[Post]:
        """A reader of its log, from the first line."""
        return tail_of(self._log)

    def posts(self) -> list[Post]:
        """All posts that it logged."""
        return read_posts(self._log)
