"""Query parameters that a route does not have.

A misspelt parameter of a list would widen it, so a GET route refuses what it does not know, and so does every route
that has parameters. What other routes are sent is named in ``X-Postray-Ignored``, as unknown fields of a body are.
"""

import contextlib
from collections.abc import Iterable, Mapping
from typing import Any, get_type_hints
from urllib.parse import parse_qsl

from litestar.handlers import BaseRouteHandler, HTTPRouteHandler
from litestar.params import QueryParameter
from litestar.types import Scope
from msgspec import Struct

from api.http import help_texts
from api.http.choices import choices
from api.http.ignored import ignored_by
from api.http.places import LONGEST_NAME
from api.http.refusals import Enough, Fault, Faults, Invalid

UNUSED: Mapping[str, frozenset[str]] = {
    "GET /v3/whitelabel/domains": frozenset({"exclude_subusers", "username"}),
    "GET /v3/categories/stats/sums": frozenset({"aggregated_by"}),
}
"""Parameters that SendGrid's API documents for a route and that mean nothing here, by the route's name (access.py).
They are accepted, and named in the answer."""
_PARAMETERS = "parameters"


class Parameters(Struct, frozen=True):
    """The query parameters of a route, by name. ``unused`` are accepted and mean nothing."""

    known: tuple[str, ...]
    unused: frozenset[str]
    refuses: bool
    """Whether an unknown one is refused; otherwise the answer names it."""


def learn_parameters(handler: HTTPRouteHandler, route: str = "") -> None:
    """Store the names of a route's query parameters, from its signature, in its options. ``route`` is its name."""
    known = tuple(sorted(_names(handler.fn)))
    unused = UNUSED.get(route, frozenset())
    refuses = "GET" in handler.http_methods or bool(known)
    handler.opt[_PARAMETERS] = Parameters(known, unused, refuses)


def refuses_parameters(handler: HTTPRouteHandler) -> bool:
    """Whether the route refuses query parameters that it does not have."""
    parameters: Parameters = handler.opt[_PARAMETERS]
    return parameters.refuses


def _names(function: Any) -> Iterable[str]:
    for name, hint in get_type_hints(function, include_extras=True).items():
        for kwarg in getattr(hint, "__metadata__", ()):
            if isinstance(kwarg, QueryParameter):
                yield kwarg.name or name


def parameter_choices(handler: Any, name: str) -> list[str]:
    """The values that a query parameter may have, where its type lists them. ``handler`` is the route's; ``name`` is
    that of the handler's argument."""
    hint = get_type_hints(handler.fn).get(name) if isinstance(handler, HTTPRouteHandler) else None
    return choices(hint) if hint is not None else []


def check_parameters(scope: Scope, route: BaseRouteHandler) -> None:
    """Raises Invalid for a query parameter that the route does not have, unless the answer only names it."""
    if not scope["query_string"]:
        return
    parameters: Parameters = route.opt[_PARAMETERS]
    faults = Faults()
    with contextlib.suppress(Enough):
        for name in given_parameters(scope):
            if name in parameters.unused or not parameters.refuses:
                ignored_by(scope).ignore(name)
            elif name not in parameters.known:
                faults.append(_unknown(name[:LONGEST_NAME], parameters.known))
    if faults:
        raise Invalid(faults)


def _unknown(name: str, known: tuple[str, ...]) -> Fault:
    others = f"this route has {', '.join(known)}" if known else "this route has none"
    return Fault(f"There is no query parameter {name}: {others}", name, help_texts.CALLS)


def given_parameters(scope: Scope) -> Iterable[str]:
    """The names in a request's query, each once."""
    query = scope["query_string"].decode("latin-1")
    return dict.fromkeys(name for name, _ in parse_qsl(query, keep_blank_values=True))
