"""POST /api/v1/emails and POST /api/v1/emails/{id}/resend: both commit a message, as POST /v3/mail/send does."""

from typing import Annotated

import msgspec
from litestar import Response, post
from litestar.datastructures import ResponseHeader
from litestar.openapi.datastructures import ResponseSpec
from litestar.params import FromPath, HeaderParameter, JSONBody
from litestar.types import Receive, Scope, Send
from msgspec import UNSET

from api.http.body import ApiRequest, TypedBody
from api.http.errors import answers
from api.http.examples import MESSAGE_ID, Example
from api.http.existing import EMAIL
from api.http.idempotency import ABOUT_KEY, HEADER, REPLAYED
from api.http.ignored import HEADER as IGNORED
from api.http.routes import RouteGroup, resource
from api.messages.finding import message_of
from api.piisend.drafting import DECODER, PIISEND, drafted
from api.piisend.requests import EmailRequest
from api.piisend.views import AcceptedEmail, accepted
from api.send.accepting import Accepting
from api.send.answering import answer
from api.send.large.frames import Promised, promised
from api.send.notes import Notes
from api.send.sending import Sending
from cluster.http.application import SERVED_BY
from cluster.journal.journal import Journal
from cluster.journal.records import ApiKey
from cluster.policy.lifecycle import Status

PATH = "/api/v1/emails"
NEW, REPEATED = 202, 200
_encode = msgspec.json.Encoder().encode

EXAMPLE = Example(
    body={
        "to": ["ada@example.com"],
        "from_": "Acme <billing@mail.example.com>",
        "subject": "Your receipt",
        "html": "<p>Thank you, Ada!</p>",
        "text": "Thank you, Ada!",
        "reply_to": ["support@mail.example.com"],
        "track_opens": True,
        "attachments": [{"filename": "receipt.txt", "content_type": "text/plain", "content_b64": "MTIgRVVS"}],
    }
)


class EmailBody(TypedBody[EmailRequest]):
    decoder = DECODER


class EmailSending:
    """The routes of this module."""

    def __init__(self, accepting: Accepting, sending: Sending, journal: Journal) -> None:
        self._accepting = accepting
        self._sending = sending
        self._journal = journal

    def routes(self) -> RouteGroup:
        repeated = ResponseSpec(
            AcceptedEmail,
            description="A repeat with the same Idempotency-Key: the first answer",
            generate_examples=False,
        )
        headers = [
            ResponseHeader(name=IGNORED, description="What was said in vain", documentation_only=True),
            ResponseHeader(name=REPLAYED, description="true for a repeat", documentation_only=True),
        ]
        send = post(
            status_code=NEW,
            dto=EmailBody,
            request_max_body_size=self._accepting.limit,
            return_dto=None,
            opt={SERVED_BY: self._serve},
            responses={REPEATED: repeated, **answers(400, 401, 403, 408, 409, 413, 415, 422, 503)},
            response_headers=headers,
            response_description="Accepted: the email is committed to disk",
            summary="Send an email, now or at a time",
            example=EXAMPLE,
        )
        resend = post(
            "/{id:str}/resend",
            status_code=NEW,
            responses={REPEATED: repeated, **answers(400, 401, 403, 404, 409, 503)},
            response_headers=headers,
            response_description="Accepted: a new email, with the content of the first one",
            summary="Send an email again, as a new one",
            example=Example(path={"id": MESSAGE_ID}),
        )
        return resource(PATH, send(self.send), resend(self.resend), tag="emails")

    async def _serve(self, scope: Scope, receive: Receive, send: Send) -> None:
        """The ASGI entry point; ``send`` documents the route."""
        promise = await self._accepting.accept(scope, receive, PIISEND)
        body = _encode(await self._accepted(promise, scope["auth"]))
        await answer(REPEATED if promise.is_repeat else NEW, body, promise, scope, send)

    async def send(
        self,
        request: ApiRequest,
        data: JSONBody[EmailRequest],
        idempotency_key: Annotated[str | None, HeaderParameter(name=HEADER, description=ABOUT_KEY)] = None,
    ) -> AcceptedEmail:
        """The route in the OpenAPI document; ``_serve`` answers its requests."""
        sent = await self._sending.send(drafted(data), Notes(), request.auth, access=PIISEND.access)
        return await self._accepted(promised(sent), request.auth)

    async def resend(
        self,
        request: ApiRequest,
        id: FromPath[str],
        idempotency_key: Annotated[str | None, HeaderParameter(name=HEADER, description=ABOUT_KEY)] = None,
    ) -> Response[AcceptedEmail]:
        row = await message_of(self._journal, request.auth, id, EMAIL)
        promise = await self._accepting.accept_again(request.scope, request.auth, row)
        shown = await self._accepted(promise, request.auth, row.id)
        if promise.is_repeat:
            return Response(shown, status_code=REPEATED, headers={REPLAYED: "true"})
        return Response(shown, status_code=NEW)

    async def _accepted(self, promise: Promised, key: ApiKey, resent_from: str = "") -> AcceptedEmail:
        """The answer to an email; that to a repeat is made of what the journal has of the first one."""
        (id,) = promise.message_ids
        send_at, sandbox = promise.send_at, promise.sandbox
        if promise.is_repeat and (row := await self._journal.messages.find(key.tenant_id, id)) is not None:
            send_at, sandbox = row.send_at, row.status is Status.SANDBOX
        return accepted(id, send_at, sandbox=sandbox, resent_from=resent_from or UNSET)
