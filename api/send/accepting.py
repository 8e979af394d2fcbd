"""Takes requests to send from their first byte to their commit, in any dialect.

The checks in order: key and scope (401, 403), idempotency key (400), the tenant's limits (429), a full system (503),
format of the body (413, 415, 422), all faults of its content (400), sender domain (403), the limits again, now with its
messages (429), then the commit (202, or 503). Only what is committed is charged. With an idempotency key, the body's
format is followed by a look for the first answer (409 for another body); what a repeat must not be charged for comes
after.
"""

from functools import partial

from litestar.types import Receive, Scope
from msgspec import structs

from api.http.auth import Authenticator, refuse_subusers
from api.http.body import ApiRequest, BegunBody, body_up_to
from api.http.idempotency import idempotency_key, named_request
from api.http.ignored import Ignored
from api.http.limiting import admit
from api.http.parameters import given_parameters
from api.http.sharing import LoopTurns
from api.send.drafts import Dialect
from api.send.effort import effort_of
from api.send.large.crowding import has_more_values
from api.send.large.frames import Promised, promised, repeated
from api.send.large.requests import Large
from api.send.notes import Notes
from api.send.request import MailSend
from api.send.sending import Sending
from cluster.intake.idempotency import Idempotency
from cluster.intake.intake import Intake
from cluster.journal.idempotency import IdempotencyKey
from cluster.journal.records import ApiKey, MessageRow
from cluster.message.substitution import LOOP_S
from cluster.tenancy.limiter import TenantLimiter

LARGE_FROM_BYTES = 1024 * 1024
"""The inflated size. A thousand personalizations with a few fields each are 100 to 400 KB, with the data of a template
up to 900 KB."""
LARGE_FROM_VALUES = 64 * 1024
"""The values of a body, about. What decoding, checking and converting takes depends on these more than on the size: so
many hold the event loop for some 20 ms at a time."""
LARGE_FROM_RECIPIENTS = 2000
TURNS_FROM_BYTES = 16 * 1024
"""A request of at least this size takes turns at the event loop; a smaller one takes less than a millisecond."""


class Accepting:
    """Large requests, and those that take long to check, go to ``large``. Requests of medium size take turns at the
    event loop."""

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
        self.limit = limit
        self._turns = LoopTurns()

    async def accept(self, scope: Scope, receive: Receive, dialect: Dialect) -> Promised:
        """Commit the request of an ASGI connection, or find what was answered to the first one with its idempotency
        key. ``scope`` gets the key as ``auth``. Raises what the checks of this module raise."""
        key = await self._authenticator.authenticate(scope, dialect.access)
        allowance = await admit(self._limiter, scope, key, dialect.access)
        refuse_subusers(scope)
        scope["auth"] = key
        name = idempotency_key(scope)
        self._limiter.require_messages(allowance, uses_quota=not key.sandbox and name is None)
        if name is None:
            self._intake.require_room()  # a full system refuses a request before reading its body
        body = await body_up_to(LARGE_FROM_BYTES, scope, receive, self.limit)
        if name is None:
            promise = await self._send(scope, receive, key, dialect, body)
        else:
            promise = await self._send_once(scope, receive, key, dialect, body, name)
        if scope["query_string"]:
            ignored = ",".join(filter(None, (_ignored_parameters(scope), promise.ignored)))
            promise = structs.replace(promise, ignored=ignored)
        return promise

    async def accept_again(self, scope: Scope, key: ApiKey, row: MessageRow) -> Promised:
        """Commit a message that was accepted before as a new one, or find what was answered to the first request with
        the same idempotency key. Raises Invalid for that key, KeyReused, and what ``Sending.send_again`` raises."""

        async def send_again(named: IdempotencyKey | None) -> Promised:
            self._intake.require_room()
            return promised(await self._sending.send_again(row, key, named))

        if (name := idempotency_key(scope)) is None:
            return await send_again(None)
        # Such a request has no body: what it asks for stands in for one.
        named = named_request(name, key, f"send again {row.id}".encode())
        sent = await self._idempotency.once(key.tenant_id, named, partial(send_again, named))
        return sent if isinstance(sent, Promised) else repeated(sent)

    async def _send_once(
        self, scope: Scope, receive: Receive, key: ApiKey, dialect: Dialect, body: bytes | BegunBody, name: str
    ) -> Promised:
        """Send a request with an idempotency key, or find what was answered to the first one. A full system still
        answers repeats, but for large ones."""
        if isinstance(body, BegunBody):
            self._intake.require_room()
            return await self._large.send(ApiRequest(scope, receive), key, body, dialect, name)
        named = named_request(name, key, body)

        async def send_first() -> Promised:
            self._intake.require_room()
            return await self._send(scope, receive, key, dialect, body, named)

        sent = await self._idempotency.once(key.tenant_id, named, send_first)
        return sent if isinstance(sent, Promised) else repeated(sent)

    async def _send(
        self,
        scope: Scope,
        receive: Receive,
        key: ApiKey,
        dialect: Dialect,
        body: bytes | BegunBody,
        named: IdempotencyKey | None = None,
    ) -> Promised:
        if isinstance(body, BegunBody):
            return await self._large.send(ApiRequest(scope, receive), key, body, dialect)
        if len(body) < TURNS_FROM_BYTES:
            draft = dialect.read(body, notes := Notes())
            if _is_quick(draft.mail, body):
                return promised(await self._sending.send(draft, notes, key, named=named, access=dialect.access))
        return await self._send_in_turns(ApiRequest(scope, receive), key, dialect, body, named)

    async def _send_in_turns(
        self, request: ApiRequest, key: ApiKey, dialect: Dialect, body: bytes, named: IdempotencyKey | None
    ) -> Promised:
        if not has_more_values(body, LARGE_FROM_VALUES):
            pause = partial(self._turns.turn, key.tenant_id)
            await pause()
            draft = dialect.read(body, notes := Notes())
            if draft.mail.recipients <= LARGE_FROM_RECIPIENTS and _is_quick(draft.mail, body):
                await pause()
                return promised(await self._sending.send(draft, notes, key, pause, named, dialect.access))
            del draft
        name = named.text if named is not None else None
        return await self._large.send(request, key, BegunBody(body, ended=True, inflated=True), dialect, name)


def _is_quick(mail: MailSend, body: bytes) -> bool:
    """Whether the event loop may check the request."""
    return effort_of(mail, plain=body.isascii() and b"\\u" not in body).seconds <= LOOP_S


def _ignored_parameters(scope: Scope) -> str:
    """The query parameters of a request, as its answer names them: no route to send has any."""
    ignored = Ignored()
    for name in given_parameters(scope):
        ignored.ignore(name)
    return ignored.header()
