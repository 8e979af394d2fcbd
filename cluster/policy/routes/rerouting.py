"""Routes by name: what an operator may move mail to, beside the route that routing.toml gives it.

A relay is named by its host and port as a route of routing.toml has it, every other way by its word. A name that the
routing does not have any more moves nothing: a route that is forgotten must not hold mail back.
"""

from cluster.policy.routes.destinations import CAPTURE, DISCARD
from cluster.policy.routes.routing import Route, Routing, Via

DIRECT = "direct"
DEFAULT = "default"
"""Back to what routing.toml says."""


def fixed_sites(routing: Routing) -> set[str]:
    """The sites of the ways that need no DNS: the sink, the discard, and relays."""
    relays = {route.relay for route in _routes(routing) if route.relay}
    return relays | {site for via, site in ((Via.CAPTURE, CAPTURE), (Via.DISCARD, DISCARD)) if routing.uses(via)}


def named_route(routing: Routing, name: str) -> Route | None:
    """The route with this name; None where there is none. In capture mode nothing leaves, whatever was commanded."""
    if routing.fallback.via is Via.CAPTURE and name != DISCARD:
        return None
    if name == DIRECT:
        return Route(via=Via.DIRECT)
    return next((route for route in _routes(routing) if name == (route.relay or route.via)), None)


def _routes(routing: Routing) -> tuple[Route, ...]:
    return (*(rule.route for rule in routing.rules), routing.fallback)
