"""Batches: messages of several requests under one id, counted together."""

from datetime import UTC, datetime

from litestar import get, post
from litestar.handlers import HTTPRouteHandler
from litestar.params import FromPath
from msgspec import Struct

from analytics.dropping import tell_cancelled
from api.http.body import ApiRequest
from api.http.errors import answers
from api.http.refusals import NotFound
from cluster.ids import is_id
from cluster.journal.journal import Journal
from cluster.journal.records import BatchCounts
from cluster.policy.lifecycle import Status


class NewBatch(Struct, frozen=True):
    """A batch to put in ``batch_id`` of further requests."""

    batch_id: str


class StatusCounts(Struct, frozen=True, kw_only=True):
    """Messages by status; they sum to the batch's total."""

    queued: int
    processing: int
    """Held by an actor: PROCESSING, RENDERED or SENDING."""
    sent: int
    delivered: int
    bounced: int
    failed: int
    cancelled: int
    sandbox: int


class BatchStatus(Struct, frozen=True, kw_only=True):
    """How a batch stands."""

    batch_id: str
    total_messages: int
    status_counts: StatusCounts
    created_at: datetime
    completed_at: datetime | None
    """When the last of its messages was finished; null while one is not."""
    is_complete: bool


class BatchCancelled(Struct, frozen=True, kw_only=True):
    """What a cancel of a batch did, and how the batch stands now."""

    batch_id: str
    cancelled: int
    """Messages that this call cancelled; the others were being sent, or finished."""
    status_counts: StatusCounts


class Batches:
    """POST /v3/mail/batch, GET /v3/mail/batch/{id}, POST /v3/mail/batch/{id}/cancel."""

    def __init__(self, journal: Journal) -> None:
        self._journal = journal

    def handlers(self) -> list[HTTPRouteHandler]:
        create = post(
            "/v3/mail/batch",
            status_code=201,
            responses=answers(401, 403, 503),
            summary="Create a batch",
            tags=["mail"],
        )
        show = get(
            "/v3/mail/batch/{id:str}",
            responses=answers(400, 401, 403, 404, 503),
            summary="How a batch stands",
            tags=["mail"],
        )
        cancel = post(
            "/v3/mail/batch/{id:str}/cancel",
            status_code=200,
            responses=answers(400, 401, 403, 404, 503),
            summary="Cancel every message of a batch that is not yet being sent",
            tags=["mail"],
        )
        return [create(self.create), show(self.show), cancel(self.cancel)]

    async def create(self, request: ApiRequest) -> NewBatch:
        return NewBatch(await self._journal.create_batch(request.auth.tenant_id))

    async def show(self, request: ApiRequest, id: FromPath[str]) -> BatchStatus:
        counts = await self._journal.batch_counts(request.auth.tenant_id, id) if is_id("bat_", id) else None
        if counts is None:
            raise NotFound("The batch does not exist")
        return batch_status(counts)

    async def cancel(self, request: ApiRequest, id: FromPath[str]) -> BatchCancelled:
        cancelled = None
        if request.auth.sandbox:
            cancelled = 0  # sandbox messages are finished as they are accepted
        elif is_id("bat_", id):
            cancelled = await self._journal.cancel_batch(request.auth.tenant_id, id, tell_cancelled)
        if cancelled is None:
            raise NotFound("The batch does not exist")
        counts = (await self.show(request, id)).status_counts
        return BatchCancelled(batch_id=id, cancelled=cancelled, status_counts=counts)


def batch_status(counts: BatchCounts) -> BatchStatus:
    """The journal's counts as clients read them."""
    held = (Status.PROCESSING, Status.RENDERED, Status.SENDING)
    by_status = {status: counts.by_status.get(status, 0) for status in Status}
    completed_at = counts.completed_at
    return BatchStatus(
        batch_id=counts.id,
        total_messages=counts.total,
        status_counts=StatusCounts(
            queued=by_status[Status.QUEUED],
            processing=sum(by_status[status] for status in held),
            sent=by_status[Status.SENT],
            delivered=by_status[Status.DELIVERED],
            bounced=by_status[Status.BOUNCED],
            failed=by_status[Status.FAILED],
            cancelled=by_status[Status.CANCELLED],
            sandbox=by_status[Status.SANDBOX],
        ),
        created_at=counts.created_at.astimezone(UTC),
        completed_at=completed_at.astimezone(UTC) if completed_at else None,
        is_complete=completed_at is not None,
    )
