"""Shared by the scenarios that compare postray with Postfix: a world in which Postfix takes postray's place."""

from collections.abc import Mapping

from benchmarks.blocking import to_its_end
from benchmarks.postfix import Postfix
from benchmarks.postfix_files import PostfixPlan
from benchmarks.records import Usage
from benchmarks.scenarios.sending import HARNESS
from benchmarks.sink import SinkOptions
from benchmarks.world import World, relayed
from cluster.installation.ports import ANY_PORT, HeldPort


class PostfixWorld:
    """A Postfix in the scratch directory of a world. That world's postray is never started; its sink is started by the
    scenario that needs one."""

    def __init__(self, sink: SinkOptions) -> None:
        self.world = World(relayed, sink)
        self._port = HeldPort(ANY_PORT)
        self._postfix: Postfix | None = None

    @property
    def postfix(self) -> Postfix:
        assert self._postfix is not None
        return self._postfix

    async def open(self, work: Mapping[str, str], *, signs: bool = False) -> None:
        """Start Postfix (``PostfixPlan``). Raises benchmarks.postfix.PostfixDidNotStart."""
        plan = PostfixPlan(directory=self.world.directory / "postfix", port=self._port.number, work=work, signs=signs)
        self._postfix = Postfix(plan)
        await to_its_end(self._postfix.start)

    async def close(self) -> None:
        """End everything; returns when no process is left."""
        try:
            if self._postfix is not None:
                await to_its_end(self._postfix.stop)
        finally:
            await to_its_end(self.world.close)


def in_turn_of(name: str, usage: Mapping[str, Usage]) -> dict[str, Usage]:
    """Renames the harness's parts, to distinguish those of each server's turn."""
    return {f"{part} ({name}'s turn)" if part in HARNESS else part: took for part, took in usage.items()}
