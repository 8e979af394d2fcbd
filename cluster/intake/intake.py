"""The intake: from a prepared request to its commit. A client receives success only after ``commit`` returns.

Requests that arrive together are committed together: one task takes all waiting requests, calls ``accept`` once and
resolves every waiter. Two or more wait for the batch window so that others can join; a single request is committed at
once. A fault in one request fails only that request. Small requests do not wait for commits of bulk requests: each kind
has its own queue, and while small requests arrive the bulk queue pauses between commits. Memory is bounded: when too
many requests wait, new ones are refused. After the commit the messages are offered to dispatch. Dispatch may ignore an
offer, because the journal has the messages.

Every entry point calls the intake (api/send is one) with a request that prepared.py has made.
"""

import asyncio
import contextlib
import logging
import math
from collections import deque
from collections.abc import Awaitable, Callable, Collection, Sequence

from cluster.intake.backpressure import FULL_RETRY_AFTER_S, Overloaded, WhyFull, never_full
from cluster.journal.journal import Unavailable
from cluster.journal.records import NewRequest
from cluster.metrics import Counter, Gauge, Histogram

log = logging.getLogger(__name__)

MOST_WAITING = 4096
MOST_WAITING_BYTES = 256 * 1024 * 1024
MOST_IN_COMMIT = 512
MOST_BYTES_IN_COMMIT = 128 * 1024
"""In a commit of this size the disk sync is a small part of the time. A larger batch would gain little, and other
requests can be prepared while this one is committed."""
MOST_BYTES_IN_QUICK_COMMIT = 64 * 1024
"""The same where the disk is quick. Clients that wait for one commit send their next requests together, and then wait
together again: two halves of them take turns, so that one is prepared while the other is committed."""
QUICK_S = 0.005
"""A commit that takes less time is quick."""
BULK_FROM_BYTES = 32 * 1024
"""A request of this size takes so long to commit that small ones must not wait for it. A single message of 30 KB is
small, and so are ten short ones."""
COMMIT_MAX_WAIT_S = 30.0
"""A commit that takes longer is reported as failed, although it may still succeed: the client may send again."""
REST = 1.5
"""While small requests arrive, the bulk queue pauses for this multiple of its last commit's time. Postgres, the disk
and the processors are then free for other work most of the time, and bulk is still accepted faster than mail is
delivered."""
LONGEST_REST_S = 0.5
SMALL_WITHIN_S = 0.2
"""Small requests count as arriving while the last commit of the small queue is more recent than this."""

Accept = Callable[[Sequence[NewRequest]], Awaitable[Collection[str]]]
"""Commits requests; returns the ids of those that it left out because their idempotency key is taken."""
Offers = Callable[[Sequence[NewRequest]], None]


class KeyTaken(Exception):
    """A request was not committed: another one has its idempotency key, or is taking it now."""


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
        """``accept`` is the journal's. ``offers`` receives the committed requests, except sandboxed ones; it must not
        block. ``why_full`` returns the reason while the system is full. The limits apply to each queue."""
        self._why_full = why_full
        common = (accept, offers, commit_window_ms / 1000, most_waiting, most_waiting_bytes)
        self._small = _CommitQueue("small", *common)
        self._bulk = _CommitQueue("bulk", *common, gives_way_to=self._small)
        self._stopping = False

    async def start(self) -> None:
        self._small.start()
        self._bulk.start()

    async def stop(self) -> None:
        """Refuse new requests and commit those that wait."""
        self._stopping = True
        await asyncio.gather(self._small.stop(), self._bulk.stop())

    def require_room(self) -> None:
        """Call this before reading a request. Raises Overloaded while the system is full."""
        if (reason := self._why_full()) is not None:
            self.refused += 1
            raise Overloaded(reason, FULL_RETRY_AFTER_S)

    async def commit(self, request: NewRequest) -> None:
        """Return when a prepared request is on disk.

        Raises Overloaded when the system is full or stopping, Unavailable when the journal cannot commit, Rejected
        when Postgres does not accept the request's data, and KeyTaken when another request has its idempotency key.
        """
        self.require_room()
        if self._stopping:
            self.refused += 1
            raise Overloaded("The server is stopping; try again")
        size = _size(request)
        await (self._bulk if size >= BULK_FROM_BYTES else self._small).commit(request, size)


