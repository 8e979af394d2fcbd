"""Authentication by Bearer API key, which gives the tenant and the scopes.

The guard of the routes for keys authenticates before the body is read and stores the key in ``request.auth``. The
requirements of each route are in access.py. RFC 6750 (Bearer), RFC 9110 §11.
"""

from litestar.connection import ASGIConnection
from litestar.datastructures import State
from litestar.handlers import BaseRouteHandler, HTTPRouteHandler
from litestar.types import Scope

from api.http import help_texts
from api.http.body import header
from api.http.refusals import Forbidden, Unauthenticated
from api.http.routes import access_of
from cluster.journal.records import ApiKey
from cluster.keys import is_key, key_hash
from cluster.tenancy.directory import TenantDirectory

NO_SUBUSERS = "There are no subusers: a key acts for its own tenant. Leave out the header on-behalf-of"
_ON_BEHALF_OF = b"on-behalf-of"

Connection = ASGIConnection[HTTPRouteHandler, None, ApiKey, State]


class Authenticator:
    """Admits requests by their keys. Unknown keys are not cached: guesses are not repeated, so they would only evict
    valid keys."""

    def __init__(self, directory: TenantDirectory) -> None:
        self._directory = directory

    async def authenticate(self, authorization: str | None) -> ApiKey:
        """The key of an Authorization header. Raises Unauthenticated when it is missing, malformed or unknown, and
        Unavailable."""
        if authorization is None:
            raise Unauthenticated("Missing Authorization header")
        scheme, _, secret = authorization.partition(" ")
        secret = secret.strip()
        if scheme.lower() != "bearer" or not is_key(secret):
            raise Unauthenticated("Invalid API key")
        key = await self._directory.key(key_hash(secret))
        if key is None:
            raise Unauthenticated("Invalid API key")
        return key

    async def guard(self, connection: Connection, route: BaseRouteHandler) -> None:
        """Admit a known key that may call the route. Raises Unauthenticated, Forbidden."""
        key = await self.authenticate(header(connection.scope, b"authorization"))
        refuse_subusers(connection.scope)
        access_of(route).admit(key)
        connection.scope["auth"] = key


def refuse_subusers(scope: Scope) -> None:
    """Raises Forbidden for a request on behalf of another. SendGrid's clients name a subuser in a header."""
    if header(scope, _ON_BEHALF_OF):
        raise Forbidden(NO_SUBUSERS, _ON_BEHALF_OF.decode(), help_texts.SUBUSER)
