"""POST /api/admin/reroute: moves waiting deliveries to another pool or route, one part of the queue per call.

The new pool and route are in the journal, so they survive restarts. Deliveries that are being sent are left unchanged.
"""

from collections.abc import Sequence

import msgspec
from litestar.handlers import HTTPRouteHandler
from litestar.params import JSONBody
from msgspec import Struct

from api.admin.changing import post
from api.admin.naming import NameFinder
from api.admin.searching import QueueNames, QueueQuery, QueueSearch, check_query, pages
from api.http.body import TypedBody
from api.http.errors import answers
from api.http.examples import Example
from api.http.refusals import Fault, Invalid
from api.http.texts import check_name
from cluster.journal.journal import Journal
from cluster.journal.queue_control import UnfinishedDelivery
from cluster.policy.routes.rerouting import DEFAULT
from cluster.routing.deliverers import Deliverers


class RerouteRequest(QueueQuery, frozen=True, kw_only=True):
    """Which deliveries to move, and where to: a pool, a route, or both."""

    to_pool: str | None = None
    """A pool of the active routing."""
    to_route: str | None = None
    """direct, a relay (host:port) or another route that the routing names; default: the routing decides."""


class RerouteAnswer(Struct, frozen=True, kw_only=True):
    """What became of this part of the queue."""

    matched: int
    moved: int
    """0 in a dry run. Deliveries that are there already, and those that another command has locked, do not count."""
    being_sent: int
    """Matched but left unchanged."""
    names: QueueNames
    next: str | None
    """The start of the next call; null at the end of the queue."""


class RerouteBody(TypedBody[RerouteRequest]):
    decoder = msgspec.json.Decoder(RerouteRequest)


class Rerouting:
    """The route of this module."""

    def __init__(self, journal: Journal, deliverers: Deliverers, search: QueueSearch, names: NameFinder) -> None:
        self._journal = journal
        self._deliverers = deliverers
        self._search = search
        self._names = names

    def handlers(self) -> list[HTTPRouteHandler]:
        route = post(
            "/reroute",
            status_code=200,
            dto=RerouteBody,
            return_dto=None,
            responses=answers(400, 401, 408, 413, 415, 422, 503),
            summary="Move what waits and matches to another pool or route, in one part of the queue",
            example=Example(body={"domain": "example.com", "to_route": "direct", "dry_run": True}),
        )
        return [route(self.reroute)]

    async def reroute(self, data: JSONBody[RerouteRequest]) -> RerouteAnswer:
        _check(data)
        if data.to_pool is not None:
            await self._names.check_new_pool(data.to_pool)
        if data.to_route is not None:
            self._names.check_route(data.to_route)
        found = await self._search.part(data)
        idle = [queued for queued in found.queued if not queued.sending]
        moved = 0 if data.dry_run else await self._move(idle, data, found.names)
        return RerouteAnswer(
            matched=len(found.queued),
            moved=moved,
            being_sent=len(found.queued) - len(idle),
            names=found.names,
            next=found.next,
        )

    async def _move(self, idle: Sequence[UnfinishedDelivery], data: RerouteRequest, names: QueueNames) -> int:
        route = "" if data.to_route == DEFAULT else data.to_route
        count = 0
        for page in pages(idle):
            moved = await self._journal.queue_control.reroute(page, data.to_pool, route)
            await self._deliverers.moved(moved)
            count += len(moved)
        if count:
            to = [("to pool", data.to_pool), ("to route", data.to_route)]
            towards = [f"{word} {name}" for word, name in to if name is not None]
            await self._search.record(data, names, "rerouted", ", ".join([f"{count} moved", *towards]))
        return count


def _check(data: RerouteRequest) -> None:
    """Raises Invalid for a request with faults."""
    faults: list[Fault] = []
    for name in ("to_pool", "to_route"):
        check_name(getattr(data, name), name, faults)
    if data.to_pool is None and data.to_route is None:
        faults.append(Fault("Name a pool, a route, or both", "to_pool"))
    check_query(data, faults, "moves")
    if faults:
        raise Invalid(faults)
