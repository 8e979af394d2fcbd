"""How one actor calls another: by name, without knowing what carries the call.

In the cluster Ray does (launch.py); a test hands in a function of its own.
"""

from collections.abc import Awaitable, Callable
from typing import Any

Call = Callable[..., Awaitable[Any]]
"""``await call(actor, method, *arguments)``. Raises PeerGone when the actor is dead, restarting or unknown."""


class PeerGone(Exception):
    """The actor cannot be called now. Whether it ran the call is not known."""

    def __init__(self, actor: str, reason: str) -> None:
        super().__init__(actor, reason)
        self.actor = actor
        self.reason = reason

    def __str__(self) -> str:
        return f"{self.actor}: {self.reason}"
