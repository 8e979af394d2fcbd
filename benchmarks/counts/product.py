"""The product in one process: its own parts, made by their own builders, without Ray, with a relay on each connection.

One API, one delivery actor, one scheduler, a real Postgres, and a mail host that accepts everything. The calls that Ray
would carry are counted.
"""

import asyncio
import tempfile
from collections import Counter
from collections.abc import AsyncIterator, Awaitable, Callable
from contextlib import AsyncExitStack, asynccontextmanager
from functools import partial
from pathlib import Path
from typing import Any

from msgspec import Struct, structs
from psycopg import Connection

from actors import build as actors
from api import build as api
from benchmarks.blocking import to_its_end
from benchmarks.counts.journal_dialogue import Dialogue, StatementNames, Transaction
from benchmarks.counts.relay import relayed_journal, relaying
from benchmarks.counts.smtp_dialogue import Flights
from cluster.context import Context, Links
from cluster.demo import ensure_demo
from cluster.installation.embedded import EmbeddedPostgres
from cluster.installation.ports import ANY_PORT, HeldPort
from cluster.journal.journal import Journal, migrate
from cluster.journal.statements import QUERIES
from cluster.launch.fencing import fence_of
from cluster.settings import DeliverySettings, HttpSettings, Settings, SmtpSettings
from cluster.smtpd.certificate import server_context
from cluster.smtpd.envelope import Answer, ReceivedMessage
from cluster.smtpd.server import SmtpServer
from cluster.vault import Vault, secret_key

API, DELIVERY, SCHEDULER = "api-0-0", "delivery-0-0", "scheduler"
LONG_S = 3600.0
"""Timeouts of this length do not occur: no lease expires, and nothing is offered twice, on any machine."""
STEADY = ("full_page_writes = off", "autovacuum = off")
"""Postgres writes whole pages after a checkpoint, and vacuums when it finds time: both vary from run to run."""


class HeldReplies(Struct):
    """The mail host: complete messages wait for their reply until ``release``."""

    waiting: list[asyncio.Future[Answer]]
    bytes: int = 0

    def take(self, envelope: ReceivedMessage) -> asyncio.Future[Answer]:
        self.bytes += len(envelope.content)
        self.waiting.append(asyncio.get_running_loop().create_future())
        return self.waiting[-1]

    def release(self) -> None:
        """Accept all waiting messages at one moment."""
        waiting, self.waiting = self.waiting, []
        for reply in waiting:
            reply.set_result(None)


class Product(Struct, kw_only=True):
    """The running product, and its counts so far."""

    url: str
    key: str
    journal: Connection[Any]
    """A direct connection, not through the relay."""
    host: HeldReplies
    flights: Flights
    transactions: list[Transaction]
    dialogues: list[Dialogue]
    called: Counter[str]
    """Calls between actors, by method."""
    called_bytes: Counter[str]
    """Bytes in their arguments, as far as these are bytes already."""

    def ask(self, query: str) -> int:
        """The single number of a query's result; 0 for null. Blocks, and calls no Python function that would be
        counted."""
        value = self.journal.pgconn.exec_(query.encode()).get_value(0, 0)
        return int(value or 0)


