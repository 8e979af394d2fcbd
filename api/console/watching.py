"""Gathers the facts of the page ``now``, once for all who look: however many consoles are open, the actors are asked
once in ``FRESH_S``."""

import asyncio
import logging
from collections.abc import Awaitable, Callable, Coroutine
from datetime import UTC, datetime, timedelta
from typing import Any, Generic, TypeVar

from analytics.history import History
from api.admin.nodes import NodeList
from api.admin.routes import Admin
from api.console.now import NowFacts
from api.health import Readiness
from cluster.intake.backpressure import Overloaded
from cluster.journal.journal import Journal, Unavailable

log = logging.getLogger(__name__)

FRESH_S = 2.0
ANSWER_S = 8.0
"""A service that takes longer is shown as one that does not answer."""
SITES_ASKED = 200
NODES_FRESH_S = 5.0
"""For the nodes every actor is asked twice."""
PAST_S = 3600
"""The curves go back so far."""
PAST_FRESH_S = 10.0
PAST_ANSWER_S = 1.0
"""The page does not wait longer for its curves."""

T = TypeVar("T")


class Watcher:
    """Knows what the page ``now`` shows."""

    def __init__(
        self,
        admin: Admin,
        journal: Journal,
        readiness: Readiness,
        clock: Callable[[], datetime] = lambda: datetime.now(UTC),
    ) -> None:
        self._admin = admin
        self._journal = journal
        self._readiness = readiness
        self._clock = clock
        self._last: NowFacts | None = None
        self._looking: asyncio.Task[NowFacts] | None = None
        self._past: Remembered[History] = Remembered(PAST_FRESH_S)
        self._nodes: Remembered[NodeList] = Remembered(NODES_FRESH_S)

    async def facts(self) -> NowFacts:
        """The facts, at most ``FRESH_S`` old."""
        if self._last is not None and self._clock() - self._last.at < timedelta(seconds=FRESH_S):
            return self._last
        if self._looking is None or self._looking.done():
            self._looking = asyncio.create_task(self._look())
        # One who leaves does not end the look for the others.
        return await asyncio.shield(self._looking)

    async def stop(self) -> None:
        if self._looking is not None:
            self._looking.cancel()
            await asyncio.gather(self._looking, return_exceptions=True)

    async def _look(self) -> NowFacts:
        faults: list[str] = []
        async with asyncio.TaskGroup() as asking:
            ask = asking.create_task
            parts = ask(_asked("readiness", self._readiness(), faults))
            ages = ask(_asked("the queue", self._journal.queue.ages(), faults))
            listing = ask(_asked("the sites", self._admin.sites.listing(limit=SITES_ASKED), faults))
            nodes = ask(self._running(faults))
            suspensions = ask(_asked("suspensions", self._admin.suspensions.listing(), faults))
            past = ask(self._curves(faults))
            sources = ask(_asked("the sources", self._admin.placing.sources(), faults))
        sites, running = listing.result(), nodes.result()
        suspended, sending = suspensions.result(), sources.result()
        now = self._clock()
        self._last = NowFacts(
            at=now,
            parts=parts.result(),
            queue=ages.result(),
            sites=sites.sites if sites is not None else None,
            silent=sites.silent if sites is not None else (),
            nodes=running.nodes if running is not None else None,
            suspensions=suspended.suspensions if suspended is not None else None,
            sources=sending.sources if sending is not None else None,
            faults=faults,
            history=past.result(),
        )
        return self._last

    async def _running(self, faults: list[str]) -> NodeList | None:
        """The nodes, at most ``NODES_FRESH_S`` old."""
        return await self._nodes.get(
            self._clock(), faults, lambda new: _asked("the nodes", self._admin.nodes.listing(), new)
        )

    async def _curves(self, faults: list[str]) -> History | None:
        """What the flight recorder sampled, at most ``PAST_FRESH_S`` old."""
        return await self._past.get(
            self._clock(),
            faults,
            lambda new: _asked("the past hour", self._admin.histories.show(since_s=PAST_S), new, PAST_ANSWER_S),
        )


class Remembered(Generic[T]):
    """The last answer of a service, or why there was none."""

    def __init__(self, fresh_s: float) -> None:
        self._fresh_s = fresh_s
        self._asked_at: datetime | None = None
        self._answer: T | None = None
        self._faults: list[str] = []

    async def get(self, now: datetime, faults: list[str], ask: Callable[[list[str]], Awaitable[T | None]]) -> T | None:
        """The answer, asked anew if it is old. Adds to ``faults`` why there is none."""
        if self._asked_at is None or now - self._asked_at > timedelta(seconds=self._fresh_s):
            self._asked_at, self._faults = now, []
            self._answer = await ask(self._faults)
        faults += self._faults
        return self._answer


async def _asked(what: str, answer: Coroutine[Any, Any, T], faults: list[str], answer_s: float = ANSWER_S) -> T | None:
    """The answer; None when there is none, then a fault says why."""
    try:
        async with asyncio.timeout(answer_s):
            return await answer
    except (Unavailable, Overloaded, TimeoutError) as error:
        reason = str(error) or f"no answer within {answer_s:g} s"
        log.warning("console cannot show what=%r reason=%r", what, reason)
        faults.append(f"{what}: {reason}")
        return None
