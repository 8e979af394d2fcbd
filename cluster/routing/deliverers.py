"""Calls all live delivery actors in parallel. Each knows only its own deliveries; an actor that is gone is skipped."""

import asyncio
import logging
from collections.abc import Mapping, Sequence
from typing import Any

import msgspec
from msgspec import Struct

from cluster.journal.journal import Journal, Unavailable
from cluster.journal.records import DueDelivery
from cluster.peers import Call, PeerGone, call_within
from cluster.policy.routes.membership import ACTOR_ALIVE_S
from cluster.routing.site_state import Held, SitesSampled, SiteState, TraceLine

log = logging.getLogger(__name__)

_encoder = msgspec.msgpack.Encoder()

ANSWER_S = 5.0
"""The timeout for a busy actor's answer."""


class ActorAnswers(Struct, frozen=True):
    """The answers by actor name, and the names of actors that did not answer."""

    by_actor: dict[str, Any]
    silent: tuple[str, ...]


class Deliverers:
    """Calls the live delivery actors and collects their answers."""

    def __init__(self, journal: Journal, call: Call, answer_s: float = ANSWER_S) -> None:
        self._journal = journal
        self._call = call
        self._answer_s = answer_s

    async def names(self) -> list[str]:
        """The names of the live actors. Raises Unavailable."""
        return [actor.name for actor in await self._journal.membership.actors(ACTOR_ALIVE_S)]

    async def sites(self, part: str, limit: int) -> tuple[list[SiteState], tuple[str, ...]]:
        """The deepest sites of each actor whose names contain ``part``, and the actors that did not answer. Raises
        Unavailable."""
        answers = await self._ask(await self.names(), "sites", part, limit)
        states: list[SiteState] = [state for some in answers.by_actor.values() for state in some]
        return states, answers.silent

    async def sample(
        self, names: Sequence[str], since: Mapping[str, float], most: int
    ) -> tuple[dict[str, SitesSampled], tuple[str, ...]]:
        """Samples of the busiest sites of these actors, and the actors that did not answer. ``since`` has the ``at`` of
        each actor's sample before."""

        async def sampled(name: str) -> SitesSampled | None:
            try:
                found: SitesSampled | None = await self._one(name, "sample", since.get(name, 0.0), most)
            except AttributeError:
                return None  # an actor of an earlier release, which has no samples
            return found

        found = dict(zip(names, await asyncio.gather(*map(sampled, names)), strict=True))
        return (
            {name: one for name, one in found.items() if one is not None},
            tuple(name for name, one in found.items() if one is None),
        )

    async def known_sites(self) -> set[str]:
        """The names of sites that mail goes to, or went to recently. Raises Unavailable."""
        answers = await self._ask(await self.names(), "known_sites")
        return {site for some in answers.by_actor.values() for site in some}

    async def held(self, message_id: str) -> tuple[dict[str, Sequence[Held]], tuple[str, ...]]:
        """The deliveries of a message in each actor's memory, and the actors that did not answer. Raises
        Unavailable."""
        answers = await self._ask(await self.names(), "held", message_id)
        return answers.by_actor, answers.silent

    async def trace(
        self, names: Sequence[str], site: str, after: Mapping[str, int], seconds: float
    ) -> dict[str, Sequence[TraceLine]]:
        """The new lines of a site's dialogues by actor; ``after`` has the last number seen from each actor."""

        async def lines(name: str) -> Sequence[TraceLine] | None:
            found: Sequence[TraceLine] | None = await self._one(name, "trace", site, after.get(name, 0), seconds)
            return found

        found = await asyncio.gather(*map(lines, names))
        return {name: some for name, some in zip(names, found, strict=True) if some}

    async def try_now(self, places: Sequence[tuple[str, str]]) -> None:
        """Make the actors try the sites of these (domain, tenant) at once. An actor that is not reached waits until its
        backoff ends."""
        if places:
            await self._ask(await self.names(), "try_now", places)

    async def moved(self, deliveries: Sequence[DueDelivery]) -> None:
        """Make the actors release deliveries that have another pool or route now. For an actor that is not reached the
        claim misses."""
        if deliveries:
            await self._ask(await self.names(), "moved", _encoder.encode(deliveries))

    async def follow(self) -> None:
        """Make the actors load the active policies. An actor that is not reached loads them within a second."""
        await self._ask(await self.names(), "follow")

    async def _ask(self, names: Sequence[str], method: str, *arguments: Any) -> ActorAnswers:
        gone = object()
        said = await asyncio.gather(*(self._one(name, method, *arguments, otherwise=gone) for name in names))
        answers = dict(zip(names, said, strict=True))
        return ActorAnswers(
            {name: answer for name, answer in answers.items() if answer is not gone},
            tuple(name for name, answer in answers.items() if answer is gone),
        )

    async def _one(self, name: str, method: str, *arguments: Any, otherwise: Any = None) -> Any:
        try:
            return await call_within(self._answer_s, self._call, name, method, *arguments)
        except (PeerGone, Unavailable) as error:  # Unavailable: the actor could not reach the journal
            log.warning("no answer actor=%s method=%s reason=%r", name, method, str(error))
            return otherwise
