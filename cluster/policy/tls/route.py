"""The effective TLS setting along a route, for operators: a relay's level comes from the route, not from shaping;
capture and discard have none."""

from collections.abc import Iterable

from msgspec.structs import replace

from cluster.policy.limits.rules import Origin
from cluster.policy.limits.shaping import Setting
from cluster.policy.routes.routing import Route, Via
from cluster.policy.tls.level import TlsLevel
from cluster.policy.tls.policy import Demand, for_password

TLS = "tls"
"""The key of the setting."""
ROUTING_FILE = "routing.toml"


def relay_level(route: Route) -> TlsLevel:
    """The level that a relay must offer: a password may require more than the route does."""
    asked = Demand(level=route.tls)
    return for_password(asked, route.auth_needs).level if route.username else asked.level


def along(route: Route, settings: Iterable[Setting]) -> list[Setting]:
    """The settings of shaping (``Shaping.explain``) with the TLS level that applies along this route."""
    if route.via is Via.DIRECT:
        return list(settings)
    if route.via is not Via.RELAY:
        return [setting for setting in settings if setting.key != TLS]
    return [_of_relay(route, setting) if setting.key == TLS else setting for setting in settings]


def _of_relay(route: Route, setting: Setting) -> Setting:
    level = relay_level(route)
    is_default = level is Route(via=Via.RELAY).tls
    return replace(
        setting,
        value=level.value,
        rule="" if is_default else f"route {route.number}",
        origin=Origin.DEFAULT.value if is_default else ROUTING_FILE,
        reference="",
    )
