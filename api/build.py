"""The composition root of the API process; topology.py refers to its function."""

import logging
import time
from collections.abc import Mapping
from datetime import UTC, datetime
from functools import cache, partial
from typing import TYPE_CHECKING

from msgspec import structs

from analytics.timeline import RECORDER, Timeline, timelines_of
from api.admin.routes import Admin
from api.console.sql import asking
from api.scheduled_sends import settle_abandoned
from api.send.large.frames import Setup
from api.send.large.requests import LargeRequests
from api.server import ApiServer
from api.submission.server import SubmissionParts
from api.webhooks.parts import WebhookParts
from cluster import metrics
from cluster.context import Context, Links
from cluster.draining import Draining
from cluster.http.ending import IN_ORDER
from cluster.intake.backpressure import Overloaded, Watch
from cluster.journal.journal import Journal
from cluster.keys import operator_token
from cluster.lookup.tls_results import TlsResults
from cluster.lookup.web_address import web_address
from cluster.metrics import Reading
from cluster.monitoring.page import MetricsPage
from cluster.monitoring.scraping import scraping_of
from cluster.peers import PeerGone, call_within
from cluster.policies import put_in_force
from cluster.policy.backpressure import LoadBounds
from cluster.policy.tls.level import TlsLevel
from cluster.policy.tls.policy import DomainTls
from cluster.routing.active_policy import ActivePolicy
from cluster.routing.build import MailRouting, build_routing, helo_name
from cluster.routing.describe import Describing
from cluster.routing.direct_offers import DirectOffers
from cluster.routing.dispatcher import Dispatcher
from cluster.routing.estimating import Estimating
from cluster.routing.paging import Paging
from cluster.routing.standing_in import StandingIn
from cluster.settings import Settings
from cluster.smtpd.certificate import certificate_of
from cluster.tasks import Tasks
from cluster.tenancy.directory import TenantDirectory
from cluster.tenancy.domains.managing import DomainManager
from cluster.tenancy.domains.publishing import CurrentPublishing
from cluster.tenancy.limiter import TenantLimiter
from cluster.tenancy.limits import RequestLimits
from cluster.topology import SCHEDULER
from cluster.tracking.keys import TokenKeys

if TYPE_CHECKING:
    from cluster.access.tokens import SignedTokens
    from cluster.lookup.domain_tls import TlsPolicies

log = logging.getLogger(__name__)

JOURNAL_CONNECTIONS = 8
SENDING = "sending"
"""The name of this part of the process in Postgres."""
READINESS_S = 10.0
"""How long the supervisor may take to answer. What asks for the readiness gives up soon after."""
VERIFIED_S = 45.0
"""How long the scheduler may take to look a domain's records up."""
SENDING_CONNECTIONS = 4
"""Connections that only send requests use: other requests may take long, and a 202 must not wait for them."""


class Api:
    """The HTTP server and the background tasks of its process: they follow the delivery actors, offer deliveries to
    them, page in what is due while there is no scheduler, measure the load, share the limits of tenants, and finish
    commands that other processes left unfinished."""

    def __init__(
        self,
        server: ApiServer,
        journal: Journal,
        directory: TenantDirectory,
        limiter: TenantLimiter,
        watch: Watch,
        dispatcher: Dispatcher,
        offers: DirectOffers,
        draining: Draining,
        standing_in: StandingIn,
        tasks: Tasks,
        token_keys: TokenKeys,
        large: LargeRequests,
        tokens: "SignedTokens | None" = None,
    ) -> None:
        """``draining`` closes ``server`` while the node drains. ``standing_in`` pages in for want of a scheduler.
        ``token_keys`` has the keys of tracked mail. ``tokens`` verifies JWTs."""
        self._tokens = tokens
        self._large = large  # for its metrics
        self._token_keys = token_keys
        self._server = server
        self._journal = journal
        self._directory = directory
        self._limiter = limiter
        self._watch = watch
        self._draining = draining
        self._standing_in = standing_in
        self._dispatcher = dispatcher
        self._offers = offers
        self._tasks = tasks

    async def start(self) -> None:
        await self._dispatcher.refresh()
        self._tasks.spawn("members", self._dispatcher.keep_fresh())
        self._tasks.spawn("offers", self._offers.run())
        await self._watch.look()  # before the first request
        self._tasks.spawn("backpressure", self._watch.run())
        self._tasks.spawn("tenants", self._directory.run())
        await self._limiter.exchange()  # its shares depend on the processes that there are already
        self._tasks.spawn("limits", self._limiter.run())
        self._tasks.spawn("standing in", self._standing_in.run())
        self._tasks.spawn("settling", settle_abandoned(self._journal))
        self._tasks.spawn("token keys", self._token_keys.run())
        if self._tokens is not None:
            self._tasks.spawn("tokens", self._tokens.run())
        await self._server.start()
        self._tasks.spawn("draining", self._draining.follow())

    async def problem(self) -> str | None:
        if not self._draining.is_closed and not await self._server.health():
            return "the HTTP server ended"
        return self._watch.why_full()

    async def metrics(self) -> list[Reading]:
        return metrics.read(self)

    async def stop(self) -> None:
        await self._server.stop()
        await self._tasks.stop()
        await self._standing_in.stop()


