"""How one actor calls another: by name, independent of the transport.

In the cluster Ray carries the calls (launch/host_process.py); a test passes its own function.
"""

import asyncio
from collections.abc import Awaitable, Callable
from typing import Any

Call = Callable[..., Awaitable[Any]]
"""``await call(actor, method, *arguments)``. Raises PeerGone when the actor is dead, restarting or unknown."""


class PeerGone(Exception):
    """The actor cannot be called now. It is not known whether it ran the call."""

    def __init__(self, actor: str, reason: str) -> None:
        super().__init__(actor, reason)
        self.actor = actor
        self.reason = reason

    def __str__(self) -> str:
        return f"{self.actor}: {self.reason}"


async def call_within(seconds: float, call: Call, actor: str, method: str, *arguments: Any) -> Any:
    """The result of a call. Raises PeerGone also when none comes in time: while Ray's head is away, a call of an actor
    that has died waits until the head is back."""
    try:
        async with asyncio.timeout(seconds):
            return await call(actor, method, *arguments)
    except TimeoutError as error:
        raise PeerGone(actor, f"no answer within {seconds:.0f} s") from error
