"""Offers newly accepted deliveries to their owners, without delaying the requests.

The intake calls it with the requests that it has committed. The queue is bounded; the scheduler finds the deliveries
that do not fit.
"""

import asyncio
import logging
from collections import OrderedDict, deque
from collections.abc import Awaitable, Callable, Mapping, Sequence
from datetime import UTC, datetime

from cluster.journal.journal import Unavailable
from cluster.journal.records import DueDelivery, NewRequest
from cluster.journal.scheduling import Lane
from cluster.metrics import Counter, Gauge
from cluster.routing.dispatcher import FULL_S, Dispatcher
from cluster.routing.offer import Shared, encode_shared

log = logging.getLogger(__name__)

OFFER_BATCH = 1000
OFFER_TURN = 100
"""The most deliveries of one tenant at its turn within a batch."""
PENDING_AT_MOST = 50_000
"""The most deliveries of one API process that wait to be offered, about 200 bytes each."""
SHARED_FROM_BYTES = 64 * 1024
"""Content of at least this size goes through the object store; smaller content is cheaper to read from the journal."""
SHARED_AT_MOST_BYTES = 64 * 1024 * 1024
"""The most bytes that one API process keeps in the object store; other content is read from the journal."""


class DirectOffers:
    """The queue of newly accepted deliveries that wait to be offered, and the loop that offers them."""

    waiting = Gauge(
        "postray_direct_offers_waiting",
        "Accepted deliveries that wait to be offered.",
        lambda self: self._pending_in_all,
    )
    left = Counter("postray_direct_offers_left_total", "Accepted deliveries left to the scheduler for want of room.")

    def __init__(
        self,
        dispatcher: Dispatcher,
        share: Callable[[bytes], Awaitable[Awaitable[bytes]]],
        window: int = PENDING_AT_MOST,
        batch_window_s: float = 0.002,
    ) -> None:
        """``share`` puts bytes into the object store and returns a handle that delivery actors await.
        ``batch_window_s``: for how long the first of several waits for others, to be offered together."""
        self._dispatcher = dispatcher
        self._share = share
        self._window = window
        self._batch_window_s = batch_window_s
        self._pending: OrderedDict[str, deque[DueDelivery]] = OrderedDict()
        """Pending deliveries by tenant, in the order of the tenants' turns."""
        self._pending_in_all = 0
        self._contents: dict[str, bytes] = {}
        self._kept: deque[Shared] = deque()
        self._kept_bytes = 0
        self._full: dict[Lane, float] = {}
        self._something = asyncio.Event()

    def __call__(self, requests: Sequence[NewRequest]) -> None:
        """Queue the deliveries of committed requests that are due. It does not block and raises nothing."""
        now = datetime.now(UTC)
        for request in requests:
            if not self.add(request.due(now)):
                continue
            if len(request.content) + sum(map(len, request.attachments.values())) >= SHARED_FROM_BYTES:
                self._contents[request.id] = encode_shared(request.content, request.attachments)

    def add(self, due: Sequence[DueDelivery]) -> int:
        """Queue due deliveries of one tenant; returns how many were queued. Without room, deliveries of the tenant with
        the most are dropped from the queue, so that one tenant's flood does not block the others."""
        if not due:
            return 0
        own = self._pending.setdefault(due[0].tenant_id, deque())
        own.extend(due)
        self._pending_in_all += len(due)
        left = len(due)
        while (excess := self._pending_in_all - self._window) > 0:
            longest, second = self._longest()
            # In steps, since many tenants may have the same number.
            dropped = min(excess, len(longest), max(len(longest) - second, excess // 16 + 1))
            for _ in range(dropped):
                longest.pop()
            self._pending_in_all -= dropped
            self.left += dropped
            left -= dropped if longest is own else 0
        self._something.set()
        return left

    def _longest(self) -> tuple[deque[DueDelivery], int]:
        """The pending deliveries of the tenant with the most, and the number of the tenant with the second most."""
        longest, second = max(self._pending.values(), key=len), 0
        for own in self._pending.values():
            if own is not longest:
                second = max(second, len(own))
        return longest, second

    def _next_batch(self) -> list[DueDelivery]:
        """The next batch, taken from the tenants in turn."""
        batch: list[DueDelivery] = []
        while self._pending and len(batch) < OFFER_BATCH:
            tenant_id, own = self._pending.popitem(last=False)
            batch += [own.popleft() for _ in range(min(OFFER_TURN, OFFER_BATCH - len(batch), len(own)))]
            if own:
                self._pending[tenant_id] = own
        self._pending_in_all -= len(batch)
        return batch

    async def run(self) -> None:
        """Offer pending deliveries; runs until it is cancelled."""
        while True:
            await self._something.wait()
            # The batch window joins the deliveries of concurrent commits into one call per owner.
            await asyncio.sleep(self._batch_window_s)
            self._something.clear()
            contents = {}
            for request_id, content in self._contents.items():
                if (shared := await self._keep(content)) is not None:
                    contents[request_id] = shared
            self._contents = {}
            while self._pending:
                await self._offer(self._next_batch(), contents)

    async def _offer(self, batch: Sequence[DueDelivery], contents: Mapping[str, Shared]) -> None:
        """Offer a batch. Refused deliveries are parked at once: the scheduler would park them only after the grace."""
        now = asyncio.get_running_loop().time()
        self._full = {lane: until for lane, until in self._full.items() if until > now}
        skipped: list[DueDelivery] = []
        offered: list[DueDelivery] = []
        for waiting in batch:
            is_hopeless = bool(self._full) and self._dispatcher.lane_of(waiting) in self._full
            (skipped if is_hopeless else offered).append(waiting)
        refused = await self._dispatcher.offer(offered, contents)
        parked = [*skipped, *refused]
        try:
            lanes = await self._dispatcher.park(parked)
        except Unavailable as error:
            log.warning("refused offers not parked deliveries=%d reason=%r", len(parked), error.reason)
            return
        self._full.update(dict.fromkeys(lanes[len(skipped) :], now + FULL_S))

    async def _keep(self, content: bytes) -> Shared | None:
        """Share content and keep its handle while there is room: the store drops content without a handle. None for
        content that is larger than the limit."""
        if len(content) > SHARED_AT_MOST_BYTES:
            return None
        while self._kept_bytes + len(content) > SHARED_AT_MOST_BYTES:
            self._kept_bytes -= self._kept.popleft().size
        shared = Shared(await self._share(content), len(content))
        self._kept.append(shared)
        self._kept_bytes += shared.size
        return shared
