"""The supervisor: keeps every actor at its place (keeping.py), checks its health, takes work back from lost delivery
actors, and knows whether postray is ready. Where the cluster grows by itself, it asks for nodes (growing.py).

Ray restarts a process that died, and the new process starts its work by itself. An actor that is alive and does not
answer is killed, so that Ray restarts it. When a node dies, Ray starts the supervisor on another one, and the
supervisor starts the others.
"""

import asyncio
import logging
from collections.abc import Awaitable, Callable, Sequence
from importlib.metadata import version
from typing import Any

from actors.growing import Growing
from actors.journal_watch import JournalWatch
from actors.keeping import Keeping
from actors.node_states import node_states
from cluster import metrics
from cluster.context import DEGRADED, Left, keeps_from_work
from cluster.journal.journal import Journal, Unavailable
from cluster.metrics import Counter, Gauge, Reading
from cluster.nodes import NodeState, WantedNodes
from cluster.peers import Call, PeerGone, call_within
from cluster.policy.forms import Form
from cluster.policy.placement import kind_of
from cluster.policy.routes.membership import ACTOR_ALIVE_S
from cluster.tasks import Tasks
from cluster.topology import DELIVERY, SUPERVISOR

log = logging.getLogger(__name__)

ROUND_S = 1.0
GROWTH_S = 3.0
ANSWER_S = 10.0
"""Timeout of a health check. A busy actor may be late; one that takes this long has a problem."""
SILENT_S = 45.0
"""An actor that has not answered for this long is killed."""
SETTLE_S = 3.0
"""Timeout for an actor to settle what the ledger of a lost one holds."""
METRICS_S = 5.0
"""Timeout for the metrics of an actor, which are in its memory."""
RELEASE_S = 10.0
"""After this an actor is asked again for its release."""
NOT_ASKED = "not asked yet"
STARTING = f"{DEGRADED}starting"
STARTING_S = 30.0
"""For so long an actor that was added while postray ran may take to start."""


class Collected(Form, frozen=True, kw_only=True):
    """The metrics of all actors, the supervisor among them, by their names."""

    readings: dict[str, list[Reading]]
    missing: dict[str, str]
    """The reason, for actors that did not answer."""


class NoAnswer(Exception):
    """An actor did not answer a call. Its text is the reason."""


