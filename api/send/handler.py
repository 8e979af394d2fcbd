"""POST /v3/mail/send: the send API, in SendGrid v3's shape.

The checks in order: key and scope (401, 403), idempotency key (400), the tenant's limits (429), a full system (503),
format of the body (413, 415, 422), all faults of its content (400), sender domain (403), the limits again, now with its
messages (429), then the commit (202, or 503). Only what is committed is charged. With an idempotency key, the body's
format is followed by a look for the first answer (202, 409); what a repeat must not be charged for comes after.
"""

from collections.abc import Iterable
from functools import partial
from typing import Annotated

import msgspec
from litestar import post
from litestar.datastructures import ResponseHeader
from litestar.params import HeaderParameter, JSONBody
from litestar.types import Receive, Scope, Send
from msgspec import Struct, structs

from api.http.access import ROUTES
from api.http.auth import Authenticator, refuse_subusers
from api.http.body import ApiRequest, BegunBody, TypedBody, body_up_to
from api.http.errors import answers
from api.http.examples import Example
from api.http.idempotency import HEADER, REPLAYED, idempotency_key, named_request
from api.http.ignored import HEADER as IGNORED
from api.http.ignored import Ignored
from api.http.limiting import admit, standing_headers
from api.http.parameters import given_parameters
from api.http.routes import RouteGroup, resource
from api.http.sharing import LoopTurns
from api.send.effort import effort_of
from api.send.large.frames import Promised, repeated
from api.send.large.requests import Large
from api.send.notes import Notes
from api.send.request import MailSend
from api.send.sending import DECODER, Sending, decode_mail
from cluster.http.application import SERVED_BY
from cluster.intake.idempotency import Idempotency
from cluster.intake.intake import Intake
from cluster.journal.idempotency import IdempotencyKey
from cluster.journal.records import ApiKey
from cluster.message.substitution import LOOP_S
from cluster.tenancy.limiter import TenantLimiter

LARGE_FROM_BYTES = 512 * 1024
"""The inflated size. A thousand personalizations with a few fields each are 100 to 400 KB; a larger body would block
the event loop for more than some 20 ms at a time."""
LARGE_FROM_RECIPIENTS = 2000
TURNS_FROM_BYTES = 16 * 1024
"""A request of at least this size takes turns at the event loop; a smaller one takes less than a millisecond."""

ABOUT_KEY = "A name of 1 to 256 characters: a repeat within 24 h gets the first answer, with another body a 409"
_ACCESS = ROUTES["POST /v3/mail/send"]
_encode = msgspec.json.Encoder().encode


class AcceptedMessage(Struct, frozen=True):
    """The promise for a request of one personalization."""

    message_id: str


class AcceptedMessages(Struct, frozen=True):
    """The promise for a request of several: the ids in the order of its personalizations."""

    message_ids: list[str]


class MailSendBody(TypedBody[MailSend]):
    decoder = DECODER


EXAMPLE = Example(
    body={
        "personalizations": [{"to": [{"email": "ada@example.com", "name": "Ada"}]}],
        "from": {"email": "hello@mail.example.com", "name": "Acme"},
        "subject": "Welcome to Acme",
        "content": [
            {"type": "text/plain", "value": "Welcome, Ada!"},
            {"type": "text/html", "value": "<h1>Welcome, Ada!</h1>"},
        ],
    }
)


