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
from cluster.settings_environment import overlay
from cluster.settings_environment import variable_name as variable_name
from cluster.settings_receiving import BounceSettings as BounceSettings
from cluster.settings_receiving import SubmissionSettings as SubmissionSettings
from cluster.settings_section import Section
from cluster.settings_stores import AnalyticsSettings as AnalyticsSettings
from cluster.settings_stores import ClickHouseSettings as ClickHouseSettings
from cluster.settings_stores import PostgresSettings as PostgresSettings
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


class RaySettings(Section, frozen=True, kw_only=True):
    address: str = ""
    """host:port of a running Ray cluster to join. "auto" joins the cluster that this machine is a node of; "" starts a
    local one on loopback."""
    object_store_mb: int = 256
    """Size of the object store of a cluster that is started locally."""


class DeliverySettings(Section, frozen=True, kw_only=True):
    mode: Literal["capture", "direct", "relay"] = "capture"
    """capture: all mail to the built-in sink. direct: to the recipients' mail exchangers. relay: to a smarthost."""
    relay: str = ""
    """host:port of the smarthost, for mode "relay"."""
    actors_per_node: int = 2
    connections_per_site: int = 20
    """Connections to one site, for the whole cluster."""
    messages_per_s_per_site: float = 0.0
    """Messages a second to one site, for the whole cluster; 0 sets no limit."""
    messages_per_connection: int = 1000
    """A connection is closed (QUIT) after this many transactions."""
    connection_idle_s: float = 30.0
    """An unused connection is closed (QUIT) after this long."""
    window: int = 5000
    """The most deliveries that one delivery actor holds in memory, over all its sites."""
    shaping_file: str = "shaping.toml"
    """Limits by site, source and tenant. The file is optional. "postray shaping reload" activates a changed one."""
    routing_file: str = "routing.toml"
    """Sources, pools and routes. The file is optional. It is activated together with shaping_file."""
    capture_sink: bool = False
    """The capture sink runs in the other modes as well, for routes via "capture"."""
    split_sites: dict[str, int] = field(default_factory=dict)
    """Sites with too much mail for one process, such as {"google.com" = 2}, and the number of shares of each. A share
    has its part of the site's limits."""
    lease_s: float = 60.0
    """How long a delivery actor may hold a delivery without claiming it."""
    sending_lease_s: float = 1800.0
    """How long a claimed delivery may stay without an outcome. It is longer than any SMTP transaction may last."""
    stop_wait_s: float = 60.0
    """When postray stops, it waits this long for the replies of hosts that have received a whole message: without the
    reply the message would be sent again. All other deliveries are released at once; a second signal ends the wait."""
    offer_grace_s: float = 10.0
    """A newly accepted delivery is offered to its owner directly; the scheduler picks it up only after this."""
    lifetime_s: float = 259200.0
    """A message that is not delivered this long after its send time bounces."""
    dsn_window_s: float = 0.0
    """For so long after a host took a message it counts as sent, not as delivered: the host may still report a failure,
    to bounce.bind. 0: it counts as delivered at once, and a later report still makes it bounced."""
    retry_schedule_s: tuple[float, ...] = (60, 300, 900, 1800, 3600, 7200, 14400)
    """Delays between attempts after transient failures; the last one repeats until the lifetime ends."""


class SmtpSettings(Section, frozen=True, kw_only=True):
    port: int = 25
    """Port of the mail exchangers in direct mode."""
    helo_name: str = ""
    """The name in EHLO: a domain or an address literal ("[192.0.2.1]"); "" takes this host's fully qualified name."""
    allowed_networks: tuple[str, ...] = ()
    """Networks that are not public and may still be connected to when the DNS names them, for mail exchangers in direct
    mode and for servers of MTA-STS policies. A domain's owner chooses its addresses, so by default private, shared,
    link-local, loopback and reserved addresses are refused. A smarthost is the operator's choice, so it is exempt."""
    prohibited_networks: tuple[str, ...] = ()
    """Networks that are never connected to: public ones, or parts of the allowed ones."""
    connect_timeout_s: float = 30.0
    greeting_timeout_s: float = 300.0
    """RFC 5321 §4.5.3.2.1: 5 minutes."""
    mail_timeout_s: float = 300.0
    """RFC 5321 §4.5.3.2.2: 5 minutes."""
    rcpt_timeout_s: float = 300.0
    """RFC 5321 §4.5.3.2.3: 5 minutes."""
    data_initiation_timeout_s: float = 120.0
    """RFC 5321 §4.5.3.2.4: 2 minutes."""
    data_block_timeout_s: float = 180.0
    """RFC 5321 §4.5.3.2.5: 3 minutes."""
    data_termination_timeout_s: float = 600.0
    """RFC 5321 §4.5.3.2.6: 10 minutes."""


class DnsSettings(Section, frozen=True, kw_only=True):
    nameservers: tuple[str, ...] = ()
    """ip:port of the resolvers; empty takes the system's."""
    timeout_s: float = 5.0
    """Time limit of one query to one server."""
    tries: int = 2
    lookups_at_once: int = 512
    """Concurrent queries of one process; more queries wait for their turn."""
    cache_entries: int = 100_000
    """Answers in one process's cache, about 0.5 KB each; the least recently used are dropped first."""
    stale_s: float = 86400.0
    """How long an expired answer is still used when the DNS does not answer (RFC 8767); 0 never uses one."""


class TlsSettings(Section, frozen=True, kw_only=True):
    ca_file: str = ""
    """PEM file of the trusted certificate authorities, for mail exchangers and policies; "" takes the system's."""
    mta_sts: bool = True
    """Whether MTA-STS policies (RFC 8461) of domains are fetched and followed."""
    mta_sts_port: int = 443
    """Port of the HTTPS servers that publish the policies."""
    mta_sts_timeout_s: float = 20.0
    """Time limit for fetching a policy. RFC 8461 §3.3 suggests a minute; the domain's first mail waits for it."""
    dane: bool = False
    """Whether TLSA records are followed (RFC 7672). This needs dns.nameservers that validate DNSSEC and a path to them
    that is safe from tampering, because their AD bit is trusted."""
    broken_host_s: float = 3600.0
    """With level "opportunistic", a host on which TLS fails receives plain text for this long."""
    cache_entries: int = 10_000
    """Size of each cache: policies, TLSA answers, and hosts with broken TLS."""
    results_keep_days: int = 30
    """How long the journal keeps the counts for TLS reports (RFC 8460)."""


class TlsReportSettings(Section, frozen=True, kw_only=True):
    sender: str = ""
    """The sender of the daily TLS reports (RFC 8460), which domains ask for in the DNS: an address of a verified sender
    domain, whose keys sign them. "": none are sent."""
    organization: str = ""
    """Who reports, in words; "" takes the domain of the sender."""
    contact: str = ""
    """Whom the receivers of reports may ask, such as an address; "" takes the sender."""


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
    delivery: DeliverySettings = DeliverySettings()
    smtp: SmtpSettings = SmtpSettings()
    dns: DnsSettings = DnsSettings()
    tls: TlsSettings = TlsSettings()
    tls_reports: TlsReportSettings = TlsReportSettings()
    bounce: BounceSettings = BounceSettings()
    submission: SubmissionSettings = SubmissionSettings()
    domains: DomainSettings = DomainSettings()
    tracking: TrackingSettings = DEFAULT_TRACKING
    webhooks: WebhookSettings = WebhookSettings()
    capture: CaptureSettings = CaptureSettings()
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
