"""The stall watch: a process whose event loop does not come round any more ends itself.

A message or a defect may keep the loop busy for good, perhaps in a call that never lets another thread have its turn.
So the kernel watches: a timer that counts the processor time of this process (ITIMER_VIRTUAL, setitimer(2)), which the
loop puts back once a second. When it runs out, SIGVTALRM writes the stack of every thread to a file and ends the
process, which needs no turn of the interpreter. A process that is stopped, swapped out or kept waiting is not punished,
for it uses no processor time; one that is alive and silent all the same is killed by the supervisor, later.
"""

import asyncio
import faulthandler
import logging
import signal
from pathlib import Path

log = logging.getLogger(__name__)

STALLED_CPU_S = 15.0
"""Processor time without one turn of the loop. The longest that the loop does in one piece takes less than a second,
also on slow machines; the supervisor waits for 45 s, by the clock."""
TURN_S = 1.0


class StallWatch:
    """``stacks``: the file that is told where the loop hung, replaced by each life that is watched."""

    def __init__(self, stacks: Path, cpu_s: float = STALLED_CPU_S, turn_s: float = TURN_S) -> None:
        self._stacks = stacks
        self._cpu_s = cpu_s
        self._turn_s = turn_s

    async def run(self) -> None:
        """Watch until this is cancelled. One process has one such timer. Raises OSError."""
        self.tell_former()
        with self._stacks.open("wb") as file:
            # chain: after the stacks the signal does what it does by default, and that is to end the process.
            faulthandler.register(signal.SIGVTALRM, file=file, all_threads=True, chain=True)
            try:
                while True:
                    signal.setitimer(signal.ITIMER_VIRTUAL, self._cpu_s)
                    await asyncio.sleep(self._turn_s)
            finally:
                signal.setitimer(signal.ITIMER_VIRTUAL, 0)
                faulthandler.unregister(signal.SIGVTALRM)

    def tell_former(self) -> None:
        """Say in the log where the last life hung, if it did."""
        try:
            stacks = self._stacks.read_text(encoding="utf-8", errors="replace")
        except FileNotFoundError:
            return
        if stacks:
            log.error("the last life stalled, and ended itself stacks=%s", stacks)
