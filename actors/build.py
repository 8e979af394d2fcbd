"""Composition roots: how each actor's object is put together in its own process. topology.py names these functions.

Each imports what it needs itself, so that no process loads the libraries of the others.
"""

import asyncio
import logging
import os
import random
import time
from datetime import UTC, datetime
from functools import partial
from typing import TYPE_CHECKING

from cluster.context import Context, Links
from cluster.tasks import Tasks

if TYPE_CHECKING:
    from actors.capture.sink import CaptureSink
    from actors.delivery.deliverer import Deliverer
    from actors.mail_in.server import MailInServer
    from actors.recorder import Recorder
    from actors.scheduler import Scheduler
    from actors.supervisor import Supervisor
    from actors.tls_reports.reporting import TlsReporting
    from actors.webhooks.actor import WebhooksActor
    from actors.webhooks.client import Client
    from cluster.journal.journal import Journal
    from cluster.lookup.resolver import Resolver
    from cluster.monitoring.server import MetricsServer
    from cluster.policy.routes.networks import Networks
    from cluster.settings import Settings

log = logging.getLogger(__name__)

SCHEDULER_CONNECTIONS = 7
"""Connections to Postgres: five may be taken for minutes or hours, one by rewriting partitions, two by upkeep, two by
erasures that compact. The others page mail."""

DELIVERY_CONNECTIONS = 5
"""Connections to Postgres: three claim loops, outcomes and heartbeat. Other queries take whichever is free."""

WEBHOOK_CONNECTIONS = 4
"""Connections to Postgres: the event log, leases, settling, and one for what is asked of the process."""

LAST_WORDS_S = 6.0
"""What an actor may take to stop, beyond the wait for replies of hosts."""

MAIL_IN_CONNECTIONS = 2
"""Connections to Postgres."""

SUPERVISOR_CONNECTIONS = 2
"""Connections to Postgres: one to take back what is lost, one to look how the queue stands."""

TLS_REPORT_TIMEOUT_S = 30.0
"""For posting a TLS report, from the first packet to the head of the answer."""

RECORDER_CONNECTIONS = 3
"""Connections to Postgres: the event log, what is asked of the process, and the keys of SQL logins."""

TEMPORARY = "postray-tmp"
"""The folder, in the engine's, of temporary files: the engine may write nowhere else."""

RECORDER_NICE = 5
"""Niceness of the recorder: nothing waits for its writes, so other processes go first when the cores are busy."""

WEBHOOKS_NICE = 5
"""Niceness of the process of webhooks: a post can wait a little, mail goes first."""


async def capture(context: Context, links: Links) -> "CaptureSink":
    from actors.capture.accepted import AcceptedMessages
    from actors.capture.sink import CaptureSink
    from analytics.timeline import timelines_of

    accepted = None
    if context.settings.delivery.mode == "capture":
        timeline = timelines_of(links.call, context.data_path)
        accepted = AcceptedMessages(partial(context.open_journal, 1), timeline, context.vault)
    return CaptureSink(context.settings.capture, context.data_path, accepted)


