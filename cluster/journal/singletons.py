"""The journal's part for what there is one of in a cluster: beginning a life of it, which ends the sessions of all
others (``fence``)."""

import asyncio
from datetime import datetime

from msgspec import Struct

from cluster.journal.database import JournalPart, Unavailable
from cluster.journal.fence import LOCKS

SESSIONS_END_S = 10.0
LOOK_S = 0.02


class Life(Struct, frozen=True, array_like=True):
    """Which machine a life is on, its process, and since when."""

    host: str
    pid: int
    began_at: datetime


class Singletons(JournalPart):
    """The lives of what there is one of, by kind."""

    async def begin(self, kind: str, host: str, pid: int) -> int:
        """Begin a life; returns its epoch when no older one can write any more. Raises Unavailable when a session of an
        older one does not end."""
        row = await self._database.row("begin_life", kind=kind, host=host, pid=pid)
        assert row is not None
        until = asyncio.get_running_loop().time() + SESSIONS_END_S
        while left := await self._database.rows("end_sessions", kind=kind, locks=LOCKS):
            if asyncio.get_running_loop().time() > until:
                pids = ", ".join(str(pid) for pid, _ in left)
                raise Unavailable(f"sessions of an older {kind} do not end: Postgres processes {pids}")
            await asyncio.sleep(LOOK_S)
        epoch: int = row[0]
        return epoch

    async def confirm(self) -> None:
        """Return if this process may still act, as what there is one of. Raises Unavailable when it may not, or when it
        cannot be known."""
        await self._database.confirm()

    async def living(self, kind: str) -> Life | None:
        """The last life of a kind, if its process is connected to the journal."""
        row = await self._database.row("living", kind=kind, locks=LOCKS)
        return None if row is None else Life(*row)

    async def installation_id(self) -> str:
        """Tells this journal from any other; "" where it was never migrated so far."""
        row = await self._database.row("has_installation")
        assert row is not None
        if not row[0]:
            return ""
        row = await self._database.row("installation_id")
        assert row is not None
        found: str = row[0]
        return found