async def api(context: Context, links: Links) -> Api:
    settings = context.settings
    journal = await context.open_journal(JOURNAL_CONNECTIONS)
    sending = await context.open_journal(SENDING_CONNECTIONS, SENDING)
    directory = TenantDirectory(sending)
    tokens = signed_tokens(settings, directory)
    limiter = TenantLimiter(
        context.name, sending.tenant_load, directory, RequestLimits(**structs.asdict(settings.limits))
    )
    routing = build_routing(context, journal)
    dispatcher = Dispatcher(journal, links.call, routing.router, routing.active_policy)
    offers = DirectOffers(dispatcher, links.share)

    watch = Watch(
        LoadBounds(backlog=settings.http.max_backlog, free_disk_mb=settings.http.min_free_disk_mb),
        backlog=journal.queue.backlog,
        count_backlog=journal.queue.count_backlog,
        journal_dir=None if settings.postgres.dsn else context.data_path,
    )

    async def readiness() -> Mapping[str, str | None]:
        try:
            parts: Mapping[str, str | None] = await call_within(READINESS_S, links.call, "supervisor", "readiness")
        except PeerGone as gone:
            return {"supervisor": gone.reason}
        return {**parts, **routing.active_policy.readiness()}

    timeline = timelines_of(links.call, context.data_path)
    estimating = Estimating(
        journal, routing.router, routing.active_policy, partial(links.call, RECORDER), clock=time.monotonic
    )
    token_keys = TokenKeys(journal, context.vault)
    domains = domain_manager(context, links, journal, routing.active_policy)
    webhooks = WebhookParts(journal=journal, vault=context.vault, settings=settings.webhooks, call=links.call)
    large = LargeRequests(
        Setup(
            dsn=context.postgres_dsn,
            application=f"{context.name}-large",
            offer_grace_s=settings.delivery.offer_grace_s,
            lifetime_s=settings.delivery.lifetime_s,
            public_url=settings.http.base_url,
            limits=settings.message,
            max_body_bytes=settings.http.max_body_bytes,
        ),
        offers.add,
        limiter,
        lambda: routing.active_policy.routing.pools,
    )
    server = ApiServer(
        settings.http,
        journal=journal,
        sending=sending,
        directory=directory,
        limiter=limiter,
        active_policy=routing.active_policy,
        domains=domains,
        aliases=routing.resolver.aliases,
        lifetime_s=settings.delivery.lifetime_s,
        offers=offers,
        large=large,
        timeline=timeline,
        ask_recorder=partial(links.call, RECORDER),
        webhooks=webhooks,
        readiness=readiness,
        estimate=estimating.estimate,
        ask_sql=asking(links.call, settings.analytics.max_query_s),
        limits=settings.message,
        why_full=watch.why_full,
        helo_name=settings.smtp.helo_name,
        forwards_reports=settings.bounce.forwards,
        admin=admin(context, links, journal, directory, routing, dispatcher, timeline, webhooks, domains, token_keys),
        admin_bind=settings.admin.bind,
        tokens=tokens,
        token_keys=token_keys,
        tracking=settings.tracking,
        submission=submission(context),
        metrics=None if settings.metrics.bind else MetricsPage(scraping_of(context, links)),
    )
    draining = Draining(
        lambda: journal.membership.is_draining(context.node_id),
        lambda: server.stop(IN_ORDER),
        lambda: journal.membership.tell_closed(context.node_id, context.name),
    )
    paging = Paging(journal, dispatcher, settings.delivery.lease_s)

    async def has_scheduler() -> bool:
        return await journal.singletons.living(SCHEDULER) is not None

    return Api(
        server,
        journal,
        directory,
        limiter,
        watch,
        dispatcher,
        offers,
        draining,
        StandingIn(paging, has_scheduler),
        Tasks(),
        token_keys,
        large,
        tokens,
    )


