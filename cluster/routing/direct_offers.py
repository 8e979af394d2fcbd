"""Offering what was just accepted to its owners, without keeping anybody waiting.

Called with what the intake has committed. Bounded: what does not fit is left to the scheduler.
"""

import asyncio
import logging
from collections import OrderedDict, deque
from collections.abc import Awaitable, Callable, Mapping, Sequence
from datetime import UTC, datetime

from cluster.journal.journal import Unavailable
from cluster.journal.records import NewRequest, Waiting
from cluster.journal.scheduling import Lane
from cluster.routing.dispatcher import FULL_S, Dispatcher
from cluster.routing.offer import Shared, encode_shared

log = logging.getLogger(__name__)

OFFER_BATCH = 1000
OFFER_TURN = 100
"""Of a batch, at a tenant's turn."""
PENDING_AT_MOST = 50_000
"""Deliveries of one API process that wait to be offered, some 200 bytes each."""
SHARED_FROM_BYTES = 64 * 1024
"""Content from this size on travels through the object store, once; less is cheaper to read from the journal."""
SHARED_AT_MOST_BYTES = 64 * 1024 * 1024
"""What one API process keeps in the object store at a time; beyond it the journal serves."""


class DirectOffers:
    """Offers what the API has just accepted to its owners, without keeping anybody waiting.

    Bounded: what does not fit is left to the scheduler.
    """

    def __init__(
        self,
        dispatcher: Dispatcher,
        share: Callable[[bytes], Awaitable[Awaitable[bytes]]],
        window: int = PENDING_AT_MOST,
        lull_s: float = 0.002,
    ) -> None:
        """``share`` puts bytes where delivery actors reach them without the journal, and returns a handle to await."""
        self._dispatcher = dispatcher
        self._share = share
        self._window = window
        self._lull_s = lull_s
        self._pending: OrderedDict[str, deque[Waiting]] = OrderedDict()
        """By tenant, whose turn comes first."""
        self._pending_in_all = 0
        self._contents: dict[str, bytes] = {}
        self._kept: deque[Shared] = deque()
        self._kept_bytes = 0
        self._full: dict[Lane, float] = {}
        self._something = asyncio.Event()

    def __call__(self, requests: Sequence[NewRequest]) -> None:
        """Take what was committed. Never blocks, never fails."""
        now = datetime.now(UTC)
        for request in requests:
            if not self.add(request.due(now)):
                continue
            if len(request.content) + sum(map(len, request.attachments.values())) >= SHARED_FROM_BYTES:
                self._contents[request.id] = encode_shared(request.content, request.attachments)

    def add(self, due: Sequence[Waiting]) -> int:
        """Take deliveries of one tenant that are due, as many as there is room for; returns how many. Where there is
        none, the tenant with the most has to give way: its flood keeps no other from being offered."""
        if not due:
            return 0
        own = self._pending.setdefault(due[0].tenant_id, deque())
        own.extend(due)
        self._pending_in_all += len(due)
        left = len(due)
        while (excess := self._pending_in_all - self._window) > 0:
            longest, second = self._longest()
            # In steps, as there may be many tenants with as much.
            dropped = min(excess, len(longest), max(len(longest) - second, excess // 16 + 1))
            for _ in range(dropped):
                longest.pop()
            self._pending_in_all -= dropped
            left -= dropped if longest is own else 0
        self._something.set()
        return left

    def _longest(self) -> tuple[deque[Waiting], int]:
        """What the tenant with the most has pending, and how many the next one has."""
        longest, second = max(self._pending.values(), key=len), 0
        for own in self._pending.values():
            if own is not longest:
                second = max(second, len(own))
        return longest, second

    def _next_batch(self) -> list[Waiting]:
        """Some of what is pending, tenants in turn."""
        batch: list[Waiting] = []
        while self._pending and len(batch) < OFFER_BATCH:
            tenant_id, own = self._pending.popitem(last=False)
            batch += [own.popleft() for _ in range(min(OFFER_TURN, OFFER_BATCH - len(batch), len(own)))]
            if own:
                self._pending[tenant_id] = own
        self._pending_in_all -= len(batch)
        return batch

    async def run(self) -> None:
        """Offer for ever."""
        while True:
            await self._something.wait()
            # A short lull gathers what concurrent commits bring into one call per owner.
            await asyncio.sleep(self._lull_s)
            self._something.clear()
            contents = {}
            for request_id, content in self._contents.items():
                if (shared := await self._keep(content)) is not None:
                    contents[request_id] = shared
            self._contents = {}
            while self._pending:
                await self._offer(self._next_batch(), contents)

    async def _offer(self, batch: Sequence[Waiting], contents: Mapping[str, Shared]) -> None:
        """What finds no room is parked at once: the scheduler, who would do that, looks at it only after the grace."""
        now = asyncio.get_running_loop().time()
        self._full = {lane: until for lane, until in self._full.items() if until > now}
        hopeless: list[Waiting] = []
        offered: list[Waiting] = []
        for waiting in batch:
            is_hopeless = bool(self._full) and self._dispatcher.lane_of(waiting) in self._full
            (hopeless if is_hopeless else offered).append(waiting)
        refused = await self._dispatcher.offer(offered, contents)
        parked = [*hopeless, *refused]
        try:
            lanes = await self._dispatcher.park(parked)
        except Unavailable as error:
            log.warning("refused offers not parked deliveries=%d reason=%r", len(parked), error.reason)
            return
        self._full.update(dict.fromkeys(lanes[len(hopeless) :], now + FULL_S))

    async def _keep(self, content: bytes) -> Shared | None:
        """Share content, and hold on to its handle (the store drops what nobody holds) while there is room for it."""
        if len(content) > SHARED_AT_MOST_BYTES:
            return None
        while self._kept_bytes + len(content) > SHARED_AT_MOST_BYTES:
            self._kept_bytes -= self._kept.popleft().size
        shared = Shared(await self._share(content), len(content))
        self._kept.append(shared)
        self._kept_bytes += shared.size
        return shared
