"""The readers of what the sink received: they open tracked mail, follow its links, and unsubscribe with one click.

Each does so at most once for a copy, soon after it arrived, and every answer is recorded. As a mail program does, a
one-click unsubscribe is sent again until it is answered.
"""

import asyncio
import time
from collections.abc import Coroutine
from random import Random
from typing import Any

from benchmarks.chaos.mail import is_in_group
from benchmarks.chaos.records import Fetch, FetchKind, Unsubscribe
from benchmarks.client import Client, NotSent, Unanswered
from benchmarks.sink_log import Line, Receipt
from benchmarks.tail import Tail

OPENED_SHARE = 0.5
CLICKED_SHARE = 0.3
UNSUBSCRIBED_SHARE = 0.06
WITHIN_S = 2.0
LOOK_S = 0.2
AGAIN_S = 0.5
MAX_WAIT_S = 30.0
"""How long an unsubscribe is sent again."""
ONE_CLICK = b"List-Unsubscribe=One-Click"
FORM = "application/x-www-form-urlencoded"
BUSY = (429, 503)
ANSWERS = {FetchKind.OPEN: 200, FetchKind.CLICK: 302}


class Readers:
    """All readers. ``fetches`` and ``unsubscribes`` are their records so far."""

    def __init__(self, client: Client, tail: Tail[Line], random: Random) -> None:
        self._client = client
        self._tail = tail
        self._random = random
        self.fetches: list[Fetch] = []
        self.unsubscribes: list[Unsubscribe] = []
        self.problems: list[str] = []

    async def run(self, seconds: float) -> None:
        """Read for ``seconds``; returns when everything has been answered."""
        clock = asyncio.get_running_loop().time
        ends = clock() + seconds
        async with asyncio.TaskGroup() as group:
            while clock() < ends:
                for line in self._tail.take():
                    if isinstance(line, Receipt) and line.accepted and line.links is not None:
                        for action in self._actions(line):
                            group.create_task(action)
                await asyncio.sleep(LOOK_S)

    def _actions(self, receipt: Receipt) -> list[Coroutine[Any, Any, None]]:
        """What the recipient of a copy does."""
        links, chance = receipt.links, self._random.random
        assert links is not None
        actions: list[Coroutine[Any, Any, None]] = []
        if links.pixel and chance() < OPENED_SHARE:
            actions.append(self._fetch(receipt, FetchKind.OPEN, links.pixel))
        actions += [self._fetch(receipt, FetchKind.CLICK, path) for path in links.clicks if chance() < CLICKED_SHARE]
        if links.unsubscribe and chance() < UNSUBSCRIBED_SHARE:
            actions.append(self._unsubscribe(receipt, links.unsubscribe))
        return actions

    async def _fetch(self, receipt: Receipt, kind: FetchKind, path: str) -> None:
        await asyncio.sleep(self._random.uniform(0, WITHIN_S))
        status = 0
        try:
            status = (await self._client.get(path)).status
        except NotSent:
            return
        except Unanswered:
            pass
        if status not in (0, ANSWERS[kind], *BUSY):
            self.problems.append(f"GET {path} of {receipt.message_id}: {status}")
        [recipient] = receipt.recipients
        self.fetches.append(
            Fetch(
                message_id=receipt.message_id,
                recipient=recipient,
                kind=kind,
                is_answered=status == ANSWERS[kind],
                at=time.time(),
            )
        )

    async def _unsubscribe(self, receipt: Receipt, path: str) -> None:
        await asyncio.sleep(self._random.uniform(0, WITHIN_S))
        [recipient] = receipt.recipients
        done = Unsubscribe(recipient=recipient, from_group=is_in_group(recipient), asked_at=time.time())
        self.unsubscribes.append(done)
        while time.time() < done.asked_at + MAX_WAIT_S:
            try:
                answer = await self._client.request("POST", path, ONE_CLICK, FORM)
            except (NotSent, Unanswered):
                pass
            else:
                if answer.status == 200:
                    done.answered_at = time.time()
                    return
                if answer.status not in BUSY:
                    self.problems.append(f"POST {path} of {receipt.message_id}: {answer.status} {answer.body[:300]!r}")
                    return
            await asyncio.sleep(AGAIN_S)
