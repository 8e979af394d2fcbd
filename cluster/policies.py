"""Putting shaping.toml and routing.toml in force: read, checked as a whole, and stored as one version.

Called by ``postray up`` with the files, and by the API with what an operator sends. Every process follows the journal's
last version; nobody reads the files again. Routing may hold passwords, so it lies in the journal sealed.
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
"""What each is called where it is refused."""

DEFAULT_DELIVERY = DeliverySettings()
LONGEST_CONNECTION_S = 600.0
"""A connection that is never closed keeps to hosts that a receiver has taken out of its DNS."""
MOST_RECIPIENTS = 100
"""RFC 5321 §4.5.3.1.8: a host takes at least 100 in one transaction."""


class BadPolicies(Exception):
    """A file cannot be put in force; the reason names what in it is at fault."""

    def __init__(self, file: str, reason: str) -> None:
        super().__init__(file, reason)
        self.file = file
        self.reason = reason

    def __str__(self) -> str:
        return f"{self.file}: {self.reason}"


def base_limits(settings: DeliverySettings) -> Limits:
    """What holds where no rule says anything: the settings."""
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
    """The text of shaping.toml over the settings. Raises ShapingError."""
    return Shaping.parse(text, base=base_limits(settings), default=base_limits(DEFAULT_DELIVERY))


def rate_of(per_second: float) -> Rate | None:
    """A setting in messages a second; 0 sets no limit."""
    if not per_second:
        return None
    return Rate(int(per_second), 1.0) if per_second == int(per_second) else Rate(1, 1 / per_second)


def check_policies(settings: DeliverySettings, shaping: str, routing: str) -> tuple[Shaping, Routing]:
    """Both, from their texts. Raises BadPolicies."""
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
    """Store these texts as what is in force: the new version, or None when they are in force already.

    Raises BadPolicies, Unavailable, and WrongKey when what is in force was sealed with another secret.
    """
    check_policies(settings, shaping, routing)
    last = await journal.policies.active()
    in_force = (last.shaping, vault.open(last.routing).decode()) if last else ("", "")
    if in_force == (shaping, routing):
        return None
    return await journal.policies.activate(shaping, vault.seal(routing.encode()))


class PolicyFiles(Struct, frozen=True):
    """The text of both; "" for one that there is not."""

    shaping: str
    routing: str


def read_files(settings: DeliverySettings) -> PolicyFiles:
    """What the files of the settings say now, checked. Raises BadPolicies."""
    files = PolicyFiles(_read("shaping_file", settings.shaping_file), _read("routing_file", settings.routing_file))
    check_policies(settings, files.shaping, files.routing)
    return files


def _read(key: str, name: str) -> str:
    try:
        return Path(name).read_text(encoding="utf-8-sig")
    except FileNotFoundError:
        return ""
    except (OSError, UnicodeDecodeError) as error:
        reason = (error.strerror if isinstance(error, OSError) else None) or str(error)
        raise BadPolicies(f"delivery.{key}: {name}", f"cannot be read: {reason}") from error
