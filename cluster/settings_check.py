"""Checks settings that have the right types, before any part starts, and reports each fault by its key.

The checks are pure. ``postray up`` finds out whether servers answer and folders are writable.
"""

import base64
import ipaddress
import math
import re
from collections.abc import Callable, Iterator
from typing import TYPE_CHECKING, Any

import msgspec
from msgspec import Struct

from cluster.access.terms import network
from cluster.clickhouse_dsn import server_of
from cluster.lookup.web_address import web_address
from cluster.policy.routes.domains import mail_domain
from cluster.policy.routes.host_names import domain_name, ehlo_name, has_control, host_port, public_url, server
from cluster.tenancy.domains import spf

if TYPE_CHECKING:
    from cluster.settings import AuthSettings, Settings

SECRET_BYTES = 32
JWT_SECRET_BYTES = 32
"""RFC 7518 §3.2: a key of HS256 has at least the size of its hash."""

MOST_DAYS = 3650
"""Of retention."""

_LOCAL_PART = re.compile(r"[A-Za-z0-9!#$%&'*+/=?^_`{|}~-]+(\.[A-Za-z0-9!#$%&'*+/=?^_`{|}~-]+)*", re.ASCII)
"""RFC 5321 §4.1.2, Dot-string."""

MAY_BE_ZERO = frozenset(
    {
        "http.max_backlog",
        "http.min_free_disk_mb",
        "http.commit_window_ms",
        "limits.messages_per_s",
        "limits.reads_per_s",
        "limits.creations_per_min",
        "limits.requests_per_s",
        "limits.messages_per_day",
        "tenants.max_bounce_rate",
        "tenants.max_complaint_rate",
        "cluster.grow_after_s",
        "delivery.messages_per_s_per_site",
        "delivery.connection_idle_s",
        "delivery.dsn_window_s",
        "delivery.offer_grace_s",
        "delivery.stop_wait_s",
        "dns.stale_s",
        "retention.bodies_days",
        "tls.broken_host_s",
        "tls.results_keep_days",
    }
)
"""Numbers for which 0 is valid; all others must be positive."""


def faults(settings: "Settings") -> Iterator[tuple[str, str]]:
    """Each key at fault, and the fault. The text never contains the value of a secret or a DSN."""
    yield from _numbers(settings)
    yield from _controls(msgspec.to_builtins(settings))
    yield from _texts(settings)
    for name, schedule in (
        ("delivery.retry_schedule_s", settings.delivery.retry_schedule_s),
        ("webhooks.retry_schedule_s", settings.webhooks.retry_schedule_s),
    ):
        if not schedule:
            yield name, "must name at least one wait"
    if settings.delivery.mode == "relay" and not settings.delivery.relay:
        yield "delivery.relay", 'mode "relay" needs the smarthost here, as host:port'
    if settings.tls.dane and not settings.dns.nameservers:
        yield "tls.dane", "needs resolvers that validate DNSSEC: name them in dns.nameservers, as ip:port"
    for section, proxies in (
        ("http", settings.http.trusted_proxies),
        ("submission", settings.submission.trusted_proxies),
        ("bounce", settings.bounce.trusted_proxies),
    ):
        for i, text in enumerate(proxies):
            try:
                network(text)
            except ValueError as error:
                yield f"{section}.trusted_proxies[{i}]", str(error)
    for name in ("max_bounce_rate", "max_complaint_rate"):
        if (share := getattr(settings.tenants, name)) > 1:
            yield f"tenants.{name}", f"is a share, at most 1, not {share}"
    kept = settings.retention
    if kept.bodies_days > kept.messages_days:
        yield "retention.bodies_days", f"bodies are not kept longer than their messages ({kept.messages_days} days)"
    for name in ("bodies_days", "messages_days", "events_days", "statistics_days", "samples_days"):
        if getattr(kept, name) > MOST_DAYS:
            yield f"retention.{name}", f"must be at most {MOST_DAYS}"
    if kept.events_days < kept.messages_days:
        yield "retention.events_days", f"events are kept as long as messages ({kept.messages_days} days) at least"
    if kept.statistics_days < kept.events_days:
        yield "retention.statistics_days", f"counts are kept as long as events ({kept.events_days} days) at least"
    yield from _auth(settings.auth)
    if not settings.cluster.roles:
        yield "cluster.roles", "must name at least one role"
    if settings.cluster.min_nodes > settings.cluster.max_nodes:
        yield "cluster.min_nodes", f"is above cluster.max_nodes ({settings.cluster.max_nodes})"
    if settings.ray.address and not settings.postgres.dsn:
        yield "postgres.dsn", "a cluster at ray.address needs a Postgres that every node can reach"


