"""POST /api/admin/send-now: makes deferred deliveries due now, one part of the queue per call.

A later send time, a pause and a suspension still apply. Deliveries that are due already wait for their turn, and their
site is tried at once, even if the last connections to it failed.
"""

from collections.abc import Sequence

import msgspec
from litestar.handlers import HTTPRouteHandler
from litestar.params import JSONBody
from msgspec import Struct

from api.admin.changing import post
from api.admin.searching import QueueNames, QueueQuery, QueueSearch, check_query, pages
from api.http.body import TypedBody
from api.http.errors import answers
from api.http.examples import Example
from api.http.refusals import Fault, Invalid
from cluster.journal.journal import Journal
from cluster.journal.queue_control import UnfinishedDelivery, Wait
from cluster.routing.deliverers import Deliverers


class SendNowRequest(QueueQuery, frozen=True, kw_only=True):
    """Which deliveries to make due."""


class SendNowAnswer(Struct, frozen=True, kw_only=True):
    """What became of this part of the queue."""

    matched: int
    deferred: int
    """Matched: they waited for their next attempt."""
    made_due: int
    """Those of ``deferred`` that are due now; 0 in a dry run. A few may be locked by another command and unchanged."""
    due: int
    """Matched: they are due already and wait for their turn or for room at their site."""
    scheduled: int
    """Left unchanged: their send time is in the future."""
    paused: int
    """Left unchanged: their batch is paused."""
    being_sent: int
    suspended: int
    """Deferred or due: they wait until the suspension of their site or tenant ends."""
    names: QueueNames
    next: str | None
    """The start of the next call; null at the end of the queue."""


class SendNowBody(TypedBody[SendNowRequest]):
    decoder = msgspec.json.Decoder(SendNowRequest)


class SendingNow:
    """The route of this module."""

    def __init__(self, journal: Journal, deliverers: Deliverers, search: QueueSearch) -> None:
        self._journal = journal
        self._deliverers = deliverers
        self._search = search

    def handlers(self) -> list[HTTPRouteHandler]:
        route = post(
            "/send-now",
            status_code=200,
            dto=SendNowBody,
            return_dto=None,
            responses=answers(400, 401, 408, 413, 415, 422, 503),
            summary="Make deferred deliveries that match due now, in one part of the queue",
            example=Example(body={"domain": "example.com", "dry_run": True}),
        )
        return [route(self.send_now)]

    async def send_now(self, data: JSONBody[SendNowRequest]) -> SendNowAnswer:
        faults: list[Fault] = []
        check_query(data, faults, "sends")
        if faults:
            raise Invalid(faults)
        suspensions = await self._journal.suspensions.active()
        found = await self._search.part(data, by_site=any(one.site for one in suspensions))
        waits: dict[Wait, list[UnfinishedDelivery]] = {wait: [] for wait in Wait}
        for page in pages(found.queued):
            for queued, wait in await self._journal.queue_control.waits(page):
                waits[wait].append(queued)
        ready = [*waits[Wait.DEFERRED], *waits[Wait.TURN]]
        suspended = await self._search.suspended(ready, suspensions)
        made_due = 0
        if not data.dry_run:
            made_due = await self._make_due(waits[Wait.DEFERRED], data, found.names)
            await self._deliverers.try_now(sorted({(one.domain, one.tenant_id) for one in ready}))
        return SendNowAnswer(
            matched=sum(map(len, waits.values())),
            deferred=len(waits[Wait.DEFERRED]),
            made_due=made_due,
            due=len(waits[Wait.TURN]),
            scheduled=len(waits[Wait.SCHEDULED]),
            paused=len(waits[Wait.PAUSED]),
            being_sent=len(waits[Wait.SENDING]),
            suspended=suspended,
            names=found.names,
            next=found.next,
        )

    async def _make_due(self, deferred: Sequence[UnfinishedDelivery], data: QueueQuery, names: QueueNames) -> int:
        made_due = 0
        for page in pages(deferred):
            made_due += await self._journal.queue_control.make_due(page)
        if made_due:
            await self._search.record(data, names, "made due", f"{made_due} made due")
        return made_due
