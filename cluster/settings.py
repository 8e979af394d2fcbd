"""Every knob, one tree of frozen Structs, units in the names.

``load`` reads one TOML file and lays ``POSTRAY_…`` variables over it: ``POSTRAY_HTTP_BIND`` sets ``http.bind``.
It is called once, by the process that starts postray; everything else is handed the subtree it needs.
``examples/postray.example.toml`` documents each key (a test holds the two together).
"""

import tomllib
import types
from collections.abc import Mapping
from pathlib import Path
from typing import Any, Literal, Union, get_args, get_origin

import msgspec
from msgspec import Struct, field, structs

from cluster.policy.routes.domains import spelled_names
from cluster.policy.routes.host_names import host_port as host_port
from cluster.settings_check import faults
from cluster.settings_words import in_words, keys_of, nearest_names, number


class SettingsError(Exception):
    """The configuration cannot be used; the message names the key or variable at fault."""

    def __init__(self, message: str) -> None:
        super().__init__(message)


class _Section(Struct, frozen=True, kw_only=True, forbid_unknown_fields=True):
    pass


class HttpSettings(_Section, frozen=True, kw_only=True):
    bind: str = "127.0.0.1:8080"
    """host:port of the HTTP API; port 0 takes a free one."""
    max_body_bytes: int = 20 * 1024 * 1024
    """A request body above this is refused unread (413). SendGrid's bound, 20 MB."""
    commit_window_ms: float = 2.0
    """How long requests that arrive together wait for others to share their commit; one alone does not wait."""
    max_backlog: int = 10_000_000
    """With more deliveries in the queue, nothing is accepted (503); 0 sets no bound."""
    min_free_disk_mb: int = 1024
    """With less room left on the embedded journal's disk, nothing is accepted (503); 0 sets no bound."""
    max_connections: int = 10_000
    """HTTP connections of one API process; fewer where it may not open so many files. At the bound, those that wait
    longest go first: idle ones, then unfinished heads, then answers that are not read."""
    max_connections_per_address: int = 2000
    """Of these, from one address (IPv6: from one /64). Behind a proxy, as many as max_connections."""
    head_timeout_s: float = 10.0
    """A request's head is complete so long after its first byte, or the request is refused (408)."""
    idle_timeout_s: float = 60.0
    """A connection without a request is closed after this; longer than clients keep unused ones."""


class MessageSettings(_Section, frozen=True, kw_only=True):
    max_subject_bytes: int = 998
    """Of a subject in UTF-8, with its substitutions. The default is RFC 5322's longest line."""
    max_part_bytes: int = 20 * 1024 * 1024
    """Of one text of a message as it is sent: filled in, with its footer, in its transfer encoding."""
    max_bytes: int = 20 * 1024 * 1024
    """Of a whole message as it is sent: header, texts, and attachments in base64."""


DEFAULT_LIMITS = MessageSettings()


class PostgresSettings(_Section, frozen=True, kw_only=True):
    dsn: str = ""
    """libpq connection string; "" starts the embedded server in data_dir."""


class ClickHouseSettings(_Section, frozen=True, kw_only=True):
    dsn: str = ""
    """clickhouse(s)://user:password@host:port/database; "" uses the embedded engine (chDB) in data_dir."""
    poll_interval_ms: int = 100
    """How often the recorder looks for new events when there were none."""


class RaySettings(_Section, frozen=True, kw_only=True):
    address: str = ""
    """host:port of a running Ray cluster to join; "auto" the one that this machine is a node of; "" starts one in
    place, on loopback."""
    object_store_mb: int = 256
    """Size of the object store of a cluster started in place."""


