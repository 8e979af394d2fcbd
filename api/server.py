"""The HTTP server of one API process: the application, and the layers between it and the socket.

The actor that hosts the server calls it, and opens and closes the journal.
"""

import asyncio
import logging

from analytics.timeline import Timeline
from api.admin.routes import Admin
from api.app import create_app
from api.batches import Estimate, cannot_tell
from api.console.app import Console
from api.console.front import Front
from api.console.requests import FORM_BYTES
from api.console.sql import AskSql, no_sql
from api.health import Readiness
from api.http.auth import Authenticator, Tokens
from api.http.unread import UnreadBodies
from api.images.cache import ImageCache
from api.images.serving import PATH as IMAGES
from api.links import Aliases
from api.send.large.requests import Large
from api.send.sending import Sending
from api.stats.asking import AskRecorder
from api.submission.server import Submission, SubmissionParts
from api.tracking.recording import Engagements
from api.tracking.serving import PATH as TRACKING
from api.webhooks.parts import WebhookParts
from cluster.http.connections import ConnectionBounds
from cluster.http.ending import AT_ONCE, Ending
from cluster.http.partly import PathsOf
from cluster.http.paths import OneSpelling
from cluster.http.server import HttpServer
from cluster.intake.backpressure import WhyFull, never_full
from cluster.intake.idempotency import Idempotency
from cluster.intake.intake import Intake, Offers
from cluster.journal.journal import Journal
from cluster.monitoring.page import MetricsPage
from cluster.routing.active_policy import ActivePolicy
from cluster.settings import (
    DEFAULT_LIMITS,
    DEFAULT_TRACKING,
    HttpSettings,
    MessageSettings,
    TrackingSettings,
)
from cluster.tenancy.directory import TenantDirectory
from cluster.tenancy.domains.managing import DomainManager
from cluster.tenancy.limiter import TenantLimiter
from cluster.tracking.keys import TokenKeys

log = logging.getLogger(__name__)

HEALTH = frozenset({b"/healthz", b"/readyz"})


