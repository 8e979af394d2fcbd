"""Authentication by Bearer API key, which gives the tenant and the scopes.

The guard of the routes for keys authenticates before the body is read and stores the key in ``request.auth``. The
requirements of each route are in access.py. RFC 6750 (Bearer), RFC 9110 §11.
"""

import asyncio
import time
from collections.abc import Awaitable, Callable

from litestar.connection import ASGIConnection
from litestar.datastructures import State
from litestar.handlers import BaseRouteHandler, HTTPRouteHandler

from api.http.body import header
from api.http.refusals import Unauthenticated
from api.http.routes import access_of
from cluster.journal.records import ApiKey
from cluster.keys import is_key, key_hash
from cluster.lookup.ttl_cache import TtlCache

KEY_TTL_S = 4.0
"""How long a key is cached. A revoked key is refused within 5 s."""
KEYS_KEPT = 10_000

Connection = ASGIConnection[HTTPRouteHandler, None, ApiKey, State]


class Authenticator:
    """Looks up keys in the journal, and caches each for ``KEY_TTL_S``.

    Unknown keys are not cached: guesses are not repeated, so they would only evict valid keys.
    """

    def __init__(
        self, find: Callable[[bytes], Awaitable[ApiKey | None]], clock: Callable[[], float] = time.monotonic
    ) -> None:
        self._find = find
        self._keys: TtlCache[bytes, ApiKey] = TtlCache(KEYS_KEPT, clock)
        self._asking: dict[bytes, asyncio.Task[ApiKey | None]] = {}

    async def authenticate(self, authorization: str | None) -> ApiKey:
        """The key of an Authorization header. Raises Unauthenticated when it is missing, malformed or unknown."""
        if authorization is None:
            raise Unauthenticated("Missing Authorization header")
        scheme, _, secret = authorization.partition(" ")
        secret = secret.strip()
        if scheme.lower() != "bearer" or not is_key(secret):
            raise Unauthenticated("Invalid API key")
        hash = key_hash(secret)
        key = self._keys.get(hash)
        if key is None:
            # Shielded: a client that disconnects must not cancel the lookup for the others.
            key = await asyncio.shield(self._asking.get(hash) or self._ask(hash))
            if key is None:
                raise Unauthenticated("Invalid API key")
        return key

    def _ask(self, hash: bytes) -> asyncio.Task[ApiKey | None]:
        """Look up a key in the journal, once for all requests that wait for it."""
        task = self._asking[hash] = asyncio.create_task(self._found(hash))
        return task

    async def _found(self, hash: bytes) -> ApiKey | None:
        try:
            key = await self._find(hash)
        finally:
            del self._asking[hash]
        if key is not None:
            self._keys.put(hash, key, KEY_TTL_S)
        return key

    async def guard(self, connection: Connection, route: BaseRouteHandler) -> None:
        """Admit a known key that may call the route. Raises Unauthenticated, Forbidden."""
        key = await self.authenticate(header(connection.scope, b"authorization"))
        access_of(route).admit(key)
        connection.scope["auth"] = key