class _CommitQueue:
    """A queue of requests and the task that commits them in batches."""

    messages = Counter("postray_intake_messages_total", "Messages accepted, those of the sandbox among them.")
    commits = Histogram(
        "postray_intake_requests_per_commit",
        "Requests accepted together, in one commit.",
        (1, 2, 5, 10, 20, 50, 100, 200),
    )
    crowded_out = Counter("postray_intake_crowded_out_total", "Requests refused because too many waited for a commit.")
    failed = Counter("postray_intake_failed_total", "Requests not committed: the journal was away, or refused them.")
    waiting = Gauge("postray_intake_waiting", "Requests that wait for a commit.", lambda self: len(self._waiting))
    held = Gauge("postray_intake_waiting_bytes", "Memory that they take.", lambda self: self._waiting_bytes)

    def __init__(
        self,
        name: str,
        accept: Accept,
        offers: Offers,
        window_s: float,
        most_waiting: int,
        most_waiting_bytes: int,
        gives_way_to: "_CommitQueue | None" = None,
    ) -> None:
        """``name`` is part of the task's name. While requests arrive in ``gives_way_to``, this queue pauses between
        its commits."""
        self._name = name
        self._accept = accept
        self._offers = offers
        self._window_s = window_s
        self._most_waiting = most_waiting
        self._most_waiting_bytes = most_waiting_bytes
        self._gives_way_to = gives_way_to
        self._waiting: deque[_Waiting] = deque()
        self._waiting_bytes = 0
        self._arrived = asyncio.Event()
        self._full = asyncio.Event()
        self._stopping = asyncio.Event()
        self._committer: asyncio.Task[None] | None = None
        self.committed_at = -math.inf
        """When the last commit ended, in loop time."""
        self._took_s = 0.0
        """How long the last commit took."""

    def start(self) -> None:
        self._committer = asyncio.create_task(self._commit_forever(), name=f"intake-committer-{self._name}")

    async def stop(self) -> None:
        """Commit the waiting requests, then end the task."""
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
        if len(self._waiting) >= MOST_IN_COMMIT or self._waiting_bytes >= self._most_bytes():
            self._full.set()
        await waiting.done

    async def _commit_forever(self) -> None:
        while True:
            await self._arrived.wait()
            if not self._waiting:
                return  # only stop() sets the event without adding a request
            if self._window_s > 0 and len(self._waiting) > 1:  # a single request does not wait
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

    def _most_bytes(self) -> int:
        return MOST_BYTES_IN_QUICK_COMMIT if self._took_s < QUICK_S else MOST_BYTES_IN_COMMIT

    async def _rest(self) -> None:
        """Pause for the other queue while requests arrive there."""
        other = self._gives_way_to
        if other is not None and _now() - other.committed_at < SMALL_WITHIN_S:
            with contextlib.suppress(TimeoutError):
                async with asyncio.timeout(min(REST * self._took_s, LONGEST_REST_S)):
                    await self._stopping.wait()

    def _take_batch(self) -> list[_Waiting]:
        batch: list[_Waiting] = []
        size, most = 0, self._most_bytes()
        while self._waiting and len(batch) < MOST_IN_COMMIT and (not batch or size < most):
            waiting = self._waiting.popleft()
            size += waiting.size
            batch.append(waiting)
        self._waiting_bytes -= size
        if not self._stopping.is_set():
            if not self._waiting:
                self._arrived.clear()
            if len(self._waiting) < MOST_IN_COMMIT and self._waiting_bytes < most:
                self._full.clear()
        return batch

    async def _commit(self, batch: list[_Waiting]) -> None:
        """Commit the batch. When its data is rejected, commit each request separately."""
        try:
            async with asyncio.timeout(COMMIT_MAX_WAIT_S):
                taken = await self._accept([waiting.request for waiting in batch])
        except TimeoutError:
            self.failed += len(batch)
            _fail(batch, Unavailable(f"no commit within {COMMIT_MAX_WAIT_S:g} s"))
        except Unavailable as error:
            self.failed += len(batch)
            _fail(batch, error)
        except Exception as error:
            # Rejected, or a defect that one request triggers: only that request may fail.
            if len(batch) == 1:
                self.failed += 1
                _fail(batch, error)
                return
            log.warning("commit refused requests=%d, trying each alone reason=%s", len(batch), error)
            for waiting in batch:
                await self._commit([waiting])
        else:
            if taken:
                batch = _without(batch, taken)
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


def _without(batch: list[_Waiting], taken: Collection[str]) -> list[_Waiting]:
    """The requests that were committed; the others are failed."""
    _fail([waiting for waiting in batch if waiting.request.id in taken], KeyTaken())
    return [waiting for waiting in batch if waiting.request.id not in taken]


def _size(request: NewRequest) -> int:
    """Roughly how many bytes of memory the request takes until it is committed."""
    messages = sum([len(message.personalization) + 500 + 100 * len(message.recipients) for message in request.messages])
    files = sum(map(len, request.attachments.values()))
    return len(request.content) + messages + files
