"""Authentication of operators by the operator token, which every process derives from the cluster's secret.

API keys belong to tenants and are not accepted here.
"""

import hmac

from litestar.connection import ASGIConnection
from litestar.datastructures import State
from litestar.handlers import BaseRouteHandler, HTTPRouteHandler

from api.http.refusals import Unauthenticated

Connection = ASGIConnection[HTTPRouteHandler, None, None, State]


class Operators:
    """Checks the operator token."""

    def __init__(self, token: str) -> None:
        self._token = token.encode()

    async def guard(self, connection: Connection, route: BaseRouteHandler) -> None:
        """Admit an operator. Raises Unauthenticated when the token is missing or wrong."""
        authorization = connection.headers.get("authorization")
        if authorization is None:
            raise Unauthenticated("Missing Authorization header")
        scheme, _, shown = authorization.partition(" ")
        if scheme.lower() != "bearer" or not hmac.compare_digest(shown.strip().encode(), self._token):
            raise Unauthenticated("Invalid operator token")
