"""The HTTP application: its routes, error responses and OpenAPI document. Creating it does no I/O."""

from collections.abc import Callable

from litestar import Litestar
from litestar.datastructures import State
from litestar.openapi.config import OpenAPIConfig
from litestar.openapi.plugins import JsonRenderPlugin, YamlRenderPlugin
from litestar.openapi.spec import Components, SecurityScheme

from analytics.timeline import Timeline
from api.admin.routes import Admin
from api.batches import BatchCalls, Estimate, cannot_tell
from api.docs.serving import Docs
from api.domains.calls import DomainCalls
from api.health import HealthChecks, Readiness
from api.http.access import Caller
from api.http.auth import Authenticator, Tokens
from api.http.body import ApiRequest, BodyBudget
from api.http.documents import ReadyMade
from api.http.errors import answer
from api.http.ignored import list_ignored
from api.http.limiting import add_standing
from api.http.routes import for_caller
from api.images.cache import ImageCache
from api.images.calls import ImageCalls
from api.images.checking import ImageChecks
from api.images.counting import ViewCounts
from api.images.serving import ImageServing
from api.ips import Ips
from api.keys.calls import KeyCalls
from api.links import Aliases, Links
from api.messages.commands import MessageCommands
from api.messages.reading import MessageReading
from api.messages.searching import MessageSearches
from api.messages.showing import MessageShowing
from api.messages.versions import Versions
from api.metrics import MetricsServing
from api.piisend.calls import EmailCalls
from api.piisend.sending import EmailSending
from api.recipients import RecipientCalls
from api.scheduled_sends import ScheduledSendCalls
from api.scopes import Scopes
from api.send.accepting import Accepting
from api.send.handler import MailSending
from api.send.large.requests import Large
from api.send.sending import Sending
from api.settings.calls import SettingCalls
from api.stats.asking import AskRecorder, Counting
from api.stats.calls import StatisticsCalls
from api.stats.classifications import BounceClassifications
from api.submission.server import Submission
from api.suppressions.groups import GroupCalls
from api.suppressions.importing import ListImports
from api.suppressions.lists import SuppressionLists
from api.templates.routes import template_routes
from api.tracking.recording import Engagements
from api.tracking.serving import TrackedUrls, TrackingServing
from api.unsubscribing.calls import UnsubscribePages
from api.webhooks.parts import WebhookParts
from api.webhooks.routes import webhook_routes
from cluster.access.last_use import KeyUses
from cluster.http.application import Application
from cluster.intake.idempotency import Idempotency
from cluster.intake.intake import Intake
from cluster.journal.journal import Journal
from cluster.monitoring.page import MetricsPage
from cluster.routing.active_policy import ActivePolicy
from cluster.settings import DEFAULT_LIMITS, HttpSettings, MessageSettings
from cluster.tenancy.directory import TenantDirectory
from cluster.tenancy.domains.managing import DomainManager
from cluster.tenancy.limiter import TenantLimiter
from cluster.tracking.keys import TokenKeys

DESCRIPTION = (
    "Send mail in bulk and follow it. The shapes are SendGrid v3's: its clients work with the host changed, for the "
    "routes that are here; `/api/v1/emails` is a smaller API for the same mail. "
    "Every answer from 400 up has `errors` and `detail`, a text; in a 422 `detail` is a list: what is not JSON or has "
    "the wrong type, and where. Two answers are not errors of that form: a 409 of cancel, retry or fail has "
    "`message_id`, `status` and `message`, and a 503 of `/readyz` has the parts. `X-Postray-Ignored` names what a "
    "request said in vain, such as unknown fields of its body. Times are ISO-8601, UTC."
)

COMMAND_BYTES = 1024 * 1024
"""The largest body of all routes except those that send: some milliseconds of decoding."""


MakeSubmission = Callable[[Authenticator, Sending, Idempotency], Submission | None]


def no_submission(_authenticator: Authenticator, _sending: Sending, _idempotency: Idempotency) -> None:
    """There is no submission server."""


