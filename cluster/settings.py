"""All settings, as one tree of frozen Structs with the units in the names.

``load`` reads one TOML file and overlays ``POSTRAY_…`` environment variables: ``POSTRAY_HTTP_BIND`` sets ``http.bind``.
The process that starts postray calls it once and passes each part the subtree that it needs.
``examples/postray.example.toml`` documents each key (a test compares the two).
"""

import tomllib
from collections.abc import Mapping
from pathlib import Path
from typing import Any, Literal

import msgspec
from msgspec import field, structs

from cluster.policy.routes.domains import spelled_names
from cluster.policy.routes.host_names import host_port as host_port
from cluster.policy.routes.host_names import public_url
from cluster.settings_check import faults
from cluster.settings_cluster import ClusterSettings as ClusterSettings
from cluster.settings_cluster import RaySettings as RaySettings
from cluster.settings_environment import overlay
from cluster.settings_environment import variable_name as variable_name
from cluster.settings_receiving import BounceSettings as BounceSettings
from cluster.settings_receiving import SubmissionSettings as SubmissionSettings
from cluster.settings_section import Section
from cluster.settings_sending import DeliverySettings as DeliverySettings
from cluster.settings_sending import DnsSettings as DnsSettings
from cluster.settings_sending import SmtpSettings as SmtpSettings
from cluster.settings_sending import TlsReportSettings as TlsReportSettings
from cluster.settings_sending import TlsSettings as TlsSettings
from cluster.settings_stores import AnalyticsSettings as AnalyticsSettings
from cluster.settings_stores import ClickHouseSettings as ClickHouseSettings
from cluster.settings_stores import PostgresSettings as PostgresSettings
from cluster.settings_stores import RetentionSettings as RetentionSettings
from cluster.settings_words import SettingsError as SettingsError
from cluster.settings_words import in_words, keys_of
from cluster.tracking.clients import KeptAddress


class HttpSettings(Section, frozen=True, kw_only=True):
    bind: str = "127.0.0.1:8080"
    """host:port of the HTTP API; port 0 takes a free one."""
    public_url: str = ""
    """The URL under which recipients and clients reach the API from outside, such as https://mail.example.net; "" takes
    http.bind. Branded links of tenants lead to its host."""
    actors_per_node: int = 1
    """API actors (processes) on each node, which share its ports: one keeps one core busy."""
    max_body_bytes: int = 20 * 1024 * 1024
    """A larger request body is refused unread (413). 20 MB is SendGrid's limit."""
    commit_window_ms: float = 2.0
    """How long concurrent requests wait for others to share their commit; a single request does not wait."""
    max_backlog: int = 10_000_000
    """With more deliveries in the queue, new mail is refused (503); 0 sets no bound."""
    min_free_disk_mb: int = 1024
    """With less free space on the embedded journal's disk, new mail is refused (503); 0 sets no bound."""
    max_connections: int = 10_000
    """HTTP connections of one API process; fewer where the limit of open files is lower. At the bound, the connections
    that have waited longest are closed: idle ones first, then unfinished heads, then unread responses."""
    max_connections_per_address: int = 2000
    """The share of one address (IPv6: one /64). Behind a proxy, set it to max_connections."""
    head_timeout_s: float = 10.0
    """Time limit for a request's head, from its first byte; then the request is refused (408)."""
    idle_timeout_s: float = 60.0
    """An idle connection is closed after this. It is longer than clients keep unused connections."""
    trusted_proxies: tuple[str, ...] = ()
    """Networks of proxies whose X-Forwarded-For is believed. Only keys with allowed_networks need it."""

    @property
    def base_url(self) -> str:
        """``public_url``, or the URL of ``bind`` without one."""
        return self.public_url.rstrip("/") or f"http://{self.bind}"

    @property
    def public_host(self) -> str:
        """The host of ``public_url``; "" when there is none that a CNAME record can lead to."""
        return public_url(self.public_url) if self.public_url else ""


class AuthSettings(Section, frozen=True, kw_only=True):
    jwt_secret: str = ""
    """Shared secret of JWTs with HS256, at least 32 bytes; "" accepts none."""
    jwks_url: str = ""
    """URL of the public keys (JWKS) for JWTs with RS256, ES256 or EdDSA; "" accepts none."""
    jwt_issuer: str = ""
    """The ``iss`` that a JWT must have; "" accepts any."""
    jwt_audience: str = ""
    """The ``aud`` that a JWT must have; "" accepts only tokens without one."""


class MessageSettings(Section, frozen=True, kw_only=True):
    max_subject_bytes: int = 998
    """Limit of a subject in UTF-8, with its substitutions. The default is the longest line of RFC 5322 §2.1.1."""
    max_part_bytes: int = 20 * 1024 * 1024
    """Limit of one text part as it is sent: with substitutions and footer, in its transfer encoding."""
    max_bytes: int = 20 * 1024 * 1024
    """Limit of a whole message as it is sent: header, texts, and attachments in base64."""


