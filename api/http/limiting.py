"""The limits of a tenant on the routes for keys: what a request is counted under, and what its answer shows of it.

A request without the scope is refused before it is counted. Every answer to a known key has X-RateLimit-Limit,
-Remaining and -Reset, errors included.
"""

from dataclasses import dataclass

from litestar.openapi.spec import OpenAPIHeader, Operation, Schema
from litestar.openapi.spec.enums import OpenAPIType
from litestar.types import Message, Scope

from api.http.access import Access
from cluster.journal.records import ApiKey
from cluster.tenancy.exceeded import Standing
from cluster.tenancy.limiter import Allowance, TenantLimiter

_STANDING = "postray.standing"
"""The entry of the ASGI scope with what the answer shows."""

_HEADERS = {
    "X-RateLimit-Limit": "The limit that the request is counted under, over the whole cluster",
    "X-RateLimit-Remaining": "How much of it the process that answered would accept at once",
    "X-RateLimit-Reset": "When nothing of it is used any more, in Unix seconds",
}


async def admit(limiter: TenantLimiter, scope: Scope, key: ApiKey, access: Access) -> Allowance:
    """The allowance of the key's tenant, once the key may call the route; nothing is charged. Raises Forbidden and
    Unavailable."""
    allowance = limiter.find(key.tenant_id) or await limiter.load(key.tenant_id)
    show(scope, limiter.standing(allowance, access.limit))
    access.admit(key)
    return allowance


def show(scope: Scope, standing: Standing | None) -> None:
    """Have the answer show this standing; None shows none."""
    scope[_STANDING] = standing  # type: ignore[literal-required]  # ours


def standing_headers(scope: Scope) -> list[tuple[bytes, bytes]]:
    """The fields of the answer to a request."""
    standing: Standing | None = scope.get(_STANDING)  # type: ignore[assignment]  # ours
    return standing.headers() if standing is not None else []


async def add_standing(message: Message, scope: Scope) -> None:
    """Add the fields to an answer; called before it is sent."""
    if message["type"] == "http.response.start" and _STANDING in scope:
        message["headers"] = [*message["headers"], *standing_headers(scope)]


@dataclass
class LimitedOperation(Operation):
    """The OpenAPI entry of a route for keys: every answer but 401 has the fields."""

    def __post_init__(self) -> None:
        for status, response in (self.responses or {}).items():
            if status != "401":
                shown = {
                    name: OpenAPIHeader(description=description, schema=Schema(type=OpenAPIType.INTEGER))
                    for name, description in _HEADERS.items()
                }
                response.headers = {**(response.headers or {}), **shown}  # type: ignore[union-attr]  # no references
