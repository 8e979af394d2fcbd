"""Questions to actors of the same machine without Ray: each actor answers them at a socket in the run folder too.

A call through Ray costs both processes milliseconds, and every actor is asked for its health each second and for its
metrics at each scrape. The questions change nothing, so where the short way fails, the question is asked again through
Ray.
"""

from collections.abc import Awaitable, Callable, Mapping
from functools import partial
from pathlib import Path
from typing import Any

import msgspec

from cluster.metrics import Reading
from cluster.near_calls import Answer, NearCalls, NotNear, socket_of
from cluster.nodes import NodeState, WantedNodes
from cluster.peers import Call

QUESTIONS: Mapping[str, msgspec.msgpack.Decoder[Any]] = {
    "metrics": msgspec.msgpack.Decoder(list[Reading]),
    "problem": msgspec.msgpack.Decoder(str | None),
    "readiness": msgspec.msgpack.Decoder(dict[str, str | None]),
    "nodes": msgspec.msgpack.Decoder(list[NodeState]),
    "wanted_nodes": msgspec.msgpack.Decoder(WantedNodes | None),
}
"""Methods of actors without arguments, and how their answers are read."""


def place_of(data_dir: Path, actor: str) -> Path | None:
    """Where an actor answers on this machine; None while postray has no run folder here."""
    return socket_of(data_dir, f"{actor}.asked")


def answering(ask: Callable[[str], Awaitable[Any]]) -> Answer:
    """What an actor answers there. ``ask`` calls a method of it."""

    async def answer(question: bytes) -> bytes:
        method = question.decode()
        if method not in QUESTIONS:
            raise ValueError(f"{method[:100]!r} is no question")
        return msgspec.msgpack.encode(await ask(method))

    return answer


class NearAsks:
    """Asks actors at their sockets what is in ``QUESTIONS``, where they have one here, and otherwise uses ``call``."""

    def __init__(self, call: Call, data_dir: Path) -> None:
        self._call = call
        self._data_dir = data_dir
        self._near: dict[str, NearCalls] = {}

    async def call(self, actor: str, method: str, *arguments: Any) -> Any:
        """A ``Call``. Raises what that of Ray raises."""
        read = QUESTIONS.get(method)
        if read is None or arguments:
            return await self._call(actor, method, *arguments)
        if actor not in self._near:
            self._near[actor] = NearCalls(partial(place_of, self._data_dir, actor))
        try:
            return read.decode(await self._near[actor].call(method.encode()))
        except (NotNear, msgspec.DecodeError):  # another release answers otherwise
            return await self._call(actor, method)

    def close(self) -> None:
        """End the connections."""
        for near in self._near.values():
            near.close()