DEFAULT_LIMITS = MessageSettings()


class LimitSettings(Section, frozen=True, kw_only=True):
    """The limits of a tenant that has none of its own, over the whole cluster; 0 sets none."""

    messages_per_s: float = 10_000.0
    """Messages of mail/send."""
    reads_per_s: float = 100.0
    """Requests of GET /v3/messages."""
    creations_per_min: float = 10.0
    """New keys and webhooks."""
    requests_per_s: float = 1000.0
    """All other requests with a key."""
    messages_per_day: int = 0
    """Messages accepted in a day (UTC)."""


class RateSettings(Section, frozen=True, kw_only=True):
    """When the mail of a tenant bounces, or draws complaints, too often. Shares from 0 to 1; 0 sets no limit."""

    max_bounce_rate: float = 0.1
    """Hard bounces among the last 1,000 recipients whose delivery ended."""
    max_complaint_rate: float = 0.003
    """Complaints among the last 10,000 recipients whose host took the message."""
    pause_over_rates: bool = False
    """Whether a tenant over a limit is suspended; a tenant may have its own answer."""


class DomainSettings(Section, frozen=True, kw_only=True):
    cname_target: str = ""
    """A domain of yours: owners of sender domains publish CNAME records to names below it, and you publish what these
    lead to. "" lets owners publish the records themselves."""
    spf: tuple[str, ...] = ()
    """The mechanisms of the SPF records of return paths, such as "include:_spf.example.com"; none: the addresses of the
    sources of routing.toml, else the host of smtp.helo_name or delivery.relay."""


class TrackingSettings(Section, frozen=True, kw_only=True):
    bind: str = ""
    """host:port of a further HTTP server, which answers only what recipients of mail ask for: /t/… and /i/…; "" leaves
    it to http.bind alone. Port 0 takes a free one. Its limits of connections are those of http."""
    ip: KeptAddress = "full"
    """What is kept of the addresses from which messages are opened and links followed: full; network, the first 24 bits
    of IPv4 and 48 bits of IPv6; or none."""


DEFAULT_TRACKING = TrackingSettings()


DEFAULT_ADMIN_BIND = "127.0.0.1:8090"


class AdminSettings(Section, frozen=True, kw_only=True):
    bind: str = DEFAULT_ADMIN_BIND
    """host:port of the console, pages for operators, and of /api/admin, on each node. It is not encrypted: leave it on
    loopback, or put a TLS proxy before it. "" is none; port 0 takes a free one. The demo takes a free one when the port
    is in use. Its limits of connections are those of http."""


class WebhookSettings(Section, frozen=True, kw_only=True):
    keep_h: float = 72.0
    """What waits for an endpoint is dropped, and counted, after so many hours."""
    keep_mb: int = 2048
    """The most that waits for the endpoints of one tenant; beyond it, the oldest of it is dropped, and counted."""
    retry_schedule_s: tuple[float, ...] = (60, 300, 900, 3600, 7200)
    """Waits after the first, second, … failed post of the same events; the last repeats until keep_h is over. Each
    varies by a tenth."""
    timeout_s: float = 30.0
    """Time limit for a post, from the first packet to the head of the answer."""
    most_endpoints: int = 500
    """Of one tenant."""
    allow_networks: tuple[str, ...] = ()
    """Networks of endpoints that are posted to although they are not public, such as 10.1.0.0/16. Others that are
    private, loopback, link-local or multicast are not, whatever the DNS says."""
    notices_from: str = ""
    """The sender of the mail that tells a tenant of a disabled endpoint: an address of a verified sender domain. "":
    no such mail is sent."""


class CaptureSettings(Section, frozen=True, kw_only=True):
    smtp_bind: str = "127.0.0.1:2525"
    """host:port of the capture sink's SMTP server; port 0 takes a free one."""
    http_bind: str = "127.0.0.1:8025"
    """host:port of the page of captured mail; port 0 takes a free one."""
    keep_messages: int = 10_000
    """Beyond this many, the oldest are dropped."""
    max_message_bytes: int = 40 * 1024 * 1024
    """The limit that the sink announces with SIZE (RFC 1870)."""


class MetricsSettings(Section, frozen=True, kw_only=True):
    bind: str = ""
    """host:port of a server on each node that answers GET /metrics and nothing else; "" leaves it to http.bind. Port 0
    takes a free one."""


class LogSettings(Section, frozen=True, kw_only=True):
    level: Literal["debug", "info", "warning", "error"] = "info"
    """Level of postray's own loggers; libraries log warnings."""
    levels: dict[str, Literal["debug", "info", "warning", "error"]] = field(default_factory=dict)
    """Levels of single loggers, such as {"actors.delivery" = "debug"}."""
    max_bytes: int = 50_000_000
    """A log file is rotated at this size; five old ones are kept."""


