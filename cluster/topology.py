"""The table of actors: which actors run, how many of each, with which resources, and where.

Pure. ``launch.py`` starts them; a test checks that the nodes of ``ray-cluster.yaml`` have room for them. This is the
only table in this package that names modules above it: one launcher starts all actors, and each process imports only
the libraries of its own actor.
"""

import math
from collections.abc import Callable, Sequence
from typing import Literal

from msgspec import Struct

from cluster.settings import DeliverySettings, Settings


class ActorSpec(Struct, frozen=True, kw_only=True):
    """One kind of actor. ``build`` is ``module:function``; the function makes the plain object in its process."""

    kind: str
    build: str
    per: Literal["cluster", "node"]
    count: Callable[[Settings], int] = lambda _: 1
    """How many of it run on a node, or in the cluster."""
    cpus: float
    """Logical CPUs, by which Ray places actors; a process may use more when others are idle."""
    memory_mb: int
    """Expected upper bound of its memory; not enforced."""
    runs: Callable[[Settings], bool] = lambda _: True
    """Whether it runs with these settings."""


DELIVERY = "delivery"


def has_sink(settings: DeliverySettings) -> bool:
    """Whether the capture sink runs."""
    return settings.mode == "capture" or settings.capture_sink


# In start order; actors stop in reverse order.
ACTORS = (
    ActorSpec(
        kind="capture",
        build="actors.build:capture",
        per="cluster",
        cpus=0.1,
        memory_mb=300,
        runs=lambda settings: has_sink(settings.delivery),
    ),
    ActorSpec(kind="recorder", build="actors.build:recorder", per="cluster", cpus=0.2, memory_mb=400),
    ActorSpec(
        kind=DELIVERY,
        build="actors.build:delivery",
        per="node",
        count=lambda settings: settings.delivery.actors_per_node,
        cpus=0.4,
        memory_mb=400,
    ),
    ActorSpec(kind="scheduler", build="actors.build:scheduler", per="cluster", cpus=0.1, memory_mb=200),
    ActorSpec(kind="webhooks", build="actors.build:webhooks", per="cluster", cpus=0.2, memory_mb=300),
    ActorSpec(
        kind="mail_in",
        build="actors.build:mail_in",
        per="node",
        cpus=0.1,
        memory_mb=300,
        runs=lambda settings: bool(settings.bounce.bind),
    ),
    ActorSpec(kind="supervisor", build="actors.build:supervisor", per="cluster", cpus=0.1, memory_mb=200),
    ActorSpec(
        kind="api",
        build="api.build:api",
        per="node",
        count=lambda settings: settings.http.actors_per_node,
        cpus=0.4,
        memory_mb=400,
    ),
)


class Placement(Struct, frozen=True, kw_only=True):
    """One actor to start: its name in the cluster, its kind, and its node (Ray's id)."""

    name: str
    spec: ActorSpec
    node_id: str


def place(nodes: Sequence[str], settings: Settings) -> list[Placement]:
    """Every actor of a cluster of these nodes, in start order. The first node is the head."""
    placements = []
    for spec in ACTORS:
        if not spec.runs(settings):
            continue
        for number, node_id in enumerate(nodes if spec.per == "node" else nodes[:1]):
            for i in range(spec.count(settings)):
                name = spec.kind if spec.per == "cluster" else f"{spec.kind}-{number}-{i}"
                placements.append(Placement(name=name, spec=spec, node_id=node_id))
    return placements


def cpus_of_a_node(settings: Settings) -> int:
    """The logical CPUs that a cluster of one node needs for all of its actors, rounded up."""
    return math.ceil(sum(placement.spec.cpus for placement in place(("",), settings)))
