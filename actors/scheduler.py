"""The scheduler: what one process does for the whole cluster. It pages in what is due (``cluster/routing/paging.py``),
removes what is past its end, and looks at domains, rates, balance and the disk.
"""

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
from actors.upkeep import Upkeep
from cluster import metrics
from cluster.context import DEGRADED
from cluster.journal.journal import Journal
from cluster.metrics import Reading
from cluster.peers import Call
from cluster.policy.storage import Outlook, Pruned
from cluster.policy.tls.shown_reports import ShownReports
from cluster.routing.dispatcher import Dispatcher
from cluster.routing.paging import Paging
from cluster.tasks import Tasks
from cluster.tenancy.domains.verifying import Verifier

if TYPE_CHECKING:
    from actors.tls_reports.reporting import TlsReporting


class Scheduler:
    """``journal``: the source of due deliveries. ``dispatcher`` knows their owners. ``call`` calls an actor."""

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
        self.paging = Paging(journal, dispatcher, lease_s)
        self._dispatcher = dispatcher
        self._tasks = make_tasks()
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

    async def start(self) -> None:
        await self._dispatcher.refresh()
        self._tasks.spawn("members", self._dispatcher.keep_fresh())
        self.paging.begin(self._tasks)
        self.paging.begin_lanes(self._tasks)
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
        if self.paging.problem is not None:
            return self.paging.problem
        lesser = self._storage.warning if self._storage is not None else None
        if lesser is None and self._tls_reporting is not None:
            lesser = self._tls_reporting.problem
        return None if lesser is None else DEGRADED + lesser

    async def metrics(self) -> list[Reading]:
        return metrics.read(self)

    async def stop(self) -> None:
        await self.paging.end()
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