class DeliverySettings(_Section, frozen=True, kw_only=True):
    mode: Literal["capture", "direct", "relay"] = "capture"
    """capture: all mail to the built-in sink. direct: to the recipients' mail exchangers. relay: to a smarthost."""
    relay: str = ""
    """host:port of the smarthost, for mode "relay"."""
    actors_per_node: int = 2
    connections_per_site: int = 20
    """Connections to one site over the whole cluster."""
    messages_per_s_per_site: float = 0.0
    """Messages a second to one site over the whole cluster; 0 sets no limit."""
    messages_per_connection: int = 1000
    """A connection is closed (QUIT) after this many transactions."""
    connection_idle_s: float = 30.0
    """An unused connection is closed (QUIT) after this long."""
    window: int = 5000
    """Deliveries that one delivery actor holds in memory at most, over all its sites."""
    shaping_file: str = "shaping.toml"
    """Limits by site, source and tenant; need not exist. "postray shaping reload" puts a changed one in force."""
    routing_file: str = "routing.toml"
    """Sources, pools and routes; need not exist. Put in force with shaping_file."""
    capture_sink: bool = False
    """The capture sink runs in the other modes as well, for routes via "capture"."""
    split_sites: dict[str, int] = field(default_factory=dict)
    """Sites too hot for one process, such as {"google.com" = 2}: split into so many shares of their limits."""
    lease_s: float = 60.0
    """How long a delivery actor may hold a delivery without claiming it."""
    sending_lease_s: float = 1800.0
    """How long a claimed delivery may stay without an outcome; longer than any SMTP transaction may last."""
    stop_wait_s: float = 60.0
    """When postray stops, it waits so long for the answers of hosts that have the whole of a message: without one it
    would have to be sent again. All else is given back at once; a second signal ends the wait."""
    offer_grace_s: float = 10.0
    """A freshly accepted delivery is offered to its owner directly; the scheduler looks at it only after this."""
    lifetime_s: float = 259200.0
    """A message that is not delivered this long after its send time fails."""
    retry_schedule_s: tuple[float, ...] = (60, 300, 900, 1800, 3600, 7200, 14400)
    """Waits between attempts after a transient failure; the last repeats until the lifetime ends."""


class SmtpSettings(_Section, frozen=True, kw_only=True):
    port: int = 25
    """Port of the mail exchangers in direct mode."""
    helo_name: str = ""
    """Given in EHLO: a domain name or an address literal ("[192.0.2.1]"); "" takes this host's fully qualified name."""
    allowed_networks: tuple[str, ...] = ()
    """Networks that are not public and are connected to all the same, when the DNS says so: mail exchangers in direct
    mode, and servers of MTA-STS policies. A domain's owner chooses its addresses, so without this nothing private,
    shared, link-local, loopback or reserved is. A smarthost is the operator's own choice and may be anywhere."""
    prohibited_networks: tuple[str, ...] = ()
    """Public networks that are not connected to, or parts of the allowed ones."""
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


class DnsSettings(_Section, frozen=True, kw_only=True):
    nameservers: tuple[str, ...] = ()
    """ip:port of the resolvers to ask; empty takes the system's."""
    timeout_s: float = 5.0
    """For one query to one server."""
    tries: int = 2
    lookups_at_once: int = 512
    """Questions under way in one process; more wait for their turn."""
    cache_entries: int = 100_000
    """Answers that one process remembers, some 0.5 KB each; the least used go first."""
    stale_s: float = 86400.0
    """An answer that has expired is used for so long when the DNS does not answer (RFC 8767); 0 never uses one."""


class TlsSettings(_Section, frozen=True, kw_only=True):
    ca_file: str = ""
    """PEM file of the authorities that are trusted, for mail exchangers and policies; "" takes the system's."""
    mta_sts: bool = True
    """Policies that domains publish by MTA-STS (RFC 8461) are fetched and followed."""
    mta_sts_port: int = 443
    """Port of the HTTPS servers that publish them."""
    mta_sts_timeout_s: float = 20.0
    """For fetching one. RFC 8461 §3.3 suggests a minute; the domain's first mail waits for it."""
    dane: bool = False
    """TLSA records are followed (RFC 7672). Only with dns.nameservers that validate DNSSEC, on a way that nobody can
    tamper with: their word (the AD bit) is believed."""
    broken_host_s: float = 3600.0
    """An opportunistic host on which TLS breaks is sent to in plain text for this long."""
    cache_entries: int = 10_000
    """Policies, TLSA answers and broken hosts kept, of each."""
    results_keep_days: int = 30
    """For so long the journal keeps its counts for TLS reports (RFC 8460)."""


class CaptureSettings(_Section, frozen=True, kw_only=True):
    smtp_bind: str = "127.0.0.1:2525"
    """host:port of the capture sink's SMTP server; port 0 takes a free one."""
    http_bind: str = "127.0.0.1:8025"
    """host:port of the page of captured mail; port 0 takes a free one."""
    keep_messages: int = 10_000
    """The oldest are dropped beyond this many."""
    max_message_bytes: int = 40 * 1024 * 1024
    """Announced by SIZE (RFC 1870)."""


class LogSettings(_Section, frozen=True, kw_only=True):
    level: Literal["debug", "info", "warning", "error"] = "info"
    """Of postray's own loggers; libraries log warnings."""
    levels: dict[str, Literal["debug", "info", "warning", "error"]] = field(default_factory=dict)
    """Levels of single loggers, such as {"actors.delivery" = "debug"}."""
    max_bytes: int = 50_000_000
    """A log file is rotated at this size; five old ones are kept."""


