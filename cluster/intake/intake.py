"""The intake: from a prepared request to its commit. A sender is answered with success only after ``commit`` returns.

Requests that arrive together are committed together: one task takes all that wait, calls ``accept`` once and resolves
every waiter. Two or more are given a moment for others to join them; one alone is committed at once. A fault of one
request fails that one only. Small requests do not wait for the commits of bulk: each kind has a lane of its own, and
while small requests come the bulk lane rests between its commits. Memory is bounded: when too much waits, a request is
refused. After the commit the messages are offered to dispatch, which may ignore them: the journal has them.

Called by every way in: api/send is one. What prepares a request is prepared.py.
"""

import asyncio
import contextlib
import logging
import math
from collections import deque
from collections.abc import Awaitable, Callable, Sequence

from cluster.intake.backpressure import FULL_RETRY_AFTER_S, Overloaded, WhyFull, never_full
from cluster.journal.journal import Unavailable
from cluster.journal.records import NewRequest
from cluster.metrics import Counter, Gauge, Histogram

log = logging.getLogger(__name__)

MOST_WAITING = 4096
MOST_WAITING_BYTES = 256 * 1024 * 1024
MOST_IN_COMMIT = 512
MOST_BYTES_IN_COMMIT = 128 * 1024
"""A commit of this much takes so long that syncing the disk is a small part of it: others are made ready meanwhile,
rather than that all wait together."""
BULK_FROM_BYTES = 32 * 1024
"""A request of this size takes long enough to commit that small ones do not wait for it. A single message of 30 KB is
small, ten short ones are too."""
COMMIT_MAX_WAIT_S = 30.0
"""A commit that takes longer is reported as not made, although it may yet be: the client may send again."""
REST = 1.5
"""While small requests come, the bulk lane rests this many times as long as its last commit took. Postgres, the disk
and the processors then work for others most of the time, and bulk still comes in faster than mail is delivered."""
LONGEST_REST_S = 0.5
SMALL_WITHIN_S = 0.2
"""Small requests come as long as one was committed within this time."""

Accept = Callable[[Sequence[NewRequest]], Awaitable[None]]
Offers = Callable[[Sequence[NewRequest]], None]


class _Waiting:
    __slots__ = ("done", "request", "size")

    def __init__(self, request: NewRequest, size: int, done: asyncio.Future[None]) -> None:
        self.request = request
        self.size = size
        self.done = done


class Intake:
    """Takes prepared requests and commits them together."""

    refused = Counter("postray_intake_refused_total", "Requests refused because the system was full or stopping.")

    def __init__(
        self,
        accept: Accept,
        *,
        commit_window_ms: float,
        offers: Offers,
        why_full: WhyFull = never_full,
        most_waiting: int = MOST_WAITING,
        most_waiting_bytes: int = MOST_WAITING_BYTES,
    ) -> None:
        """``accept`` is the journal's. ``offers`` gets what was committed, sandboxed requests excepted; it must not
        block. ``why_full`` says why nothing is taken while the system is full. The bounds are each lane's."""
        self._why_full = why_full
        lanes = [
            _Lane(accept, offers, commit_window_ms / 1000, most_waiting, most_waiting_bytes) for _ in ("small", "bulk")
        ]
        self._small, self._bulk = lanes
        self._bulk.gives_way_to = self._small
        self._stopping = False

    async def start(self) -> None:
        self._small.start("small")
        self._bulk.start("bulk")

    async def stop(self) -> None:
        """Commit what waits, take nothing more."""
        self._stopping = True
        await asyncio.gather(self._small.stop(), self._bulk.stop())

    def require_room(self) -> None:
        """To be called before a request is read. Raises Overloaded while the system is full."""
        if (reason := self._why_full()) is not None:
            self.refused += 1
            raise Overloaded(reason, FULL_RETRY_AFTER_S)

    async def commit(self, request: NewRequest) -> None:
        """Return when a prepared request is on disk. Raises Overloaded, and the journal's Unavailable and Rejected."""
        self.require_room()
        if self._stopping:
            self.refused += 1
            raise Overloaded("The server is stopping; try again")
        size = _size(request)
        await (self._bulk if size >= BULK_FROM_BYTES else self._small).commit(request, size)


