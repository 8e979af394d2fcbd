"""What ``postray up`` makes sure of before it starts or joins actors: they belong to this journal and can open what
is in it, and that no other postray works with it. Called by ``up``."""

import asyncio
import time
from collections.abc import AsyncIterator, Callable, Sequence
from contextlib import asynccontextmanager

from cluster.journal.journal import Journal
from cluster.launch import together
from cluster.policy.forms import FORMS, work_together
from cluster.resealing import check_opens
from cluster.topology import SUPERVISOR
from cluster.vault import KeyRing, Vault, WrongKey

REACHABLE_S = 10.0
FORMER_S = 30.0
"""How long a former postray with this journal may take to end: processes whose Ray has ended take some 20 s."""
LOOK_S = 0.3
ROTATED = "the actors of this cluster run with a former secret: postray down first, then postray up"


class DidNotStart(Exception):
    """A part did not start; the message says which and why."""

    def __init__(self, reason: str) -> None:
        super().__init__(reason)


async def check_living(journal: Journal, ring: KeyRing) -> None:
    """Raises DidNotStart when actors that live do not seal with the current secret of ``ring``: after a rotation they
    seal with the former one until they are started anew, and sealing anew would take their keys away."""
    try:
        await check_opens(journal, Vault(ring.current))
    except WrongKey as error:
        raise DidNotStart(ROTATED if ring.former else str(error)) from error


async def check_same(journal: Journal, names: Sequence[str]) -> None:
    """Raises DidNotStart when the actors that live in this cluster of Ray belong to another journal, or speak in forms
    that this release does not understand."""
    with together.interruptible():
        told = together.identities(names)
    if problem := why_not_beside(told, await journal.singletons.installation_id()):
        raise DidNotStart(problem)


def why_not_beside(told: Sequence[tuple[str, int]], installation: str) -> str:
    """Why this release does not join actors that have told their journal and the number of their forms; "" where it
    does."""
    if not told:
        return "the actors in this cluster of Ray do not answer, or are of an earlier release: postray down, then up"
    if any(theirs != installation for theirs, _ in told):
        return (
            "another postray runs in this cluster of Ray, with another journal: "
            "each needs a cluster of its own (ray.address, postgres.dsn)"
        )
    if not all(work_together(FORMS, forms) for _, forms in told):
        return "the actors in this cluster of Ray are of a release too far from this one: postray down, then up"
    return ""


async def check_alone(journal: Journal, say: Callable[[str], None]) -> None:
    """Return when no other postray works with this journal, from another cluster of Ray. Raises DidNotStart when one
    does, and does not end in time; ``say`` receives that it is waited for."""
    began, said = time.monotonic(), False
    while (life := await journal.singletons.living(SUPERVISOR)) is not None:
        who = f"its supervisor runs on {life.host}, pid {life.pid}, since {life.began_at:%Y-%m-%d %H:%M:%S}"
        if time.monotonic() - began > FORMER_S:
            raise DidNotStart(f"another postray works with this journal: {who}; end it first")
        if not said:
            say(f"waiting for another postray with this journal to end: {who}")
            said = True
        await asyncio.sleep(LOOK_S)


@asynccontextmanager
async def opened(dsn: str, connections: int = 1) -> AsyncIterator[Journal]:
    """A journal for a few statements. Raises Unavailable."""
    # Starting Ray takes seconds, and the journal may have become unavailable meanwhile: wait as long as before.
    journal = Journal(dsn, application="up", connections=connections, max_wait_s=REACHABLE_S)
    await journal.open()
    try:
        yield journal
    finally:
        await journal.close()
