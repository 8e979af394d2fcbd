"""Groups of routes: those of a resource share its path and tag, and the resources of one kind of caller share a guard.

The requirements of a route come from the table in access.py. A guard finds them among the options of the route.
"""

from collections.abc import Awaitable, Callable, Iterator, Sequence
from typing import Any, Literal, Self

from litestar import Router, delete, patch, post, put
from litestar.connection import ASGIConnection
from litestar.datastructures import State
from litestar.handlers import BaseRouteHandler, HTTPRouteHandler
from litestar.openapi.spec import Operation

from api.http.access import ROUTES, Access, Caller, route_name
from api.http.errors import answers
from api.http.limiting import LimitedOperation
from api.http.parameters import check_parameters, learn_parameters, refuses_parameters
from api.http.refusals import Forbidden

Connection = ASGIConnection[HTTPRouteHandler, Any, Any, State]
Guard = Callable[[Connection, BaseRouteHandler], Awaitable[None]]

Write = tuple[Literal["POST", "PUT", "PATCH", "DELETE"], str]
"""A method and a path."""
_DECORATORS = {"POST": post, "PUT": put, "PATCH": patch, "DELETE": delete}

ACCESS = "access"
"""The route option with its entry of the table."""


class RouteGroup(Router):
    """A group of routes or of groups. It is registered once and is not copied."""

    def __deepcopy__(self, memo: dict[int, Any]) -> Self:
        """Returns itself. Litestar registers a deep copy of a router, which would copy the handlers' objects and with
        them the journal."""
        return self


def resource(path: str, *handlers: HTTPRouteHandler, tag: str) -> RouteGroup:
    """The routes of a resource; their paths are relative to ``path``. Raises KeyError for a route that is not in the
    table."""
    for handler in handlers:
        name = route_name(path, handler)
        access = ROUTES[name]
        handler.opt[ACCESS] = access
        handler.security = access.security
        if access.takes_keys:
            handler.operation_class = _limited(handler.operation_class)
        learn_parameters(handler, name)
        handler.responses = {**answers(*_refusals(access, handler)), **(handler.responses or {})}
    return RouteGroup(path, route_handlers=handlers, tags=[tag])


def _limited(kind: type[Operation]) -> type[LimitedOperation]:
    """The OpenAPI entry of a route for keys; a route may have a kind of its own."""
    return kind if issubclass(kind, LimitedOperation) else LimitedOperation


def _refusals(access: Access, handler: HTTPRouteHandler) -> Iterator[int]:
    """The statuses with which the checks of a route's group may refuse a request."""
    if access.caller is not Caller.ANYBODY and refuses_parameters(handler):
        yield 400
    if access.takes_keys:
        yield from (403, 429)  # no scope, or on behalf of another; too many requests


def refused(path: str, writes: Sequence[Write], reason: str, help: str) -> RouteGroup:
    """Writes of SendGrid's API that every key is refused (403), so that a client learns why. The paths are relative to
    ``path``. They are not in the OpenAPI document."""

    def refusing() -> Callable[..., Awaitable[None]]:
        async def refuse() -> None:
            raise Forbidden(reason, help=help)

        return refuse

    handlers = [_DECORATORS[method](own, include_in_schema=False)(refusing()) for method, own in writes]
    for handler in handlers:
        handler.opt[ACCESS] = Access()
        learn_parameters(handler)
    return RouteGroup(path, route_handlers=handlers)


def for_caller(caller: Caller, *resources: RouteGroup, guard: Guard | None = None) -> RouteGroup:
    """The resources of one kind of caller. ``guard`` runs before the request's body is read; where there is one, query
    parameters are checked too. Raises ValueError for a
    route that the table assigns to another kind."""
    for found in resources:
        for route in found.routes:
            for handler in getattr(route, "route_handlers", ()):
                access = handler.opt.get(ACCESS)  # Litestar's own handler of OPTIONS has none
                if access is not None and access.caller is not caller:
                    raise ValueError(f"{route.path} is for {access.caller}, not for {caller}")
    return RouteGroup("/", route_handlers=resources, guards=[_checks(guard)] if guard is not None else [])


def access_of(route: BaseRouteHandler) -> Access:
    """The table's entry for a route."""
    access: Access = route.opt[ACCESS]
    return access


def _checks(guard: Guard) -> Guard:
    """The guard and then the check of query parameters, for all methods but OPTIONS. Litestar answers OPTIONS itself
    with the methods of the path, which are public in the OpenAPI document."""

    async def check_others(connection: Connection, route: BaseRouteHandler) -> None:
        if connection.scope.get("method") != "OPTIONS":
            await guard(connection, route)
            check_parameters(connection.scope, route)

    return check_others