class _Lane:
    """Requests that wait for the same commits."""

    messages = Counter("postray_intake_messages_total", "Messages accepted, those of the sandbox among them.")
    commits = Histogram(
        "postray_intake_requests_per_commit",
        "Requests accepted together, in one commit.",
        (1, 2, 5, 10, 20, 50, 100, 200),
    )
    crowded_out = Counter("postray_intake_crowded_out_total", "Requests refused because too many waited for a commit.")
    failed = Counter("postray_intake_failed_total", "Requests not committed: the journal was away, or refused them.")
    waiting = Gauge("postray_intake_waiting", "Requests that wait for a commit.", lambda lane: len(lane._waiting))
    held = Gauge("postray_intake_waiting_bytes", "Memory that they take.", lambda lane: lane._waiting_bytes)

    def __init__(
        self, accept: Accept, offers: Offers, window_s: float, most_waiting: int, most_waiting_bytes: int
    ) -> None:
        self._accept = accept
        self._offers = offers
        self._window_s = window_s
        self._most_waiting = most_waiting
        self._most_waiting_bytes = most_waiting_bytes
        self._waiting: deque[_Waiting] = deque()
        self._waiting_bytes = 0
        self._arrived = asyncio.Event()
        self._full = asyncio.Event()
        self._stopping = asyncio.Event()
        self._committer: asyncio.Task[None] | None = None
        self.gives_way_to: _Lane | None = None
        self.committed_at = -math.inf
        """Loop time of the last commit's end."""
        self._took_s = 0.0

    def start(self, name: str) -> None:
        self._committer = asyncio.create_task(self._commit_forever(), name=f"intake-committer-{name}")

    async def stop(self) -> None:
        """Commit what waits."""
        self._stopping.set()
        self._arrived.set()
        self._full.set()
        if self._committer is not None:
            await self._committer

    async def commit(self, request: NewRequest, size: int) -> None:
        if len(self._waiting) >= self._most_waiting or self._waiting_bytes + size > self._most_waiting_bytes:
            self.crowded_out += 1
            raise Overloaded("Too many requests wait to be committed; try again later")
        waiting = _Waiting(request, size, asyncio.get_running_loop().create_future())
        self._waiting.append(waiting)
        self._waiting_bytes += size
        self._arrived.set()
        if len(self._waiting) >= MOST_IN_COMMIT or self._waiting_bytes >= MOST_BYTES_IN_COMMIT:
            self._full.set()
        await waiting.done

    async def _commit_forever(self) -> None:
        while True:
            await self._arrived.wait()
            if not self._waiting:
                return  # stopping: nothing else wakes it without leaving something
            if self._window_s > 0 and len(self._waiting) > 1:  # who comes alone would wait for nobody
                with contextlib.suppress(TimeoutError):
                    async with asyncio.timeout(self._window_s):
                        await self._full.wait()
            await self._rest()
            batch = self._take_batch()
            began = _now()
            try:
                await self._commit(batch)
            except asyncio.CancelledError:
                _fail(batch, Unavailable("the API is stopping"))
                raise
            self.committed_at = _now()
            self._took_s = self.committed_at - began

    async def _rest(self) -> None:
        """Leave the journal to the other lane for a moment, if something comes there."""
        other = self.gives_way_to
        if other is not None and _now() - other.committed_at < SMALL_WITHIN_S:
            with contextlib.suppress(TimeoutError):
                async with asyncio.timeout(min(REST * self._took_s, LONGEST_REST_S)):
                    await self._stopping.wait()

    def _take_batch(self) -> list[_Waiting]:
        batch: list[_Waiting] = []
        size = 0
        while self._waiting and len(batch) < MOST_IN_COMMIT and (not batch or size < MOST_BYTES_IN_COMMIT):
            waiting = self._waiting.popleft()
            size += waiting.size
            batch.append(waiting)
        self._waiting_bytes -= size
        if not self._stopping.is_set():
            if not self._waiting:
                self._arrived.clear()
            if len(self._waiting) < MOST_IN_COMMIT and self._waiting_bytes < MOST_BYTES_IN_COMMIT:
                self._full.clear()
        return batch

    async def _commit(self, batch: list[_Waiting]) -> None:
        """Commit the batch; where it is refused for what is in it, each request alone."""
        try:
            async with asyncio.timeout(COMMIT_MAX_WAIT_S):
                await self._accept([waiting.request for waiting in batch])
        except TimeoutError:
            self.failed += len(batch)
            _fail(batch, Unavailable(f"no commit within {COMMIT_MAX_WAIT_S:g} s"))
        except Unavailable as error:
            self.failed += len(batch)
            _fail(batch, error)
        except Exception as error:
            # Rejected, or a defect that some request set off: either way only that request may suffer.
            if len(batch) == 1:
                self.failed += 1
                _fail(batch, error)
                return
            log.warning("commit refused requests=%d, trying each alone reason=%s", len(batch), error)
            for waiting in batch:
                await self._commit([waiting])
        else:
            self.commits.observe(len(batch))
            self._offer([waiting.request for waiting in batch])
            for waiting in batch:
                self.messages += len(waiting.request.messages)
                if not waiting.done.done():
                    waiting.done.set_result(None)

    def _offer(self, requests: list[NewRequest]) -> None:
        to_send = [request for request in requests if not request.messages[0].sandbox]
        if not to_send:
            return
        try:
            self._offers(to_send)
        except Exception:
            log.exception("offer failed requests=%d", len(to_send))  # the scheduler finds them in the journal


def _now() -> float:
    return asyncio.get_running_loop().time()


def _fail(batch: list[_Waiting], error: Exception) -> None:
    for waiting in batch:
        if not waiting.done.done():
            waiting.done.set_exception(error)


def _size(request: NewRequest) -> int:
    """Bytes that the request holds in memory until it is committed, roughly."""
    messages = sum([len(message.personalization) + 500 + 100 * len(message.recipients) for message in request.messages])
    files = sum(map(len, request.attachments.values()))
    return len(request.content) + messages + files
