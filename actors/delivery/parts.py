"""The parts of a delivery actor, made from the bottom up.

Each part is given only parts that were made before it, so it cannot call one that is made later. The package's
docstring follows one delivery through them.
"""

import asyncio
from collections.abc import Callable

from msgspec import Struct

from actors.delivery.admission import Admission
from actors.delivery.automation import Automation
from actors.delivery.claims import Claims
from actors.delivery.committer import Committer
from actors.delivery.composing import Composer
from actors.delivery.connector import Connector
from actors.delivery.courier import Courier
from actors.delivery.deferring_hosts import DeferringHosts
from actors.delivery.enforced_tls import EnforcedTls
from actors.delivery.giving_back import GivingBack
from actors.delivery.handing_over import HandingOver
from actors.delivery.heartbeat import Heartbeat
from actors.delivery.held import HeldDeliveries
from actors.delivery.idle_connections import IdleConnections
from actors.delivery.lane_fetcher import LaneFetcher
from actors.delivery.lanes import OwnLanes
from actors.delivery.large import LargeMessages
from actors.delivery.leaving import Leaving
from actors.delivery.ledger import Ledger
from actors.delivery.load_reports import LoadReports
from actors.delivery.marker import Marker
from actors.delivery.ownership import Ownership
from actors.delivery.policy_follower import PolicyFollower
from actors.delivery.reporting import Reporter
from actors.delivery.site_allowances import SiteAllowances
from actors.delivery.site_turns import SiteTurns
from actors.delivery.sites import Sites
from actors.delivery.stall_watch import StallWatch
from actors.delivery.strain import Strain, Worked
from actors.delivery.tracing import Tracer
from actors.delivery.unresolved import Unresolved
from actors.delivery.upkeep import Upkeep
from cluster.journal.journal import Journal
from cluster.lookup.tls_results import TlsResults
from cluster.policy.balance.loads import Rates
from cluster.routing.active_policy import ActivePolicy
from cluster.routing.router import Router
from cluster.settings import DeliverySettings
from cluster.tasks import Tasks
from cluster.tenancy.directory import TenantDirectory


class Dependencies(Struct, frozen=True, kw_only=True, eq=False):
    """What a delivery actor is built from. ``random``: in [0, 1). ``now``: seconds since the epoch. ``stall_watch`` is
    None if the actor shares its process with others. ``worked_s``: seconds for which the event loop has worked.
    ``processors_s``: for which the machine's processors have worked, and that there were of them."""

    name: str
    node_id: str
    settings: DeliverySettings
    journal: Journal
    composer: Composer
    connector: Connector
    router: Router
    active_policy: ActivePolicy
    directory: TenantDirectory
    ledger: Ledger
    marker: Marker
    stall_watch: StallWatch | None
    tls_results: TlsResults
    worked_s: Callable[[], float]
    processors_s: Callable[[], tuple[float, float]]
    random: Callable[[], float]
    now: Callable[[], float]
    tasks: Tasks


class Parts:
    """Must be made in the actor's event loop."""

    def __init__(self, deps: Dependencies) -> None:
        clock = asyncio.get_running_loop().time
        self.ownership = Ownership(deps.journal, deps.name, deps.node_id, clock)
        self.held = HeldDeliveries(deps.settings.window)
        self.lanes = OwnLanes(self.held, clock)
        self.rates = Rates()
        self.turns = SiteTurns(self.held.has_few_of)
        self.deferring_hosts = DeferringHosts(clock)
        self.enforced_tls = EnforcedTls(deps.directory)
        self.tracer = Tracer(clock, deps.now)
        self._make_reporting(deps, clock)
        self._make_sending(deps, clock)
        self._make_background(deps, clock)

    def _make_reporting(self, deps: Dependencies, clock: Callable[[], float]) -> None:
        """From the end of a transaction to the journal."""
        self.committer = Committer(deps.journal, deps.ledger, deps.settings.dsn_window_s)
        self.giving_back = GivingBack(deps.journal, self.ownership, self.held)
        self.automation = Automation(deps.journal, self.giving_back, clock)
        self.reporter = Reporter(
            self.committer,
            deps.active_policy,
            deps.directory,
            self.automation,
            self.deferring_hosts,
            self.held,
            self.turns,
            self.lanes,
            self.rates,
            lifetime_s=deps.settings.lifetime_s,
            awaits_reports=deps.settings.dsn_window_s > 0,
            random=deps.random,
            clock=clock,
        )

    def _make_sending(self, deps: Dependencies, clock: Callable[[], float]) -> None:
        """From an offer to a connection, the lowest part first."""
        self.courier = Courier(
            deps.connector,
            deps.active_policy,
            self.enforced_tls,
            self.tracer,
            self.reporter,
            deps.marker,
            deps.tasks,
            IdleConnections(),
        )
        self.sites = Sites(
            deps.active_policy, self.ownership, self.held, self.turns, self.courier, clock=clock, now=deps.now
        )
        self.unresolved = Unresolved(deps.router, self.held, self.sites, self.giving_back, deps.tasks)
        self.admission = Admission(
            deps.router,
            self.ownership,
            self.committer,
            self.held,
            self.lanes,
            self.giving_back,
            self.sites,
            self.unresolved,
        )
        self.handing_over = HandingOver(
            self.held, self.turns, self.committer, self.reporter, self.deferring_hosts, self.enforced_tls
        )
        self.large = LargeMessages(deps.composer, self.handing_over, self.held.large)
        self.strain = Strain(
            deps.settings.window,
            lambda: sum(site.in_flight for site in self.turns.at_work()),
            lambda: Worked(deps.worked_s(), *deps.processors_s()),
            clock=clock,
            now=deps.now,
        )
        self.claims = Claims(
            deps.journal,
            deps.composer,
            self.committer,
            deps.ledger,
            self.ownership,
            self.held,
            self.turns,
            self.giving_back,
            self.admission,
            self.handing_over,
            self.large,
            self.strain,
            lease_s=deps.settings.sending_lease_s,
        )

    def _make_background(self, deps: Dependencies, clock: Callable[[], float]) -> None:
        journal, active_policy = deps.journal, deps.active_policy
        self.lane_fetcher = LaneFetcher(
            journal, self.ownership, self.held, self.lanes, self.sites, self.admission, lease_s=deps.settings.lease_s
        )
        self.heartbeat = Heartbeat(
            active_policy, self.ownership, deps.ledger, self.held, self.turns, self.giving_back, self.sites, deps.router
        )
        self.policy_follower = PolicyFollower(active_policy, self.turns, self.giving_back, self.sites)
        self.allowances = SiteAllowances(journal, active_policy, self.turns, self.giving_back, self.sites)
        self.load_reports = LoadReports(journal, self.ownership, self.sites, self.rates, clock, deps.worked_s)
        self.upkeep = Upkeep(
            journal,
            self.turns,
            self.giving_back,
            self.automation,
            self.sites,
            self.policy_follower,
            self.allowances,
            self.load_reports,
            self.strain,
            deps.tls_results,
            clock,
        )
        self.leaving = Leaving(self.giving_back, self.sites, self.large, wait_s=deps.settings.stop_wait_s, clock=clock)
