"""POST /v3/mail/send: the send API, in SendGrid v3's shape.

The order of refusals: key and scope (401, 403), a full system (503), form of the body (413, 415, 422), all faults of
its content (400), sender domain (403), then the commit (202, or 503).
"""

import msgspec
from litestar import post
from litestar.datastructures import ResponseHeader
from litestar.handlers import HTTPRouteHandler
from litestar.params import JSONBody
from litestar.types import Receive, Scope, Send
from msgspec import Struct

from api.access import ROUTES, SEND_AT
from api.auth import Authenticator
from api.body import ApiRequest, TypedBody, decode, header
from api.errors import Fault, Forbidden, Invalid, answers
from api.expiring import ExpiringCache
from api.intake import Intake
from api.mail_request import MailSend
from api.validation import check
from cluster.ids import is_id
from cluster.journal.store import Journal
from cluster.policy.domains import domain_of
from cluster.settings import DEFAULT_LIMITS, MessageSettings

KNOWN_TTL_S = 5.0
"""How long a verified domain or an existing batch is believed without asking again."""
KNOWN_KEPT = 10_000

_ACCESS = ROUTES["POST /v3/mail/send"]
_encode = msgspec.json.Encoder().encode


class AcceptedMessage(Struct, frozen=True):
    """The promise for a request of one personalization."""

    message_id: str


class AcceptedMessages(Struct, frozen=True):
    """The promise for a request of several: the ids in the order of its personalizations."""

    message_ids: list[str]


class MailSendBody(TypedBody[MailSend]):
    decoder = msgspec.json.Decoder(MailSend)


class MailSending:
    """The handler and what it knows of tenants."""

    def __init__(
        self,
        authenticator: Authenticator,
        journal: Journal,
        intake: Intake,
        limits: MessageSettings = DEFAULT_LIMITS,
    ) -> None:
        self._authenticator = authenticator
        self._journal = journal
        self._intake = intake
        self._limits = limits
        # Only a yes is remembered, so that a new domain or batch can be used at once.
        self._verified: ExpiringCache[tuple[str, str], bool] = ExpiringCache(KNOWN_TTL_S, KNOWN_KEPT)
        self._batches: ExpiringCache[tuple[str, str], bool] = ExpiringCache(KNOWN_TTL_S, KNOWN_KEPT)

    def handlers(self) -> list[HTTPRouteHandler]:
        route = post(
            "/v3/mail/send",
            status_code=202,
            dto=MailSendBody,
            return_dto=None,
            middleware=[lambda app: self._serve],
            responses=answers(400, 401, 403, 408, 413, 415, 422, 503),
            response_headers=[
                ResponseHeader(name="X-Message-Id", description="The first message's id", documentation_only=True)
            ],
            response_description="Accepted: the messages are committed to disk",
            summary="Send mail",
            tags=["mail"],
        )
        return [route(self.send)]

    async def _serve(self, scope: Scope, receive: Receive, send: Send) -> None:
        """Litestar finds this route, documents it by ``send``, and answers what is raised. Its way to a handler and
        back is not taken: guards on copies of the route, arguments by name and a response put together in steps cost
        more than the handler itself."""
        request = ApiRequest(scope, receive, send)
        key = await self._authenticator.authenticate(header(scope, b"authorization"))
        _ACCESS.admit(key)
        scope["auth"] = key
        self._intake.require_room()  # a full system refuses before it reads a body
        promise = await self.send(request, decode(MailSendBody.decoder, await request.body()))
        await _answer(promise, send)

    async def send(self, request: ApiRequest, data: JSONBody[MailSend]) -> AcceptedMessage | AcceptedMessages:
        key = request.auth
        if data.scheduled:
            _ACCESS.require(key, SEND_AT)
        checked = check(data, self._limits)
        if data.batch_id is not None and not await self._has_batch(key.tenant_id, data.batch_id):
            checked.faults.append(Fault("The batch does not exist", "batch_id"))
        if checked.faults:
            raise Invalid(checked.faults)
        if not (key.sandbox or data.sandboxed):
            await self._require_verified_senders(key.tenant_id, data)
        ids = await self._intake.take(data, checked.files, key)
        return AcceptedMessage(ids[0]) if len(ids) == 1 else AcceptedMessages(ids)

    async def _has_batch(self, tenant_id: str, batch_id: str) -> bool:
        if not is_id("bat_", batch_id):
            return False
        if self._batches.get((tenant_id, batch_id)):
            return True
        exists = await self._journal.batch_exists(tenant_id, batch_id)
        if exists:
            self._batches.put((tenant_id, batch_id), True)
        return exists

    async def _require_verified_senders(self, tenant_id: str, mail: MailSend) -> None:
        """Raises Forbidden when a from address, the shared one or a personalization's, is not of a verified domain."""
        senders = {mail.from_.email if mail.from_ else None}
        senders |= {one.from_.email for one in mail.personalizations or () if one.from_ is not None}
        for domain in {domain_of(email) for email in senders if email}:
            if self._verified.get((tenant_id, domain)):
                continue
            if not await self._journal.is_verified_domain(tenant_id, domain):
                raise Forbidden("Sender domain not verified")
            self._verified.put((tenant_id, domain), True)


async def _answer(promise: AcceptedMessage | AcceptedMessages, send: Send) -> None:
    body = _encode(promise)
    first = promise.message_id if isinstance(promise, AcceptedMessage) else promise.message_ids[0]
    headers = [
        (b"content-type", b"application/json"),
        (b"content-length", b"%d" % len(body)),
        (b"x-message-id", first.encode()),
    ]
    await send({"type": "http.response.start", "status": 202, "headers": headers})
    await send({"type": "http.response.body", "body": body, "more_body": False})