class ApiServer:
    """Serves the application from ``start`` to ``stop``."""

    def __init__(
        self,
        settings: HttpSettings,
        *,
        journal: Journal,
        sending: Journal | None = None,
        directory: TenantDirectory,
        limiter: TenantLimiter,
        active_policy: ActivePolicy,
        domains: DomainManager,
        aliases: Aliases,
        token_keys: TokenKeys,
        lifetime_s: float,
        offers: Offers,
        large: Large,
        timeline: Timeline,
        ask_recorder: AskRecorder,
        webhooks: WebhookParts,
        readiness: Readiness,
        estimate: Estimate = cannot_tell,
        ask_sql: AskSql = no_sql,
        limits: MessageSettings = DEFAULT_LIMITS,
        why_full: WhyFull = never_full,
        helo_name: str = "",
        forwards_reports: bool = False,
        admin: Admin | None = None,
        admin_bind: str = "",
        tokens: Tokens | None = None,
        tracking: TrackingSettings = DEFAULT_TRACKING,
        submission: SubmissionParts | None = None,
        metrics: MetricsPage | None = None,
    ) -> None:
        """``sending`` is the journal for send requests, with connections that only they use; by default the same.
        ``directory`` has the tenants and API keys, ``active_policy`` the routing, ``domains`` the sender domains.
        ``aliases`` looks up CNAME records. ``token_keys`` reads the tokens of tracked mail.
        ``lifetime_s`` is delivery.lifetime_s. ``offers`` is called with committed requests (see Intake). ``large``
        accepts large requests. ``ask_recorder`` asks for statistics, ``estimate`` tells when a batch will be done,
        ``ask_sql`` asks the events for the console.
        ``why_full`` returns the reason while the system is full. ``helo_name`` is smtp.helo_name. ``forwards_reports``
        is that of ``BounceSettings``. ``admin`` has the operators' routes, and ``admin_bind`` is where the console
        answers; "": nowhere. ``tokens`` verifies JWTs; without it none is accepted.
        ``submission``: None without a submission server. ``metrics``: None where they are not shown here."""
        self._bind = settings.bind
        self._token_keys = token_keys
        self._intake = intake = Intake(  # kept so that its metrics are read
            (sending or journal).intake.accept,
            commit_window_ms=settings.commit_window_ms,
            offers=offers,
            why_full=why_full,
        )
        self._images = images = ImageCache(journal)  # kept so that its metrics are read
        self.engagements = engagements = Engagements(journal, tracking.ip)  # kept so that its metrics are read
        self.submission: Submission | None = None

        def make_submission(
            authenticator: Authenticator, sending: Sending, idempotency: Idempotency
        ) -> Submission | None:
            if submission is not None:
                self.submission = Submission(submission, limits, authenticator, limiter, intake, sending, idempotency)
            return self.submission

        app = create_app(
            settings,
            journal=journal,
            sending=sending,
            directory=directory,
            limiter=limiter,
            active_policy=active_policy,
            domains=domains,
            aliases=aliases,
            intake=intake,
            images=images,
            token_keys=token_keys,
            engagements=engagements,
            large=large,
            timeline=timeline,
            ask_recorder=ask_recorder,
            webhooks=webhooks,
            readiness=readiness,
            lifetime_s=lifetime_s,
            estimate=estimate,
            limits=limits,
            make_submission=make_submission,
            helo_name=helo_name,
            forwards_reports=forwards_reports,
            admin=admin,
            tokens=tokens,
            metrics=metrics,
        )
        whole = UnreadBodies(OneSpelling(app, app.routes), settings.max_body_bytes)
        bounds = ConnectionBounds(
            connections=settings.max_connections,
            per_address=settings.max_connections_per_address,
            head_timeout_s=settings.head_timeout_s,
            idle_timeout_s=settings.idle_timeout_s,
        )
        self._server = HttpServer(whole, bounds, health=HEALTH)
        self._public = HttpServer(PathsOf(whole, f"{TRACKING}/", f"{IMAGES}/"), bounds) if tracking.bind else None
        self._tracking_bind = tracking.bind
        self.public_url = ""
        """Where what recipients ask for is answered apart; "" until it is, and where it is not."""
        self._console: Console | None = None
        self._console_server: HttpServer | None = None
        if admin is not None and admin_bind:
            self._console = Console(
                admin,
                journal,
                readiness,
                timeline=timeline,
                lifetime_s=lifetime_s,
                limits=limits,
                limits_of=lambda site: active_policy.shaping.explain(site, hosts=active_policy.hosts_of(site)),
                estimate=estimate,
                ask_sql=ask_sql,
                trusted_proxies=settings.trusted_proxies,
            )
            front = Front(UnreadBodies(self._console.app, FORM_BYTES), whole)
            self._console_server = HttpServer(front, bounds)
        self._admin_bind = admin_bind
        self.console_url = ""
        """Where the console answers; "" until it does, and where there is none."""

    async def start(self) -> str:
        """Listen; returns the base URL with the actual port. Raises OSError when an address is not available,
        CannotStart, Unavailable."""
        await self._token_keys.load()
        started: list[HttpServer] = []
        try:
            url = await _listen(self._server, self._bind)
            started.append(self._server)
            if self._public is not None:
                self.public_url = await _listen(self._public, self._tracking_bind)
                started.append(self._public)
            if self._console_server is not None:
                self.console_url = await _listen(self._console_server, self._admin_bind)
        except BaseException:
            for server in started:
                await server.stop()
            raise
        return url

    async def health(self) -> bool:
        """Whether the server is running."""
        return all(server.running() for server in (self._server, self._public, self._console_server) if server)

    async def stop(self, ending: Ending = AT_ONCE) -> None:
        """Accept no more connections, neither over HTTP nor for submission, let what is in progress finish, and end."""
        if self._console is not None:
            self._console.end_live()
        self._server.refuse(ending)
        others = [server.stop(ending) for server in (self._console_server, self._public) if server]
        if self.submission is not None:
            others.append(self.submission.stop())
        await asyncio.gather(*others)
        # The server of the whole application is the last: it ends the intake with itself.
        await self._server.stop(ending)


async def _listen(server: HttpServer, bind: str) -> str:
    url = await server.listen(bind)  # several API processes on one machine share the port
    log.info("listening url=%s", url)
    return url