def submission(context: Context) -> SubmissionParts | None:
    """What submission needs; None where the settings name no address for it."""
    settings = context.settings.submission
    if not (settings.bind or settings.tls_bind):
        return None
    host = helo_name(context.settings)
    folder = context.data_path / "submission" / context.name
    return SubmissionParts(settings, host, partial(certificate_of, host, folder, settings.certificate, settings.key))


def signed_tokens(settings: Settings, directory: TenantDirectory) -> "SignedTokens | None":
    """What verifies JWTs; None where the settings accept none. Raises OSError, ssl.SSLError for tls.ca_file."""
    auth = settings.auth
    if not auth.jwt_secret and not auth.jwks_url:
        return None
    # Where no JWTs are accepted, the libraries for them are not loaded.
    from cluster.access.key_set import KeySet, fetching
    from cluster.access.tokens import SignedTokens

    keys = KeySet(fetching(web_address(auth.jwks_url), settings.tls.ca_file)) if auth.jwks_url else None
    return SignedTokens(auth, directory, keys)


def domain_manager(context: Context, links: Links, journal: Journal, policy: ActivePolicy) -> DomainManager:
    """The sender domains in this process. The scheduler looks at their records."""

    async def verify(id: int) -> None:
        try:
            await call_within(VERIFIED_S, links.call, SCHEDULER, "verify_domain", id)
        except PeerGone as gone:
            log.warning("domain not looked at id=%d reason=%r", id, str(gone))
            raise Overloaded("The records cannot be looked up now; try again later") from gone

    return DomainManager(
        journal,
        context.vault,
        publishing=CurrentPublishing(context.settings, policy),
        verify=verify,
        now=lambda: datetime.now(UTC),
    )


def admin(
    context: Context,
    links: Links,
    journal: Journal,
    directory: TenantDirectory,
    routing: MailRouting,
    dispatcher: Dispatcher,
    timeline: Timeline,
    webhooks: WebhookParts,
    domains: DomainManager,
    token_keys: TokenKeys,
) -> Admin:
    """The operators' routes in this process."""
    settings = context.settings

    @cache
    def tls() -> "TlsPolicies":
        # For the few requests about what domains publish: the start does not wait for it. The delivery actors report
        # its counts.
        from cluster.lookup.domain_tls import TlsPolicies

        results = TlsResults(lambda: datetime.now(UTC))
        return TlsPolicies(routing.resolver, settings.tls, settings.dns, clock=time.monotonic, results=results)

    async def tls_of(domain: str, level: TlsLevel) -> DomainTls:
        return await tls().of_domain(domain, level)

    describing = Describing(
        journal,
        routing.active_policy,
        routing.router,
        routing.resolver,
        ring=lambda: dispatcher.ring,
        tls_of=tls_of,
    )
    return Admin(
        operator_token(context.secret_key),
        journal,
        links.call,
        directory,
        domains=domains,
        token_keys=token_keys,
        timeline=timeline,
        webhooks=webhooks,
        site_of=describing.site_of,
        find_site=describing.find_site,
        tried_until=describing.tried_until,
        named_sites=describing.named_sites,
        describe=describing.route,
        sources=describing.sources,
        former_tokens=[(operator_token(one.key), one.until) for one in context.former_secrets],
        put_in_force=partial(put_in_force, journal, context.vault, settings.delivery),
        retention=settings.retention,
        default_limits=RequestLimits(**structs.asdict(settings.limits)),
        trusted_proxies=settings.http.trusted_proxies,
    )
