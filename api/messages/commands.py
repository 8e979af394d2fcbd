"""POST /v3/messages/{id}/cancel, /retry and /fail: the commands for one message.

No command affects an SMTP transaction that is under way. A cancel and a retry are refused then, so that no message is
sent twice or after its cancellation. A fail lets the transaction continue, and its outcome no longer changes the
message (the recipient may still get the mail).
"""

import asyncio
from functools import partial

import msgspec
from litestar import Response, post
from litestar.params import FromPath, JSONBody
from msgspec import Struct

from api.http.body import MAY_BE_EMPTY, ApiRequest, TypedBody
from api.http.errors import answers
from api.http.examples import MESSAGE_ID, Example
from api.http.existing import MESSAGE, existing
from api.http.refusals import Fault, Invalid
from api.http.routes import RouteGroup, resource
from api.http.texts import check_text
from api.messages.finding import message_of
from api.messages.versions import Versions
from cluster.journal.ending import CANCELLED
from cluster.journal.excerpts import decode_suppression_terms
from cluster.journal.journal import Journal
from cluster.journal.records import CommandResult, Recipient, decode_content, decode_personalization
from cluster.message.composable import NOT_COMPOSED, why_not
from cluster.policy.lifecycle import Status
from cluster.policy.routes.domains import domain_of
from cluster.settings import DEFAULT_LIMITS, MessageSettings

LONGEST_REASON = 1000
NO_REASON = "Failed by request"

IN_FLIGHT = "Already in flight; cancellation ignored"
"""The error for a message that is being sent or was sent to at least one recipient; clients compare it."""
_NOT_CANCELLED = {
    Status.CANCELLED: "Already cancelled",
    Status.SANDBOX: "Accepted by a sandbox, never to be sent; cancellation ignored",
}
REQUEUED = "Re-queued for delivery"
STILL_SUPPRESSED = "Not sent again: suppressed by "
"""The names of the lists follow."""
TRANSACTION_UNDER_WAY = "An SMTP transaction may be under way; retry ignored"
BATCH_CANCELLED = "The message's batch was cancelled; retry ignored"
NOT_RETRIED = "Only messages that are stuck, failed or bounced are retried; retry ignored"
CONTENT_EXPIRED = "The message's content is not kept any more (retention.bodies_days); retry ignored"
NOT_FAILED = "Already finished; fail ignored"


class CancelAnswer(Struct, frozen=True, kw_only=True):
    """What became of a cancel; status is the message's now."""

    message_id: str
    status: Status
    message: str


class FailRequest(Struct, frozen=True):
    """The reason for the failure; the whole body may be missing."""

    reason: str | None = None


class ActionAnswer(Struct, frozen=True, kw_only=True):
    """What became of a retry or a fail; status is the message's now."""

    message_id: str
    status: Status
    message: str


class FailBody(TypedBody[FailRequest]):
    decoder = msgspec.json.Decoder(FailRequest)


NO_BODY = FailRequest()


class MessageCommands:
    """The routes of this module."""

    def __init__(
        self, journal: Journal, versions: Versions, lifetime_s: float, limits: MessageSettings = DEFAULT_LIMITS
    ) -> None:
        """``lifetime_s`` is the new lifetime of a retried message. ``limits`` apply to the composed messages."""
        self._journal = journal
        self._versions = versions
        self._limits = limits
        self._lifetime_s = lifetime_s

    def routes(self) -> RouteGroup:
        of_message = {"id": MESSAGE_ID}
        cancel = post(
            "/{id:str}/cancel",
            status_code=200,
            responses=answers(400, 401, 403, 404, 503, described={409: CancelAnswer}),
            summary="Cancel a message that is not yet being sent",
            example=Example(path=of_message),
        )
        retry = post(
            "/{id:str}/retry",
            status_code=200,
            responses=answers(400, 401, 403, 404, 503, described={409: ActionAnswer}),
            summary="Queue a message that is stuck, failed or bounced once more",
            example=Example(path=of_message),
        )
        fail = post(
            "/{id:str}/fail",
            status_code=200,
            dto=FailBody,
            return_dto=None,
            opt={MAY_BE_EMPTY: True},
            responses=answers(400, 401, 403, 404, 408, 413, 415, 422, 503, described={409: ActionAnswer}),
            summary="Give an unfinished message up",
            example=Example(path=of_message, body={"reason": "The customer has closed the account"}),
        )
        return resource("/v3/messages", cancel(self.cancel), retry(self.retry), fail(self.fail), tag="messages")

    async def cancel(self, request: ApiRequest, id: FromPath[str]) -> Response[CancelAnswer]:
        row = await message_of(self._journal, request.auth, id)
        cancellation = await existing(MESSAGE, row.id, partial(self._journal.commands.cancel, row.tenant_id))
        said = CANCELLED if cancellation.cancelled else _NOT_CANCELLED.get(cancellation.status, IN_FLIGHT)
        return Response(
            CancelAnswer(message_id=row.id, status=cancellation.status, message=said),
            status_code=200 if cancellation.cancelled else 409,
        )

    async def retry(self, request: ApiRequest, id: FromPath[str]) -> Response[ActionAnswer]:
        row = await message_of(self._journal, request.auth, id)
        if (row.error_message or "").startswith(NOT_COMPOSED) and row.status is Status.FAILED:
            content, personalization = decode_content(row.content), decode_personalization(row.personalization)
            template = await self._versions.of(row)
            if reason := await asyncio.to_thread(why_not, content, personalization, self._limits, template):
                refused = CommandResult(done=False, status=row.status)
                return _answer(id, refused, "", f"The message {NOT_COMPOSED}{reason}; retry ignored")
        group_id, bypass = decode_suppression_terms(row.content)
        retry = partial(
            self._journal.commands.retry,
            row.tenant_id,
            recipients=recipients(row.personalization),
            lifetime_s=self._lifetime_s,
            group_id=group_id,
            bypass=bypass,
        )
        change = await existing(MESSAGE, id, retry)
        done = f"{STILL_SUPPRESSED}{', '.join(change.suppressed_by)}" if change.suppressed_by else REQUEUED
        return _answer(id, change, done, _why_not_retried(change))

    async def fail(
        self, request: ApiRequest, id: FromPath[str], data: JSONBody[FailRequest] = NO_BODY
    ) -> Response[ActionAnswer]:
        reason = data.reason or NO_REASON
        faults: list[Fault] = []
        check_text(reason, "reason", faults, longest=LONGEST_REASON)
        if faults:
            raise Invalid(faults)
        if request.auth.sandbox:
            await message_of(self._journal, request.auth, id)
        fail = partial(self._journal.commands.fail, request.auth.tenant_id, reason=reason)
        change = await existing(MESSAGE, id, fail)
        return _answer(id, change, "Marked as failed", NOT_FAILED)


def _why_not_retried(change: CommandResult) -> str:
    if change.content_expired:
        return CONTENT_EXPIRED
    if change.batch_cancelled:
        return BATCH_CANCELLED
    return TRANSACTION_UNDER_WAY if change.under_way else NOT_RETRIED


def recipients(personalization: bytes) -> tuple[Recipient, ...]:
    """All recipients of a stored message, in the order of their numbers."""
    own = decode_personalization(personalization)
    return tuple(Recipient(to.email, domain_of(to.email)) for to in (*own.to, *own.cc, *own.bcc))


def _answer(id: str, change: CommandResult, done: str, refusal: str) -> Response[ActionAnswer]:
    return Response(
        ActionAnswer(message_id=id, status=change.status, message=done if change.done else refusal),
        status_code=200 if change.done else 409,
    )
