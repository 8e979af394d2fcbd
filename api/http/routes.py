"""Routes in groups: those of a resource, under its path and with its tag, and the resources of one kind of caller,
behind the guard that knows it.

What a route asks of its caller comes from the one table (access.py): a guard finds it among the options of the route.
"""

from collections.abc import Awaitable, Callable
from typing import Any, Self

from litestar import Router
from litestar.connection import ASGIConnection
from litestar.datastructures import State
from litestar.handlers import BaseRouteHandler, HTTPRouteHandler

from api.http.access import ROUTES, Access, Caller, route_name

Connection = ASGIConnection[HTTPRouteHandler, Any, Any, State]
Guard = Callable[[Connection, BaseRouteHandler], Awaitable[None]]

ACCESS = "access"
"""The option of a route under which its entry of the table is."""


class RouteGroup(Router):
    """Some routes, or groups of them. Each is registered once, as it is."""

    def __deepcopy__(self, memo: dict[int, Any]) -> Self:
        """Litestar registers a copy of a router, and would copy with it what the handlers' objects hold, such as the
        journal."""
        return self


def resource(path: str, *handlers: HTTPRouteHandler, tag: str) -> RouteGroup:
    """The routes of a resource. Their own paths go on from ``path``. Raises KeyError for a route that the table does
    not have."""
    for handler in handlers:
        access = ROUTES[route_name(path, handler)]
        handler.opt[ACCESS] = access
        handler.security = access.security
    return RouteGroup(path, route_handlers=handlers, tags=[tag])


def for_caller(caller: Caller, *resources: RouteGroup, guard: Guard | None = None) -> RouteGroup:
    """The resources of one kind of caller. ``guard`` is asked before anything of a request is read. Raises ValueError
    for a route that the table opens to another kind."""
    for found in resources:
        for route in found.routes:
            for handler in getattr(route, "route_handlers", ()):
                access = handler.opt.get(ACCESS)  # Litestar's own handler of OPTIONS has none
                if access is not None and access.caller is not caller:
                    raise ValueError(f"{route.path} is for {access.caller}, not for {caller}")
    return RouteGroup("/", route_handlers=resources, guards=[_but_options(guard)] if guard is not None else [])


def access_of(route: BaseRouteHandler) -> Access:
    """What the table says of a route."""
    access: Access = route.opt[ACCESS]
    return access


def _but_options(guard: Guard) -> Guard:
    """Litestar answers OPTIONS itself, with the methods of the path, which the OpenAPI document tells everyone."""

    async def guard_others(connection: Connection, route: BaseRouteHandler) -> None:
        if connection.scope.get("method") != "OPTIONS":
            await guard(connection, route)

    return guard_others
