"""Shared by the scenarios with a real postray: a world, its options, and the helpers from load to figures."""

import itertools
from collections.abc import Iterator, Mapping, Sequence
from typing import Annotated

from msgspec import Meta, Struct

from benchmarks.blocking import to_its_end
from benchmarks.load import Load
from benchmarks.mail import Mail
from benchmarks.phases import Tell
from benchmarks.records import Usage
from benchmarks.sink import SinkOptions, Writing
from benchmarks.world import Variables, World, relayed

HARNESS = ("sink", "harness", "names")
"""The parts that are not the product's."""
COUNTED = "Messages are counted at the sink, by their ids; load, sink and all parts share the machine's cores."

Clients = Annotated[int, Meta(ge=1, le=256, description="HTTP connections of the load.")]
Messages = Annotated[int, Meta(ge=10, le=2_000_000, description="Messages in each repeat.")]
Connections = Annotated[int, Meta(ge=1, le=1000, description="SMTP connections to the sink, over all actors.")]
Delay = Annotated[float, Meta(ge=0, le=1000, description="How late the sink's replies come.")]
PerRequest = Annotated[int, Meta(ge=1, le=1000, description="Personalizations a request.")]


class WorldOptions(Struct, frozen=True, kw_only=True):
    """The configuration of postray. Everything else has its default."""

    connections: Connections = 40
    actors: Annotated[int, Meta(ge=1, le=16, description="Delivery actors.")] = 2
    api_actors: Annotated[int, Meta(ge=1, le=16, description="API actors.")] = 1
    delay_ms: Delay = 0.0


class SendingWorld:
    """A world and its mail. ``numbers`` never repeat, so no recipient is addressed twice.

    ``route``: the variables that route the mail to the sink, given its address.
    """

    def __init__(self, options: WorldOptions, route: Variables = relayed) -> None:
        self._options = options
        self._route = route
        self._world: World | None = None
        self._numbers = itertools.count(1)

    @property
    def world(self) -> World:
        assert self._world is not None
        return self._world

    async def open(self, tell: Tell) -> None:
        sink = SinkOptions(delay_ms=self._options.delay_ms, writing=Writing.SOON)
        self._world = World(self._variables, sink)
        await to_its_end(self._world.open)

    def _variables(self, sink: str) -> dict[str, str]:
        return {
            "POSTRAY_DELIVERY_CONNECTIONS_PER_SITE": str(self._options.connections),
            "POSTRAY_DELIVERY_ACTORS_PER_NODE": str(self._options.actors),
            "POSTRAY_HTTP_ACTORS_PER_NODE": str(self._options.api_actors),
            **self._route(sink),
        }

    async def close(self) -> None:
        if self._world is not None:
            await to_its_end(self._world.close)

    def load(self, clients: int) -> Load:
        return Load(self.world.postray.url, self.world.postray.key, clients)

    def bodies(self, mail: Mail, messages: int, per_request: int, send_at: int | None = None) -> Iterator[bytes]:
        """Requests that contain ``messages`` messages together."""
        left = messages
        while left > 0:
            numbers: Sequence[int] = list(itertools.islice(self._numbers, min(per_request, left)))
            left -= len(numbers)
            yield mail.body(numbers, send_at)


def product_cpu_s(usage: Mapping[str, Usage]) -> float:
    """CPU seconds of all parts but the harness's."""
    return sum(took.cpu_s for part, took in usage.items() if part not in HARNESS)
