"""The settings of a cluster of several nodes."""

from typing import Literal, get_args

from cluster.settings_section import Section

Role = Literal["api", "delivery", "analytics"]
"""api: takes requests, and mail that comes in. delivery: sends, schedules, posts. analytics: ClickHouse."""
ROLES: tuple[Role, ...] = get_args(Role)


class RaySettings(Section, frozen=True, kw_only=True):
    address: str = ""
    """host:port of a running Ray cluster to join. "auto" joins the cluster that this machine is a node of; "" starts a
    local one on loopback."""
    object_store_mb: int = 256
    """Size of the object store of a cluster that is started locally."""


class ClusterSettings(Section, frozen=True, kw_only=True):
    min_nodes: int = 1
    """With fewer live nodes that take actors, /readyz says "degraded"."""
    max_nodes: int = 8
    """The most nodes that may send. The site of a smarthost, and the capture sink, are split into as many shares as so
    many nodes have delivery actors, so that each has a part of their limits; a limit below that is not kept. It has no
    effect on a cluster that is started in place."""
    grow_after_s: float = 0.0
    """When mail that no limit holds is so late because delivery actors cannot do more, another node is asked for of
    Ray's autoscaler, up to max_nodes; 0: none ever is, and none is given back. It has no effect on a cluster that is
    started in place."""
    shrink_after_s: float = 900.0
    """When fewer nodes would have done for so long, one is drained and given back, down to min_nodes."""
    roles: tuple[Role, ...] = ROLES
    """The roles of nodes without a label of their own: which actors run on them. The label of a node
    (``ray start --labels postray.roles=api_delivery``) names others."""