class Settings(Section, frozen=True, kw_only=True):
    data_dir: str = "postray-data"
    """The folder of all data that must outlive a process."""
    secret: str = ""
    """Key that seals private keys in the database (32 bytes, URL-safe base64); "" keeps one in data_dir/secret.key."""
    previous_secret: str = ""
    """The secret before the last change; what it sealed is sealed anew at the start. "": none."""
    demo: bool = True
    """Whether the start makes a tenant to try postray with: "demo", which may send from mail.example.com, and its key
    in data_dir/demo.key. What an earlier start made stays."""
    http: HttpSettings = HttpSettings()
    auth: AuthSettings = AuthSettings()
    message: MessageSettings = DEFAULT_LIMITS
    limits: LimitSettings = LimitSettings()
    tenants: RateSettings = RateSettings()
    postgres: PostgresSettings = PostgresSettings()
    clickhouse: ClickHouseSettings = ClickHouseSettings()
    analytics: AnalyticsSettings = AnalyticsSettings()
    ray: RaySettings = RaySettings()
    cluster: ClusterSettings = ClusterSettings()
    delivery: DeliverySettings = DeliverySettings()
    smtp: SmtpSettings = SmtpSettings()
    dns: DnsSettings = DnsSettings()
    tls: TlsSettings = TlsSettings()
    tls_reports: TlsReportSettings = TlsReportSettings()
    bounce: BounceSettings = BounceSettings()
    submission: SubmissionSettings = SubmissionSettings()
    domains: DomainSettings = DomainSettings()
    tracking: TrackingSettings = DEFAULT_TRACKING
    admin: AdminSettings = AdminSettings()
    webhooks: WebhookSettings = WebhookSettings()
    retention: RetentionSettings = RetentionSettings()
    capture: CaptureSettings = CaptureSettings()
    metrics: MetricsSettings = MetricsSettings()
    log: LogSettings = LogSettings()


PATHS = (("data_dir",), ("tls", "ca_file"), ("delivery", "shaping_file"), ("delivery", "routing_file"))
"""Keys whose values are files or folders."""


def load(path: Path | None, environ: Mapping[str, str]) -> Settings:
    """The settings of a TOML file (None: only defaults), overlaid with the environment.

    Raises SettingsError, which names the key, for unknown keys, wrong types and values that contradict each other.
    """
    tree: dict[str, Any] = {}
    if path is not None:
        try:
            tree = tomllib.loads(path.read_text(encoding="utf-8-sig"))  # some editors begin a file with a BOM
        except OSError as error:
            raise SettingsError(f"cannot read {path}: {error.strerror}") from error
        except (tomllib.TOMLDecodeError, UnicodeDecodeError) as error:
            raise SettingsError(f"{path} is not TOML: {error}") from error
        _follow(tree, path.absolute().parent)
    overlay(tree, environ, keys_of(Settings))
    try:
        settings = msgspec.convert(tree, Settings)
    except msgspec.ValidationError as error:
        raise SettingsError(in_words(str(error), Settings)) from error
    settings = _spelled(settings)
    for key, fault in faults(settings):
        raise SettingsError(f"{key}: {fault}")
    return settings


def _follow(tree: dict[str, Any], folder: Path) -> None:
    """Resolve relative paths against the folder of the file that names them. Paths in environment variables stay
    relative to the current folder."""
    if folder == Path.cwd():
        return
    for *sections, name in PATHS:
        table: Any = tree
        for section in sections:
            table = table.get(section, {}) if isinstance(table, dict) else {}
        if isinstance(table, dict) and isinstance(named := table.get(name), str) and named:
            table[name] = str(folder / named)


def _spelled(settings: Settings) -> Settings:
    """The settings with the names of hosts and sites normalised. Raises SettingsError for an invalid name."""
    delivery, smtp = settings.delivery, settings.smtp
    relay, helo_name = spelled_names(delivery.relay), spelled_names(smtp.helo_name).removesuffix(".")
    split_sites = {spelled_names(site): shares for site, shares in delivery.split_sites.items()}
    bounce_host = spelled_names(settings.bounce.host).removesuffix(".")
    cname_target = spelled_names(settings.domains.cname_target).removesuffix(".")
    names = {"delivery.relay": relay, "smtp.helo_name": helo_name, "delivery.split_sites": "".join(split_sites)}
    names |= {"bounce.host": bounce_host, "domains.cname_target": cname_target}
    for key, name in names.items():
        if not name.isascii():
            raise SettingsError(f"{key}: {name!r} is not the name of a host")
    return structs.replace(
        settings,
        delivery=structs.replace(delivery, relay=relay, split_sites=split_sites),
        smtp=structs.replace(smtp, helo_name=helo_name),
        bounce=structs.replace(settings.bounce, host=bounce_host),
        domains=structs.replace(settings.domains, cname_target=cname_target),
    )


def keys() -> list[str]:
    """Every key, dotted, as the example file documents it."""
    return [".".join(path) for path, _ in keys_of(Settings)]
