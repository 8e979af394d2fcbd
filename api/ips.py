"""/v3/ips: the addresses that mail leaves from, their pools and warm-up, as routing.toml says. Read only.

SendGrid's shapes. An address belongs to a source of the routing; a source has an IPv4 address, an IPv6 address or both.
"""

from datetime import UTC, date, datetime, time
from ipaddress import ip_address
from typing import Annotated, Literal

from litestar import get
from litestar.params import FromPath, QueryParameter
from msgspec import Struct
from msgspec.structs import replace

from api.http import help_texts
from api.http.errors import answers
from api.http.examples import Example
from api.http.refusals import NotFound
from api.http.routes import RouteGroup, Write, refused, resource
from cluster.policy.routes.routing import Source
from cluster.routing.active_policy import ActivePolicy

READ_ONLY = "Addresses, pools and warm-up are what the operator's routing.toml says; this API only reads them"
WRITES: tuple[Write, ...] = (
    ("POST", "/"),
    ("POST", "/pools"),
    ("PUT", "/pools/{pool_name:str}"),
    ("DELETE", "/pools/{pool_name:str}"),
    ("POST", "/pools/{pool_name:str}/ips"),
    ("DELETE", "/pools/{pool_name:str}/ips/{ip_address:str}"),
    ("POST", "/warmup"),
    ("DELETE", "/warmup/{ip_address:str}"),
)
"""SendGrid's writes."""
MOST = 500


class IpAddress(Struct, frozen=True, kw_only=True):
    """An address that mail leaves from."""

    ip: str
    subusers: tuple[str, ...] = ()
    """Always empty: there are no subusers."""
    rdns: str
    """The name that is given in EHLO from this address; its PTR record should be the same."""
    pools: list[str]
    """The pools that mail of this address is chosen by."""
    warmup: bool
    start_date: int | None
    """The first day of the warm-up, in Unix seconds; null without one."""
    whitelabeled: bool
    """Whether the address has a name."""
    assigned_at: int | None = None
    """Always null: routing.toml has no such date."""


class AssignedIp(Struct, frozen=True, kw_only=True):
    """An address of a pool."""

    ip: str
    pools: list[str]
    warmup: bool
    start_date: int
    """0 without a warm-up."""


class PoolName(Struct, frozen=True):
    """A pool; a send request names it in ``ip_pool_name``."""

    name: str


class Pool(Struct, frozen=True):
    """A pool and its addresses."""

    pool_name: str
    ips: list[str]


class WarmingIp(Struct, frozen=True):
    """An address in warm-up."""

    ip: str
    start_date: int
    """Unix seconds."""


