"""POST /v3/mail/send: the send API, in SendGrid v3's shape. accepting.py has its checks in their order."""

from typing import Annotated

import msgspec
from litestar import post
from litestar.datastructures import ResponseHeader
from litestar.params import HeaderParameter, JSONBody
from litestar.types import Receive, Scope, Send
from msgspec import Struct

from api.http.body import ApiRequest, TypedBody
from api.http.errors import answers
from api.http.examples import Example
from api.http.idempotency import ABOUT_KEY, HEADER, REPLAYED
from api.http.ignored import HEADER as IGNORED
from api.http.routes import RouteGroup, resource
from api.send.accepting import Accepting
from api.send.answering import answer
from api.send.drafts import Draft
from api.send.notes import Notes
from api.send.request import MailSend
from api.send.sending import DECODER, SENDGRID, Sending
from cluster.http.application import SERVED_BY

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
    """The route of this module."""

    def __init__(self, accepting: Accepting, sending: Sending) -> None:
        self._accepting = accepting
        self._sending = sending

    def routes(self) -> RouteGroup:
        route = post(
            status_code=202,
            dto=MailSendBody,
            request_max_body_size=self._accepting.limit,
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
        promised = await self._accepting.accept(scope, receive, SENDGRID)
        first = (b"x-message-id", promised.message_ids[0].encode())
        await answer(202, _encode(_promise(promised.message_ids)), promised, scope, send, first)

    async def send(
        self,
        request: ApiRequest,
        data: JSONBody[MailSend],
        idempotency_key: Annotated[str | None, HeaderParameter(name=HEADER, description=ABOUT_KEY)] = None,
    ) -> AcceptedMessage | AcceptedMessages:
        """The route in the OpenAPI document; ``_serve`` answers its requests."""
        sent = await self._sending.send(Draft(mail=data), Notes(), request.auth)
        return _promise(sent.request.message_ids)


def _promise(ids: list[str]) -> AcceptedMessage | AcceptedMessages:
    return AcceptedMessage(ids[0]) if len(ids) == 1 else AcceptedMessages(ids)
