"""Assembles all routes under /api/admin from the collaborators of the API process."""

from collections.abc import Awaitable, Callable, Sequence

from analytics.timeline import Timeline
from api.admin.access import FormerToken, Operators, OperatorsOrKeys
from api.admin.backups import BackupCalls
from api.admin.bouncing import Bouncing
from api.admin.changing import ROOT
from api.admin.domains import DomainAdministration
from api.admin.erasing import Erasing
from api.admin.explaining import Explaining, TriedUntil
from api.admin.exporting import Exporting
from api.admin.histories import Histories
from api.admin.inbound import InboundListing
from api.admin.keys import TenantsKeyCalls
from api.admin.naming import FindSite, NamedSites, NameFinder
from api.admin.nodes import NodeCalls
from api.admin.noting import Noting
from api.admin.operator_tokens import OperatorTokenCalls
from api.admin.placing import Describe, ListSources, Placing, PutInForce
from api.admin.queue_ages import QueueAgesCalls
from api.admin.rerouting import Rerouting
from api.admin.searching import QueueSearch, SiteOf
from api.admin.sending_now import SendingNow
from api.admin.sites import SiteCalls
from api.admin.storing import RETENTION, StorageCalls
from api.admin.suppressing import Suppressing
from api.admin.suspensions import SuspensionCalls
from api.admin.tenant_settings import TenantSettingsCalls
from api.admin.tenants import TenantCalls
from api.admin.tls_reports import TlsReportCalls
from api.admin.token_keys import TokenKeyCalls
from api.admin.tracing import Tracing
from api.admin.unlisting import Unlisting
from api.admin.webhooks import WebhookOverview
from api.http.access import Caller
from api.http.routes import Guard, RouteGroup, for_caller, resource
from api.webhooks.parts import WebhookParts
from cluster.access.noting import Notes
from cluster.access.terms import network
from cluster.journal.journal import Journal
from cluster.peers import Call
from cluster.routing.deliverers import Deliverers
from cluster.routing.parked import Parked
from cluster.settings import RetentionSettings
from cluster.tenancy.directory import TenantDirectory
from cluster.tenancy.domains.managing import DomainManager
from cluster.tenancy.limits import DEFAULTS, RequestLimits
from cluster.tracking.keys import TokenKeys


class Admin:
    """The routes for operators; each part has its own module. The console shows what the parts that have a name here
    answer."""

    def __init__(
        self,
        token: str,
        journal: Journal,
        call: Call,
        directory: TenantDirectory,
        *,
        domains: DomainManager,
        token_keys: TokenKeys,
        timeline: Timeline,
        webhooks: WebhookParts,
        site_of: SiteOf,
        find_site: FindSite,
        tried_until: TriedUntil,
        named_sites: NamedSites,
        describe: Describe,
        sources: ListSources,
        put_in_force: PutInForce,
        retention: RetentionSettings = RETENTION,
        default_limits: RequestLimits = DEFAULTS,
        former_tokens: Sequence[FormerToken] = (),
        trusted_proxies: Sequence[str] = (),
    ) -> None:
        """``token`` is the derived operator token (cluster.keys), ``former_tokens`` are those of former secrets.
        ``call`` calls other actors. ``directory`` has the tenants and API keys of this process,
        ``token_keys`` the keys of tracked mail.
        ``default_limits`` are those of the settings for a tenant. ``trusted_proxies``: networks of proxies whose
        X-Forwarded-For is believed."""
        self.noting = Noting(Notes(journal.operator_audit), tuple(map(network, trusted_proxies)))
        self.operators = Operators(token, journal, former_tokens)
        deliverers = Deliverers(journal, call)
        parked = Parked(journal.queue_control, call)
        self.names = names = NameFinder(journal, deliverers, find_site, named_sites, sources)
        self.histories = histories = Histories(call, site_of)
        search = QueueSearch(journal, site_of, names)
        version: Callable[[], Awaitable[int]] = journal.policies.version
        self.sites = SiteCalls(journal, deliverers, parked, sources, names)
        self.nodes = NodeCalls(journal, call)
        self.suspensions = SuspensionCalls(journal, deliverers, names)
        self.placing = Placing(
            deliverers, describe=describe, sources=sources, put_in_force=put_in_force, version=version
        )
        self.storage = StorageCalls(journal, call, retention)
        self.keys = TenantsKeyCalls(journal, directory, names)
        self.suppressing = Suppressing(journal, names)
        self.domains = DomainAdministration(journal, domains)
        self.tenants = TenantCalls(journal, directory, deliverers)
        self.webhooks = WebhookOverview(webhooks, names)
        self.tracing = Tracing(deliverers, names)
        self.explaining = Explaining(
            journal,
            deliverers,
            parked,
            timeline=timeline,
            site_of=site_of,
            sources=sources,
            tried_until=tried_until,
            histories=histories,
        )
        self._parts = (
            histories,
            QueueAgesCalls(journal, names),
            self.sites,
            BackupCalls(call),
            self.nodes,
            self.storage,
            self.suspensions,
            self.keys,
            Bouncing(journal, search),
            Rerouting(journal, deliverers, search, names),
            SendingNow(journal, deliverers, search),
            self.suppressing,
            Erasing(journal, names),
            Exporting(journal, names, webhooks),
            Unlisting(journal),
            InboundListing(journal),
            self.tracing,
            self.explaining,
            OperatorTokenCalls(journal),
            self.domains,
            self.placing,
            self.tenants,
            TokenKeyCalls(token_keys),
            TlsReportCalls(call),
            self.webhooks,
        )
        self._of_tenants = TenantSettingsCalls(journal, directory, default_limits, retention.bodies_days)

    def routes(self, of_keys: Guard) -> list[RouteGroup]:
        """``of_keys`` is the guard of the routes for keys: some of the routes are for them as well."""
        handlers = [handler for part in self._parts for handler in part.handlers()]
        operating = resource(ROOT, *handlers, tag="operating")
        shared = resource(ROOT, *self._of_tenants.handlers(), tag="tenants")
        either = OperatorsOrKeys(self.operators, of_keys)
        return [
            for_caller(Caller.OPERATOR, operating, guard=self.operators.guard),
            for_caller(Caller.OPERATOR_OR_KEY, shared, guard=either.guard),
        ]