async def recorder(context: Context, links: Links) -> "Recorder":
    from actors.recorder import Recorder
    from actors.sampling.sampler import Sampler
    from analytics.client import keep_temporary_files_in
    from analytics.door.server import SqlDoor, confinement_of
    from analytics.engine import LOCK as ENGINE_LOCK
    from analytics.timeline import RECORDER
    from cluster.installation import running
    from cluster.installation.local_secrets import sql_password
    from cluster.near_calls import socket_of
    from cluster.tenancy.directory import TenantDirectory

    os.nice(RECORDER_NICE)
    settings, data_dir = context.settings, context.data_path
    keep_temporary_files_in(data_dir / "clickhouse" / TEMPORARY)
    journal = await context.open_journal(RECORDER_CONNECTIONS)
    if not settings.clickhouse.dsn:
        # A former one that is paused has the engine's directory still, and may not write any more.
        for pid in await asyncio.to_thread(running.end_users_of, data_dir / "clickhouse" / ENGINE_LOCK):
            log.warning("ended a former recorder pid=%d", pid)
    confine = confinement_of(data_dir, settings.clickhouse)
    recorder = Recorder(
        settings.clickhouse,
        data_dir,
        journal,
        confine=confine,
        retention=settings.retention,
        epoch=context.fence.epoch if context.fence is not None else 0,
    )
    recorder.near = socket_of(data_dir, RECORDER)
    recorder.sampler = Sampler(journal, links.call, recorder.store_samples)
    if settings.analytics.bind:
        recorder.door = SqlDoor(
            settings.analytics,
            settings.clickhouse,
            data_dir,
            settings.analytics.password or sql_password(data_dir) or "",
            TenantDirectory(journal).key,
            require_ready=recorder.ready,
            confine=confine,
        )
    return recorder


async def delivery(context: Context, links: Links) -> "Deliverer":
    from actors.compose.templated import Version
    from actors.compose.tracking.transform import tracking_transform
    from actors.delivery.composing import Composer
    from actors.delivery.connector import Connector
    from actors.delivery.deliverer import Deliverer
    from actors.delivery.ledger import Ledger
    from actors.delivery.marker import Marker
    from actors.delivery.parts import Dependencies
    from actors.delivery.signing import SendingDomains
    from actors.delivery.stall_watch import StallWatch
    from actors.delivery.tls_dialer import TlsDialer
    from cluster.installation.processors import processors_s
    from cluster.lookup.domain_tls import TlsPolicies
    from cluster.lookup.tls_results import TlsResults
    from cluster.routing.build import build_routing, helo_name
    from cluster.templates.store import CompiledTemplates
    from cluster.tenancy.directory import TenantDirectory
    from cluster.tracking.keys import TokenKeys

    settings = context.settings
    journal = await context.open_journal(DELIVERY_CONNECTIONS)
    directory = TenantDirectory(journal)
    routing = build_routing(context, journal)
    results = TlsResults(lambda: datetime.now(UTC))
    policies = TlsPolicies(routing.resolver, settings.tls, settings.dns, clock=time.monotonic, results=results)
    routing.router.tls_of = policies.of_domain
    dialer = TlsDialer(policies, settings.tls, clock=time.monotonic, results=results)
    own = context.data_path / "ledger" / context.name
    marker = Marker(own)
    token_keys = TokenKeys(journal, context.vault)
    await token_keys.load()
    tasks = Tasks()
    tasks.spawn("token keys", token_keys.run())
    dependencies = Dependencies(
        name=context.name,
        node_id=context.node_id,
        settings=settings.delivery,
        journal=journal,
        composer=Composer(
            journal,
            SendingDomains(journal, context.vault, directory, takes_mail=bool(settings.bounce.bind)),
            CompiledTemplates(journal, Version),
            marker,
            lambda: token_keys.newest,
            settings.message,
            lambda content: tracking_transform(
                content.tracking, token_keys.newest, [part.type for part in content.parts]
            ),
        ),
        connector=Connector(routing.resolver, dialer, settings.smtp, helo_name(settings), random=random.random),
        router=routing.router,
        active_policy=routing.active_policy,
        directory=directory,
        ledger=Ledger(own),
        marker=marker,
        stall_watch=StallWatch(own / "stalled"),
        worked_s=time.thread_time,
        processors_s=processors_s,
        tls_results=results,
        random=random.random,
        now=time.time,
        tasks=tasks,
    )
    return Deliverer(dependencies, policies.close)


