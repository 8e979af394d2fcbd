"""Paging: leases due deliveries from the journal in pages and offers them to their owners.

One mechanism serves everything that is due later: send_at, retries, deliveries of a dead owner, those that found no
room, those past their lifetime. The scheduler runs it, and while there is none the API processes do
(``standing_in.py``): several may, since rows are taken with SKIP LOCKED. What looks through all that is parked is for
the scheduler alone. The only state kept here is which lanes were full a moment ago, which saves offers that would be
refused.
"""

import asyncio
import logging
from collections import defaultdict
from collections.abc import Sequence

from cluster.journal.journal import Journal, Unavailable
from cluster.journal.records import DueDelivery
from cluster.journal.scheduling import Lane, PagedIn
from cluster.metrics import Counter, Gauge
from cluster.policy.routes.destinations import parse
from cluster.routing.dispatcher import Dispatcher
from cluster.routing.stranded import Stranded
from cluster.tasks import Tasks

log = logging.getLogger(__name__)

PAGE = 1000
IDLE_S = 0.1
"""Pause when less than half a page was due."""
LONGEST_IDLE_S = 0.5
"""Pause when nothing will be due for that long. What is made due meanwhile, as by an operator or by the death of its
owner, waits for its end: well under the second that a due message may wait."""
EMPTIED_PAGES = 10
"""Pages of a lane without a destination that one listing empties."""
FULL_S = 1.0
"""A lane whose offer was refused counts as full for this long: what is due for it is parked without an offer."""
LANES_S = 1.0
LANES_SHARE = 0.02
"""At most this share of the time is spent on listing lanes, however many there are."""
LANES_AT_MOST_S = 10.0
"""Longest pause between two listings, since parked deliveries must not wait because one listing was slow."""
UNAVAILABLE_S = 1.0
STRANDED_S = 1.0
"""Time between two rounds over lanes without an owner, if the last round moved nothing."""
ANSWERED_S = 2.0
"""At the end, owners that are asked have so long to answer. Then their deliveries are parked."""
END_S = 3.0
"""Longest wait for the present round at the end."""


