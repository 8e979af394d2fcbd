"""What an actor's process calls others by: Ray's handles, by the names of the actors.

Only Ray's control service knows them, and while the head is away it does not answer. Where an actor is, Ray asks it
when the actor is called for the first time. So a process of a cluster calls all that it may call ahead. A handle stays
good while Ray starts its actor again.
"""

import asyncio
import logging
from collections.abc import Collection, Iterator, Sequence
from contextlib import contextmanager
from typing import Any

from cluster.launch import places
from cluster.launch.questions import Questions
from cluster.peers import PeerGone
from cluster.policy.placement import kind_of

log = logging.getLogger(__name__)

AHEAD_S = 5.0
MET_S = 5.0
"""How long an actor may take to answer a call that asks nothing; one that starts is called again."""


@contextmanager
def reaching(actor: str) -> Iterator[None]:
    """Within this context, whatever Ray raises because the actor or its node is gone or late becomes PeerGone. What the
    actor itself raises stays as it is."""
    import ray.exceptions

    try:
        yield
    except ray.exceptions.RayTaskError:
        raise
    except ray.exceptions.RayError as error:
        raise PeerGone(actor, type(error).__name__) from error


def _has_died(gone: PeerGone) -> bool:
    import ray.exceptions

    return isinstance(gone.__cause__, ray.exceptions.ActorDiedError)


class Handles:
    """``kinds``: of the actors that this process calls."""

    def __init__(self, control: Questions, kinds: Collection[str]) -> None:
        self._control = control
        self._kinds = kinds
        self._known: dict[str, Any] = {}
        self._met: set[str] = set()
        """Those that have answered."""

    async def call(self, actor: str, method: str, *arguments: Any) -> Any:
        """Call an actor (cluster/peers.py). Raises PeerGone.

        One that has died may have a successor of its name, as after a planned move: it is called then. What the former
        one had in memory for this call died with it, and what it may have written can be written twice: a caller who
        got PeerGone would repeat it as well."""
        known = self._known.get(actor)
        try:
            return await self._call(actor, method, arguments)
        except PeerGone as gone:
            if not _has_died(gone) or known is None or await self._of(actor) == known:
                raise
        return await self._call(actor, method, arguments)

    async def _call(self, actor: str, method: str, arguments: Sequence[Any]) -> Any:
        import ray.exceptions

        try:
            with reaching(actor):
                handle = await self._of(actor)
                return await handle.call.remote(method, arguments)
        except PeerGone as gone:
            if not isinstance(gone.__cause__, ray.exceptions.ActorUnavailableError):
                self._forget(actor)  # another one may have its name by now
            raise

    async def keep_ahead(self) -> None:
        """Meet those that came, and forget those that are gone, until cancelled."""
        while True:
            try:
                await self.find()
            except PeerGone as gone:
                log.debug("handles not found ahead reason=%r", str(gone))
            await asyncio.sleep(AHEAD_S)

    async def find(self) -> None:
        """One round. Raises PeerGone when Ray does not answer."""
        names = await self._control.ask("ray", places.names)
        for gone in self._known.keys() - set(names):
            self._forget(gone)
        strangers = [name for name in names if kind_of(name) in self._kinds and name not in self._met]
        await asyncio.gather(*map(self._meet, strangers))

    async def _meet(self, actor: str) -> None:
        try:
            async with asyncio.timeout(MET_S):
                with reaching(actor):
                    await (await self._of(actor)).__ray_ready__.remote()
            self._met.add(actor)
        except (PeerGone, TimeoutError) as error:
            log.debug("not met actor=%s reason=%r", actor, str(error))

    def _forget(self, actor: str) -> None:
        self._known.pop(actor, None)
        self._met.discard(actor)

    async def _of(self, actor: str) -> Any:
        handle = self._known.get(actor)
        if handle is None:
            handle = self._known[actor] = await self._control.ask(actor, places.handle_of, actor)
        return handle
