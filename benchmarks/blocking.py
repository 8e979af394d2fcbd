"""Blocking steps from a coroutine, and Ctrl-C: what starts or stops processes is never left half-way."""

import asyncio
import signal
from collections.abc import Callable
from typing import ParamSpec, TypeVar

P = ParamSpec("P")
T = TypeVar("T")


async def to_its_end(call: Callable[P, T], *args: P.args, **kwargs: P.kwargs) -> T:
    """Run ``call`` in a thread. A cancel waits for it, as a thread cannot be stopped; so it must be bounded."""
    running = asyncio.create_task(asyncio.to_thread(call, *args, **kwargs))
    try:
        return await asyncio.shield(running)
    except asyncio.CancelledError:
        await asyncio.wait({running})
        raise


def cancel_once_on_signals() -> None:
    """Let the first Ctrl-C or SIGTERM cancel the task that calls this, and further ones change nothing: it is busy
    ending what it has started."""
    loop = asyncio.get_running_loop()
    task = asyncio.current_task()
    assert task is not None
    asked = False

    def cancel() -> None:
        nonlocal asked
        if not asked:
            asked = True
            task.cancel()

    for number in (signal.SIGINT, signal.SIGTERM):
        loop.add_signal_handler(number, cancel)