def create_app(
    settings: HttpSettings,
    *,
    journal: Journal,
    sending: Journal | None = None,
    directory: TenantDirectory,
    limiter: TenantLimiter,
    active_policy: ActivePolicy,
    domains: DomainManager,
    aliases: Aliases,
    intake: Intake,
    images: ImageCache,
    token_keys: TokenKeys,
    engagements: Engagements,
    large: Large,
    timeline: Timeline,
    ask_recorder: AskRecorder,
    webhooks: WebhookParts,
    readiness: Readiness,
    lifetime_s: float,
    estimate: Estimate = cannot_tell,
    limits: MessageSettings = DEFAULT_LIMITS,
    make_submission: MakeSubmission = no_submission,
    helo_name: str = "",
    forwards_reports: bool = False,
    admin: Admin | None = None,
    tokens: Tokens | None = None,
    metrics: MetricsPage | None = None,
) -> Litestar:
    """Create the application from its collaborators. Its lifespan starts and stops the intake; the caller opens and
    closes the journal. ``sending`` is the journal for send requests, by default the same. ``directory`` has the tenants
    and API keys, ``limiter`` their limits, ``domains`` the sender domains, ``active_policy`` the routing. ``aliases``
    looks up CNAME records. ``images`` has the images to serve. ``token_keys`` reads the tokens of tracked mail,
    ``engagements`` notes opens and clicks.
    ``ask_recorder`` asks for statistics, ``estimate`` tells when a batch will be done.
    ``webhooks`` has what the routes of webhooks work with.
    ``make_submission`` makes the submission server, which its lifespan starts and stops too.
    ``lifetime_s`` is the lifetime of a retried message. ``limits`` apply to the composed messages. ``helo_name`` is the
    setting smtp.helo_name, ``forwards_reports`` whether reports are sent on to tenants. ``admin`` has the operators'
    routes; None without a cluster. ``tokens`` verifies JWTs; without it none is accepted. ``metrics`` are those of
    this node; None where a server of their own shows them."""
    image_checks, image_views = ImageChecks(), ViewCounts(journal)
    ips = Ips(active_policy, helo_name)
    uses = KeyUses(journal)
    authenticator = Authenticator(
        directory, limiter, used=uses.note, tokens=tokens, trusted_proxies=settings.trusted_proxies
    )
    versions = Versions(journal)
    steps = Sending(
        sending or journal,
        directory,
        intake.commit,
        limiter,
        pools=lambda: active_policy.routing.pools,
        lifetime_s=lifetime_s,
        public_url=settings.base_url,
        limits=limits,
    )
    once = Idempotency(sending or journal)
    submission = make_submission(authenticator, steps, once)
    searches, showing = MessageSearches(journal), MessageShowing(journal, versions, timeline, limits)
    counting = Counting(ask_recorder, directory)
    accepting = Accepting(authenticator, limiter, steps, once, intake, large, settings.max_body_bytes)
    keyed = for_caller(
        Caller.KEY,
        MailSending(accepting, steps).routes(),
        BatchCalls(journal, estimate).routes(),
        ScheduledSendCalls(journal).routes(),
        RecipientCalls(journal).routes(),
        MessageReading(searches, showing, limits).routes(),
        MessageCommands(journal, versions, lifetime_s, limits).routes(),
        EmailSending(accepting, steps, journal).routes(),
        EmailCalls(journal, searches, showing, limits).routes(),
        DomainCalls(domains).routes(),
        *SettingCalls(journal, directory, forwards_reports=forwards_reports).routes(),
        Links(journal, settings.public_host, aliases).routes(),
        *template_routes(journal, intake, settings),
        BounceClassifications(counting).routes(),
        *StatisticsCalls(counting).routes(),
        SuppressionLists(journal).routes(),
        ListImports(journal).routes(),
        *GroupCalls(journal).routes(),
        *webhook_routes(webhooks),
        ImageCalls(
            journal,
            image_checks,
            images,
            image_views,
            public_url=settings.public_url,
            intake=intake,
        ).routes(),
        ips.routes(),
        ips.writes(),
        Scopes().routes(),
        KeyCalls(journal, directory).routes(),
        guard=authenticator.guard,
    )
    tracked = TrackedUrls(token_keys, engagements, settings.trusted_proxies)
    open_to_all = for_caller(
        Caller.ANYBODY,
        HealthChecks(readiness).routes(),
        ImageServing(images, image_views.note, tracked.image).routes(),
        TrackingServing(tracked).routes(),
        UnsubscribePages(journal, token_keys, tracked.client, tracked.kept).routes(),
        *(() if metrics is None else (MetricsServing(metrics).routes(),)),
    )
    return Application(
        [keyed, open_to_all, Docs().routes(), *(admin.routes(authenticator.guard) if admin else ())],
        request_class=ApiRequest,
        request_max_body_size=min(settings.max_body_bytes, COMMAND_BYTES),
        exception_handlers={Exception: answer},
        before_send=[list_ignored, add_standing],
        on_startup=[
            intake.start,
            uses.start,
            image_views.start,
            engagements.start,
            *((submission.start,) if submission is not None else ()),
        ],
        on_shutdown=[
            *((submission.stop,) if submission is not None else ()),
            large.stop,
            intake.stop,
            uses.stop,
            image_views.stop,
            engagements.stop,
            image_checks.stop,
        ],
        openapi_config=_openapi(),
        state=State({"body_budget": BodyBudget(), "noting": admin.noting if admin else None}),
        # The process configures logging: Litestar would replace its handlers.
        logging_config=None,
        debug=False,
    )


def _openapi() -> OpenAPIConfig:
    return OpenAPIConfig(
        title="postray",
        version="3",
        description=DESCRIPTION,
        path="/schema",
        # Litestar's HTML pages for the document load scripts from the internet; these two formats do not. The page is
        # api/docs.
        render_plugins=[
            ReadyMade(JsonRenderPlugin(path="/openapi.json")),
            ReadyMade(YamlRenderPlugin(path="/openapi.yaml")),
        ],
        components=Components(
            security_schemes={
                "key": SecurityScheme(
                    type="http",
                    scheme="bearer",
                    description="An API key of a tenant, or a JWT, with one of the scopes named here",
                ),
                "operator": SecurityScheme(
                    type="http", scheme="bearer", description="An operator's token: postray operator-token add"
                ),
            }
        ),
    )
