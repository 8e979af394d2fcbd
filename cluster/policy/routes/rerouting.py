"""Routes by name: the routes that an operator may move mail to, besides the one that routing.toml gives it.

A relay is named by its host and port as in routing.toml, every other route by its keyword. A name that the routing no
longer has moves nothing: a removed route must not hold mail back.
"""

from cluster.policy.routes.destinations import CAPTURE, DISCARD
from cluster.policy.routes.routing import Route, Routing, Via

DIRECT = "direct"
DEFAULT = "default"
"""Back to the route of routing.toml."""


def fixed_sites(routing: Routing) -> set[str]:
    """The sites of the routes that need no DNS: the sink, the discard site, and relays."""
    relays = {route.relay for route in _routes(routing) if route.relay}
    return relays | {site for via, site in ((Via.CAPTURE, CAPTURE), (Via.DISCARD, DISCARD)) if routing.uses(via)}


def named_route(routing: Routing, name: str) -> Route | None:
    """The route with this name; None when there is none. In capture mode no mail leaves, whatever the name."""
    if routing.fallback.via is Via.CAPTURE and name != DISCARD:
        return None
    if name == DIRECT:
        return Route(via=Via.DIRECT)
    return next((route for route in _routes(routing) if name == (route.relay or route.via)), None)


def _routes(routing: Routing) -> tuple[Route, ...]:
    return (*(rule.route for rule in routing.rules), routing.fallback)
