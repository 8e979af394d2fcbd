"""Metrics without Ray: each actor also tells them at a socket on its machine, where GET /metrics asks for them.

A call through Ray costs both processes milliseconds, and a scrape asks every actor of a node.
"""

from collections.abc import Awaitable, Callable
from functools import partial
from pathlib import Path
from typing import Any

import msgspec

from cluster.metrics import Reading
from cluster.near_calls import Answer, NearCalls, NotNear, socket_of
from cluster.peers import Call

_told = msgspec.msgpack.Decoder(list[Reading])


def place_of(data_dir: Path, actor: str) -> Path | None:
    """Where an actor tells its metrics on this machine; None while postray has no run folder here."""
    return socket_of(data_dir, f"{actor}.metrics")


def telling(metrics: Callable[[], Awaitable[list[Reading]]]) -> Answer:
    """What an actor answers there."""

    async def answer(_: bytes) -> bytes:
        return msgspec.msgpack.encode(await metrics())

    return answer


class NearMetrics:
    """Asks actors for their metrics: at their sockets where they have one here, and otherwise by ``call``."""

    def __init__(self, call: Call, data_dir: Path) -> None:
        self._call = call
        self._data_dir = data_dir
        self._near: dict[str, NearCalls] = {}

    async def call(self, actor: str, method: str, *arguments: Any) -> Any:
        """A ``Call`` of "metrics", and of nothing else. Raises what ``call`` raises."""
        assert method == "metrics", method
        if actor not in self._near:
            self._near[actor] = NearCalls(partial(place_of, self._data_dir, actor))
        try:
            return _told.decode(await self._near[actor].call(b""))
        except (NotNear, msgspec.DecodeError):  # another release tells them otherwise
            return await self._call(actor, method, *arguments)

    def close(self) -> None:
        """End the connections."""
        for near in self._near.values():
            near.close()