@asynccontextmanager
async def running(connections: int, window: int) -> AsyncIterator[Product]:
    """``connections``: to the mail host. ``window``: deliveries that the delivery actor holds at most."""
    async with AsyncExitStack() as stack:
        directory = Path(stack.enter_context(tempfile.TemporaryDirectory(prefix="pr-counts-")))
        dsn = await _postgres(directory / "postgres", stack)
        journal = stack.enter_context(Connection.connect(dsn, autocommit=True))
        transactions: list[Transaction] = []
        dialogues: list[Dialogue] = []
        names = StatementNames(QUERIES)

        def dialogue() -> Dialogue:
            dialogues.append(Dialogue(names, transactions.append))
            return dialogues[-1]

        relayed = await stack.enter_async_context(relayed_journal(dsn, directory / "relay", dialogue))
        host, flights = HeldReplies([]), Flights()
        port = HeldPort(ANY_PORT)
        settings = _settings(port.bind, await _relay_mail(host, flights, directory, stack), connections, window)
        secret = secret_key("", directory)
        product = Product(
            url=f"http://{settings.http.bind}",
            key=await _demo_key(dsn, secret, directory),
            journal=journal,
            host=host,
            flights=flights,
            transactions=transactions,
            dialogues=dialogues,
            called=Counter(),
            called_bytes=Counter(),
        )
        context = partial(
            Context,
            node_id="here",
            settings=settings,
            data_dir=str(directory),
            postgres_dsn=relayed,
            secret_key=secret,
        )
        await _start(product, context, stack)
        yield product


async def _demo_key(dsn: str, secret: str, directory: Path) -> str:
    journal = Journal(dsn, application="up", connections=1)
    await journal.open()
    try:
        return await ensure_demo(journal, Vault(secret), directory)
    finally:
        await journal.close()


def _settings(bind: str, relay: str, connections: int, window: int) -> Settings:
    return Settings(
        http=HttpSettings(bind=bind),
        smtp=SmtpSettings(helo_name="bench.example.com"),
        delivery=DeliverySettings(
            mode="relay",
            relay=relay,
            actors_per_node=1,
            connections_per_site=connections,
            connection_idle_s=LONG_S,
            window=window,
            lease_s=LONG_S,
            offer_grace_s=LONG_S,
        ),
    )


async def _postgres(directory: Path, stack: AsyncExitStack) -> str:
    postgres = EmbeddedPostgres(directory)
    stack.push_async_callback(to_its_end, postgres.stop)
    dsn = await to_its_end(postgres.start)
    await migrate(dsn)
    with Connection.connect(dsn, autocommit=True) as connection:
        for setting in STEADY:
            connection.execute(f"ALTER SYSTEM SET {setting}".encode())
        connection.execute("SELECT pg_reload_conf()")
    return dsn


async def _relay_mail(host: HeldReplies, flights: Flights, directory: Path, stack: AsyncExitStack) -> str:
    """The address of a relay to the mail host that counts."""
    loop = asyncio.get_running_loop()
    context = await to_its_end(server_context, "127.0.0.1", directory)
    server = SmtpServer(host.take, tls=context)
    stack.push_async_callback(server.stop, 1.0)
    address, port = await server.start()
    connect = partial(loop.create_connection, host=address, port=port)
    relay = await loop.create_server(relaying(connect, flights.connection), "127.0.0.1", 0, backlog=512)
    stack.callback(relay.close)
    return f"127.0.0.1:{relay.sockets[0].getsockname()[1]}"


async def _start(product: Product, context: Callable[..., Context], stack: AsyncExitStack) -> None:
    parts: dict[str, Any] = {}

    async def call(actor: str, method: str, *arguments: Any) -> Any:
        product.called[method] += 1
        product.called_bytes[method] += sum(len(one) for one in arguments if isinstance(one, bytes))
        return await getattr(parts[actor], method)(*arguments)

    async def kill(actor: str) -> None:
        raise AssertionError(f"this product kills no actor: {actor}")

    async def place(*_: object) -> Any:
        raise AssertionError("this product has one node and places no actors")

    async def share(data: bytes) -> Awaitable[bytes]:
        handle: asyncio.Future[bytes] = asyncio.get_running_loop().create_future()
        handle.set_result(data)
        return handle

    links = Links(call=call, kill=kill, share=share, look=place, start=place, end=place, ask_for=place)
    for name, builder in ((DELIVERY, actors.delivery), (SCHEDULER, actors.scheduler), (API, api.api)):
        own = context(name=name)
        own = structs.replace(own, fence=await fence_of(own))
        part: Any = await builder(own, links)
        parts[name] = part
        await part.start()
        stack.push_async_callback(part.stop)
