"""Activates shaping.toml and routing.toml: reads them, checks them together, and stores them as one version.

``postray up`` calls this module with the files, the API with the texts that an operator sends. Every process follows
the latest version in the journal; the files are not read again. Routing may hold passwords, so the journal stores it
encrypted.
"""

from pathlib import Path

from msgspec import Struct

from cluster.journal.journal import Journal
from cluster.policy.limits.quantities import Rate
from cluster.policy.limits.rules import ShapingError
from cluster.policy.limits.shaping import Limits, Shaping
from cluster.policy.replies.onward import NextHost
from cluster.policy.routes.routing import Routing, RoutingError, Via
from cluster.policy.tls.level import TlsLevel
from cluster.settings import DeliverySettings
from cluster.topology import has_sink
from cluster.vault import Vault

SHAPING = "shaping"
ROUTING = "routing"
"""The names of the two in error messages."""

DEFAULT_DELIVERY = DeliverySettings()
LONGEST_CONNECTION_S = 600.0
"""A connection without an age limit could stay on a host that the DNS no longer names."""
MOST_RECIPIENTS = 100
"""RFC 5321 §4.5.3.1.8: a host must accept at least 100 recipients in one transaction."""


class BadPolicies(Exception):
    """A file cannot be activated; the reason names the fault in it."""

    def __init__(self, file: str, reason: str) -> None:
        super().__init__(file, reason)
        self.file = file
        self.reason = reason

    def __str__(self) -> str:
        return f"{self.file}: {self.reason}"


def base_limits(settings: DeliverySettings) -> Limits:
    """The limits where no rule applies: those of the settings."""
    return Limits(
        connections=settings.connections_per_site,
        connections_per_ip=0,
        messages_per_connection=settings.messages_per_connection,
        connection_idle_s=settings.connection_idle_s,
        connection_age_s=LONGEST_CONNECTION_S,
        message_rate=rate_of(settings.messages_per_s_per_site),
        connection_rate=None,
        next_host=NextHost.AT_ONCE,
        recipients_per_transaction=MOST_RECIPIENTS,
        retry_schedule_s=settings.retry_schedule_s,
        lifetime_s=settings.lifetime_s,
        tls=TlsLevel.OPPORTUNISTIC,
    )


def shaping_of(text: str, settings: DeliverySettings) -> Shaping:
    """The parsed text of shaping.toml, with the settings as its defaults. Raises ShapingError."""
    return Shaping.parse(text, base=base_limits(settings), default=base_limits(DEFAULT_DELIVERY))


def rate_of(per_second: float) -> Rate | None:
    """The rate of a setting in messages a second; None for 0, which sets no limit."""
    if not per_second:
        return None
    return Rate(int(per_second), 1.0) if per_second == int(per_second) else Rate(1, 1 / per_second)


def check_policies(settings: DeliverySettings, shaping: str, routing: str) -> tuple[Shaping, Routing]:
    """The parsed shaping and routing. Raises BadPolicies."""
    try:
        limits = shaping_of(shaping, settings)
    except ShapingError as error:
        raise BadPolicies(SHAPING, str(error)) from error
    try:
        ways = Routing.parse(routing, settings.mode, settings.relay)
    except RoutingError as error:
        raise BadPolicies(ROUTING, str(error)) from error
    if ways.uses(Via.CAPTURE) and not has_sink(settings):
        raise BadPolicies(ROUTING, 'a route is via "capture", and no sink runs: set delivery.capture_sink')
    return limits, ways


async def put_in_force(
    journal: Journal, vault: Vault, settings: DeliverySettings, shaping: str, routing: str
) -> int | None:
    """Store these texts as the active policy. Returns the new version, or None when they are active already.

    Raises BadPolicies, Unavailable, and WrongKey when the active policy was encrypted with another secret.
    """
    check_policies(settings, shaping, routing)
    last = await journal.policies.active()
    active_policy = (last.shaping, vault.open(last.routing).decode()) if last else ("", "")
    if active_policy == (shaping, routing):
        return None
    return await journal.policies.activate(shaping, vault.seal(routing.encode()))


class PolicyFiles(Struct, frozen=True):
    """The texts of both files; "" for a file that does not exist."""

    shaping: str
    routing: str


def read_files(settings: DeliverySettings) -> PolicyFiles:
    """Read and check the files that the settings name. Raises BadPolicies."""
    files = _texts(settings)
    check_policies(settings, files.shaping, files.routing)
    return files


def parse_files(settings: DeliverySettings) -> tuple[Shaping, Routing]:
    """The parsed files that the settings name. Raises BadPolicies."""
    files = _texts(settings)
    return check_policies(settings, files.shaping, files.routing)


def _texts(settings: DeliverySettings) -> PolicyFiles:
    return PolicyFiles(_read("shaping_file", settings.shaping_file), _read("routing_file", settings.routing_file))


def _read(key: str, name: str) -> str:
    try:
        return Path(name).read_text(encoding="utf-8-sig")
    except FileNotFoundError:
        return ""
    except (OSError, UnicodeDecodeError) as error:
        reason = (error.strerror if isinstance(error, OSError) else None) or str(error)
        raise BadPolicies(f"delivery.{key}: {name}", f"cannot be read: {reason}") from error
