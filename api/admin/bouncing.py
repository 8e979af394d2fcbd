"""POST /api/admin/bounce: ends queued deliveries that match, one part of the queue per call.

Deliveries that are being sent are left unchanged: the host may have the message already. A delivery that is not being
sent cannot bounce (policy/lifecycle.py), so it ends as failed.
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
from api.http.texts import check_text
from cluster.journal.journal import Journal
from cluster.journal.queue_control import UnfinishedDelivery

LONGEST_REASON = 1000
BY_OPERATOR = "bounced by the operator"


class BounceRequest(QueueQuery, frozen=True, kw_only=True):
    """Which deliveries to end, and why."""

    reason: str = ""


class BounceAnswer(Struct, frozen=True, kw_only=True):
    """What became of this part of the queue."""

    matched: int
    ended: int
    being_sent: int
    """Matched but left unchanged. A few others may be unchanged too because another command had locked them."""
    names: QueueNames
    next: str | None
    """The start of the next call; null at the end of the queue."""


class BounceBody(TypedBody[BounceRequest]):
    decoder = msgspec.json.Decoder(BounceRequest)


class Bouncing:
    """The route of this module."""

    def __init__(self, journal: Journal, search: QueueSearch) -> None:
        self._journal = journal
        self._search = search

    def handlers(self) -> list[HTTPRouteHandler]:
        route = post(
            "/bounce",
            status_code=200,
            dto=BounceBody,
            return_dto=None,
            responses=answers(400, 401, 408, 413, 415, 422, 503),
            summary="End queued deliveries that match, in one part of the queue",
            example=Example(body={"domain": "example.com", "reason": "The domain was given up", "dry_run": True}),
        )
        return [route(self.bounce)]

    async def bounce(self, data: JSONBody[BounceRequest]) -> BounceAnswer:
        faults: list[Fault] = []
        check_text(data.reason, "reason", faults, longest=LONGEST_REASON)
        check_query(data, faults, "ends")
        if faults:
            raise Invalid(faults)
        found = await self._search.part(data)
        idle = [queued for queued in found.queued if not queued.sending]
        ended = 0 if data.dry_run else await self._end(idle, data, found.names)
        return BounceAnswer(
            matched=len(found.queued),
            ended=ended,
            being_sent=len(found.queued) - len(idle),
            names=found.names,
            next=found.next,
        )

    async def _end(self, idle: Sequence[UnfinishedDelivery], data: BounceRequest, names: QueueNames) -> int:
        reason = f"{BY_OPERATOR}: {data.reason}" if data.reason else BY_OPERATOR
        ended = 0
        for page in pages(idle):
            ended += await self._journal.queue_control.give_up(page, reason)
        if ended:
            await self._search.record(data, names, "bounced", f"{ended} ended", data.reason)
        return ended
