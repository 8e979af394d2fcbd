"""GET /v3/scopes: the scopes of the key that the client uses, of those that exist."""

from litestar import get
from msgspec import Struct

from api.http.body import ApiRequest
from api.http.errors import answers
from api.http.routes import RouteGroup, resource
from cluster.access.scopes import existing


class ScopeList(Struct, frozen=True):
    """What the key may do."""

    scopes: list[str]


class Scopes:
    """GET /v3/scopes."""

    def routes(self) -> RouteGroup:
        route = get(responses=answers(401, 503), summary="The scopes of the key")
        return resource("/v3/scopes", route(self.scopes), tag="keys")

    async def scopes(self, request: ApiRequest) -> ScopeList:
        return ScopeList(existing(request.auth.scopes))
