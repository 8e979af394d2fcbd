"""Posting in this process, over a real journal, to real servers on loopback."""

import asyncio
import json
import random
import ssl
import time
from collections.abc import AsyncIterator, Awaitable, Callable, Sequence
from contextlib import asynccontextmanager
from datetime import UTC, datetime
from typing import Any

from aiohttp import web
from msgspec.structs import replace

from actors.webhooks.client import Client
from actors.webhooks.poster import Poster
from actors.webhooks.posting import Posting
from cluster.events import Delivered, WebhookAttempt, WebhookDisabled, decode_row
from cluster.ids import new_id, new_ids
from cluster.journal.database import Row
from cluster.journal.journal import Journal
from cluster.journal.webhooks import Standing
from cluster.lookup.resolver import Resolver
from cluster.policy.routes.mx import UNGUARDED
from cluster.policy.routes.networks import networks
from cluster.settings import DnsSettings, WebhookSettings
from cluster.vault import Vault
from cluster.webhooks.bundles import OwedEvent, bundled
from cluster.webhooks.endpoints import Dialect, Endpoint
from cluster.webhooks.known import KnownEndpoints
from tests.domains import SECRET
from tests.waiting import pauses

LOOPBACK = ("127.0.0.0/8",)
WAITS_S = 30.0
Answerer = Callable[[web.Request], Awaitable[web.StreamResponse]]


class Hook:
    """An endpoint. ``answer`` may be replaced; by default it takes every post."""

    def __init__(self) -> None:
        self.posts: list[Any] = []
        """The decoded bodies of the posts that came."""
        self.at: list[float] = []
        """When they came, monotonic."""
        self.headers: list[dict[str, str]] = []
        self.running = self.most_running = 0
        self.answer: Answerer = _taken
        self.url = ""

    @property
    def event_ids(self) -> list[str]:
        return [event["event_id"] for post in self.posts for event in (post if isinstance(post, list) else [post])]

    async def handle(self, request: web.Request) -> web.StreamResponse:
        body = await request.read()
        self.posts.append(json.loads(body))
        self.at.append(time.monotonic())
        self.headers.append(dict(request.headers))
        self.running += 1
        self.most_running = max(self.most_running, self.running)
        try:
            return await self.answer(request)
        finally:
            self.running -= 1


async def _taken(_: web.Request) -> web.StreamResponse:
    return web.Response()


def answering(status: int, **headers: str) -> Answerer:
    """The same answer to every post."""

    async def answer(_: web.Request) -> web.StreamResponse:
        return web.Response(status=status, headers={name.replace("_", "-"): text for name, text in headers.items()})

    return answer


@asynccontextmanager
async def served(*hooks: Hook, tls: ssl.SSLContext | None = None, host: str = "127.0.0.1") -> AsyncIterator[None]:
    """Serve endpoints on one port, each under its own path."""
    app = web.Application(client_max_size=8 * 1024**2)
    for number, hook in enumerate(hooks):
        app.router.add_post(f"/{number}", hook.handle)
    runner = web.AppRunner(app, access_log=None, shutdown_timeout=0.1)
    await runner.setup()
    site = web.TCPSite(runner, host, 0, ssl_context=tls, backlog=512)
    await site.start()
    port = runner.addresses[0][1]
    for number, hook in enumerate(hooks):
        hook.url = f"{'https' if tls else 'http'}://{host}:{port}/{number}"
    try:
        yield
    finally:
        await runner.cleanup()


def an_endpoint(tenant_id: str, url: str, *, is_batch: bool = False, dialect: Dialect = Dialect.POSTRAY) -> Endpoint:
    now = datetime.now(UTC)
    return Endpoint(
        id=new_id("wh_"),
        tenant_id=tenant_id,
        dialect=dialect,
        url=url,
        is_batch=is_batch,
        created_at=now,
        updated_at=now,
    )


