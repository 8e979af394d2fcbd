"""The stall watch: a process whose event loop is blocked ends itself.

A message or a defect may block the loop permanently, perhaps in a call that never releases the interpreter lock. So the
kernel watches, with a timer that counts the processor time of this process (ITIMER_VIRTUAL, setitimer(2)). The loop
resets the timer once a second. When it expires, SIGVTALRM writes the stack of every thread to a file and ends the
process; that needs no interpreter lock. A process that is stopped, swapped out or kept waiting uses no processor time
and is not ended. If a process waits without answering, the supervisor kills it later.
"""

import asyncio
import faulthandler
import logging
import signal
from pathlib import Path

log = logging.getLogger(__name__)

STALLED_CPU_S = 15.0
"""Processor time without one turn of the loop. The longest step of the loop takes less than a second, even on slow
machines; the supervisor waits for 45 s of wall-clock time."""
TURN_S = 1.0


class StallWatch:
    """``stacks``: the file for the stacks, replaced by each life that is watched."""

    def __init__(self, stacks: Path, cpu_s: float = STALLED_CPU_S, turn_s: float = TURN_S) -> None:
        self._stacks = stacks
        self._cpu_s = cpu_s
        self._turn_s = turn_s

    async def run(self) -> None:
        """Watch until cancelled. A process has only one such timer. Raises OSError."""
        self.tell_former()
        with self._stacks.open("wb") as file:
            # chain: after writing the stacks, the signal's default action ends the process.
            faulthandler.register(signal.SIGVTALRM, file=file, all_threads=True, chain=True)
            try:
                while True:
                    signal.setitimer(signal.ITIMER_VIRTUAL, self._cpu_s)
                    await asyncio.sleep(self._turn_s)
            finally:
                signal.setitimer(signal.ITIMER_VIRTUAL, 0)
                faulthandler.unregister(signal.SIGVTALRM)

    def tell_former(self) -> None:
        """Log where the last life stalled, if it did."""
        try:
            stacks = self._stacks.read_text(encoding="utf-8", errors="replace")
        except FileNotFoundError:
            return
        if stacks:
            log.error("the last life stalled, and ended itself stacks=%s", stacks)
