"""/v3/user/scheduled_sends: pauses, cancels and resumes a batch, in SendGrid v3's shape.

A pause holds all unclaimed deliveries of the batch, also of messages that are accepted later; lifetimes continue. A
cancellation cancels every message that can be cancelled; messages that are accepted into the batch later are cancelled
at once. DELETE resumes a paused batch. For a cancelled batch it only ends the cancellation of later messages.
"""

import asyncio
import logging
from functools import partial
from typing import Literal, cast

import msgspec
from litestar import delete, get, patch, post
from litestar.params import FromPath, JSONBody
from msgspec import Struct

from api.http import help_texts
from api.http.body import ApiRequest, TypedBody
from api.http.errors import answers
from api.http.examples import BATCH_ID, Example
from api.http.existing import BATCH, existing
from api.http.refusals import Fault, Invalid, NotFound
from api.http.routes import RouteGroup, resource
from cluster.journal.journal import Journal, Unavailable
from cluster.journal.records import ScheduledSend, ScheduledStatus

log = logging.getLogger(__name__)

LOOK_S = 10.0
ABANDONED_S = 30.0
"""After this time another process continues an unfinished command; both may work on it."""


class NewScheduledSend(Struct, frozen=True):
    """A batch to pause or to cancel."""

    batch_id: str | None = None
    status: str | None = None


class ScheduledSendChange(Struct, frozen=True):
    """What to do with the batch instead: "pause" or "cancel"."""

    status: str | None = None


class NewBody(TypedBody[NewScheduledSend]):
    decoder = msgspec.json.Decoder(NewScheduledSend)


class ChangeBody(TypedBody[ScheduledSendChange]):
    decoder = msgspec.json.Decoder(ScheduledSendChange)


class ScheduledSendCalls:
    """The routes of this module."""

    def __init__(self, journal: Journal) -> None:
        self._journal = journal

    def routes(self) -> RouteGroup:
        one = "/{batch_id:str}"
        of_batch = {"batch_id": BATCH_ID}
        with_body = (400, 401, 403, 404, 408, 413, 415, 422, 503)
        create = post(
            status_code=201,
            dto=NewBody,
            return_dto=None,
            responses=answers(*with_body),
            summary="Pause or cancel a batch",
            example=Example(body={**of_batch, "status": "pause"}),
        )
        listing = get(responses=answers(401, 403, 503), summary="The paused and cancelled batches")
        show = get(
            one,
            responses=answers(400, 401, 403, 404, 503),
            summary="Whether a batch is paused or cancelled: an array of one, or empty",
            example=Example(path=of_batch),
        )
        change = patch(
            one,
            status_code=204,
            dto=ChangeBody,
            return_dto=None,
            responses=answers(*with_body),
            summary="Cancel a paused batch, or pause a cancelled one",
            example=Example(path=of_batch, body={"status": "cancel"}),
        )
        forget = delete(
            one,
            status_code=204,
            responses=answers(400, 401, 403, 404, 503),
            summary="Resume a paused batch; forget a cancellation",
            example=Example(path=of_batch),
        )
        return resource(
            "/v3/user/scheduled_sends",
            create(self.create),
            listing(self.listing),
            show(self.show),
            change(self.change),
            forget(self.forget),
            tag="mail",
        )

    async def create(self, request: ApiRequest, data: JSONBody[NewScheduledSend]) -> ScheduledSend:
        faults: list[Fault] = []
        status = _status(data.status, faults)
        if not data.batch_id:
            faults.append(Fault("The batch_id is required", "batch_id"))
        if faults:
            raise Invalid(faults)
        batch_id = await self._known(request, data.batch_id or "")
        if not await self._journal.scheduled_sends.schedule(request.auth.tenant_id, batch_id, status):
            raise Invalid([Fault("The batch is paused or cancelled already; PATCH changes that", "batch_id")])
        return ScheduledSend(batch_id, status)

    async def listing(self, request: ApiRequest) -> list[ScheduledSend]:
        return await self._journal.scheduled_sends.entries(request.auth.tenant_id)

    async def show(self, request: ApiRequest, batch_id: FromPath[str]) -> list[ScheduledSend]:
        known = await self._known(request, batch_id)
        return await self._journal.scheduled_sends.entries(request.auth.tenant_id, known)

    async def change(self, request: ApiRequest, batch_id: FromPath[str], data: JSONBody[ScheduledSendChange]) -> None:
        faults: list[Fault] = []
        status = _status(data.status, faults)
        if faults:
            raise Invalid(faults)
        await self._reschedule(request, batch_id, status)

    async def forget(self, request: ApiRequest, batch_id: FromPath[str]) -> None:
        await self._reschedule(request, batch_id, "resume")

    async def _known(self, request: ApiRequest, batch_id: str) -> str:
        """The id, if it is a batch of this tenant. Raises NotFound otherwise."""
        await existing(BATCH, batch_id, partial(self._journal.batches.exists, request.auth.tenant_id))
        return batch_id

    async def _reschedule(
        self, request: ApiRequest, batch_id: str, status: Literal["pause", "cancel", "resume"]
    ) -> None:
        known = await self._known(request, batch_id)
        if not await self._journal.scheduled_sends.reschedule(request.auth.tenant_id, known, status):
            raise NotFound("The batch is neither paused nor cancelled", help=help_texts.SCHEDULED_SEND)


def _status(text: str | None, faults: list[Fault]) -> ScheduledStatus:
    if text not in ("pause", "cancel"):
        faults.append(Fault("The status must be pause or cancel", "status"))
    return cast(ScheduledStatus, text)


async def settle_abandoned(journal: Journal) -> None:
    """Finish commands that a slow or dead process of this cluster left unfinished. Runs until cancelled."""
    while True:
        try:
            for tenant_id, batch_id in await journal.scheduled_sends.unsettled(ABANDONED_S):
                await journal.scheduled_sends.settle(tenant_id, batch_id)
                log.info("settled batch=%s", batch_id)
        except Unavailable as error:
            log.warning("settling waits for the journal reason=%r", error.reason)
        await asyncio.sleep(LOOK_S)
