"""POST /api/admin/send-now: making deferred deliveries due now, a part of the queue with each call.

What was commanded stands: a later send time, a pause, a suspension. What is due already waits for its turn, and its
site is tried at once, also where the last connections to it failed.
"""

from collections.abc import Sequence

import msgspec
from litestar import post
from litestar.handlers import HTTPRouteHandler
from litestar.params import JSONBody
from msgspec import Struct

from api.admin.deliverers import Deliverers
from api.admin.searching import QueueNames, QueueQuery, QueueSearch, check_query, pages
from api.http.body import TypedBody
from api.http.errors import answers
from api.http.refusals import Fault, Invalid
from cluster.journal.journal import Journal
from cluster.journal.queue_control import UnfinishedDelivery, Wait


class SendNowRequest(QueueQuery, frozen=True, kw_only=True):
    """Which deliveries to make due."""


class SendNowAnswer(Struct, frozen=True, kw_only=True):
    """What became of this part of the queue."""

    matched: int
    deferred: int
    """Of the matched: they waited for their next attempt."""
    made_due: int
    """Of these; none of a dry run. A few may be in other hands just now, and are left as they are."""
    due: int
    """Of the matched, too: due already, they wait for their turn or for room at their site."""
    scheduled: int
    """Left alone: their send time is to come."""
    paused: int
    """Left alone: their batch is paused."""
    being_sent: int
    suspended: int
    """Of the deferred and the due: they wait until the suspension of their site or tenant ends."""
    names: QueueNames
    next: str | None
    """Where the next call goes on; null at the end of the queue."""


class SendNowBody(TypedBody[SendNowRequest]):
    decoder = msgspec.json.Decoder(SendNowRequest)


class SendingNow:
    """One call."""

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
