"""What a request to the console may be: forms of its own pages only, bounded, each with its token."""

import asyncio
import re
from collections.abc import Mapping, Sequence
from typing import Any
from urllib.parse import parse_qsl, urlsplit

from litestar import Request
from litestar.datastructures import Cookie, State

from api.console.sessions import LoggedIn, is_same
from api.http import help_texts
from api.http.refusals import Forbidden, Stalled, UnsupportedMedia
from cluster.access.client_address import client_of
from cluster.access.noting import LONGEST_ADDRESS
from cluster.policy.routes.networks import Network

COOKIE = "postray_console"
LOGIN_COOKIE = "postray_login"
SAID_COOKIE = "postray_said"
CSRF = "csrf"
"""The field of a form with its token."""
FORM_BYTES = 65_536
_MOST_FIELDS = 50
_PATIENCE_S = 30.0
FORM_TYPE = "application/x-www-form-urlencoded"
FOREIGN = "The form does not come from a page of this console, or from one of an earlier login"
_PAGE = re.compile(r"/(?:[a-z][a-z_/-]*)?(?:\?[A-Za-z0-9._~:@!*,=&%+-]*)?", re.ASCII)

ConsoleRequest = Request[Any, LoggedIn, State]


def is_from_here(headers: Mapping[str, str]) -> bool:
    """Whether a browser sent the request from a page of this origin. What is no browser sends none of these headers; it
    has no one's cookies either."""
    site = headers.get("sec-fetch-site")
    if site is not None:
        return site == "same-origin"
    origin = headers.get("origin")
    return origin is None or (origin != "null" and urlsplit(origin).netloc == headers.get("host", ""))


async def login_form(request: ConsoleRequest) -> dict[str, str]:
    """The form of the login: its token must be that of the cookie which came with the page. Raises Forbidden, Stalled,
    UnsupportedMedia."""
    return await _form(request, cookie(request, LOGIN_COOKIE))


async def form(request: ConsoleRequest) -> dict[str, str]:
    """The form of one who is logged in. Raises Forbidden, Stalled, UnsupportedMedia."""
    return await _form(request, request.auth.csrf)


async def typed(request: ConsoleRequest) -> dict[str, str]:
    """What a form has that was refused, to be shown once more: nothing of one that comes from another origin."""
    if not is_from_here(request.headers):
        return {}
    return _fields(await request.body())


async def _form(request: ConsoleRequest, token: str) -> dict[str, str]:
    if not is_from_here(request.headers):
        raise Forbidden(FOREIGN, help=help_texts.CONSOLE_FORM)
    if request.headers.get("content-type", "").partition(";")[0].strip().lower() != FORM_TYPE:
        raise UnsupportedMedia(f"A form is {FORM_TYPE}", help=help_texts.CONSOLE_FORM)
    try:
        async with asyncio.timeout(_PATIENCE_S):
            body = await request.body()
    except TimeoutError:
        raise Stalled("The form stopped arriving") from None
    fields = _fields(body)
    if not token or not is_same(fields.pop(CSRF, ""), token):
        raise Forbidden(FOREIGN, help=help_texts.CONSOLE_FORM)
    return fields


def _fields(body: bytes) -> dict[str, str]:
    """Raises Forbidden."""
    try:
        return dict(parse_qsl(body.decode("utf-8", "replace"), keep_blank_values=True, max_num_fields=_MOST_FIELDS))
    except ValueError:
        raise Forbidden("The form has too many fields", help=help_texts.CONSOLE_FORM) from None


def cookie(request: Request[Any, Any, Any], name: str) -> str:
    """The value of a cookie; "" without it."""
    return request.cookies.get(name, "")


def new_cookie(request: Request[Any, Any, Any], name: str, value: str, *, max_age_s: int | None = None) -> Cookie:
    """A cookie for the answer. ``max_age_s``: None lasts as long as the browser runs; 0 removes it."""
    return Cookie(key=name, value=value, max_age=max_age_s, httponly=True, samesite="strict", secure=is_secure(request))


def is_secure(request: Request[Any, Any, Any]) -> bool:
    """Whether the browser speaks TLS, to the proxy before this server. One that says so wrongly keeps its own cookie
    from itself."""
    return request.headers.get("x-forwarded-proto", "").lower() == "https"


def next_page(text: str) -> str:
    """Where a login leads: a page of the console, and nowhere else."""
    return text if len(text) <= 2000 and _PAGE.fullmatch(text) and not text.startswith("/log") else "/"


def address_of(request: Request[Any, Any, Any], trusted: Sequence[Network]) -> str:
    """The client's address, for the audit and the throttle."""
    return str(client_of(request.scope, trusted))[:LONGEST_ADDRESS]
