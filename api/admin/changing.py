"""The decorators of the routes under /api/admin that change something: those of Litestar, for handlers that are noted.

A module of this package takes ``post``, ``put``, ``patch`` and ``delete`` from here, so that no route changes something
without a note (``noting``).
"""

import inspect
from collections.abc import Awaitable, Callable
from functools import wraps
from typing import Any, ParamSpec

import litestar
from litestar.handlers import HTTPRouteHandler

from api.http.body import ApiRequest

ROOT = "/api/admin"
NOTED = "noted"
"""The route option of a route that is noted: its name in the notes."""

P = ParamSpec("P")
Handler = Callable[..., Awaitable[Any]]
Decorate = Callable[[Handler], HTTPRouteHandler]


def _noting(method: str, make: Callable[P, Decorate]) -> Callable[P, Decorate]:
    @wraps(make)
    def made(*args: P.args, **kwargs: P.kwargs) -> Decorate:
        route = f"{method} {ROOT}{str(args[0]).replace(':str', '')}"
        decorate = make(*args, **kwargs)

        def take(work: Handler) -> HTTPRouteHandler:
            handler = decorate(_noted(work, route))
            handler.opt[NOTED] = route
            return handler

        return take

    return made


def _noted(work: Handler, route: str) -> Handler:
    signature = inspect.signature(work)
    takes_request = "request" in signature.parameters

    @wraps(work)
    async def noted(**given: Any) -> Any:
        request: ApiRequest = given["request"] if takes_request else given.pop("request")
        async with request.app.state.noting.noted(request, route, given):
            return await work(**given)

    if not takes_request:  # Litestar gives a handler what its signature has
        mine = inspect.Parameter("request", inspect.Parameter.KEYWORD_ONLY, annotation=ApiRequest)
        parameters = [*signature.parameters.values(), mine]
        noted.__signature__ = signature.replace(parameters=parameters)  # type: ignore[attr-defined]  # see inspect
        noted.__annotations__ = {**work.__annotations__, "request": ApiRequest}
    return noted


post = _noting("POST", litestar.post)
put = _noting("PUT", litestar.put)
patch = _noting("PATCH", litestar.patch)
delete = _noting("DELETE", litestar.delete)