class Supervisor:
    """It watches all actors that have a place by ``keeping``. ``kill`` ends one of them, for Ray to restart it."""

    problems = Gauge(
        "postray_supervisor_problems",
        "Parts with a problem, those among them that work all the same.",
        lambda supervisor: sum(problem is not None for problem in supervisor._all_problems().values()),
    )
    killed = Counter("postray_supervisor_killed_total", "Actors killed because they did not answer.")
    taken_back = Counter("postray_supervisor_taken_back_total", "Deliveries taken back from actors that were lost.")

    def __init__(
        self,
        journal: Journal,
        call: Call,
        keeping: Keeping,
        kill: Callable[[str], Awaitable[None]],
        make_tasks: Callable[[], Tasks] = Tasks,
        growing: Growing | None = None,
        watch: JournalWatch | None = None,
    ) -> None:
        """``watch`` tells how the journal's queue stands; None tells nothing of it."""
        self._journal = journal
        self._call = call
        self._keeping = keeping
        self._kill = kill
        self._growing = growing
        self._watch_of_journal = watch
        self._tasks = make_tasks()
        self._watches: dict[str, asyncio.Task[None]] = {}
        self._answered: set[str] = set()
        self._releases: dict[str, tuple[str, float]] = {}
        """Of each actor that answers: its release, and when it was asked, in the seconds of the event loop."""
        self._reached_since: float | None = None
        self._problems: dict[str, str | None] = {"journal": NOT_ASKED}

    async def start(self) -> None:
        """Raises Unavailable."""
        self._keeping.left = await self._journal.left_nodes.all()
        if self._growing is not None:
            await self._growing.begin()
        await self._keep_places(NOT_ASKED)
        self._tasks.spawn("places", self._keep_keeping_places())
        self._tasks.spawn("taking back", self._keep_taking_back())
        if self._growing is not None:
            self._tasks.spawn("growing", self._keep_growing(self._growing))
        if self._watch_of_journal is not None:
            self._tasks.spawn("watch of the journal", self._watch_of_journal.run())

    async def problem(self) -> str | None:
        return None

    async def stop(self) -> None:
        await self._tasks.stop()
        await self._keeping.stop()

    async def leave(self, node_id: str) -> Left:
        """Take a node out: what runs there is ended, and what there is one of starts elsewhere. Moving the supervisor
        itself is left to the caller. Raises PeerGone, Unavailable."""
        facts, made = await self._keeping.without(node_id)
        if SUPERVISOR in made.missing:
            return Left(stays="no other node takes the supervisor: postray down ends all")
        await self._journal.left_nodes.leave(node_id, [node.id for node in facts.nodes])
        self._keeping.left |= {node_id}
        log.warning("node taken out node=%s", node_id)
        runs_there = any(one.name == SUPERVISOR and one.node_id == node_id for one in facts.living)
        place = next(place for place in made.places if place.name == SUPERVISOR)
        return Left(missing=dict(made.missing), place=place if runs_there else None)

    async def nodes(self) -> list[NodeState]:
        """The nodes, as the last round has seen them, and what each carries now."""
        facts = self._keeping.facts
        collected = await self.collected_metrics()
        releases = {actor: release for actor, (release, _) in self._releases.items()}
        return node_states(
            facts,
            self._keeping.left,
            self._all_problems(),
            releases | {SUPERVISOR: version("postray")},
            collected.readings,
        )

    async def bring_back(self, node_ids: list[str]) -> None:
        """Let actors run again on nodes that were taken out. Raises Unavailable."""
        await self._journal.left_nodes.bring_back(node_ids)
        self._keeping.left -= frozenset(node_ids)

    async def wanted_nodes(self) -> WantedNodes | None:
        """How many nodes are wanted, and why; None where the cluster does not grow by itself."""
        return None if self._growing is None else self._growing.told()

    async def readiness(self) -> dict[str, str | None]:
        """The problem of each part at its last health check; None if it is healthy."""
        return self._all_problems()

    def _all_problems(self) -> dict[str, str | None]:
        problems = {actor: self._weighed(actor, problem) for actor, problem in self._problems.items()}
        return {**problems, **self._keeping.problems()}

    def _weighed(self, actor: str, problem: str | None) -> str | None:
        """One of those that each node has is no reason to send clients away, while another of its kind works: if it has
        not started yet, or has died while Ray cannot start it. The others have its work then (membership.py)."""
        kind = kind_of(actor)
        if kind == actor or problem == NOT_ASKED or not keeps_from_work(problem):
            return problem
        if actor in self._answered and self._keeping.is_answered:
            return problem
        works = any(kind_of(one) == kind and not keeps_from_work(self._problems[one]) for one in self._answered)
        return f"{DEGRADED}{problem}" if works else problem

    async def metrics(self) -> list[Reading]:
        """The supervisor's own metrics."""
        return metrics.read(self)

    async def collected_metrics(self) -> Collected:
        """The metrics of all actors, requested in parallel, each with the timeout ``METRICS_S``."""
        own = {SUPERVISOR: metrics.read(self)}
        readings, missing = await self._readings_of(list(self._watches))
        return Collected(readings=own | readings, missing=missing)

    async def _readings_of(self, actors: Sequence[str]) -> tuple[dict[str, list[Reading]], dict[str, str]]:
        """The metrics of these actors, and why others have not answered."""
        readings: dict[str, list[Reading]] = {}
        missing: dict[str, str] = {}
        answers = await asyncio.gather(*map(self._metrics_of, actors))
        for actor, answer in zip(actors, answers, strict=True):
            if isinstance(answer, str):
                missing[actor] = answer
            else:
                readings[actor] = answer
        return readings, missing

    async def _metrics_of(self, actor: str) -> list[Reading] | str:
        """An actor's metrics, or the reason why there are none."""
        try:
            readings: list[Reading] = await self._answer(actor, "metrics", METRICS_S)
        except NoAnswer as error:
            return str(error)
        return readings

    async def _keep_keeping_places(self) -> None:
        while True:
            await asyncio.sleep(ROUND_S)
            await self._keep_places(STARTING)

    async def _keep_places(self, of_new_ones: str) -> None:
        """A round of keeping places; then watch those that have one, and forget the others. ``of_new_ones``: what is
        said of an actor until it was asked."""
        await self._keeping.round()
        actors = [actor for actor in self._keeping.actors if actor != SUPERVISOR]
        for gone in self._watches.keys() - set(actors):
            self._watches.pop(gone).cancel()
            del self._problems[gone]
            self._answered.discard(gone)
            self._releases.pop(gone, None)
            log.info("forgotten actor=%s", gone)
        for actor in actors:
            if actor not in self._watches:
                self._problems[actor] = of_new_ones
                self._watches[actor] = self._tasks.spawn(f"watch {actor}", self._watch(actor))

    async def _watch(self, actor: str) -> None:
        clock = asyncio.get_running_loop().time
        began = asked_at = clock()
        silent_s = 0.0
        while True:
            if await self._ask(actor, may_start=clock() - began < STARTING_S):
                silent_s = 0.0
            else:
                # What is longer than an answer may take is a pause of this process itself.
                silent_s += min(clock() - asked_at, ANSWER_S + ROUND_S)
                if silent_s > SILENT_S:
                    await self._end_silent(actor, silent_s)
                    silent_s = 0.0
            asked_at = clock()
            await asyncio.sleep(ROUND_S)

    async def _end_silent(self, actor: str, silent_s: float) -> None:
        """Kill an actor that does not answer, for Ray to restart it."""
        try:
            await self._journal.singletons.confirm()
            log.error("killing a silent actor actor=%s silent_s=%.0f", actor, silent_s)
            self.killed += 1
            await self._kill(actor)
        except PeerGone as gone:
            log.warning("nothing to kill actor=%s reason=%r", actor, gone.reason)
        except Unavailable as error:
            log.warning("a silent actor is not killed actor=%s reason=%r", actor, error.reason)

    async def _ask(self, actor: str, *, may_start: bool) -> bool:
        """Check the health of an actor and note it. Returns False if the actor did not answer. ``may_start``: one that
        was added and has not answered yet is starting."""
        try:
            problem = await self._answer(actor, "problem", ANSWER_S)
            await self._ask_release(actor)
            self._answered.add(actor)
            self._note(actor, problem)
        except NoAnswer as error:
            self._releases.pop(actor, None)
            if not (may_start and self._problems[actor] == STARTING):
                self._note(actor, str(error))
            return False
        return True

    async def _ask_release(self, actor: str) -> None:
        """Ask for the release now and then. It is a call through Ray, as those of others are, while an actor of this
        machine may answer other questions without it (cluster/near_asks.py). Raises NoAnswer."""
        now = asyncio.get_running_loop().time()
        known = self._releases.get(actor)
        if known is not None and now - known[1] < RELEASE_S:
            return
        try:
            release: str = await self._answer(actor, "release", ANSWER_S)
        except AttributeError:  # an actor of an earlier release
            release = ""
        self._releases[actor] = release, now

    async def _answer(self, actor: str, method: str, timeout_s: float) -> Any:
        """The result of a call of an actor. Raises NoAnswer."""
        try:
            async with asyncio.timeout(timeout_s):
                return await self._call(actor, method)
        except PeerGone as gone:
            raise NoAnswer(f"gone: {gone.reason}") from gone
        except TimeoutError as error:
            raise NoAnswer(f"no answer within {timeout_s:.0f} s") from error

    def _note(self, part: str, problem: str | None) -> None:
        if problem != self._problems[part]:
            log.log(logging.WARNING if problem else logging.INFO, "part=%s problem=%r", part, problem)
        self._problems[part] = problem

    async def _keep_growing(self, growing: Growing) -> None:
        while True:
            await asyncio.sleep(GROWTH_S)
            readings, _ = await self._readings_of([actor for actor in self._watches if kind_of(actor) == DELIVERY])
            await growing.round(self, readings)

    async def _keep_taking_back(self) -> None:
        clock = asyncio.get_running_loop().time
        while True:
            await self.take_back(clock())
            await asyncio.sleep(ROUND_S)

    async def take_back(self, now: float) -> None:
        """A round of taking back what lost actors held. ``now``: monotonic seconds.

        During an outage of the journal no actor can send a heartbeat. So a missing heartbeat counts only when the
        journal has been reachable for long enough. In that time a restarted actor settles what its ledger holds; of one
        that does not come back, others on its machine do.
        """
        try:
            lost_actors = await self._journal.membership.lost(ACTOR_ALIVE_S)
            if self._reached_since is None:
                self._reached_since = now
            if now - self._reached_since > ACTOR_ALIVE_S:
                for lost in lost_actors:
                    await self._settle_of(lost.name)
                    taken_back = await self._journal.membership.retire(lost.name, lost.epoch)
                    self.taken_back += taken_back
                    log.warning("took back actor=%s epoch=%d deliveries=%d", lost.name, lost.epoch, taken_back)
            self._note("journal", None)
        except Unavailable as error:
            self._reached_since = None
            self._note("journal", error.reason)

    async def _settle_of(self, lost: str) -> None:
        """Have what a lost actor's ledger holds committed, by the delivery actors of its machine: otherwise it
        would be sent once more. Its machine may be gone, and what it holds must not wait for long."""

        async def settled_by(actor: str) -> None:
            try:
                await call_within(SETTLE_S, self._call, actor, "settle_of", lost)
            except (PeerGone, Unavailable, OSError, AttributeError) as error:
                # An attribute that is missing: an actor of an earlier release.
                log.warning("not settled actor=%s lost=%s reason=%r", actor, lost, str(error))

        others = [one for one in self._keeping.actors if kind_of(one) == DELIVERY and one != lost]
        await asyncio.gather(*map(settled_by, others))
