"""Who is asking: Bearer API keys, their tenant, their scopes.

A guard on each route authenticates before anything of the body is read, and leaves the key in ``request.auth``. What a
route asks of a key is said in access.py.
RFC 6750 (Bearer), RFC 9110 §11.
"""

import asyncio
import time
from collections.abc import Awaitable, Callable, Iterable

from litestar import get
from litestar.connection import ASGIConnection
from litestar.datastructures import State
from litestar.handlers import BaseRouteHandler, HTTPRouteHandler
from msgspec import Struct

from api.http.access import ROUTES, Access, Caller, route_name
from api.http.body import ApiRequest, header
from api.http.errors import answers
from api.http.refusals import Unauthenticated
from cluster.journal.records import ApiKey
from cluster.keys import is_key, key_hash
from cluster.lookup.ttl_cache import ExpiringCache

KEY_TTL_S = 4.0
"""How long a key is believed after the journal was asked: a revoked one is refused within 5 s."""
KEYS_KEPT = 10_000

Connection = ASGIConnection[HTTPRouteHandler, None, ApiKey, State]
Guard = Callable[[Connection, BaseRouteHandler], Awaitable[None]]


class Authenticator:
    """Knows keys by asking the journal, at most once in a few seconds for each.

    Unknown keys are not remembered: a guess is never repeated, so remembering them would only push out good ones.
    """

    def __init__(
        self, find: Callable[[bytes], Awaitable[ApiKey | None]], clock: Callable[[], float] = time.monotonic
    ) -> None:
        self._find = find
        self._keys: ExpiringCache[bytes, ApiKey] = ExpiringCache(KEY_TTL_S, KEYS_KEPT, clock)
        self._asking: dict[bytes, asyncio.Task[ApiKey | None]] = {}

    async def authenticate(self, authorization: str | None) -> ApiKey:
        """The key of an Authorization header. Raises Unauthenticated."""
        if authorization is None:
            raise Unauthenticated("Missing Authorization header")
        scheme, _, secret = authorization.partition(" ")
        secret = secret.strip()
        if scheme.lower() != "bearer" or not is_key(secret):
            raise Unauthenticated("Invalid API key")
        hash = key_hash(secret)
        key = self._keys.get(hash)
        if key is None:
            # Shielded: one client that goes must not take the answer from the others.
            key = await asyncio.shield(self._asking.get(hash) or self._ask(hash))
            if key is None:
                raise Unauthenticated("Invalid API key")
        return key

    def _ask(self, hash: bytes) -> asyncio.Task[ApiKey | None]:
        """Ask the journal for a key once, however many requests have come with it."""
        task = self._asking[hash] = asyncio.create_task(self._found(hash))
        return task

    async def _found(self, hash: bytes) -> ApiKey | None:
        try:
            key = await self._find(hash)
        finally:
            del self._asking[hash]
        if key is not None:
            self._keys.put(hash, key)
        return key

    def guard(self, access: Access) -> Guard:
        """A guard that lets a known key pass, when it may."""

        async def guard(connection: Connection, _: BaseRouteHandler) -> None:
            key = await self.authenticate(header(connection.scope, b"authorization"))
            access.admit(key)
            connection.scope["auth"] = key

        return guard

    def protect(self, handlers: Iterable[HTTPRouteHandler]) -> list[HTTPRouteHandler]:
        """The handlers with the guards that the table of routes asks for, and OpenAPI's word for them. Operators have a
        guard of their own (admin/access.py). Raises KeyError for a route that the table does not have."""
        protected = []
        for handler in handlers:
            access = ROUTES[route_name(handler)]
            handler.security = access.security
            if access.caller is Caller.KEY:
                handler.guards = (*(handler.guards or ()), self.guard(access))
            protected.append(handler)
        return protected


class ScopeList(Struct, frozen=True):
    """What the key may do."""

    scopes: list[str]


class Scopes:
    """GET /v3/scopes."""

    def handlers(self) -> list[HTTPRouteHandler]:
        route = get(
            "/v3/scopes",
            responses=answers(401, 503),
            summary="The scopes of the key",
            tags=["keys"],
        )
        return [route(self.scopes)]

    async def scopes(self, request: ApiRequest) -> ScopeList:
        return ScopeList(sorted(request.auth.scopes))
