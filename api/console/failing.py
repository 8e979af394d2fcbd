"""The answers of requests that fail: a page that says why, or the way to the login."""

import logging
from typing import Any
from urllib.parse import quote

from litestar import Response
from litestar.exceptions import HTTPException
from litestar.response import Redirect

from api.console.pages import Pages
from api.console.requests import ConsoleRequest
from api.http.errors import STATUS
from api.http.refusals import Fault, Invalid, Refusal
from cluster.intake.backpressure import RETRY_AFTER_S, Overloaded
from cluster.journal.journal import Rejected, TookTooLong, Unavailable

log = logging.getLogger(__name__)

LIVE = "/live/"
"""What the paths of live parts begin with: a script asks for them."""


class NotLoggedIn(Exception):
    """The request is for operators, and its cookie is none or has ended."""


class Failures:
    """Answers by exception."""

    def __init__(self, pages: Pages) -> None:
        self._pages = pages

    def answer(self, request: ConsoleRequest, error: Exception) -> Response[Any]:
        if isinstance(error, NotLoggedIn):
            return self._to_login(request)
        status, faults = failure(request, error)
        headers = {"retry-after": str(RETRY_AFTER_S)} if status == 503 else {}
        answer = self._pages.page(
            request, "failure", session=request.scope.get("auth"), status=status, faults=faults, code=status
        )
        answer.headers.update(headers)
        return answer

    def _to_login(self, request: ConsoleRequest) -> Response[Any]:
        path = request.url.path
        if path.startswith(LIVE):
            return Response("", status_code=401, media_type="text/plain")
        if request.method != "GET":
            return Redirect("/login", status_code=303)
        asked = f"{path}?{request.url.query}" if request.url.query else path
        return Redirect("/login" if asked == "/" else f"/login?next={quote(asked)}", status_code=303)


def failure(request: ConsoleRequest, error: Exception) -> tuple[int, list[Fault]]:
    """The status, and what is said."""
    if isinstance(error, HTTPException):
        if error.status_code >= 500:
            log.error("unexpected status=%d", error.status_code, exc_info=error)
        elif isinstance(error.extra, list) and error.extra:
            return error.status_code, [_of_parameter(one) for one in error.extra]
        return error.status_code, [Fault("This page does not exist" if error.status_code == 404 else error.detail)]
    if isinstance(error, Invalid):
        return 400, list(error.faults)
    if isinstance(error, TookTooLong):
        return 503, [Fault("The search takes too long: narrow it by dates, a batch or a recipient")]
    if isinstance(error, Unavailable):
        log.warning("journal unavailable path=%s reason=%s", request.url.path, error.reason)
        return 503, [Fault(f"The journal cannot be reached now: {error.reason}")]
    if isinstance(error, Rejected):
        return 400, [Fault("What was asked for has a form that is never stored")]
    if isinstance(error, Overloaded):
        return 503, [Fault(error.detail)]
    status = next((STATUS[kind] for kind in type(error).__mro__ if kind in STATUS), 500)
    if isinstance(error, Refusal):
        return status, [Fault(error.detail, error.field, error.help)]
    log.error("unexpected method=%s path=%s", request.method, request.url.path, exc_info=error)
    return 500, [Fault("Internal error: the log has more")]


def _of_parameter(extra: Any) -> Fault:
    is_told = isinstance(extra, dict)
    return Fault(str(extra.get("message", "")), str(extra.get("key", ""))) if is_told else Fault(str(extra))
