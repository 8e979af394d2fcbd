"""/api/admin/route, /sources and /policies: the route of mail, the sources, and the active policies."""

from collections.abc import Awaitable, Callable
from typing import Annotated

import msgspec
from litestar import get
from litestar.handlers import HTTPRouteHandler
from litestar.params import FromPath, JSONBody, QueryParameter
from msgspec import Struct

from api.admin.changing import post
from api.http.body import TypedBody
from api.http.errors import answers
from api.http.examples import Example
from api.http.refusals import Fault, Invalid
from api.http.texts import check_name
from cluster.policies import BadPolicies
from cluster.policy.routes.domains import mail_domain
from cluster.routing.deliverers import Deliverers
from cluster.routing.views import RouteDescription, SourceState

Describe = Callable[[str, str, str], Awaitable[RouteDescription]]
"""Returns the resolved route of mail for (domain, tenant id, pool); the last two may be ""."""
ListSources = Callable[[], Awaitable[list[SourceState]]]
PutInForce = Callable[[str, str], Awaitable[int | None]]
"""Activates (shaping.toml, routing.toml): returns the new version, or None when they are active already. Raises
BadPolicies."""


SHAPING = """\
[[rule]]
name = "example-site"
site = "mx.example.com"
connections = 5
"""


class SourceList(Struct, frozen=True):
    """Every source that the routing policy names."""

    sources: list[SourceState]


class NewPolicies(Struct, frozen=True, kw_only=True):
    """The text of both files; an empty one leaves the shipped defaults."""

    shaping: str = ""
    routing: str = ""


class PoliciesAnswer(Struct, frozen=True, kw_only=True):
    """What is in force now."""

    version: int
    """0 while no policies were ever activated."""
    changed: bool


class PoliciesBody(TypedBody[NewPolicies]):
    decoder = msgspec.json.Decoder(NewPolicies)


class Placing:
    """The routes of this module."""

    def __init__(
        self,
        deliverers: Deliverers,
        *,
        describe: Describe,
        sources: ListSources,
        put_in_force: PutInForce,
        version: Callable[[], Awaitable[int]],
    ) -> None:
        """``version`` returns the active version."""
        self._deliverers = deliverers
        self._describe = describe
        self._sources = sources
        self._put_in_force = put_in_force
        self._version = version

    def handlers(self) -> list[HTTPRouteHandler]:
        route = get(
            "/route/{domain:str}",
            responses=answers(400, 401, 503),
            summary="Where mail for a domain would go, and how",
            example=Example(path={"domain": "example.com"}),
        )
        sources = get(
            "/sources",
            responses=answers(401, 503),
            summary="Sources: addresses, pools, who has them, warm-up",
        )
        reload = post(
            "/policies",
            status_code=200,
            dto=PoliciesBody,
            return_dto=None,
            responses=answers(400, 401, 408, 413, 415, 422, 503),
            summary="Put shaping and routing in force",
            example=Example(body={"shaping": SHAPING}),
        )
        return [route(self.route), sources(self.sources), reload(self.reload)]

    async def route(
        self,
        domain: FromPath[str],
        tenant_id: Annotated[str | None, QueryParameter(description="As this tenant's mail would go")] = None,
        pool: Annotated[str | None, QueryParameter(description="From this pool of sources")] = None,
    ) -> RouteDescription:
        faults: list[Fault] = []
        known = mail_domain(domain)
        if known is None:
            faults.append(Fault("Not a domain name", "domain"))
        check_name(tenant_id, "tenant_id", faults)
        check_name(pool, "pool", faults)
        if known is None or faults:
            raise Invalid(faults)
        return await self._describe(known, tenant_id or "", pool or "")

    async def sources(self) -> SourceList:
        return SourceList(await self._sources())

    async def reload(self, data: JSONBody[NewPolicies]) -> PoliciesAnswer:
        try:
            version = await self._put_in_force(data.shaping, data.routing)
        except BadPolicies as error:
            raise Invalid([Fault(error.reason, error.file)]) from error
        if version is None:
            return PoliciesAnswer(version=await self._version(), changed=False)
        await self._deliverers.follow()
        return PoliciesAnswer(version=version, changed=True)
