"""The fence of what there is one of in a cluster (the scheduler, the recorder, webhooks, the supervisor): an older life
of it, which was paused or cut off, writes nothing once a newer one has begun.

Each life has an *epoch*, the number that it got from the journal. Every connection of its process to the journal holds
a shared advisory lock of its kind, and is refused if there is a newer epoch. A newer life takes its epoch first, and
then has Postgres end the sessions that hold the lock; it works once there is none. So nothing that an older life began
is committed later, and it cannot connect again. No statement costs more for this: the rejected alternative, to look at
the epoch in each transaction, would be a lookup in every one of them.
"""

from collections.abc import Callable

from psycopg import AsyncConnection

from cluster.policy.forms import Form

LOCKS = 0x6F6E6531  # any constant will do: "one1"
"""The first key of the advisory locks; the second is made of the kind."""


class Fenced(Exception):
    """A newer life has begun, and this one may not use the journal any more."""

    def __init__(self, kind: str, epoch: int, newest: int) -> None:
        super().__init__(kind, epoch, newest)

    def __str__(self) -> str:
        return "a newer {0} works (epoch {2}), and the one of epoch {1} may not write any more".format(*self.args)


class Fence(Form, frozen=True, kw_only=True):
    """One life. ``on_fenced`` is called as soon as a newer one is found, and should end the process."""

    kind: str
    epoch: int
    on_fenced: Callable[[Fenced], None]

    async def admit(self, connection: AsyncConnection[tuple[int]]) -> None:
        """Let a new connection be ended by a newer life. Raises Fenced if there is one, and closes it."""
        # Two statements, in this order: a newer life that the second does not see yet looks for the lock afterwards.
        await connection.execute("SELECT pg_advisory_lock_shared(%s, hashtext(%s))", [LOCKS, self.kind])
        await self.check(connection)

    async def check(self, connection: AsyncConnection[tuple[int]]) -> None:
        """Raises Fenced if there is a newer life, and closes the connection."""
        cursor = await connection.execute("SELECT epoch FROM singletons WHERE kind = %s", [self.kind])
        row = await cursor.fetchone()
        if row is not None and row[0] > self.epoch:
            await connection.close()
            fenced = Fenced(self.kind, self.epoch, row[0])
            self.on_fenced(fenced)
            raise fenced
