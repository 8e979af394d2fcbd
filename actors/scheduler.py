"""The scheduler: leases due deliveries from the journal in pages and offers them to their owners.

One mechanism serves everything that is due later: send_at, retries, deliveries of a dead owner, those that found no
room, those past their lifetime. Several schedulers may run, since rows are taken with SKIP LOCKED. The only state kept
here is which lanes were full a moment ago, which saves offers that would be refused.
"""

import asyncio
import logging
from collections import defaultdict
from collections.abc import Callable, Sequence
from datetime import date
from typing import TYPE_CHECKING

from actors.balancing import Balancing
from actors.erasing import RecipientEraser, TenantEraser
from actors.importing import ListImporter
from actors.measuring import StorageWatch
from actors.pruning import Pruning
from actors.purging import Purge
from actors.rating import TenantRating
from actors.retaining import Retaining
from actors.stranded import Stranded
from actors.upkeep import Upkeep
from cluster import metrics
from cluster.context import DEGRADED
from cluster.journal.journal import Journal, Unavailable
from cluster.journal.records import DueDelivery
from cluster.journal.scheduling import Lane, PagedIn
from cluster.metrics import Counter, Gauge, Reading
from cluster.peers import Call
from cluster.policy.routes.destinations import parse
from cluster.policy.storage import Outlook, Pruned
from cluster.policy.tls.shown_reports import ShownReports
from cluster.routing.dispatcher import Dispatcher
from cluster.tasks import Tasks
from cluster.tenancy.domains.verifying import Verifier

if TYPE_CHECKING:
    from actors.tls_reports.reporting import TlsReporting

log = logging.getLogger(__name__)

PAGE = 1000
IDLE_S = 0.1
"""Pause when less than half a page was due: well under the second that a due message may wait."""
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


