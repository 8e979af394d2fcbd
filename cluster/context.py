"""What an actor's process receives when it starts: the data and the links from which it builds its object."""

from collections.abc import Awaitable, Callable
from pathlib import Path
from typing import Any, Protocol

from msgspec import Struct

from cluster.journal.journal import Journal
from cluster.metrics import Reading
from cluster.peers import Call
from cluster.settings import Settings
from cluster.vault import FormerKey, KeyRing, Vault


class Context(Struct, frozen=True, kw_only=True):
    """Plain data for one process. ``name`` is the name of its actor; ``actors`` are the names of all actors."""

    name: str
    node_id: str
    settings: Settings
    data_dir: str
    postgres_dsn: str
    secret_key: str
    former_secrets: tuple[FormerKey, ...] = ()
    actors: tuple[str, ...]
    shares: int
    """Number of delivery actors in the cluster. A site that serves all domains is split into as many shares."""

    @property
    def data_path(self) -> Path:
        return Path(self.data_dir)

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
        )
        await journal.open()
        return journal


class Links(Struct, frozen=True, kw_only=True):
    """A process's connections to other actors: calling them, killing them, and sharing bytes with them."""

    call: Call
    kill: Callable[[str], None]
    """Ends another actor's process; Ray then restarts it. Raises PeerGone when the actor does not exist."""
    share: Callable[[bytes], Awaitable[Any]]
    """Puts bytes into the object store. Returns a handle that any process can await."""


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
