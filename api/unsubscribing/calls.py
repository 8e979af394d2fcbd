"""GET /t/u/{token} shows the page; POST does what its form, or a mail program (RFC 8058), asks for.

GET changes nothing: filters of receiving hosts follow every link of a message. A POST is answered after its commit, and
with 503 while the journal is away or stands still: mail programs try again.
"""

import logging
from collections.abc import Callable
from dataclasses import dataclass
from typing import Any

from litestar import Response, get, post
from litestar.openapi.datastructures import ResponseSpec
from litestar.openapi.spec import OpenAPIMediaType, Operation, Reference, RequestBody, Schema
from litestar.openapi.spec.enums import OpenAPIType
from litestar.params import FromPath
from litestar.response import Redirect
from litestar.types import Scope

from api.http.body import ApiRequest
from api.http.errors import answers
from api.http.examples import UNSUBSCRIBE_TOKEN, Example
from api.http.routes import RouteGroup, resource
from api.unsubscribing.form import MOST_BYTES, Asked, asked_by
from api.unsubscribing.page import HEADERS, failure, page
from api.unsubscribing.words import language_of
from cluster.journal.journal import Journal, Unavailable
from cluster.journal.time_limit import TimeLimit
from cluster.journal.unsubscribing import Action, By, PageFacts
from cluster.tracking.clients import Client
from cluster.tracking.keys import TokenKeys
from cluster.tracking.machines import machine_rule
from cluster.tracking.tokens import Kind, Named, Preferences

log = logging.getLogger(__name__)

PATH = "/t/u"
RETRY_AFTER_S = "60"
UNSUBSCRIBED = "Unsubscribed\n"
"""The answer to a mail program, which does not show it."""

ClientOf = Callable[[Scope], Client]
"""Who sent a request."""
Kept = Callable[[Client], str]
"""What is kept of a client's address."""


def _html(description: str) -> ResponseSpec:
    return ResponseSpec(str, description=description, media_type="text/html", generate_examples=False)


@dataclass
class FormOperation(Operation):
    """The OpenAPI entry of the POST."""

    def __post_init__(self) -> None:
        fields: dict[str, Schema | Reference] = {
            "List-Unsubscribe": Schema(type=OpenAPIType.STRING, description="One-Click: by a mail program (RFC 8058)"),
            "action": Schema(type=OpenAPIType.STRING, enum=[action.value for action in Action]),
            "group_id": Schema(type=OpenAPIType.STRING, description="The group, for actions on one"),
        }
        form = OpenAPIMediaType(schema=Schema(type=OpenAPIType.OBJECT, properties=fields))
        self.request_body = RequestBody(content={"application/x-www-form-urlencoded": form}, required=True)


class UnsubscribePages:
    """The routes of this module."""

    def __init__(self, journal: Journal, keys: TokenKeys, client_of: ClientOf, kept: Kept) -> None:
        self._journal = journal
        self._keys = keys
        self._client_of = client_of
        self._kept = kept
        self._limit = TimeLimit()

    def routes(self) -> RouteGroup:
        pages = {404: _html("The link is not valid"), 503: _html("The journal is away; Retry-After says when")}
        show = get(
            "/{token:str}",
            responses={200: _html("The page"), **answers(400), **pages},
            summary="The page on which a recipient unsubscribes",
            example=Example(path={"token": UNSUBSCRIBE_TOKEN}),
        )
        act = post(
            "/{token:str}",
            status_code=200,
            responses={
                200: _html("It is done"),
                303: ResponseSpec(None, description="Done, and on to the tenant's own page", generate_examples=False),
                400: _html("The form asks for nothing that there is"),
                **pages,
            },
            operation_class=FormOperation,
            summary="Unsubscribe or subscribe again; also with one click (RFC 8058)",
            example=Example(path={"token": UNSUBSCRIBE_TOKEN}, body={"List-Unsubscribe": "One-Click"}),
        )
        return resource(PATH, show(self.show), act(self.act), tag="tracking")

    async def show(self, request: ApiRequest, token: FromPath[str]) -> Response[str]:
        language = _language(request)
        try:
            return await self._limit.result(self._shown(token, language))
        except Unavailable as error:
            return _later(language, error)

    async def act(self, request: ApiRequest, token: FromPath[str]) -> Response[Any]:
        language = _language(request)
        body = await _body(request)
        try:
            return await self._limit.result(self._acted(request, token, body, language))
        except Unavailable as error:
            return _later(language, error)

    async def _shown(self, token: str, language: str) -> Response[str]:
        """The page of a token. Raises Unavailable."""
        named = await self._keys.read(token, Kind.UNSUBSCRIBE)
        facts = await self._facts(named) if named is not None else None
        if named is None or facts is None:
            return _page(failure(language, later=False), 404)
        return _page(page(facts, named.recipient.email, language))

    async def _acted(self, request: ApiRequest, token: str, body: bytes | None, language: str) -> Response[Any]:
        """Do what the form asks for; returns the answer. Raises Unavailable."""
        named = await self._keys.read(token, Kind.UNSUBSCRIBE)
        if named is None or named.preferences is None:
            return _page(failure(language, later=False), 404)
        content_type = request.headers.get("content-type", "")
        asked = asked_by(body, content_type, named.preferences.group_id) if body is not None else None
        if asked is None:
            return _page(failure(language, later=False), 400)
        done = await self._journal.unsubscribing.act(
            named.recipient, asked.action, self._by(request.scope, asked), asked.group_id
        )
        facts = await self._facts(named) if done is not None and not asked.is_one_click else None
        if done is None:
            return _page(failure(language, later=False), 404)
        if facts is None:
            return _page(UNSUBSCRIBED)
        if done is Action.UNSUBSCRIBE_ALL and facts.settings.subscription.url:
            return Redirect(facts.settings.subscription.url, status_code=303, headers=HEADERS)
        return _page(page(facts, named.recipient.email, language, done, asked.group_id))

    def _by(self, scope: Scope, asked: Asked) -> By:
        client = self._client_of(scope)
        # One click is a mail program's, for a person.
        machine = "" if asked.is_one_click else machine_rule(client)
        return By(self._kept(client), client.user_agent, machine)

    async def _facts(self, named: Named) -> PageFacts | None:
        return await self._journal.unsubscribing.page(named.recipient, named.preferences or Preferences())


async def _body(request: ApiRequest) -> bytes | None:
    """The form; None when it is larger than any of ours."""
    body, more = b"", True
    while more and len(body) <= MOST_BYTES:
        chunk, more = await request.next_chunk()
        body += chunk
    return body if len(body) <= MOST_BYTES else None


def _language(request: ApiRequest) -> str:
    return language_of(request.headers.get("accept-language", ""))


def _later(language: str, error: Unavailable) -> Response[str]:
    log.warning("unsubscribe page waits for the journal reason=%r", error.reason)
    return _page(failure(language, later=True), 503, {"retry-after": RETRY_AFTER_S})


def _page(html: str, status: int = 200, more: dict[str, str] | None = None) -> Response[str]:
    return Response(html, status_code=status, media_type="text/html", headers=HEADERS | (more or {}))
