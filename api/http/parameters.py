"""Query parameters that a route does not have, lacks, or is given twice.

A misspelt parameter of a list would widen it, so a GET route refuses what it does not know, and so does every route
that has parameters. What other routes are sent is named in ``X-Postray-Ignored``, as unknown fields of a body are. An
answer that refuses parameters has all their faults, those of values among them: ``Checked`` marks what a type cannot
say.
"""

import contextlib
import inspect
import re
from collections.abc import Callable, Iterable, Iterator, Mapping
from typing import Annotated, Any, get_args, get_origin, get_type_hints
from urllib.parse import parse_qs

import msgspec
from litestar.handlers import BaseRouteHandler, HTTPRouteHandler
from litestar.params import QueryParameter
from litestar.types import Scope
from msgspec import Struct

from api.http import help_texts
from api.http.choices import choices, listed
from api.http.decoding import in_words
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


class Checked:
    """Marks a parameter, in its annotation, whose text must pass a check."""

    def __init__(self, fault: Callable[[str], Fault | None]) -> None:
        self.fault = fault


class Parameter(Struct, frozen=True):
    """A query parameter of a route. ``argument`` is the handler's name for it."""

    argument: str
    is_required: bool
    is_list: bool
    checks: tuple[Checked, ...]


class Parameters(Struct, frozen=True):
    """The query parameters of a route, by name. ``unused`` are accepted and mean nothing."""

    known: Mapping[str, Parameter]
    unused: frozenset[str]
    refuses: bool
    """Whether an unknown one is refused; otherwise the answer names it."""


def learn_parameters(handler: HTTPRouteHandler, route: str = "") -> None:
    """Store the names of a route's query parameters, from its signature, in its options. ``route`` is its name."""
    known = dict(sorted(_known(handler.fn)))
    unused = UNUSED.get(route, frozenset())
    refuses = "GET" in handler.http_methods or bool(known)
    handler.opt[_PARAMETERS] = Parameters(known, unused, refuses)


def refuses_parameters(handler: HTTPRouteHandler) -> bool:
    """Whether the route refuses query parameters that it does not have."""
    parameters: Parameters = handler.opt[_PARAMETERS]
    return parameters.refuses


def _known(function: Any) -> Iterator[tuple[str, Parameter]]:
    arguments = inspect.signature(function).parameters
    for name, hint in get_type_hints(function, include_extras=True).items():
        marks = getattr(hint, "__metadata__", ())
        for kwarg in marks:
            if isinstance(kwarg, QueryParameter):
                yield (
                    kwarg.name or name,
                    Parameter(
                        argument=name,
                        is_required=arguments[name].default is inspect.Parameter.empty,
                        is_list=_is_list(hint),
                        checks=tuple(mark for mark in marks if isinstance(mark, Checked)),
                    ),
                )


def _is_list(hint: Any) -> bool:
    """Whether an annotation is a list of something, which may be annotated or absent."""
    if get_origin(hint) is Annotated:
        return _is_list(get_args(hint)[0])
    return get_origin(hint) is list or any(get_origin(one) is list for one in get_args(hint))


def parameter_choices(handler: Any, name: str) -> list[str]:
    """The values that a query parameter may have, where its type lists them. ``handler`` is the route's; ``name`` is
    that of the handler's argument."""
    hint = get_type_hints(handler.fn).get(name) if isinstance(handler, HTTPRouteHandler) else None
    return choices(hint) if hint is not None else []


def check_parameters(scope: Scope, route: BaseRouteHandler) -> None:
    """Raises Invalid for a query parameter that the route does not have, unless the answer only names it, for one that
    it must have, and for one that is given twice; then also for the values of the others. Litestar alone would tell
    the first that is missing, and take one of two."""
    parameters: Parameters = route.opt[_PARAMETERS]
    if not scope["query_string"] and not parameters.known:
        return
    given = given_parameters(scope)
    faults = Faults()
    with contextlib.suppress(Enough):
        for name, values in given.items():
            if name in parameters.unused or not parameters.refuses:
                ignored_by(scope).ignore(name)
            elif name not in parameters.known:
                faults.append(_unknown(name[:LONGEST_NAME], parameters.known))
            elif len(values) > 1 and not parameters.known[name].is_list:
                faults.append(Fault("Given more than once", name, help_texts.CALLS))
        for name, parameter in parameters.known.items():
            if parameter.is_required and name not in given:
                faults.append(Fault("Required", name, help_texts.CALLS))
        if faults:
            for fault in (*_types(route, parameters, given), *checked(route, scope)):
                faults.append(fault)
    if faults:
        raise Invalid(faults)


def checked(route: BaseRouteHandler | None, scope: Scope) -> Iterator[Fault]:
    """The faults that ``Checked`` parameters of a request have."""
    parameters: Parameters | None = route.opt.get(_PARAMETERS) if route is not None else None
    given = given_parameters(scope)
    for name, parameter in parameters.known.items() if parameters is not None else ():
        for check in parameter.checks:
            for value in given.get(name, ()):
                if (fault := check.fault(value)) is not None:
                    yield fault


def _types(route: BaseRouteHandler, parameters: Parameters, given: Mapping[str, list[str]]) -> Iterator[Fault]:
    """The faults that Litestar would find in the values."""
    types = {field.name: field.type for field in msgspec.structs.fields(route.signature_model)}
    for name, parameter in parameters.known.items():
        if name in given:
            values = given[name]
            try:
                msgspec.convert(values if parameter.is_list else values[-1], types[parameter.argument], strict=False)
            except msgspec.ValidationError as error:
                yield value_fault(route, parameter.argument, _PATH.sub("", str(error)))


def value_fault(route: Any, argument: str | None, message: str) -> Fault:
    """The fault of a parameter's value, from what msgspec says of it. Each is a text, so what is no boolean is said to
    be neither true nor false. None can be null: it is absent instead."""
    allowed = parameter_choices(route, str(argument))
    said = message.replace(" | null", "")
    return Fault(f"Must be {listed(allowed)}" if allowed else in_words(said), argument)


_PATH = re.compile(r" - at `\$.*`$")


def _unknown(name: str, known: Iterable[str]) -> Fault:
    others = f"this route has {', '.join(known)}" if known else "this route has none"
    return Fault(f"There is no query parameter {name}: {others}", name, help_texts.CALLS)


def given_parameters(scope: Scope) -> dict[str, list[str]]:
    """The values in a request's query, by name."""
    query = scope["query_string"].decode("latin-1")
    return parse_qs(query, keep_blank_values=True)
