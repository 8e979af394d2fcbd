"""Authentication by Bearer API key or JWT, which gives the tenant and the scopes.

The guard of the routes for keys authenticates before the body is read and stores the key in ``request.auth``; a JWT
becomes a key too. The requirements of each route are in access.py. RFC 6750 (Bearer), RFC 9110 §11.
"""

import time
from collections.abc import Callable, Iterable
from typing import Protocol

from litestar.connection import ASGIConnection
from litestar.datastructures import State
from litestar.handlers import BaseRouteHandler, HTTPRouteHandler
from litestar.types import Scope

from api.http import help_texts
from api.http.access import Access
from api.http.body import header
from api.http.limiting import admit
from api.http.refusals import Forbidden, Unauthenticated
from api.http.routes import access_of
from cluster.access.claims import BadToken
from cluster.access.client_address import client_of
from cluster.access.terms import KeyTerms, network
from cluster.journal.records import ApiKey
from cluster.keys import is_key, key_hash
from cluster.policy.routes.networks import Address
from cluster.printable import printable
from cluster.tenancy.directory import TenantDirectory
from cluster.tenancy.limiter import TenantLimiter

NO_SUBUSERS = "There are no subusers: a key acts for its own tenant. Leave out the header on-behalf-of"
_ON_BEHALF_OF = b"on-behalf-of"

Connection = ASGIConnection[HTTPRouteHandler, None, ApiKey, State]

MISSING = "Missing Authorization header"
INVALID = "Invalid API key"
OTHER_API = "This key is for /api/v1 only"
LONGEST_SHOWN = 100
"""The most characters of a client's own text that an error repeats."""


class Tokens(Protocol):
    """Verifies JWTs."""

    async def key(self, token: str) -> ApiKey:
        """What the token grants. Raises BadToken, Overloaded, Unavailable."""


class Authenticator:
    """Admits requests by their keys. Unknown keys are not cached: guesses are not repeated, so they would only evict
    valid keys."""

    def __init__(
        self,
        directory: TenantDirectory,
        limiter: TenantLimiter,
        *,
        used: Callable[[str], None],
        tokens: Tokens | None = None,
        trusted_proxies: Iterable[str] = (),
        clock: Callable[[], float] = time.time,
    ) -> None:
        """``used`` is called with the id of each API key that is accepted. Without ``tokens`` no JWT is. ``clock`` is
        Unix time, in seconds. Raises ValueError for a proxy that is no network."""
        self._directory = directory
        self._limiter = limiter
        self._used = used
        self._tokens = tokens
        self._trusted = [network(text) for text in trusted_proxies]
        self._clock = clock

    async def authenticate(self, scope: Scope, access: Access) -> ApiKey:
        """The key of a request for a route with this ``access``. Raises Unauthenticated when it is missing, malformed,
        unknown or expired, Forbidden when it may not be used here or from this address, and Overloaded,
        Unavailable."""
        authorization = header(scope, b"authorization")
        if authorization is None:
            raise Unauthenticated(MISSING)
        scheme, _, secret = authorization.partition(" ")
        secret = secret.strip()
        if scheme.lower() != "bearer":
            raise Unauthenticated(INVALID)
        if not is_key(secret):
            return await self._granted(secret)
        return await self.of_hash(key_hash(secret), access, lambda: client_of(scope, self._trusted))

    async def of_hash(self, hash: bytes, access: Access, client: Callable[[], Address | str]) -> ApiKey:
        """The API key whose secret has this hash (``key_hash``), used from ``client``: an address, or the text in its
        place. Raises as ``authenticate``."""
        key = await self._directory.key(hash)
        if key is None:
            raise Unauthenticated(INVALID)
        if key.terms is not None:
            self._check(key.terms, client, access)
        self._used(key.id)
        return key

    async def guard(self, connection: Connection, route: BaseRouteHandler) -> None:
        """Admit a known key that may call the route, and charge the request. Raises Unauthenticated, Forbidden,
        RateExceeded, Unavailable."""
        access = access_of(route)
        key = await self.authenticate(connection.scope, access)
        allowance = await admit(self._limiter, connection.scope, key, access)
        refuse_subusers(connection.scope)
        self._limiter.charge_request(allowance, access.limit)
        connection.scope["auth"] = key

    async def _granted(self, token: str) -> ApiKey:
        """What a JWT grants. Raises Unauthenticated."""
        if token.count(".") != 2:
            raise Unauthenticated(INVALID)
        if self._tokens is None:
            raise Unauthenticated(INVALID, help=help_texts.NO_TOKENS)
        try:
            return await self._tokens.key(token)
        except BadToken as error:
            raise Unauthenticated(INVALID, help=error.reason) from None

    def _check(self, terms: KeyTerms, from_client: Callable[[], Address | str], access: Access) -> None:
        """Raises Unauthenticated for an expired key, Forbidden for one that may not be used here."""
        if self._clock() >= terms.expires_at:
            raise Unauthenticated(INVALID, help=help_texts.EXPIRED_KEY)
        if terms.kind not in access.kinds:
            raise Forbidden(OTHER_API, help=help_texts.OTHER_API)
        if terms.networks:
            client = from_client()
            if not terms.allows(client if not isinstance(client, str) else None):
                seen = printable(client[:LONGEST_SHOWN]) if isinstance(client, str) else client
                detail = f"This key may not be used from {seen or 'an unknown address'}"
                raise Forbidden(detail, help=help_texts.NETWORKS)


def refuse_subusers(scope: Scope) -> None:
    """Raises Forbidden for a request on behalf of another. SendGrid's clients name a subuser in a header."""
    if header(scope, _ON_BEHALF_OF):
        raise Forbidden(NO_SUBUSERS, _ON_BEHALF_OF.decode(), help_texts.SUBUSER)
