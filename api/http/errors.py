"""The responses of failed requests: one body for two kinds of clients, and one table from exception to status.

SendGrid's clients read ``errors``, others read ``detail``. Handlers raise; only ``answer`` converts a failure to a
response. A client never learns details of an internal error: a 500 only reports that there was one.
"""

import logging
import re
from collections.abc import Mapping, Sequence
from typing import Any

from litestar import Request, Response
from litestar.exceptions import HTTPException
from litestar.openapi.datastructures import ResponseSpec
from msgspec import Struct

from api.http import help_texts
from api.http.idempotency import HEADER as IDEMPOTENCY_KEY
from api.http.ignored import HEADER
from api.http.limiting import show
from api.http.parameters import checked, value_fault
from api.http.places import written
from api.http.refusals import (
    Conflict,
    Fault,
    Forbidden,
    Invalid,
    NotFound,
    Refusal,
    Stalled,
    TooLarge,
    Unauthenticated,
    Unparseable,
    UnsupportedMedia,
)
from cluster.http.application import allowed
from cluster.intake.backpressure import RETRY_AFTER_S, Overloaded
from cluster.intake.idempotency import KeyReused
from cluster.journal.journal import Rejected, TookTooLong, Unavailable
from cluster.tenancy.exceeded import LimitExceeded, QuotaExceeded

log = logging.getLogger(__name__)

INVALID_GRANT = "The provided authorization grant is invalid, expired, or revoked"
"""SendGrid's text, which its clients compare."""
CANNOT_BE_STORED = "The request holds data that cannot be stored"
CANNOT_BE_FOUND = "The request looks for data of a form that is never stored"
_MISSING = re.compile(r"Missing required query parameter '(\w+)'")
"""Litestar's text, which ends with the path."""
KEY_REUSED = "The key belongs to a request with another body"


class ErrorBody(Struct, frozen=True):
    """The body of every answer from 400 up."""

    errors: list[Fault]
    detail: str


class Mismatch(Struct, frozen=True):
    """Where a body is not JSON, or not of the right types, as FastAPI's clients read it."""

    loc: list[str | int]
    msg: str
    type: str


class SchemaErrorBody(Struct, frozen=True):
    """The body of a 422: there, ``detail`` is an array."""

    errors: list[Fault]
    detail: list[Mismatch]


STATUS: Mapping[type[Exception], int] = {
    Invalid: 400,
    Rejected: 400,
    Unauthenticated: 401,
    Forbidden: 403,
    NotFound: 404,
    Stalled: 408,
    Conflict: 409,
    KeyReused: 409,
    TooLarge: 413,
    UnsupportedMedia: 415,
    Unparseable: 422,
    LimitExceeded: 429,
    Overloaded: 503,
    Unavailable: 503,
}

_DESCRIPTIONS: Mapping[int, str] = {
    400: "The request breaks rules: all of them, each with its field",
    401: "No API key, or one that is unknown, revoked or expired",
    403: "The key may not do this, here or from this address, or the sender domain is not verified",
    404: "Nothing there that this tenant can see",
    408: "The body stopped arriving",
    409: "It contradicts something that exists",
    410: "It was deleted",
    412: "A condition of the request does not hold",
    413: "The body is over the limit; the connection is closed",
    415: "The body is not of the type that the route takes, or in a content encoding other than gzip",
    416: "The range is beyond the end",
    422: "The body is not JSON, or a value has the wrong JSON type",
    429: "The tenant is over a limit; Retry-After says when to try again",
    500: "A defect; nothing was accepted",
    503: "It cannot be committed now; Retry-After says when to try again",
}


def answers(*statuses: int, described: Mapping[int, type[Struct]] | None = None) -> dict[int, ResponseSpec]:
    """The error responses of a route for its OpenAPI entry. Every route can fail with 500."""
    bodies: dict[int, type[Struct]] = dict.fromkeys((*statuses, 500), ErrorBody)
    if 422 in bodies:
        bodies[422] = SchemaErrorBody
    bodies |= described or {}
    return {
        status: ResponseSpec(
            data_container=body, description=_DESCRIPTIONS.get(status, "Refused"), generate_examples=False
        )
        for status, body in sorted(bodies.items())
    }


