"""The supervisor: asks every actor how it is, takes work back from delivery actors that are gone, and knows whether
postray is ready.

Ray restarts a process that died; the supervisor's question is what makes the new one start its work. An actor that
is alive and does not answer is killed, so that Ray starts it anew.
"""

import asyncio
import logging
from collections.abc import Callable, Sequence

from msgspec import Struct

from actors.dispatch import ACTOR_ALIVE_S
from cluster.journal.store import Journal, Unavailable
from cluster.peers import Call, PeerGone
from cluster.tasks import Tasks

log = logging.getLogger(__name__)

ROUND_S = 1.0
ANSWER_S = 10.0
"""An actor that is busy may be late; one that takes this long is in trouble."""
SILENT_S = 60.0
"""An actor that has not answered for this long is killed."""
NOT_ASKED = "not asked yet"


class PartHealth(Struct, frozen=True):
    """How one actor is, and why when it is not well."""

    ok: bool
    reason: str = ""


class Readiness(Struct, frozen=True):
    """Whether every part is well, and how each of them is."""

    ok: bool
    parts: dict[str, PartHealth]


class Supervisor:
    """``actors``: the names of those it watches. ``kill`` ends one of them, for Ray to start it again."""

    def __init__(
        self,
        journal: Journal,
        call: Call,
        actors: Sequence[str],
        kill: Callable[[str], None],
        make_tasks: Callable[[], Tasks] = Tasks,
    ) -> None:
        self._journal = journal
        self._call = call
        self._actors = actors
        self._kill = kill
        self._tasks = make_tasks()
        self._parts = dict.fromkeys(actors, PartHealth(False, NOT_ASKED))
        self._journal_health = PartHealth(False, NOT_ASKED)

    async def start(self) -> None:
        for actor in self._actors:
            self._tasks.spawn(f"watch {actor}", self._watch(actor))
        self._tasks.spawn("taking back", self._take_back_for_ever())

    async def health(self) -> PartHealth:
        return PartHealth(True)

    async def stop(self) -> None:
        await self._tasks.stop()

    async def readiness(self) -> Readiness:
        """The state at the last round of questions."""
        parts = {"journal": self._journal_health, **self._parts}
        return Readiness(all(part.ok for part in parts.values()), parts)

    async def _watch(self, actor: str) -> None:
        clock = asyncio.get_running_loop().time
        answered_at = clock()
        while True:
            health = await self._ask(actor)
            if health is None:
                if clock() - answered_at > SILENT_S:
                    log.error("killing a silent actor actor=%s silent_s=%.0f", actor, clock() - answered_at)
                    self._kill(actor)
                    answered_at = clock()
            else:
                answered_at = clock()
                self._note(actor, health)
            await asyncio.sleep(ROUND_S)

    async def _ask(self, actor: str) -> PartHealth | None:
        """The actor's own word, or None when it gave none."""
        try:
            async with asyncio.timeout(ANSWER_S):
                answer = await self._call(actor, "health")
        except PeerGone as gone:
            self._note(actor, PartHealth(False, f"gone: {gone.reason}"))
        except TimeoutError:
            self._note(actor, PartHealth(False, f"no answer within {ANSWER_S:.0f} s"))
        else:
            return PartHealth(answer.ok, answer.reason)
        return None

    def _note(self, actor: str, health: PartHealth) -> None:
        if health.ok != self._parts[actor].ok:
            log.log(
                logging.INFO if health.ok else logging.WARNING, "actor=%s ok=%s %s", actor, health.ok, health.reason
            )
        self._parts[actor] = health

    async def _take_back_for_ever(self) -> None:
        while True:
            try:
                for lost in await self._journal.lost_actors(ACTOR_ALIVE_S):
                    taken_back = await self._journal.retire_actor(lost.name, lost.epoch)
                    log.warning("took back actor=%s epoch=%d deliveries=%d", lost.name, lost.epoch, taken_back)
                self._journal_health = PartHealth(True)
            except Unavailable as error:
                self._journal_health = PartHealth(False, error.reason)
                log.warning("journal unavailable reason=%r", error.reason)
            await asyncio.sleep(ROUND_S)