async def scheduler(context: Context, links: Links) -> "Scheduler":
    from actors.balancing import Balancing
    from actors.compose.probe import signed_probe
    from actors.measuring import StorageWatch
    from actors.purging import purges
    from actors.rating import TenantRating
    from actors.retaining import Retaining
    from actors.scheduler import Scheduler
    from cluster.intake.backpressure import MIB
    from cluster.policy.retention import Retention
    from cluster.routing.build import build_routing
    from cluster.routing.dispatcher import Dispatcher
    from cluster.tenancy.domains.publishing import CurrentPublishing
    from cluster.tenancy.domains.verifying import Verifier
    from cluster.tenancy.rates import RateLimits

    journal = await context.open_journal(SCHEDULER_CONNECTIONS)
    routing = build_routing(context, journal)
    dispatcher = Dispatcher(journal, links.call, routing.router, routing.active_policy)
    verifier = Verifier(
        journal,
        context.vault,
        routing.resolver,
        publishing=CurrentPublishing(context.settings, routing.active_policy),
        sign_probe=signed_probe,
        now=lambda: datetime.now(UTC),
        random=random.random,
    )
    set_ = context.settings.tenants
    limits = RateLimits(bounces=set_.max_bounce_rate, complaints=set_.max_complaint_rate)
    rating = TenantRating(journal, limits, pause=set_.pause_over_rates)
    lease_s = context.settings.delivery.lease_s
    kept = context.settings.retention
    retention = Retention(bodies_days=kept.bodies_days, messages_days=kept.messages_days)
    data_dir = None if context.settings.postgres.dsn else context.data_path
    kept_free_bytes = context.settings.http.min_free_disk_mb * MIB
    return Scheduler(
        journal,
        dispatcher,
        links.call,
        lease_s,
        verifier=verifier,
        rating=rating,
        tls_reporting=_tls_reporting(context.settings, journal, routing.resolver),
        purges=purges(journal, context.settings),
        storage=StorageWatch(journal, data_dir, kept_free_bytes=kept_free_bytes, retention=retention),
        retaining=Retaining(journal, retention, data_dir=data_dir, kept_free_bytes=kept_free_bytes),
        balancing=Balancing(journal, context.settings.delivery.split_sites, now=time.time),
    )


def _tls_reporting(settings: "Settings", journal: "Journal", resolver: "Resolver") -> "TlsReporting | None":
    """None where no reports are sent; then the HTTP client is not loaded."""
    if not settings.tls_reports.sender:
        return None
    from actors.tls_reports.reporting import TlsReporting
    from actors.tls_reports.sending import Sending
    from cluster.policy.routes.networks import networks

    def now() -> datetime:
        return datetime.now(UTC)

    reachable = networks(allowed=settings.smtp.allowed_networks, prohibited=settings.smtp.prohibited_networks)
    client = _http_client(settings, reachable, TLS_REPORT_TIMEOUT_S)
    sending = Sending(journal, client, settings.tls_reports, now=now)
    return TlsReporting(journal, resolver, sending, now=now, random=random.random)


def _http_client(settings: "Settings", reachable: "Networks", timeout_s: float) -> "Client":
    """A client for URLs that others choose. It connects to ``reachable`` addresses only."""
    import ssl

    from actors.webhooks.client import Client
    from cluster.lookup.resolver import Resolver
    from cluster.lookup.trust import trust
    from cluster.policy.routes.mx import UNGUARDED

    trusted = ssl.SSLContext(ssl.PROTOCOL_TLS_CLIENT)
    trust(trusted, settings.tls.ca_file)
    # The client checks each address when it connects to it.
    resolver = Resolver(settings.dns, clock=time.monotonic, random=random.random, guard=UNGUARDED)
    return Client(resolver, reachable, trusted, timeout_s=timeout_s)


async def metrics(context: Context, links: Links) -> "MetricsServer":
    from cluster.monitoring.page import MetricsPage
    from cluster.monitoring.scraping import scraping_of
    from cluster.monitoring.server import MetricsServer

    return MetricsServer(context.settings.metrics.bind, MetricsPage(scraping_of(context, links)))