def _numbers(section: Struct, prefix: str = "") -> Iterator[tuple[str, str]]:
    for name in section.__struct_fields__:
        key, value = f"{prefix}{name}", getattr(section, name)
        if isinstance(value, Struct):
            yield from _numbers(value, f"{key}.")
        elif isinstance(value, tuple):
            for i, one in enumerate(value):
                yield from _number(f"{key}[{i}]", one, may_be_zero=False)
        elif isinstance(value, dict):
            for of, one in value.items():
                yield from _number(f"{key}[{of!r}]", one, may_be_zero=False)
        else:
            yield from _number(key, value, may_be_zero=key in MAY_BE_ZERO)


def _number(key: str, value: Any, *, may_be_zero: bool) -> Iterator[tuple[str, str]]:
    if not isinstance(value, int | float) or isinstance(value, bool):
        return
    if not math.isfinite(value):
        yield key, f"must be a finite number, not {value}"
    elif value < 0 and may_be_zero:
        yield key, f"must not be negative, as {value} is"
    elif value <= 0 and not may_be_zero:
        yield key, f"must be above 0, not {value}"


def _controls(value: Any, key: str = "") -> Iterator[tuple[str, str]]:
    """Each key with a control character in its text: every text reaches a file, a socket, the network or a log."""
    if isinstance(value, str):
        if has_control(value):
            yield key, "holds a control character"
    elif isinstance(value, dict):
        for name, one in value.items():
            if has_control(name):
                yield key, f"{name!r} holds a control character"
            yield from _controls(one, f"{key}.{name}".removeprefix("."))
    elif isinstance(value, list | tuple):
        for i, one in enumerate(value):
            yield from _controls(one, f"{key}[{i}]")


def _texts(settings: "Settings") -> Iterator[tuple[str, str]]:
    http, capture, delivery, smtp, dns = (
        settings.http,
        settings.capture,
        settings.delivery,
        settings.smtp,
        settings.dns,
    )
    checks: list[tuple[str, str, Callable[[str], object]]] = [
        ("http.bind", http.bind, host_port),
        ("capture.smtp_bind", capture.smtp_bind, host_port),
        ("capture.http_bind", capture.http_bind, host_port),
    ]
    for key, bind in (
        ("tracking.bind", settings.tracking.bind),
        ("bounce.bind", settings.bounce.bind),
        ("submission.bind", settings.submission.bind),
        ("submission.tls_bind", settings.submission.tls_bind),
        ("analytics.bind", settings.analytics.bind),
        ("metrics.bind", settings.metrics.bind),
        ("admin.bind", settings.admin.bind),
    ):
        if bind:
            checks.append((key, bind, host_port))
    if http.public_url:
        checks.append(("http.public_url", http.public_url, public_url))
    if delivery.relay:
        checks.append(("delivery.relay", delivery.relay, server))
    if smtp.helo_name:
        checks.append(("smtp.helo_name", smtp.helo_name, ehlo_name))
    checks += ((f"dns.nameservers[{i}]", text, _nameserver) for i, text in enumerate(dns.nameservers))
    for key, networks in (
        ("smtp.allowed_networks", smtp.allowed_networks),
        ("smtp.prohibited_networks", smtp.prohibited_networks),
        ("webhooks.allow_networks", settings.webhooks.allow_networks),
    ):
        checks += ((f"{key}[{i}]", network, ipaddress.ip_network) for i, network in enumerate(networks))
    for key, name in (("bounce.host", settings.bounce.host), ("domains.cname_target", settings.domains.cname_target)):
        if name:
            checks.append((key, name, domain_name))
    checks += ((f"domains.spf[{i}]", term, _spf_term) for i, term in enumerate(settings.domains.spf))
    for key, sender in (
        ("webhooks.notices_from", settings.webhooks.notices_from),
        ("bounce.forward_from", settings.bounce.forward_from),
        ("tls_reports.sender", settings.tls_reports.sender),
    ):
        if sender:
            checks.append((key, sender, _sender))
    checks += (
        (f"bounce.complaint_addresses[{i}]", one, _sender) for i, one in enumerate(settings.bounce.complaint_addresses)
    )
    for key, key_text in (("secret", settings.secret), ("previous_secret", settings.previous_secret)):
        if key_text:
            checks.append((key, key_text, _secret))
    if settings.postgres.dsn:
        checks.append(("postgres.dsn", settings.postgres.dsn, _postgres))
    if settings.clickhouse.dsn:
        checks.append(("clickhouse.dsn", settings.clickhouse.dsn, server_of))
    if settings.ray.address:
        checks.append(("ray.address", settings.ray.address, _cluster))
    for key, text, check in checks:
        try:
            check(text)
        except ValueError as error:
            yield key, str(error)
    for key, port in (("smtp.port", smtp.port), ("tls.mta_sts_port", settings.tls.mta_sts_port)):
        if port > 65535:
            yield key, f"{port} is no port: the last is 65535"
    if not settings.data_dir:
        yield "data_dir", "must name a folder"


