"""How one actor calls another: by name, independent of the transport.

In the cluster Ray carries the calls (launch/host_process.py); a test passes its own function.
"""

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