class Settings(_Section, frozen=True, kw_only=True):
    data_dir: str = "postray-data"
    """Where everything that must outlive a process is kept."""
    secret: str = ""
    """Key that seals private keys in the database (32 bytes, URL-safe base64); "" keeps one in data_dir/secret.key."""
    http: HttpSettings = HttpSettings()
    message: MessageSettings = DEFAULT_LIMITS
    postgres: PostgresSettings = PostgresSettings()
    clickhouse: ClickHouseSettings = ClickHouseSettings()
    ray: RaySettings = RaySettings()
    delivery: DeliverySettings = DeliverySettings()
    smtp: SmtpSettings = SmtpSettings()
    dns: DnsSettings = DnsSettings()
    tls: TlsSettings = TlsSettings()
    capture: CaptureSettings = CaptureSettings()
    log: LogSettings = LogSettings()


PATHS = (("data_dir",), ("tls", "ca_file"), ("delivery", "shaping_file"), ("delivery", "routing_file"))
"""The keys that name files and folders."""


def load(path: Path | None, environ: Mapping[str, str]) -> Settings:
    """The settings of a TOML file (None: only defaults) with the environment over it.

    Raises SettingsError, naming the key, for unknown keys, wrong types and values that do not fit together.
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
    _overlay(tree, environ)
    try:
        settings = msgspec.convert(tree, Settings)
    except msgspec.ValidationError as error:
        raise SettingsError(in_words(str(error), Settings)) from error
    settings = _spelled(settings)
    for key, fault in faults(settings):
        raise SettingsError(f"{key}: {fault}")
    return settings


def _follow(tree: dict[str, Any], folder: Path) -> None:
    """Relative paths follow the file that names them; those of variables the folder that a command is given in."""
    if folder == Path.cwd():
        return
    for *sections, name in PATHS:
        table: Any = tree
        for section in sections:
            table = table.get(section, {}) if isinstance(table, dict) else {}
        if isinstance(table, dict) and isinstance(named := table.get(name), str) and named:
            table[name] = str(folder / named)


def _spelled(settings: Settings) -> Settings:
    """With the names of hosts and sites in the one spelling. Raises SettingsError for one that has none."""
    delivery, smtp = settings.delivery, settings.smtp
    relay, helo_name = spelled_names(delivery.relay), spelled_names(smtp.helo_name).removesuffix(".")
    split_sites = {spelled_names(site): shares for site, shares in delivery.split_sites.items()}
    names = {"delivery.relay": relay, "smtp.helo_name": helo_name, "delivery.split_sites": "".join(split_sites)}
    for key, name in names.items():
        if not name.isascii():
            raise SettingsError(f"{key}: {name!r} is not the name of a host")
    return structs.replace(
        settings,
        delivery=structs.replace(delivery, relay=relay, split_sites=split_sites),
        smtp=structs.replace(smtp, helo_name=helo_name),
    )


def _overlay(tree: dict[str, Any], environ: Mapping[str, str]) -> None:
    known = {variable: (path, kind) for path, kind in keys_of(Settings) for variable in [variable_name(path)]}
    for variable, text in environ.items():
        if not variable.startswith("POSTRAY_"):
            continue
        if variable not in known:
            raise SettingsError(f"unknown variable {variable}{nearest_names(variable, known)}")
        path, kind = known[variable]
        section = tree
        for name in path[:-1]:
            section = section.setdefault(name, {})
            if not isinstance(section, dict):
                raise SettingsError(f"{'.'.join(path[:-1])} must be a table")
        try:
            section[path[-1]] = _parse(text, kind)
        except ValueError as error:
            raise SettingsError(f"{variable}: {error}") from error


def variable_name(path: tuple[str, ...]) -> str:
    """POSTRAY_HTTP_BIND of ("http", "bind")."""
    return "_".join(("POSTRAY", *path)).upper()


def keys() -> list[str]:
    """Every key, dotted: what the example file documents."""
    return [".".join(path) for path, _ in keys_of(Settings)]


def _parse(text: str, kind: Any) -> Any:
    """A variable's text as the type of its key. Lists and tables are written as TOML values, or lists with commas."""
    origin = get_origin(kind)
    if kind is str or origin in (Literal, Union, types.UnionType):
        return text
    if kind in (int, float):
        return number(text, kind)
    if kind is bool:
        if text.lower() not in ("true", "false"):
            raise ValueError(f"{text!r} is neither true nor false")
        return text.lower() == "true"
    if origin is tuple and not text.lstrip().startswith("["):
        element = get_args(kind)[0]
        return [_parse(item.strip(), element) for item in text.split(",") if item.strip()]
    return tomllib.loads(f"value = {text}")["value"]
