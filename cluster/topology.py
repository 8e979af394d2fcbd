"""The table of actors: which actors run, how many of each, with which resources, and where they may.

Pure. ``cluster/policy/placement.py`` finds their places by it, ``cluster/launch`` starts them, and a test checks that
the nodes of ``ray-cluster.yaml`` have room for them. This is the only table in this package that names modules above
it: one launcher starts all actors, and each process imports only the libraries of its own actor.
"""

import math
from collections.abc import Callable
from typing import Literal

from msgspec import Struct

from cluster.policy.growth import Terms
from cluster.policy.placement import CPU_DIGITS, Kind, Node, Place, plan
from cluster.settings import DeliverySettings, Settings
from cluster.settings_cluster import Role


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
    role: Role | None = None
    """The role of the nodes that it runs on; None is any. ``cluster.roles`` and a node's label say which it has."""
    runs: Callable[[Settings], bool] = lambda _: True
    """Whether it runs with these settings."""
    stays: Callable[[Settings], bool] = lambda _: False
    """Whether its data is on the disk of one machine, so that it can run on no other."""
    moves_itself: bool = False
    """Whether Ray is to start it on another node when its own dies. All others are started there by the supervisor."""
    calls: tuple[str, ...] | Literal["all"] = ()
    """The kinds that it calls. It finds them ahead, since Ray does not say where they are while the head is away."""
    listens: bool = False
    """Whether it takes requests or mail from outside, until its node drains (cluster/draining.py)."""


DELIVERY = "delivery"
SUPERVISOR = "supervisor"
RECORDER = "recorder"
SCHEDULER = "scheduler"


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
        role="delivery",
        runs=lambda settings: has_sink(settings.delivery),
        calls=(RECORDER,),
    ),
    ActorSpec(
        kind=RECORDER,
        build="actors.build:recorder",
        per="cluster",
        cpus=0.2,
        memory_mb=400,
        role="analytics",
        stays=lambda settings: not settings.clickhouse.dsn,
    ),
    ActorSpec(
        kind=DELIVERY,
        build="actors.build:delivery",
        per="node",
        count=lambda settings: settings.delivery.actors_per_node,
        cpus=0.4,
        memory_mb=400,
        role="delivery",
    ),
    ActorSpec(
        kind=SCHEDULER,
        build="actors.build:scheduler",
        per="cluster",
        cpus=0.1,
        memory_mb=200,
        role="delivery",
        calls=(DELIVERY, RECORDER),
    ),
    ActorSpec(
        kind="webhooks",
        build="actors.build:webhooks",
        per="cluster",
        cpus=0.2,
        memory_mb=300,
        role="delivery",
        calls=(RECORDER,),
    ),
    ActorSpec(
        kind="mail_in",
        build="actors.build:mail_in",
        per="node",
        cpus=0.1,
        memory_mb=300,
        role="api",
        runs=lambda settings: bool(settings.bounce.bind),
        listens=True,
    ),
    ActorSpec(
        kind="metrics",
        build="actors.build:metrics",
        per="node",
        cpus=0.1,
        memory_mb=150,
        runs=lambda settings: bool(settings.metrics.bind),
        calls="all",
    ),
    ActorSpec(
        kind=SUPERVISOR,
        build="actors.build:supervisor",
        per="cluster",
        cpus=0.1,
        memory_mb=200,
        moves_itself=True,
        calls="all",
    ),
    ActorSpec(
        kind="api",
        build="api.build:api",
        per="node",
        count=lambda settings: settings.http.actors_per_node,
        cpus=0.4,
        memory_mb=400,
        role="api",
        calls="all",  # it answers GET /metrics for its node
        listens=True,
    ),
)
SPECS = {spec.kind: spec for spec in ACTORS}
"""By kind."""
LISTENING = frozenset(spec.kind for spec in ACTORS if spec.listens)


def called_by(kind: str) -> frozenset[str]:
    """The kinds that actors of a kind call."""
    calls = SPECS[kind].calls
    return frozenset(SPECS) if calls == "all" else frozenset(calls)


def kinds(settings: Settings) -> list[Kind]:
    """What is asked for with these settings, in start order."""
    return [
        Kind(
            name=spec.kind,
            per=spec.per,
            count=spec.count(settings),
            cpus=spec.cpus,
            role=spec.role or "",
            stays=spec.stays(settings),
            moves_itself=spec.moves_itself,
        )
        for spec in ACTORS
        if spec.runs(settings)
    ]


def growth_terms(settings: Settings) -> Terms | None:
    """Within which bounds a cluster grows by itself; None where it does not."""
    cluster = settings.cluster
    if not settings.ray.address or not cluster.grow_after_s:
        return None
    return Terms(
        min_nodes=cluster.min_nodes,
        max_nodes=cluster.max_nodes,
        grow_after_s=cluster.grow_after_s,
        shrink_after_s=cluster.shrink_after_s,
    )


def on_one_node(settings: Settings) -> tuple[Place, ...]:
    """Every actor of a cluster of one node, in start order."""
    return plan([Node(id="one", cpus=math.inf)], kinds(settings), ()).places


def cpus_of_a_node(settings: Settings) -> int:
    """The logical CPUs that a cluster of one node needs for all of its actors, rounded up."""
    return math.ceil(round(sum(SPECS[place.kind].cpus for place in on_one_node(settings)), CPU_DIGITS))