class Ips:
    """GET of /v3/ips and below; writes are refused (403)."""

    def __init__(self, policy: ActivePolicy, helo_name: str) -> None:
        """``policy`` has the routing. ``helo_name`` is that of sources without one."""
        self._policy = policy
        self._helo_name = helo_name

    def writes(self) -> RouteGroup:
        """They are not in the OpenAPI document, since none does anything."""
        return refused("/v3/ips", WRITES, READ_ONLY, help_texts.ROUTING)

    def routes(self) -> RouteGroup:
        known = answers(401, 503)
        found = answers(400, 401, 404, 503)
        one = Example(path={"ip_address": "192.0.2.1"})
        pool = get(
            "/pools/{pool_name:str}",
            responses=found,
            summary="A pool and its addresses",
            example=Example(path={"pool_name": "marketing"}),
        )
        return resource(
            "/v3/ips",
            get(responses=answers(400, 401, 503), summary="The addresses that mail leaves from")(self.listing),
            get("/assigned", responses=known, summary="The addresses of all pools")(self.assigned),
            get("/pools", responses=known, summary="The pools")(self.pools),
            pool(self.pool),
            get("/warmup", responses=known, summary="The addresses in warm-up")(self.warming),
            get("/warmup/{ip_address:str}", responses=found, summary="An address in warm-up", example=one)(
                self.warming_one
            ),
            get("/{ip_address:str}", responses=found, summary="An address", example=one)(self.one),
            tag="ips",
        )

    async def listing(
        self,
        ip: Annotated[str | None, QueryParameter(description="Only this address")] = None,
        exclude_whitelabels: Annotated[bool, QueryParameter(description="Only addresses without a name")] = False,
        limit: Annotated[int, QueryParameter(ge=1, le=MOST)] = 10,
        offset: Annotated[int, QueryParameter(ge=0)] = 0,
        subuser: Annotated[str | None, QueryParameter(description="There are no subusers: this finds nothing")] = None,
        sort_by_direction: Annotated[Literal["asc", "desc"], QueryParameter(description="By address")] = "asc",
    ) -> list[IpAddress]:
        wanted = [
            one
            for one in self._addresses()
            if ip in (None, one.ip) and subuser is None and not (exclude_whitelabels and one.whitelabeled)
        ]
        wanted.sort(key=lambda one: _by_number(one.ip), reverse=sort_by_direction == "desc")
        return wanted[offset : offset + limit]

    async def assigned(self) -> list[AssignedIp]:
        return [
            AssignedIp(ip=one.ip, pools=one.pools, warmup=one.warmup, start_date=one.start_date or 0)
            for one in self._addresses()
            if one.pools
        ]

    async def pools(self) -> list[PoolName]:
        return [PoolName(name) for name in sorted(self._policy.routing.pools)]

    async def pool(self, pool_name: FromPath[str]) -> Pool:
        if pool_name not in self._policy.routing.pools:
            raise NotFound("The pool does not exist", help=help_texts.POOL)
        return Pool(pool_name, [one.ip for one in self._addresses() if pool_name in one.pools])

    async def warming(self) -> list[WarmingIp]:
        return [WarmingIp(one.ip, one.start_date or 0) for one in self._addresses() if one.warmup]

    async def warming_one(self, ip_address: FromPath[str]) -> list[WarmingIp]:
        found = [one for one in await self.warming() if one.ip == _spelled(ip_address)]
        if not found:
            raise NotFound("The address is not in warm-up", help=help_texts.WARM_UP)
        return found

    async def one(self, ip_address: FromPath[str]) -> IpAddress:
        wanted = _spelled(ip_address)
        for found in self._addresses():
            if found.ip == wanted:
                return found
        raise NotFound("The address does not exist", help=help_texts.ADDRESS)

    def _addresses(self) -> list[IpAddress]:
        """Every address of the routing, by number; one that several sources name once."""
        routing, day = self._policy.routing, self._policy.today()
        found: dict[str, IpAddress] = {}
        for source in routing.sources.values():
            pools = [name for name, weights in sorted(routing.pools.items()) if source.name in weights]
            for address in (source.address, source.address6):
                if address:
                    shown = self._shown(address, source, pools, day)
                    known = found.get(address)
                    if known is not None:
                        shown = replace(
                            shown, pools=sorted({*known.pools, *pools}), warmup=known.warmup or shown.warmup
                        )
                    found[address] = shown
        return sorted(found.values(), key=lambda one: _by_number(one.ip))

    def _shown(self, address: str, source: Source, pools: list[str], day: date) -> IpAddress:
        plan, name = source.warm_up, source.helo_name or self._helo_name
        return IpAddress(
            ip=address,
            rdns=name,
            pools=pools,
            warmup=plan is not None and plan.started <= day < plan.ends(),
            start_date=int(datetime.combine(plan.started, time(), UTC).timestamp()) if plan is not None else None,
            whitelabeled=bool(name),
        )


def _spelled(address: str) -> str:
    """The canonical spelling of an address; another text stays as it is."""
    try:
        return str(ip_address(address))
    except ValueError:
        return address


def _by_number(address: str) -> tuple[int, int]:
    number = ip_address(address)
    return number.version, int(number)
