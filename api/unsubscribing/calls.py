"""GET /t/u/{token} shows the page; POST does what its form, or a mail program (RFC 8058), asks for.

GET changes nothing: filters of receiving hosts follow every link of a message. A POST is answered after its commit, and
with 503 while the journal is away: mail programs try again.
"""

import logging
from collections.abc import Callable, Sequence
from typing import Any

from litestar import Response, get, post
from litestar.openapi.datastructures import ResponseSpec
from litestar.params import FromPath
from litestar.response import Redirect
from litestar.types import Scope

from api.http.body import ApiRequest
from api.http.examples import Example
from api.http.routes import RouteGroup, resource
from api.unsubscribing.form import MOST_BYTES, asked_by
from api.unsubscribing.page import HEADERS, failure, page
from api.unsubscribing.words import language_of
from cluster.journal.journal import Journal, Unavailable
from cluster.journal.unsubscribing import Action, Client, PageFacts
from cluster.tracking.machines import rule_of
from cluster.tracking.tokens import Kind, Named, Preferences

log = logging.getLogger(__name__)

PATH = "/t/u"
RETRY_AFTER_S = "60"
UNSUBSCRIBED = "Unsubscribed.\n"

NamedBy = Callable[[str, Kind], Named | None]
"""What a token names; None for one that is not ours."""
ClientOf = Callable[[Scope], tuple[str, str, Sequence[tuple[bytes, bytes]]]]
"""The address and the program of a client as they are kept, and the headers by which a program shows itself."""


def _html(description: str) -> ResponseSpec:
    return ResponseSpec(str, description=description, media_type="text/html", generate_examples=False)


class UnsubscribePages:
    """The routes of this module."""

    def __init__(self, journal: Journal, named_by: NamedBy, client_of: ClientOf) -> None:
        self._journal = journal
        self._named_by = named_by
        self._client_of = client_of

    def routes(self) -> RouteGroup:
        pages = {404: _html("The link is not valid"), 503: _html("The journal is away; Retry-After says when")}
        show = get(
            "/{token:str}",
            responses={200: _html("The page"), **pages},
            summary="The page on which a recipient unsubscribes",
            example=Example(path={"token": "AQGAAAAA"}),
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
            summary="Unsubscribe or subscribe again; also with one click (RFC 8058)",
            example=Example(path={"token": "AQGAAAAA"}),
        )
        return resource(PATH, show(self.show), act(self.act), tag="tracking")

    async def show(self, request: ApiRequest, token: FromPath[str]) -> Response[str]:
        language = _language(request)
        named = self._named_by(token, Kind.UNSUBSCRIBE)
        if named is None or named.preferences is None:
            return _page(failure(language, later=False), 404)
        try:
            facts = await self._facts(named, named.preferences)
        except Unavailable as error:
            return _later(language, error)
        if facts is None:
            return _page(failure(language, later=False), 404)
        return _page(page(facts, named.recipient.email, language))

    async def act(self, request: ApiRequest, token: FromPath[str]) -> Response[Any]:
        language = _language(request)
        named = self._named_by(token, Kind.UNSUBSCRIBE)
        if named is None or named.preferences is None:
            return _page(failure(language, later=False), 404)
        body = await request.body()
        content_type = request.headers.get("content-type", "")
        asked = asked_by(body, content_type, named.preferences.group_id) if len(body) <= MOST_BYTES else None
        if asked is None:
            return _page(failure(language, later=False), 400)
        ip, user_agent, ahead = self._client_of(request.scope)
        # One click is made by a mail program for a person.
        machine = "" if asked.is_one_click else rule_of("POST", ahead, user_agent)
        try:
            done = await self._journal.unsubscribing.act(
                named.recipient, asked.action, Client(ip, user_agent, machine), asked.group_id
            )
            facts = await self._facts(named, named.preferences) if done is not None else None
        except Unavailable as error:
            return _later(language, error)
        if done is None or facts is None:
            return _page(failure(language, later=False), 404)
        if asked.is_one_click:
            return Response(UNSUBSCRIBED, media_type="text/plain", headers=HEADERS)
        if done is Action.UNSUBSCRIBE_ALL and facts.settings.subscription.url:
            return Redirect(facts.settings.subscription.url, status_code=303, headers=HEADERS)
        return _page(page(facts, named.recipient.email, language, done, asked.group_id))

    async def _facts(self, named: Named, preferences: Preferences) -> PageFacts | None:
        shown = preferences.shown_groups
        if shown and preferences.group_id is not None and preferences.group_id not in shown:
            shown = (preferences.group_id, *shown)
        return await self._journal.unsubscribing.page(named.recipient, shown)


def _language(request: ApiRequest) -> str:
    return language_of(request.headers.get("accept-language", ""))


def _later(language: str, error: Unavailable) -> Response[str]:
    log.warning("unsubscribe page waits for the journal reason=%r", error.reason)
    return _page(failure(language, later=True), 503, {"retry-after": RETRY_AFTER_S})


def _page(html: str, status: int = 200, more: dict[str, str] | None = None) -> Response[str]:
    return Response(html, status_code=status, media_type="text/html; charset=utf-8", headers=HEADERS | (more or {}))