def _auth(auth: "AuthSettings") -> Iterator[tuple[str, str]]:
    if auth.jwt_secret and len(auth.jwt_secret.encode()) < JWT_SECRET_BYTES:
        yield "auth.jwt_secret", f"is shorter than {JWT_SECRET_BYTES} bytes: openssl rand -base64 48 makes a good one"
    if auth.jwks_url:
        try:
            web_address(auth.jwks_url)
        except ValueError as error:
            yield "auth.jwks_url", str(error)


def _sender(text: str) -> None:
    local_part, at, domain = text.rpartition("@")
    if not at or not _LOCAL_PART.fullmatch(local_part) or mail_domain(domain) is None:
        raise ValueError(f"{text!r} is no address such as notices@mail.example.com")


def _cluster(text: str) -> None:
    if text == "auto":
        return
    try:
        server(text)
    except ValueError as error:
        raise ValueError(f'{error}, nor "auto"') from None


def _spf_term(text: str) -> None:
    try:
        mechanisms = spf.parse(f"v=spf1 {text}").mechanisms
    except spf.BadSpf as error:
        raise ValueError(error.reason) from None
    if [mechanism.name == "all" for mechanism in mechanisms] != [False]:
        raise ValueError(f"{text!r} is not one mechanism of SPF, such as include:_spf.example.com")


def _nameserver(text: str) -> None:
    try:
        host, port = host_port(text)
        ipaddress.ip_address(host)
    except ValueError:
        raise ValueError(f"{text!r} is not ip:port, such as 127.0.0.1:53 or [::1]:53") from None
    if port == 0:
        raise ValueError(f"{text!r} has no port")


def _secret(text: str) -> None:
    try:
        size = len(base64.urlsafe_b64decode(text.encode("ascii")))
    except ValueError:
        size = 0
    if size != SECRET_BYTES:
        raise ValueError(
            "it is not 32 bytes in URL-safe base64, which are 44 characters: "
            "openssl rand -base64 32 | tr +/ -_ makes one"
        )


def _postgres(text: str) -> None:
    # Imported here: most commands of an operator have settings without a DSN, and take half as long without the driver.
    from psycopg import ProgrammingError
    from psycopg.conninfo import conninfo_to_dict

    try:
        conninfo_to_dict(text)
    except ProgrammingError:
        raise ValueError("it is not a libpq connection string, such as postgresql://user@host/database") from None
