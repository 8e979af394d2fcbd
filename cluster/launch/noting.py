"""Notes in the journal what happens to this process: that it began, that its event loop stood still, and when the
journal did not answer it. What cannot be noted now is noted as soon as the journal is back."""

import asyncio
import logging
import os
import socket
import time
from collections import deque
from collections.abc import Awaitable, Callable, Sequence
from contextlib import suppress

import psutil

from cluster.journal.happenings import Happening
from cluster.journal.journal import Unavailable
from cluster.journal.silences import Silences
from cluster.policy.happenings import HappeningKind

log = logging.getLogger(__name__)

LOOK_S = 1.0
STOOD_S = 1.5
"""An event loop that comes round so late stood still: less is a busy machine."""
MOST = 200
"""Notes that wait: the newest."""

Note = Callable[[Sequence[Happening]], Awaitable[None]]
"""Raises Unavailable."""


def begun(actor: str) -> list[Happening]:
    """That this process began, and before it the Ray of its node, its parent."""
    own = psutil.Process()
    found = [_at(HappeningKind.BEGAN, actor, own.create_time())]
    with suppress(psutil.NoSuchProcess):
        found.append(_at(HappeningKind.RAY_BEGAN, socket.gethostname(), psutil.Process(os.getppid()).create_time()))
    return found


def _at(kind: HappeningKind, actor: str, at: float) -> Happening:
    return Happening(kind=kind, actor=actor, began_at=at, ended_at=at)


class Noting:
    """``begun`` is noted at first. ``now``: seconds since the epoch."""

    def __init__(
        self,
        actor: str,
        begun: Sequence[Happening],
        silences: Silences,
        note: Note,
        *,
        now: Callable[[], float] = time.time,
    ) -> None:
        self._actor = actor
        self._silences = silences
        self._note = note
        self._now = now
        self._works_since: float | None = None
        self._is_away = False
        self._waiting = deque(begun, maxlen=MOST)

    def works(self) -> None:
        """The actor runs. Before, the process imports and builds: then its loop stands still, which does not count."""
        self._works_since = self._now()

    def late(self, late_s: float) -> None:
        """The event loop came round so late."""
        now = self._now()
        if late_s >= STOOD_S and self._works_since is not None and self._works_since <= now - late_s:
            self._waiting.append(self._of(HappeningKind.STOOD_STILL, now - late_s, now))

    async def run(self) -> None:
        """Note until cancelled."""
        while True:
            await self.round()
            await asyncio.sleep(LOOK_S)

    async def round(self) -> None:
        """Note what waits; what cannot be noted goes on waiting."""
        silences = self._silences.take(self._now())
        self._waiting += [self._of(HappeningKind.JOURNAL_AWAY, begin, end) for begin, end in silences]
        some = tuple(self._waiting)
        if not some:
            return
        try:
            await self._note(some)
        except Unavailable as error:
            if not self._is_away:
                log.info("not noted yet count=%d reason=%r", len(some), error.reason)
            self._is_away = True
            return
        self._is_away = False
        self._waiting = deque((one for one in self._waiting if one not in some), maxlen=MOST)

    def _of(self, kind: HappeningKind, began_at: float, ended_at: float) -> Happening:
        return Happening(kind=kind, actor=self._actor, began_at=began_at, ended_at=ended_at)
