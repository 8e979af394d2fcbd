"""What an actor's process is told when it starts: everything it needs to build its object, and nothing live."""

from collections.abc import Awaitable, Callable
from pathlib import Path
from typing import Any, Protocol

from msgspec import Struct

from cluster.journal.journal import Journal
from cluster.peers import Call
from cluster.settings import Settings


class Context(Struct, frozen=True, kw_only=True):
    """Plain data, sent to the process. ``name`` is the actor's own; ``actors`` are all there are."""

    name: str
    node_id: str
    settings: Settings
    data_dir: str
    postgres_dsn: str
    secret_key: str
    actors: tuple[str, ...]
    shares: int
    """Delivery actors in the cluster: into so many shares a site that serves all domains is split."""

    @property
    def data_path(self) -> Path:
        return Path(self.data_dir)

    async def open_journal(self, connections: int = 4, part: str = "") -> Journal:
        """This process's own journal, or that of a ``part`` of it. Raises Unavailable."""
        journal = Journal(
            self.postgres_dsn,
            application=f"{self.name}-{part}" if part else self.name,
            connections=connections,
            offer_grace_s=self.settings.delivery.offer_grace_s,
        )
        await journal.open()
        return journal


class Links(Struct, frozen=True, kw_only=True):
    """The live side of a process: calling and killing other actors, and sharing bytes with them."""

    call: Call
    kill: Callable[[str], None]
    """Ends another actor's process, for Ray to start it again. Raises PeerGone when there is none."""
    share: Callable[[bytes], Awaitable[Any]]
    """Puts bytes into the object store; the answer can be awaited by whoever is handed it."""


DEGRADED = "degraded: "
"""How a part's problem begins that does not keep it from its work."""


def keeps_from_work(problem: str | None) -> bool:
    """Whether a part with this problem cannot do its work."""
    return problem is not None and not problem.startswith(DEGRADED)


class Actor(Protocol):
    """What every plain object behind an actor can do."""

    async def start(self) -> Any: ...

    async def problem(self) -> str | None:
        """None when it is well, else what is wrong; with DEGRADED in front when it works all the same."""

    async def stop(self) -> None: ...


Build = Callable[[Context, Links], Awaitable[Actor]]