class MailSending:
    """The handler. Large requests, and those that take long to check, go to ``large``. Requests of medium size take
    turns at the event loop."""

    def __init__(
        self,
        authenticator: Authenticator,
        limiter: TenantLimiter,
        sending: Sending,
        idempotency: Idempotency,
        intake: Intake,
        large: Large,
        limit: int,
    ) -> None:
        """``limit`` is the largest body, in bytes."""
        self._authenticator = authenticator
        self._limiter = limiter
        self._sending = sending
        self._idempotency = idempotency
        self._intake = intake
        self._large = large
        self._limit = limit
        self._turns = LoopTurns()

    def routes(self) -> RouteGroup:
        route = post(
            status_code=202,
            dto=MailSendBody,
            request_max_body_size=self._limit,
            return_dto=None,
            opt={SERVED_BY: self._serve},
            responses=answers(400, 401, 403, 408, 409, 413, 415, 422, 503),
            response_headers=[
                ResponseHeader(name="X-Message-Id", description="The first message's id", documentation_only=True),
                ResponseHeader(name=IGNORED, description="What was said in vain", documentation_only=True),
                ResponseHeader(name=REPLAYED, description="true for a repeat", documentation_only=True),
            ],
            response_description="Accepted: the messages are committed to disk",
            summary="Send mail",
            example=EXAMPLE,
        )
        return resource("/v3/mail/send", route(self.send), tag="mail")

    async def _serve(self, scope: Scope, receive: Receive, send: Send) -> None:
        """The ASGI entry point; ``send`` documents the route."""
        key = await self._authenticator.authenticate(scope)
        allowance = await admit(self._limiter, scope, key, _ACCESS)
        refuse_subusers(scope)
        scope["auth"] = key
        name = idempotency_key(scope)
        self._limiter.require_messages(allowance, uses_quota=not key.sandbox and name is None)
        if name is None:
            self._intake.require_room()  # a full system refuses a request before reading its body
        body = await body_up_to(LARGE_FROM_BYTES, scope, receive, self._limit)
        if name is None:
            promised = await self._send(scope, receive, key, body)
        else:
            promised = await self._send_once(scope, receive, key, body, name)
        if scope["query_string"]:
            ignored = ",".join(filter(None, (_ignored_parameters(scope), promised.ignored)))
            promised = structs.replace(promised, ignored=ignored)
        await _answer(promised, standing_headers(scope), send)

    async def _send_once(
        self, scope: Scope, receive: Receive, key: ApiKey, body: bytes | BegunBody, name: str
    ) -> Promised:
        """Send a request with an idempotency key, or find what was answered to the first one. A full system still
        answers repeats, but for large ones."""
        if isinstance(body, BegunBody):
            self._intake.require_room()
            return await self._large.send(ApiRequest(scope, receive), key, body, name)
        named = named_request(name, key, body)

        async def send_first() -> Promised:
            self._intake.require_room()
            return await self._send(scope, receive, key, body, named)

        sent = await self._idempotency.once(key.tenant_id, named, send_first)
        return sent if isinstance(sent, Promised) else repeated(sent)

    async def _send(
        self,
        scope: Scope,
        receive: Receive,
        key: ApiKey,
        body: bytes | BegunBody,
        named: IdempotencyKey | None = None,
    ) -> Promised:
        if isinstance(body, BegunBody):
            return await self._large.send(ApiRequest(scope, receive), key, body)
        if len(body) < TURNS_FROM_BYTES and _is_quick(mail := decode_mail(body, notes := Notes()), body):
            sent = await self._sending.send(mail, notes, key, named=named)
            return Promised(sent.request.message_ids, sent.ignored)
        return await self._send_in_turns(ApiRequest(scope, receive), key, body, named)

    async def _send_in_turns(
        self, request: ApiRequest, key: ApiKey, body: bytes, named: IdempotencyKey | None
    ) -> Promised:
        pause = partial(self._turns.turn, key.tenant_id)
        await pause()
        mail = decode_mail(body, notes := Notes())
        if mail.recipients > LARGE_FROM_RECIPIENTS or not _is_quick(mail, body):
            del mail
            name = named.text if named is not None else None
            return await self._large.send(request, key, BegunBody(body, ended=True, inflated=True), name)
        await pause()
        sent = await self._sending.send(mail, notes, key, pause, named)
        return Promised(sent.request.message_ids, sent.ignored)

    async def send(
        self,
        request: ApiRequest,
        data: JSONBody[MailSend],
        idempotency_key: Annotated[str | None, HeaderParameter(name=HEADER, description=ABOUT_KEY)] = None,
    ) -> AcceptedMessage | AcceptedMessages:
        """The route in the OpenAPI document; ``_serve`` answers its requests."""
        return _promise((await self._sending.send(data, Notes(), request.auth)).request.message_ids)


def _is_quick(mail: MailSend, body: bytes) -> bool:
    """Whether the event loop may check the request."""
    return effort_of(mail, plain=body.isascii() and b"\\u" not in body).seconds <= LOOP_S


def _ignored_parameters(scope: Scope) -> str:
    """The query parameters of a request, as its answer names them: the route has none."""
    ignored = Ignored()
    for name in given_parameters(scope):
        ignored.ignore(name)
    return ignored.header()


def _promise(ids: list[str]) -> AcceptedMessage | AcceptedMessages:
    return AcceptedMessage(ids[0]) if len(ids) == 1 else AcceptedMessages(ids)


async def _answer(promised: Promised, standing: Iterable[tuple[bytes, bytes]], send: Send) -> None:
    body = _encode(_promise(promised.message_ids))
    headers = [
        (b"content-type", b"application/json"),
        (b"content-length", b"%d" % len(body)),
        (b"x-message-id", promised.message_ids[0].encode()),
        *standing,
    ]
    if promised.ignored:
        headers.append((IGNORED.lower().encode(), promised.ignored.encode()))
    if promised.is_repeat:
        headers.append((REPLAYED.lower().encode(), b"true"))
    await send({"type": "http.response.start", "status": 202, "headers": headers})
    await send({"type": "http.response.body", "body": body, "more_body": False})