async def supervisor(context: Context, links: Links) -> "Supervisor":
    from actors.growing import Growing
    from actors.journal_watch import JournalWatch
    from actors.keeping import Keeping
    from actors.supervisor import Supervisor
    from cluster.topology import growth_terms, kinds

    settings = context.settings
    journal = await context.open_journal(SUPERVISOR_CONNECTIONS)
    keeping = Keeping(
        kinds(settings),
        context.home,
        min_nodes=settings.cluster.min_nodes,
        stop_s=settings.delivery.stop_wait_s + LAST_WORDS_S,
        look=links.look,
        start=links.start,
        end=links.end,
        confirm=journal.singletons.confirm,
    )
    terms = growth_terms(settings)
    growing = Growing(journal, keeping, terms, links.ask_for, clock=time.monotonic) if terms is not None else None
    watch = JournalWatch(journal, clock=time.monotonic)
    return Supervisor(journal, links.call, keeping, links.kill, growing=growing, watch=watch)


async def mail_in(context: Context, links: Links) -> "MailInServer":
    from actors.mail_in.forwarding import Forwarding
    from actors.mail_in.server import MailInServer
    from actors.mail_in.taking import Taking
    from cluster.intake.notices import Notices
    from cluster.smtpd.certificate import certificate_of
    from cluster.tenancy.domains.publishing import bounce_host
    from cluster.tracking.keys import TokenKeys

    def now() -> datetime:
        return datetime.now(UTC)

    settings = context.settings.bounce
    host = bounce_host(context.settings)
    journal = await context.open_journal(MAIL_IN_CONNECTIONS)
    forwarding = None
    if settings.forward_from:
        forwarding = Forwarding(Notices(journal, settings.forward_from, now=now), clock=time.monotonic)
    keys = TokenKeys(journal, context.vault)
    feedback = frozenset(map(str.lower, settings.complaint_addresses))
    taking = Taking(journal, lambda: keys.by_id, forwarding, feedback, now=now)
    folder = context.data_path / "mail_in" / context.name
    return MailInServer(
        settings,
        host,
        taking,
        keys,
        partial(certificate_of, host, folder, settings.certificate, settings.key),
        is_draining=lambda: journal.membership.is_draining(context.node_id),
        tell_closed=lambda: journal.membership.tell_closed(context.node_id, context.name),
    )


async def webhooks(context: Context, links: Links) -> "WebhooksActor":
    from actors.webhooks.actor import WebhooksActor
    from actors.webhooks.fanning_out import FanningOut
    from actors.webhooks.poster import Poster
    from actors.webhooks.posting import Posting
    from actors.webhooks.replaying import Replaying
    from actors.webhooks.sweeping import Sweeping
    from actors.webhooks.telling import Telling
    from cluster.intake.notices import Notices
    from cluster.policy.routes.networks import networks
    from cluster.webhooks.known import KnownEndpoints

    os.nice(WEBHOOKS_NICE)
    settings = context.settings
    journal = await context.open_journal(WEBHOOK_CONNECTIONS)
    known = KnownEndpoints(journal)
    reachable = networks(allowed=settings.webhooks.allow_networks, setting="webhooks.allow_networks")
    client = _http_client(settings, reachable, settings.webhooks.timeout_s)
    poster = Poster(client, context.vault, clock=time.monotonic)
    posting = Posting(journal, known, poster, settings.webhooks, random=random.random)
    telling = None
    if sender := settings.webhooks.notices_from:
        telling = Telling(journal, Notices(journal, sender, now=lambda: datetime.now(UTC)), settings.webhooks.keep_h)
    fanning_out = FanningOut(journal, known, context.data_path, posting.wake)
    replaying = Replaying(journal, known, links.call)
    sweeping = Sweeping(journal, settings.webhooks)
    return WebhooksActor(known, fanning_out, posting, poster, replaying, sweeping, telling)
