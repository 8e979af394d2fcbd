"""Asking all live delivery actors at once: each has its part of the truth, and nobody waits for one that is gone."""

import asyncio
import logging
from collections.abc import Mapping, Sequence
from typing import Any

import msgspec
from msgspec import Struct

from cluster.journal.journal import Journal, Unavailable
from cluster.journal.records import DueDelivery
from cluster.peers import Call, PeerGone
from cluster.policy.routes.membership import ACTOR_ALIVE_S
from cluster.routing.site_state import Held, SiteState, TraceLine

log = logging.getLogger(__name__)

_encoder = msgspec.msgpack.Encoder()

ANSWER_S = 5.0
"""What an actor that is busy may take."""


class ActorAnswers(Struct, frozen=True):
    """What each actor said, by its name; and who said nothing."""

    by_actor: dict[str, Any]
    silent: tuple[str, ...]


class Deliverers:
    """The delivery actors as one."""

    def __init__(self, journal: Journal, call: Call, answer_s: float = ANSWER_S) -> None:
        self._journal = journal
        self._call = call
        self._answer_s = answer_s

    async def names(self) -> list[str]:
        """The live ones. Raises Unavailable."""
        return [actor.name for actor in await self._journal.membership.actors(ACTOR_ALIVE_S)]

    async def sites(self, part: str, limit: int) -> tuple[list[SiteState], tuple[str, ...]]:
        """The deepest sites of each actor with this in their names, and who did not answer. Raises Unavailable."""
        answers = await self._ask(await self.names(), "sites", part, limit)
        states: list[SiteState] = [state for some in answers.by_actor.values() for state in some]
        return states, answers.silent

    async def known_sites(self) -> set[str]:
        """The names of sites that mail goes to, or went to lately. Raises Unavailable."""
        answers = await self._ask(await self.names(), "known_sites")
        return {site for some in answers.by_actor.values() for site in some}

    async def held(self, message_id: str) -> tuple[dict[str, Sequence[Held]], tuple[str, ...]]:
        """Where deliveries of a message are in whose memory, and who did not answer. Raises Unavailable."""
        answers = await self._ask(await self.names(), "held", message_id)
        return answers.by_actor, answers.silent

    async def trace(
        self, names: Sequence[str], site: str, after: Mapping[str, int], seconds: float
    ) -> dict[str, Sequence[TraceLine]]:
        """The lines of a site's dialogues since the last call; ``after``: the last number seen of each actor."""

        async def lines(name: str) -> Sequence[TraceLine] | None:
            found: Sequence[TraceLine] | None = await self._one(name, "trace", site, after.get(name, 0), seconds)
            return found

        found = await asyncio.gather(*map(lines, names))
        return {name: some for name, some in zip(names, found, strict=True) if some}

    async def try_now(self, places: Sequence[tuple[str, str]]) -> None:
        """Have them try the sites of these (domain, tenant) at once; who does not hear it waits out its back-off."""
        if places:
            await self._ask(await self.names(), "try_now", places)

    async def moved(self, deliveries: Sequence[DueDelivery]) -> None:
        """Have them let go of deliveries that have another pool or route now; who does not hear it finds out when it
        claims them."""
        if deliveries:
            await self._ask(await self.names(), "moved", _encoder.encode(deliveries))

    async def follow(self) -> None:
        """Have them look at what is in force now; who does not hear it finds out within a second by itself."""
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
            async with asyncio.timeout(self._answer_s):
                return await self._call(name, method, *arguments)
        except (PeerGone, Unavailable, TimeoutError) as error:  # an actor may find the journal away
            log.warning("no answer actor=%s method=%s reason=%r", name, method, str(error))
            return otherwise
