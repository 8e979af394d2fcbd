"""What the records of all sender domains share, from the settings and the active routing."""

import socket

from cluster.policy.routes.host_names import host_port
from cluster.policy.routes.mx import is_address
from cluster.policy.routes.routing import Routing
from cluster.routing.active_policy import ActivePolicy
from cluster.routing.build import helo_name
from cluster.settings import Settings
from cluster.tenancy.domains.records import Publishing


class CurrentPublishing:
    """What domains publish now. It is made again when the routing changes, because it asks for this host's name."""

    def __init__(self, settings: Settings, policy: ActivePolicy) -> None:
        self._settings = settings
        self._policy = policy
        self._routing = policy.routing
        self._made = publishing_of(settings, policy.routing)

    def __call__(self) -> Publishing:
        if self._policy.routing is not self._routing:
            self._routing = self._policy.routing
            self._made = publishing_of(self._settings, self._routing)
        return self._made


def publishing_of(settings: Settings, routing: Routing) -> Publishing:
    """What domains publish with these settings and this routing."""
    addresses = tuple(sorted(routing.addresses))
    return Publishing(
        bounce_host=bounce_host(settings),
        spf_terms=settings.domains.spf or tuple(map(_term, addresses)) or (_host_term(settings),),
        addresses=addresses,
        cname_target=settings.domains.cname_target,
    )


def bounce_host(settings: Settings) -> str:
    """The MX of return paths. An MX names a host, so an address literal as the EHLO name is no choice."""
    if settings.bounce.host:
        return settings.bounce.host
    name = helo_name(settings)
    return (socket.getfqdn() if name.startswith("[") else name).lower()


def _host_term(settings: Settings) -> str:
    """The mechanism for mail whose source address the system chooses: the host that it leaves from."""
    if settings.delivery.mode == "relay":
        return _term(host_port(settings.delivery.relay)[0])
    literal = helo_name(settings).lower()
    if literal.startswith("["):
        return _term(literal.strip("[]").removeprefix("ipv6:"))
    return _term(literal)


def _term(host: str) -> str:
    if not is_address(host):
        return f"a:{host}"
    return f"ip6:{host}" if ":" in host else f"ip4:{host}"