class Paging:
    """``journal``: the source of due deliveries. ``dispatcher`` knows their owners."""

    leased = Counter(
        "postray_scheduler_leased_total",
        "Due deliveries paged in for their owners, by the scheduler, or by API processes while there is none.",
    )
    parked = Counter(
        "postray_scheduler_parked_total", "Due deliveries parked in their lanes without an offer, by the same."
    )
    expired = Counter(
        "postray_scheduler_expired_total", "Deliveries ended because their lifetime was over, by the same."
    )
    full = Gauge(
        "postray_scheduler_full_lanes", "Lanes taken to be full, by the same.", lambda paging: len(paging._full)
    )

    def __init__(self, journal: Journal, dispatcher: Dispatcher, lease_s: float) -> None:
        """``lease_s``: how long an owner may hold what it is offered without claiming it."""
        self._journal = journal
        self._dispatcher = dispatcher
        self._lease_s = lease_s
        self._stranded = Stranded(journal, dispatcher)
        self._full: dict[Lane, float] = {}
        self._paging: asyncio.Task[None] | None = None
        self._is_ending = False
        self._hurry = asyncio.Event()
        self._pause_s = IDLE_S
        self.problem: str | None = None

    def begin(self, tasks: Tasks) -> None:
        """Begin to page in; it goes on until these tasks are stopped, which follows ``end``."""
        self._is_ending = False
        self._hurry.clear()
        self._paging = tasks.spawn("paging", self._keep_paging())

    def begin_lanes(self, tasks: Tasks) -> None:
        """Begin to look through what is parked, until these tasks are stopped."""
        tasks.spawn("lanes", self._keep_naming_lanes())
        tasks.spawn("stranded", self._keep_moving_stranded())

    async def end(self) -> None:
        """Begin no further round, and wait for the present one: what is leased and neither taken nor parked would wait
        until its lease is over."""
        self._is_ending = True
        if self._paging is not None:
            _, running = await asyncio.wait((self._paging,), timeout=ANSWERED_S)
            if running:
                self._hurry.set()
                await asyncio.wait(running, timeout=END_S - ANSWERED_S)

    # What is due

    async def _keep_paging(self) -> None:
        while not self._is_ending:
            try:
                page = await self.round()
                self.problem = None
            except Unavailable as error:
                self.problem = f"journal unavailable: {error.reason}"
                log.warning("round failed reason=%r", error.reason)
                await asyncio.sleep(UNAVAILABLE_S)
                continue
            if len(page) < PAGE // 2:
                await asyncio.sleep(self._pause_s)

    async def round(self) -> PagedIn:
        """Lease a page of due deliveries and offer them; park those that find no room. Raises Unavailable."""
        nothing = PagedIn([], 0, 0)
        self._pause_s = IDLE_S
        if not self._dispatcher.members:
            return nothing
        if (due_in_s := await self._journal.scheduling.due_in_s()) > 0:
            self._pause_s = min(max(IDLE_S, due_in_s), LONGEST_IDLE_S)
            return nothing
        now = asyncio.get_running_loop().time()
        self._full = {lane: until for lane, until in self._full.items() if until > now}
        page = await self._journal.scheduling.page_in(PAGE, self._lease_s, self._decide)
        refused = await self._dispatcher.offer(page.leased, {}, self._hurry)
        self._full.update(dict.fromkeys(await self._dispatcher.park(refused), now + FULL_S))
        self.leased += len(page.leased)
        self.parked += page.parked
        self.expired += page.expired
        log.debug(
            "paged in leased=%d refused=%d parked=%d expired=%d",
            len(page.leased),
            len(refused),
            page.parked,
            page.expired,
        )
        return page

    async def _decide(self, page: Sequence[DueDelivery]) -> list[int | str]:
        await self._dispatcher.prepare(page)
        return [self._lane_or_owner(waiting) for waiting in page]

    def _lane_or_owner(self, waiting: DueDelivery) -> int | str:
        place = self._dispatcher.destination_of(waiting)
        owner = self._dispatcher.owner_of(place)
        if owner is None or self._dispatcher.is_backing_off(owner, place, waiting.tenant_id):
            return str(place)
        if (lane := Lane(str(place), waiting.tenant_id)) in self._full:
            # The owner may have emptied the lane since it was told of it.
            self._dispatcher.pass_by(owner, lane)
            return str(place)
        return owner.epoch

    # What is parked

    async def _keep_naming_lanes(self) -> None:
        clock = asyncio.get_running_loop().time
        while True:
            began = clock()
            pause_s = LANES_S
            try:
                await self.name_lanes()
                pause_s = lanes_pause_s(clock() - began)
            except Unavailable as error:
                log.warning("lanes not listed reason=%r", error.reason)
            await asyncio.sleep(pause_s)

    async def name_lanes(self) -> None:
        """Send every owner the list of its lanes that hold something. Lanes whose destination no longer exists are
        emptied. Lanes whose destination has no owner now are noted for ``move_stranded``. Raises Unavailable."""
        by_owner: dict[str, list[Lane]] = defaultdict(list)
        stranded: list[Lane] = []
        for lane in await self._journal.scheduling.lanes():
            place = parse(lane.destination)
            if place is None or not self._dispatcher.exists(place):
                await self._empty(lane.destination)
            elif (owner := self._dispatcher.owner_of(place)) is not None:
                by_owner[owner.name].append(lane)
            else:
                stranded.append(lane)
        self._stranded.are(stranded)
        await self._dispatcher.name_lanes(by_owner)

    async def _empty(self, destination: str) -> None:
        """A hot site that was split had a long lane, which must not leave it more slowly than its mail."""
        for _ in range(EMPTIED_PAGES):
            if await self._journal.scheduling.empty_lane(destination, PAGE) < PAGE:
                return

    async def _keep_moving_stranded(self) -> None:
        while True:
            moved = 0
            try:
                moved = await self.move_stranded()
            except Unavailable as error:
                log.warning("lanes without an owner not looked into reason=%r", error.reason)
            await asyncio.sleep(IDLE_S if moved else STRANDED_S)

    async def move_stranded(self) -> int:
        """Make deliveries due that are parked in a lane without an owner and have another destination now. Returns how
        many. Raises Unavailable."""
        return await self._stranded.round() if self._dispatcher.members else 0


def lanes_pause_s(took_s: float) -> float:
    """How long to wait after a listing of the lanes that took ``took_s``."""
    return min(max(LANES_S, took_s / LANES_SHARE), LANES_AT_MOST_S)