class Scheduler:
    """``journal``: the source of due deliveries. ``dispatcher`` knows their owners. ``call`` calls an actor."""

    leased = Counter("postray_scheduler_leased_total", "Due deliveries paged in for their owners.")
    parked = Counter("postray_scheduler_parked_total", "Due deliveries parked in their lanes without an offer.")
    expired = Counter("postray_scheduler_expired_total", "Deliveries ended because their lifetime was over.")
    full = Gauge("postray_scheduler_full_lanes", "Lanes taken to be full.", lambda scheduler: len(scheduler._full))

    def __init__(
        self,
        journal: Journal,
        dispatcher: Dispatcher,
        call: Call,
        lease_s: float,
        make_tasks: Callable[[], Tasks] = Tasks,
        verifier: Verifier | None = None,
        rating: TenantRating | None = None,
        tls_reporting: "TlsReporting | None" = None,
        purges: Sequence[Purge] = (),
        storage: StorageWatch | None = None,
        retaining: Retaining | None = None,
        balancing: Balancing | None = None,
    ) -> None:
        """``lease_s``: how long an owner may hold what it is offered without claiming it. ``verifier`` looks at sender
        domains; None looks at none. ``rating`` counts the rates of tenants; None counts none. ``tls_reporting`` is None
        where no TLS reports are sent. ``purges`` remove what is past its end. ``storage`` measures the disk; None
        measures nothing. ``retaining`` keeps the partitions of days; None leaves them as they are.
        ``balancing`` spreads destinations over delivery actors; None leaves them to the hash."""
        self._journal = journal
        self._dispatcher = dispatcher
        self._lease_s = lease_s
        self._tasks = make_tasks()
        self._stranded = Stranded(journal, dispatcher)
        self._eraser = TenantEraser(journal, call)
        self._recipient_eraser = RecipientEraser(journal, call)
        self._importer = ListImporter(journal)
        self._verifier = verifier
        self._rating = rating
        self._tls_reporting = tls_reporting
        self._purges = purges
        self._storage = storage
        self._upkeep = Upkeep(journal)
        self._retaining = retaining
        self._balancing = balancing
        self._pruning = None if retaining is None else Pruning(retaining.prune, self._tasks)
        self._problem: str | None = None
        self._full: dict[Lane, float] = {}

    async def start(self) -> None:
        await self._dispatcher.refresh()
        self._tasks.spawn("members", self._dispatcher.keep_fresh())
        self._tasks.spawn("paging", self._keep_paging())
        self._tasks.spawn("lanes", self._keep_naming_lanes())
        self._tasks.spawn("stranded", self._keep_moving_stranded())
        self._tasks.spawn("erasing", self._eraser.run())
        self._tasks.spawn("erasing recipients", self._recipient_eraser.run())
        self._tasks.spawn("importing", self._importer.run())
        self._tasks.spawn("upkeep of hot tables", self._upkeep.run())
        if self._verifier is not None:
            self._tasks.spawn("domains", self._verifier.run())
        if self._rating is not None:
            self._tasks.spawn("rates of tenants", self._rating.run())
        if self._tls_reporting is not None:
            self._tasks.spawn("TLS reports", self._tls_reporting.run())
        if self._retaining is not None:
            self._tasks.spawn("partitions", self._retaining.run())
        if self._balancing is not None:
            self._tasks.spawn("balance", self._balancing.run())
        for purge in self._purges:
            self._tasks.spawn(f"purge of {purge.what}", purge.run())
        if self._storage is not None:
            self._tasks.spawn("storage", self._storage.run())

    async def problem(self) -> str | None:
        if self._problem is not None:
            return self._problem
        lesser = self._storage.warning if self._storage is not None else None
        if lesser is None and self._tls_reporting is not None:
            lesser = self._tls_reporting.problem
        return None if lesser is None else DEGRADED + lesser

    async def metrics(self) -> list[Reading]:
        return metrics.read(self)

    async def stop(self) -> None:
        await self._tasks.stop()
        if self._verifier is not None:
            await self._verifier.close()
        if self._tls_reporting is not None:
            await self._tls_reporting.close()

    async def storage(self) -> Outlook:
        """What is stored, measured now. Raises Unavailable."""
        assert self._storage is not None
        return await self._storage.look()

    async def prune(self, name: str, before: date) -> Pruned:
        """``Pruning.step``."""
        assert self._pruning is not None
        return self._pruning.step(name, before)

    async def verify_domain(self, id: int) -> None:
        """Look a sender domain's records up now and store what follows. Raises Unavailable."""
        if self._verifier is not None:
            await self._verifier.verify(id)

    async def show_tls_reports(self, day: date, domain: str, after: str) -> ShownReports | None:
        """``TlsReporting.show``; None where no TLS reports are sent."""
        return None if self._tls_reporting is None else await self._tls_reporting.show(day, domain, after)

    async def send_tls_reports(self, day: date, domain: str) -> int | None:
        """``TlsReporting.send_now``; None where no TLS reports are sent."""
        return None if self._tls_reporting is None else await self._tls_reporting.send_now(day, domain)

    # What is due

    async def _keep_paging(self) -> None:
        while True:
            try:
                page = await self.round()
                self._problem = None
            except Unavailable as error:
                self._problem = f"journal unavailable: {error.reason}"
                log.warning("round failed reason=%r", error.reason)
                await asyncio.sleep(UNAVAILABLE_S)
                continue
            if len(page) < PAGE // 2:
                await asyncio.sleep(IDLE_S)

    async def round(self) -> PagedIn:
        """Lease a page of due deliveries and offer them; park those that find no room. Raises Unavailable."""
        nothing = PagedIn([], 0, 0)
        if not self._dispatcher.members or not await self._journal.scheduling.anything_due():
            return nothing
        now = asyncio.get_running_loop().time()
        self._full = {lane: until for lane, until in self._full.items() if until > now}
        page = await self._journal.scheduling.page_in(PAGE, self._lease_s, self._decide)
        refused = await self._dispatcher.offer(page.leased, {})
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
        if Lane(str(place), waiting.tenant_id) in self._full:
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
