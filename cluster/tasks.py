"""An actor's background tasks.

A loop that dies of a defect must not leave an actor that seems alive but does no work. So the process ends (crash-only
design), Ray restarts it, and the journal queues the deliveries that it held again.
"""

import asyncio
import logging
import os
from collections.abc import Callable, Coroutine, Iterable
from typing import Any

log = logging.getLogger(__name__)

EXIT_CRASHED = 70  # EX_SOFTWARE of sysexits.h
EXIT_ANEW = 75  # EX_TEMPFAIL
CANCELLED_AGAIN_S = 5.0
"""Longer than a task may take to end."""


def exit_process(name: str, error: BaseException) -> None:
    """Log the error and end this process at once."""
    log.critical("task crashed, ending the process task=%s", name, exc_info=error)
    logging.shutdown()
    os._exit(EXIT_CRASHED)


def end_for_restart() -> None:
    """End this process at once, for Ray to start it again."""
    logging.shutdown()
    os._exit(EXIT_ANEW)


async def end_all(tasks: Iterable[asyncio.Task[Any]]) -> None:
    """Cancel tasks and wait until they have ended, whatever their results.

    A cancellation can get lost: ``asyncio.wait_for`` of Python 3.11, which libraries use, drops one that comes in the
    turn of the loop in which its wait ends. So it is repeated.
    """
    running = set(tasks)
    while running:
        for task in running:
            task.cancel()
        ended, running = await asyncio.wait(running, timeout=CANCELLED_AGAIN_S)
        for task in ended:
            if not task.cancelled():
                task.exception()  # otherwise asyncio logs it


class Tasks:
    """The background tasks of one owner."""

    def __init__(self, on_crash: Callable[[str, BaseException], None] = exit_process) -> None:
        self._tasks: set[asyncio.Task[Any]] = set()
        self._on_crash = on_crash

    def spawn(self, name: str, work: Coroutine[Any, Any, Any]) -> asyncio.Task[Any]:
        """Run ``work`` in the background. An exception from it calls ``on_crash``."""
        task = asyncio.get_running_loop().create_task(work, name=name)
        self._tasks.add(task)
        task.add_done_callback(self._ended)
        return task

    def _ended(self, task: asyncio.Task[Any]) -> None:
        self._tasks.discard(task)
        if not task.cancelled() and (error := task.exception()) is not None:
            self._on_crash(task.get_name(), error)

    async def stop(self) -> None:
        """Cancel all tasks and wait until they have ended."""
        await end_all(self._tasks)