def some_events(tenant_id: str, count: int) -> list[OwedEvent]:
    """Events of as many messages."""
    ids = new_ids("evt_", count) if count else []
    return [
        OwedEvent(
            event=Delivered(
                id=id,
                at=time.time(),
                tenant_id=tenant_id,
                message_id=new_id("msg_"),
                recipient="ada@example.com",
                categories=("greetings",),
                attempt=1,
                site="example.com",
                mx_host="mx.example.com",
                smtp_response="250 2.0.0 Ok: queued as 4Z1",
                duration_ms=120,
            ),
            sequence=number,
            smtp_id="<4711@mail.example.com>",
            custom_args={"order": "4711"},
        )
        for number, id in enumerate(ids)
    ]


async def owe(journal: Journal, endpoint: Endpoint, events: Sequence[OwedEvent]) -> list[str]:
    """Owe events to an endpoint; returns their ids."""
    async with journal._database.connection() as connection:
        for count, data in bundled(events):
            await connection.execute(
                "INSERT INTO webhook_bundles (webhook_id, events, count) VALUES (%s, %s, %s)",
                (endpoint.id, data, count),
            )
    return [one.event.id for one in events]


async def query(journal: Journal, statement: str, *parameters: Any) -> list[Row]:
    async with journal._database.connection() as connection:
        cursor = await connection.execute(statement.encode(), parameters)
        return await cursor.fetchall() if cursor.description is not None else []


async def logged(journal: Journal) -> list[WebhookAttempt | WebhookDisabled]:
    """What posting wrote to the event log."""
    rows = await query(journal, "SELECT events FROM event_log ORDER BY tx, id")
    told = [one for (data,) in rows for one in decode_row(data)]
    return [one for one in told if isinstance(one, WebhookAttempt | WebhookDisabled)]


class PostingWorld:
    """One life of the process that posts."""

    def __init__(self, journal: Journal, settings: WebhookSettings, trusted: ssl.SSLContext | None = None) -> None:
        self.journal = journal
        self.known = KnownEndpoints(journal)
        resolver = Resolver(
            DnsSettings(nameservers=("127.0.0.1:9",), timeout_s=0.1, tries=1),
            clock=time.monotonic,
            random=random.random,
            guard=UNGUARDED,
        )
        self.client = Client(
            resolver,
            networks(allowed=settings.allow_networks, setting="webhooks.allow_networks"),
            trusted or ssl.create_default_context(),
            timeout_s=settings.timeout_s,
        )
        self.poster = Poster(self.client, Vault(SECRET), clock=time.monotonic)
        self.posting = Posting(journal, self.known, self.poster, settings, random=random.random)

    async def tell(self, endpoint: Endpoint, events: Sequence[OwedEvent]) -> list[str]:
        """Owe events and tell of them, as the consumer of the event log does; returns their ids."""
        ids = await owe(self.journal, endpoint, events)
        self.posting.wake({endpoint.id: len(ids)})
        return ids

    async def standing(self, endpoint: Endpoint) -> Standing:
        return (await self.journal.webhooks.standings([endpoint.id]))[endpoint.id]

    async def until_nothing_waits(self, endpoint: Endpoint) -> None:
        await self.until(lambda standing: not standing.waiting, endpoint)

    async def until(self, is_so: Callable[[Standing], bool], endpoint: Endpoint) -> Standing:
        again = pauses()
        async with asyncio.timeout(WAITS_S):
            while not is_so(standing := await self.standing(endpoint)):
                await asyncio.sleep(next(again))
            return standing


@asynccontextmanager
async def posting(
    journal: Journal, settings: WebhookSettings | None = None, trusted: ssl.SSLContext | None = None
) -> AsyncIterator[PostingWorld]:
    """A life of the process, with loopback allowed."""
    settings = settings or WebhookSettings()
    world = PostingWorld(journal, replace(settings, allow_networks=settings.allow_networks or LOOPBACK), trusted)
    await world.known.refresh()
    await world.posting.start()
    try:
        yield world
    finally:
        await world.posting.stop()