def answer(request: Request[Any, Any, Any], error: Exception) -> Response[Any]:
    """The response to a request whose handler raised ``error``."""
    if isinstance(error, HTTPException):
        return _litestar_answer(request, error)
    status = next((STATUS[kind] for kind in type(error).__mro__ if kind in STATUS), 500)
    if status == 500:
        log.error("unexpected method=%s path=%s", request.method, request.scope["path"], exc_info=error)
        return _respond(500, "Internal error")
    if isinstance(error, TookTooLong):
        detail = "The search takes too long; narrow it by dates, a batch or a recipient"
        return _respond(503, detail, [Fault(detail, help=help_texts.NARROWER)])
    if isinstance(error, Unavailable):
        log.warning("journal unavailable path=%s reason=%s", request.scope["path"], error.reason)
        return _respond(503, "The request cannot be committed now; try again later")
    if isinstance(error, Rejected):
        log.warning("journal rejected path=%s reason=%s", request.scope["path"], error.reason)
        # Data that cannot be stored cannot be found either.
        return _respond(400, CANNOT_BE_FOUND if request.method == "GET" else CANNOT_BE_STORED)
    if isinstance(error, Overloaded):
        return _respond(503, error.detail, headers={"Retry-After": str(error.retry_after_s)})
    if isinstance(error, KeyReused):
        return _respond(409, KEY_REUSED, [Fault(KEY_REUSED, IDEMPOTENCY_KEY, help_texts.IDEMPOTENCY_KEY)])
    if isinstance(error, LimitExceeded):
        if isinstance(error, QuotaExceeded):
            show(request.scope, error)
        headers = {"Retry-After": str(error.retry_after_s)}
        return _respond(429, error.detail, [Fault(error.detail, help=error.help)], headers)
    if isinstance(error, Unparseable):
        return _schema_answer(error)
    assert isinstance(error, Refusal)
    if isinstance(error, Invalid):
        return _respond(400, error.detail, error.faults, {HEADER: error.ignored} if error.ignored else None)
    message = INVALID_GRANT if isinstance(error, Unauthenticated) else error.detail
    return _respond(status, error.detail, [Fault(message, error.field, error.help)])


def _litestar_answer(request: Request[Any, Any, Any], error: HTTPException) -> Response[ErrorBody]:
    """Converts Litestar's own errors: no such route or method, and malformed query parameters."""
    if error.status_code >= 500:
        log.error("unexpected status=%d", error.status_code, exc_info=error)
        return _respond(500, "Internal error")
    faults = []
    if isinstance(error.extra, list):
        route, said = request.scope.get("route_handler"), [item for item in error.extra if isinstance(item, dict)]
        faults = [value_fault(route, item.get("key"), str(item["message"])) for item in said]
        faults += checked(route, request.scope)
    elif missing := _MISSING.match(error.detail):
        faults = [Fault("Required", missing[1], help_texts.CALLS)]
    headers = dict(error.headers or {})
    if "allow" in headers:
        headers["allow"] = allowed(headers["allow"])
    if faults:
        return _respond(error.status_code, Invalid(faults).detail, faults, headers)
    return _respond(error.status_code, error.detail, [Fault(error.detail, help=help_texts.CALLS)], headers)


def _respond(
    status: int, detail: str, faults: Sequence[Fault] = (), headers: Mapping[str, str] | None = None
) -> Response[ErrorBody]:
    listed = list(faults) or [Fault(detail, help=help_texts.LATER if status == 503 else None)]
    sent = dict(headers or {})
    if status == 401:
        sent["WWW-Authenticate"] = "Bearer"
    if status == 503:
        sent.setdefault("Retry-After", str(RETRY_AFTER_S))
    return Response(ErrorBody(listed, detail), status_code=status, headers=sent)


def _schema_answer(error: Unparseable) -> Response[SchemaErrorBody]:
    message, loc = error.detail, ["body", *error.place]
    return Response(
        SchemaErrorBody([Fault(message, written(error.place), error.help)], [Mismatch(loc, message, error.kind)]),
        status_code=422,
    )
