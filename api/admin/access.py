"""Authentication of operators by a token: one that the journal has, or the one that every process derives from the
cluster's secret.

API keys belong to tenants. They are accepted only by the routes for what a tenant may set itself, each for its own
tenant.
"""

import hmac
from collections.abc import Callable, Sequence
from datetime import UTC, datetime

from litestar.connection import ASGIConnection
from litestar.datastructures import State
from litestar.handlers import BaseRouteHandler, HTTPRouteHandler

from api.http import help_texts
from api.http.existing import TENANT, missing
from api.http.refusals import Unauthenticated
from api.http.routes import Guard
from cluster.journal.journal import Journal
from cluster.journal.records import ApiKey
from cluster.keys import is_operator_token, key_hash

Connection = ASGIConnection[HTTPRouteHandler, None, None, State]

FormerToken = tuple[str, datetime | None]
"""The token that is derived from a former secret, and until when it is accepted; None: as long as it is configured."""
INVALID = "Invalid operator token"
INSTALLATION = "installation"
"""The name of the derived token, for what people read."""
OWN = "me"
"""In a path, a key names its own tenant so: it need not know the id."""


class Operators:
    """Checks operators' tokens. A token of the journal is looked up at each request, so a revoked one is refused at
    once on every node; operators make few requests."""

    def __init__(
        self,
        token: str,
        journal: Journal,
        former: Sequence[FormerToken] = (),
        clock: Callable[[], datetime] = lambda: datetime.now(UTC),
    ) -> None:
        """``token`` is the derived one (cluster.keys)."""
        self._derived = [(key_hash(one), until) for one, until in ((token, None), *former)]
        self._journal = journal
        self._clock = clock

    async def guard(self, connection: Connection, route: BaseRouteHandler) -> None:
        """Admit an operator; the request's ``user`` is the name. Raises Unauthenticated when the token is missing or
        wrong, and Unavailable."""
        authorization = connection.headers.get("authorization")
        if authorization is None:
            raise Unauthenticated("Missing Authorization header", help=help_texts.OPERATOR_TOKEN)
        connection.scope["user"] = await self.check(authorization)

    async def check(self, authorization: str) -> str:
        """The name of the operator whose Authorization header this is. Raises Unauthenticated when it is none's, and
        Unavailable."""
        scheme, _, shown = authorization.partition(" ")
        if scheme.lower() != "bearer":
            raise Unauthenticated(INVALID, help=help_texts.OPERATOR_TOKEN)
        return await self.name_of(shown.strip())

    async def name_of(self, shown: str) -> str:
        """The name of an operator's token. Raises Unauthenticated when it is none, and Unavailable."""
        if not is_operator_token(shown) and not self._is_derived(key_hash(shown)):
            raise Unauthenticated(INVALID, help=help_texts.OPERATOR_TOKEN)
        name = await self.name_by_hash(key_hash(shown))
        if name is None:
            raise Unauthenticated(INVALID, help=help_texts.OPERATOR_TOKEN)
        return name

    async def name_by_hash(self, hash: bytes) -> str | None:
        """The name of the token with this SHA-256 hash; None when no such token is accepted any more. Raises
        Unavailable."""
        if self._is_derived(hash):
            return INSTALLATION
        token = await self._journal.operator_tokens.by_hash(hash)
        if token is None:
            return None
        minute = self._clock().replace(second=0, microsecond=0)
        if token.last_used_at is None or token.last_used_at < minute:
            await self._journal.operator_tokens.note_use(token.id, minute)
        return token.name

    def _is_derived(self, hash: bytes) -> bool:
        now = self._clock()
        accepted = [token for token, until in self._derived if until is None or now < until]
        return any(hmac.compare_digest(hash, token) for token in accepted)


class OperatorsOrKeys:
    """Admits an operator for any tenant, and a key for its own: the one that the path names as ``id``, or by
    ``OWN``. For an operator, ``auth`` in the request's scope is None."""

    def __init__(self, operators: Operators, of_keys: Guard) -> None:
        """``of_keys`` is the guard of the routes for keys."""
        self._operators = operators
        self._of_keys = of_keys

    async def guard(self, connection: Connection, route: BaseRouteHandler) -> None:
        """Raises Unauthenticated for anyone else, Forbidden, and NotFound for the tenant of another key."""
        try:
            await self._operators.guard(connection, route)
        except Unauthenticated:
            await self._of_keys(connection, route)
            key: ApiKey = connection.scope["auth"]
            if connection.path_params["id"] == OWN:
                # Litestar keeps the dict for further requests of the path, so it is not changed.
                connection.scope["path_params"] = {**connection.path_params, "id": key.tenant_id}
            if connection.path_params["id"] != key.tenant_id:
                raise missing(TENANT) from None
        else:
            connection.scope["auth"] = None
