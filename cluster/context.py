"""What an actor's process receives when it starts: the data and the links from which it builds its object."""

from collections.abc import Awaitable, Callable, Sequence
from pathlib import Path
from typing import Any, Protocol

from msgspec import Struct, field

from cluster.journal.fence import Fence
from cluster.journal.journal import Journal
from cluster.journal.silences import Silences
from cluster.metrics import Reading
from cluster.peers import Call
from cluster.policy.forms import Form
from cluster.policy.placement import Living, Node, Place
from cluster.settings import Settings
from cluster.vault import FormerKey, KeyRing, Vault


class Home(Form, frozen=True, kw_only=True):
    """The node of the command that started the cluster, and its machine, whose disk has what is embedded."""

    node_id: str = ""
    machine: str = ""


class Context(Form, frozen=True, kw_only=True):
    """Plain data for one process. ``name`` is the name of its actor."""

    name: str
    node_id: str
    """The node of an actor that every node has; where Ray has moved another one is not told here."""
    settings: Settings
    data_dir: str
    postgres_dsn: str
    secret_key: str
    former_secrets: tuple[FormerKey, ...] = ()
    home: Home = Home()
    installation: str = ""
    """The id of the journal."""
    fence: Fence | None = None
    """Of a process there is one of in a cluster; its journals have it. The process itself sets it."""
    silences: Silences | None = None
    """When the journal did not answer this process. The process itself sets it."""

    @property
    def data_path(self) -> Path:
        return Path(self.data_dir)

    @property
    def shares(self) -> int:
        """The shares that a site which serves all domains is split into. It depends on settings alone, so that it is
        the same in every process while nodes come and go."""
        most_nodes = self.settings.cluster.max_nodes if self.settings.ray.address else 1
        return self.settings.delivery.actors_per_node * most_nodes

    @property
    def vault(self) -> Vault:
        """Seals with the secret, and opens what former ones sealed too."""
        return KeyRing(self.secret_key, self.former_secrets).vault()

    async def open_journal(self, connections: int = 4, part: str = "") -> Journal:
        """Open a journal for this process, or for a ``part`` of it. Raises Unavailable."""
        journal = Journal(
            self.postgres_dsn,
            application=f"{self.name}-{part}" if part else self.name,
            connections=connections,
            offer_grace_s=self.settings.delivery.offer_grace_s,
            fence=self.fence,
            silences=self.silences,
        )
        await journal.open()
        return journal


class Facts(Form, frozen=True, kw_only=True):
    """The live nodes, and the actors that run or that Ray is about to start."""

    nodes: tuple[Node, ...]
    living: tuple[Living, ...]


class Left(Form, frozen=True, kw_only=True):
    """What the supervisor answers to ``leave``: whether a node is taken out."""

    stays: str = ""
    """Why not; empty when it is."""
    missing: dict[str, str] = field(default_factory=dict)
    """What can run on no other node, and why."""
    place: Place | None = None
    """Where the supervisor itself is to be moved to; None where it stays."""


class Links(Struct, frozen=True, kw_only=True):
    """A process's connections to other actors: calling them, sharing bytes with them, and placing them."""

    call: Call
    kill: Callable[[str], Awaitable[None]]
    """Ends another actor's process; Ray then restarts it. Raises PeerGone when the actor does not exist, or Ray does
    not answer."""
    share: Callable[[bytes], Awaitable[Any]]
    """Puts bytes into the object store. Returns a handle that any process can await."""
    look: Callable[[], Awaitable[Facts]]
    """Which nodes and actors there are. Raises PeerGone when Ray does not answer."""
    start: Callable[[Place], Awaitable[None]]
    """Starts an actor at its place. Raises PeerGone when Ray does not answer."""
    end: Callable[[str, float], Awaitable[None]]
    """Stops an actor in order, within so many seconds, and ends its process for good. Raises PeerGone when it is gone
    already, or Ray does not answer."""
    ask_for: Callable[[Sequence[float]], Awaitable[None]]
    """Asks Ray's autoscaler for nodes with so many CPUs each, those that there are among them. Raises PeerGone when Ray
    does not answer."""


DEGRADED = "degraded: "
"""The prefix of a problem with which a part still works."""


def keeps_from_work(problem: str | None) -> bool:
    """Whether a part with this problem cannot do its work."""
    return problem is not None and not problem.startswith(DEGRADED)


class Actor(Protocol):
    """The interface of every plain object behind an actor."""

    async def start(self) -> Any: ...

    async def problem(self) -> str | None:
        """The problem, or None. It begins with DEGRADED when the actor still works."""

    async def metrics(self) -> list[Reading]:
        """The readings of its metrics and those of its parts: ``cluster.metrics.read(self)``."""

    async def stop(self) -> None: ...


Build = Callable[[Context, Links], Awaitable[Actor]]
