"""Batches: messages of several requests under one id, counted together."""

from collections.abc import Awaitable, Callable
from datetime import UTC, datetime
from functools import partial

from litestar import get, post
from litestar.params import FromPath
from msgspec import Struct, structs

from api.http.body import ApiRequest
from api.http.errors import answers
from api.http.examples import BATCH_ID, Example
from api.http.existing import BATCH, existing
from api.http.routes import RouteGroup, resource
from cluster.journal.journal import Journal
from cluster.journal.records import BatchCounts
from cluster.policy.lifecycle import Status
from cluster.routing.estimating import CannotTell
from cluster.routing.views import BatchEstimate


class NewBatch(Struct, frozen=True):
    """A batch to put in ``batch_id`` of further requests."""

    batch_id: str


class StatusCounts(Struct, frozen=True, kw_only=True):
    """Messages by status; they sum to the batch's total."""

    queued: int
    processing: int
    """Messages that an actor holds: PROCESSING, RENDERED or SENDING."""
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
    """When the last of its messages was finished; null while one is unfinished."""
    is_complete: bool
    estimate: BatchEstimate | None = None
    """When it will be done; null where nothing can be said."""
    no_estimate: str | None = None
    """Then the reason."""


class BatchCancelled(Struct, frozen=True, kw_only=True):
    """What a cancel of a batch did, and how the batch stands now."""

    batch_id: str
    cancelled: int
    """Messages that this call cancelled; the others were being sent or were finished."""
    status_counts: StatusCounts


Estimate = Callable[[str, BatchCounts], Awaitable[BatchEstimate]]
"""When a batch of this tenant will be done. Raises CannotTell, and Unavailable."""


async def cannot_tell(_tenant_id: str, _counts: BatchCounts) -> BatchEstimate:
    """The estimate where no delivery actors are known."""
    raise CannotTell("nothing is known of deliveries here")


class BatchCalls:
    """POST /v3/mail/batch, GET /v3/mail/batch/{id}, POST /v3/mail/batch/{id}/cancel."""

    def __init__(self, journal: Journal, estimate: Estimate = cannot_tell) -> None:
        self._journal = journal
        self._estimate = estimate

    def routes(self) -> RouteGroup:
        create = post(status_code=201, responses=answers(401, 403, 503), summary="Create a batch")
        example = Example(path={"id": BATCH_ID})
        show = get(
            "/{id:str}", responses=answers(400, 401, 403, 404, 503), summary="How a batch stands", example=example
        )
        cancel = post(
            "/{id:str}/cancel",
            status_code=200,
            responses=answers(400, 401, 403, 404, 503),
            summary="Cancel every message of a batch that is not yet being sent",
            example=example,
        )
        return resource("/v3/mail/batch", create(self.create), show(self.show), cancel(self.cancel), tag="mail")

    async def create(self, request: ApiRequest) -> NewBatch:
        return NewBatch(await self._journal.batches.create(request.auth.tenant_id))

    async def show(self, request: ApiRequest, id: FromPath[str]) -> BatchStatus:
        counts = await self._counts(request, id)
        shown = batch_status(counts)
        try:
            return structs.replace(shown, estimate=await self._estimate(request.auth.tenant_id, counts))
        except CannotTell as error:
            return structs.replace(shown, no_estimate=error.reason)

    async def cancel(self, request: ApiRequest, id: FromPath[str]) -> BatchCancelled:
        cancelled = 0  # for a sandbox key: its messages are finished on acceptance
        if not request.auth.sandbox:
            cancel = partial(self._journal.batches.cancel, request.auth.tenant_id)
            cancelled = await existing(BATCH, id, cancel)
        counts = batch_status(await self._counts(request, id)).status_counts
        return BatchCancelled(batch_id=id, cancelled=cancelled, status_counts=counts)

    async def _counts(self, request: ApiRequest, id: str) -> BatchCounts:
        return await existing(BATCH, id, partial(self._journal.batches.counts, request.auth.tenant_id))


def batch_status(counts: BatchCounts) -> BatchStatus:
    """The journal's counts in the API's form."""
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
