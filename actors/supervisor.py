"""The supervisor: asks every actor how it is, takes work back from delivery actors that are gone, and knows whether
postray is ready.

Ray restarts a process that died; the supervisor's question is what makes the new one start its work. An actor that
is alive and does not answer is killed, so that Ray starts it anew.
"""

import asyncio
import logging
from collections.abc import Callable, Sequence

from msgspec import Struct

from cluster import metrics
from cluster.journal.journal import Journal, Unavailable
from cluster.metrics import Counter, Gauge, Reading
from cluster.peers import Call, PeerGone
from cluster.policy.routes.membership import ACTOR_ALIVE_S
from cluster.tasks import Tasks

log = logging.getLogger(__name__)

ROUND_S = 1.0
ANSWER_S = 10.0
"""An actor that is busy may be late; one that takes this long is in trouble."""
SILENT_S = 45.0
"""An actor that has not answered for this long is killed."""
METRICS_S = 5.0
"""For the metrics of an actor, which are at hand."""
NOT_ASKED = "not asked yet"
NAME = "supervisor"


class Collected(Struct, frozen=True, kw_only=True):
    """The metrics of all actors, the supervisor among them, by their names."""

    readings: dict[str, list[Reading]]
    missing: dict[str, str]
    """Why, for actors that did not tell theirs."""


class Supervisor:
    """``actors``: the names of those it watches. ``kill`` ends one of them, for Ray to start it again."""

    problems = Gauge(
        "postray_supervisor_problems",
        "Parts with a problem, those among them that work all the same.",
        lambda supervisor: sum(problem is not None for problem in supervisor._problems.values()),
    )
    killed = Counter("postray_supervisor_killed_total", "Actors killed because they did not answer.")
    taken_back = Counter("postray_supervisor_taken_back_total", "Deliveries taken back from actors that were lost.")

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
        self._reached_since: float | None = None
        self._problems: dict[str, str | None] = dict.fromkeys(["journal", *actors], NOT_ASKED)

    async def start(self) -> None:
        for actor in self._actors:
            self._tasks.spawn(f"watch {actor}", self._watch(actor))
        self._tasks.spawn("taking back", self._take_back_for_ever())

    async def problem(self) -> str | None:
        return None

    async def stop(self) -> None:
        await self._tasks.stop()

    async def readiness(self) -> dict[str, str | None]:
        """What was wrong with each part at the last round of questions; None for what is well."""
        return self._problems

    async def metrics(self) -> list[Reading]:
        """Its own."""
        return metrics.read(self)

    async def collected_metrics(self) -> Collected:
        """Those of all actors, asked at the same time, each for ``METRICS_S`` at most."""
        readings, missing = {NAME: metrics.read(self)}, {}
        answers = await asyncio.gather(*(self._metrics_of(actor) for actor in self._actors))
        for actor, answer in zip(self._actors, answers, strict=True):
            if isinstance(answer, str):
                missing[actor] = answer
            else:
                readings[actor] = answer
        return Collected(readings=readings, missing=missing)

    async def _metrics_of(self, actor: str) -> list[Reading] | str:
        """An actor's, or why there are none."""
        try:
            async with asyncio.timeout(METRICS_S):
                readings: list[Reading] = await self._call(actor, "metrics")
        except PeerGone as gone:
            return f"gone: {gone.reason}"
        except TimeoutError:
            return f"no answer within {METRICS_S:.0f} s"
        return readings

    async def _watch(self, actor: str) -> None:
        clock = asyncio.get_running_loop().time
        answered_at = clock()
        while True:
            if await self._ask(actor):
                answered_at = clock()
            elif clock() - answered_at > SILENT_S:
                log.error("killing a silent actor actor=%s silent_s=%.0f", actor, clock() - answered_at)
                self.killed += 1
                try:
                    self._kill(actor)
                except PeerGone as gone:
                    log.warning("nothing to kill actor=%s reason=%r", actor, gone.reason)
                answered_at = clock()
            await asyncio.sleep(ROUND_S)

    async def _ask(self, actor: str) -> bool:
        """Note how the actor is; False when it did not say."""
        try:
            async with asyncio.timeout(ANSWER_S):
                self._note(actor, await self._call(actor, "problem"))
        except PeerGone as gone:
            self._note(actor, f"gone: {gone.reason}")
        except TimeoutError:
            self._note(actor, f"no answer within {ANSWER_S:.0f} s")
        else:
            return True
        return False

    def _note(self, part: str, problem: str | None) -> None:
        if problem != self._problems[part]:
            log.log(logging.WARNING if problem else logging.INFO, "part=%s problem=%r", part, problem)
        self._problems[part] = problem

    async def _take_back_for_ever(self) -> None:
        clock = asyncio.get_running_loop().time
        while True:
            await self.take_back(clock())
            await asyncio.sleep(ROUND_S)

    async def take_back(self, now: float) -> None:
        """A round of taking back what lost actors held. ``now``: seconds that never go back.

        While the journal was away nobody could tell it that he lives. So only when it has been there for long enough,
        silence means something; a restarted actor has by then finished what stands in its ledger.
        """
        try:
            lost_actors = await self._journal.membership.lost(ACTOR_ALIVE_S)
            if self._reached_since is None:
                self._reached_since = now
            if now - self._reached_since > ACTOR_ALIVE_S:
                for lost in lost_actors:
                    taken_back = await self._journal.membership.retire(lost.name, lost.epoch)
                    self.taken_back += taken_back
                    log.warning("took back actor=%s epoch=%d deliveries=%d", lost.name, lost.epoch, taken_back)
            self._note("journal", None)
        except Unavailable as error:
            self._reached_since = None
            self._note("journal", error.reason)
