"""One post of some events to an endpoint: its body, its signature, its access token, and what is told of it."""

import hashlib
import logging
from collections.abc import Awaitable, Callable, Mapping, Sequence
from datetime import UTC, datetime
from urllib.parse import urlsplit, urlunsplit

import msgspec
from msgspec import Struct

from actors.webhooks.client import Client, unanswered
from actors.webhooks.tokens import AccessTokens
from cluster.events import WebhookAttempt
from cluster.ids import new_id
from cluster.vault import Vault, WrongKey
from cluster.webhooks.answer import Answer
from cluster.webhooks.bodies import own, sendgrid
from cluster.webhooks.bundles import OwedEvent, decode_event
from cluster.webhooks.endpoints import Dialect, Endpoint
from cluster.webhooks.oauth import NoToken
from cluster.webhooks.signing import signed

log = logging.getLogger(__name__)

MOST_SHOWN = 4096
"""Bytes of a request that are kept."""
UNAUTHORIZED = 401
DEFECT = "the post could not be made; the log of postray says why"
UNWRITTEN = "no body could be made of the events; the log of postray says why"


class Posted(Struct, frozen=True, kw_only=True):
    """A post, and what came back."""

    answer: Answer
    attempt: WebhookAttempt


class Request(Struct, frozen=True, kw_only=True):
    """What is posted. The header fields have no secrets."""

    event_ids: tuple[str, ...]
    headers: Mapping[str, str]
    body: bytes


class Poster:
    """Posts events in the dialect of their endpoint."""

    def __init__(self, client: Client, vault: Vault, *, clock: Callable[[], float]) -> None:
        """``client`` is closed with it. ``clock`` is monotonic, in seconds."""
        self._client = client
        self._vault = vault
        self._tokens = AccessTokens(client, vault, clock)

    async def post(self, endpoint: Endpoint, stored: Sequence[msgspec.Raw], attempt: int) -> Posted:
        """Post events of a bundle once; what fails is in the answer. ``attempt``: 1 for the first post of them."""

        async def send(headers: Mapping[str, str], body: bytes) -> Answer:
            return await self._client.post(endpoint.id, endpoint.url, headers, body)

        return await self._post(endpoint, lambda: [decode_event(one) for one in stored], attempt, send)

    async def post_events(self, endpoint: Endpoint, events: Sequence[OwedEvent]) -> Answer:
        """Post events that are no bundle's, over a connection of their own."""

        async def send(headers: Mapping[str, str], body: bytes) -> Answer:
            return await self._client.post_once(endpoint.url, headers, body)

        return (await self._post(endpoint, lambda: events, 1, send)).answer

    async def forget(self, endpoint_id: str) -> None:
        """Close the connections to an endpoint, which is not posted to."""
        await self._client.forget(endpoint_id)

    async def close(self) -> None:
        await self._tokens.close()
        await self._client.close()

    async def _post(
        self,
        endpoint: Endpoint,
        read: Callable[[], Sequence[OwedEvent]],
        attempt: int,
        send: Callable[[Mapping[str, str], bytes], Awaitable[Answer]],
    ) -> Posted:
        request = Request(event_ids=(), headers={}, body=b"")
        began = datetime.now(UTC)
        try:
            request = self._request(endpoint, read(), began)
            answer = await self._sent(endpoint, request, began, send)
        except WrongKey as error:
            answer = unanswered(began, str(error))
        except Exception:
            # A defect, which one event may trigger: the others, and other endpoints, go on.
            log.exception("no body webhook=%s", endpoint.id)
            answer = unanswered(began, UNWRITTEN, is_unwritten=True)
        if answer.result.status == UNAUTHORIZED:
            self._tokens.refused(endpoint)
        return Posted(answer=answer, attempt=_attempt(endpoint, request, answer, attempt))

    async def _sent(
        self,
        endpoint: Endpoint,
        request: Request,
        began: datetime,
        send: Callable[[Mapping[str, str], bytes], Awaitable[Answer]],
    ) -> Answer:
        """Raises WrongKey."""
        try:
            secret = await self._tokens.authorization(endpoint)
            return await send({**request.headers, **secret}, request.body)
        except NoToken as error:
            return unanswered(began, f"no access token: {error}")
        except WrongKey:
            raise
        except Exception:
            log.exception("post failed webhook=%s", endpoint.id)
            return unanswered(began, DEFECT)

    def _request(self, endpoint: Endpoint, events: Sequence[OwedEvent], now: datetime) -> Request:
        """Raises WrongKey."""
        body = body_of(endpoint, events)
        event_ids = tuple([one.event.id for one in events])
        headers = signed(endpoint, self._vault, body, at=int(now.timestamp()), post_id=post_id(event_ids))
        return Request(event_ids=event_ids, headers=headers, body=body)


def body_of(endpoint: Endpoint, events: Sequence[OwedEvent]) -> bytes:
    """The body of a post, in the dialect of the endpoint."""
    if endpoint.dialect is Dialect.SENDGRID:
        return sendgrid.body(events)
    return own.body(events, is_array=endpoint.is_batch)


def post_id(event_ids: Sequence[str]) -> str:
    """What Standard Webhooks calls the message's id: the same whenever the same events are posted."""
    if len(event_ids) == 1:
        return event_ids[0]
    return "post_" + hashlib.sha256("\n".join(event_ids).encode()).hexdigest()[:32]


def without_password(url: str) -> str:
    """The URL as it is shown."""
    parts = urlsplit(url)
    if "@" not in parts.netloc:
        return url
    return urlunsplit(parts._replace(netloc=parts.netloc.rpartition("@")[2]))


def _attempt(endpoint: Endpoint, request: Request, answer: Answer, attempt: int) -> WebhookAttempt:
    result = answer.result
    return WebhookAttempt(
        id=new_id("att_"),
        at=result.began.timestamp(),
        tenant_id=endpoint.tenant_id,
        webhook_id=endpoint.id,
        url=without_password(endpoint.url),
        attempt=attempt,
        event_ids=request.event_ids,
        request_headers="".join([f"{name}: {value}\n" for name, value in request.headers.items()]),
        request_body=request.body[:MOST_SHOWN].decode("utf-8", "ignore"),
        request_bytes=len(request.body),
        status=result.status,
        answer_headers=answer.headers,
        answer_body=answer.body,
        error="" if result.status else result.error,
        duration_ms=answer.duration_ms,
    )
