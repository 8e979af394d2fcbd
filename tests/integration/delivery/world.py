"""A delivery actor with all that is around it, but no Ray: a real journal, a DNS server and SMTP peers on loopback."""

import asyncio
import random
import tempfile
import time
from collections.abc import AsyncIterator, Callable, Sequence
from contextlib import AsyncExitStack, asynccontextmanager
from pathlib import Path
from typing import Any

import msgspec
from dnslib import MX, RD, A

from actors.capture.envelope import Answer, Behaviour, Envelope
from actors.capture.smtp_server import SmtpServer
from actors.delivery.composing import Composer
from actors.delivery.connector import Connector
from actors.delivery.deliverer import Deliverer
from actors.delivery.ledger import Ledger
from actors.delivery.resolver import Resolver
from actors.dispatch import Dispatcher
from actors.scheduler import Scheduler
from analytics.events import Event, decode_batch, encode_batch
from cluster.journal.records import MessageRow, NewMessage
from cluster.journal.store import Journal
from cluster.policy.lifecycle import UNFINISHED, Status
from cluster.settings import DeliverySettings, DnsSettings, SmtpSettings
from cluster.tasks import Tasks
from cluster.vault import Vault
from tests.integration.dns_server import DnsServer
from tests.integration.journal.builders import a_request

PATIENCE_S = 10.0
DELIVERY = DeliverySettings(mode="direct", connections_per_site=4, retry_schedule_s=(0.05,), connection_idle_s=0.2)
SMTP = SmtpSettings(connect_timeout_s=2, data_termination_timeout_s=2)
SECRET = "Zm9yIHRlc3RzIG9ubHksIG5vdCBhIHJlYWwga2V5ISE="


class World:
    """``peers`` take mail at 127.0.0.1, 127.0.0.2, … on one port, as hosts of one network do."""

    def __init__(self, journal: Journal, dns: DnsServer, tenant_id: str) -> None:
        self.journal = journal
        self.dns = dns
        self.tenant_id = tenant_id
        self.peers: list[SmtpServer] = []
        self.taken: list[Envelope] = []
        self.crashes: list[BaseException] = []
        self.events: list[Event] = []
        self.tasks = Tasks(on_crash=lambda _, error: self.crashes.append(error))
        self.reply: asyncio.Future[Answer] | None = None
        """The peers hold the reply to a message back until this is done."""
        self.ledger: Ledger
        self.deliverer: Deliverer
        self.make_deliverer: Callable[[], Deliverer]
        """A new life of the delivery actor."""
        self.scheduler: Scheduler

    def zone(self, domain: str, *addresses: str) -> None:
        """The domain's mail exchangers, in order of preference, at these addresses."""
        records: list[RD] = []
        for i, address in enumerate(addresses):
            records.append(MX(f"mx{i}.{domain}", i))
            self.dns.zone[f"mx{i}.{domain}", "A"] = [A(address)]
        self.dns.zone[domain, "MX"] = records

    def take(self, envelope: Envelope) -> asyncio.Future[Answer] | None:
        self.taken.append(envelope)
        return self.reply

    async def kill(self) -> None:
        """End the delivery actor as SIGKILL does: at once, nothing finished, its files let go of."""
        await self.tasks.stop()
        self.ledger.close()

    async def restart(self) -> None:
        """Start the next life of the delivery actor."""
        self.deliverer = self.make_deliverer()
        await self.deliverer.start()

    async def stop(self) -> None:
        await self.deliverer.stop()

    async def call(self, actor: str, method: str, *arguments: Any) -> Any:
        return await getattr(self.deliverer, method)(*arguments)

    async def accept(self, *messages: NewMessage, **fields: Any) -> None:
        request = a_request(self.tenant_id, *messages)
        await self.journal.accept([msgspec.structs.replace(request, events=encode_batch([]), **fields)])

    async def finished(self, message: NewMessage) -> MessageRow:
        """Page in whatever is due until this message is finished."""
        return await self.until(message, *(status for status in Status if status not in UNFINISHED))

    async def until(self, message: NewMessage, *statuses: Status, attempts: int = 0) -> MessageRow:
        deadline = time.monotonic() + PATIENCE_S
        while True:
            await self.scheduler.round()
            row = await self.journal.message(self.tenant_id, message.id)
            assert row is not None
            if row.status in statuses and row.retry_count >= attempts:
                return row
            assert time.monotonic() < deadline, (row, self.crashes)
            await asyncio.sleep(0.01)

    async def arrived(self, count: int) -> None:
        """Return when so many messages have arrived at the peers."""
        deadline = time.monotonic() + PATIENCE_S
        while len(self.taken) < count:
            assert time.monotonic() < deadline, len(self.taken)
            await asyncio.sleep(0.01)

    async def told(self, message: NewMessage, count: int) -> Sequence[Event]:
        """The events of a message, once there are so many in the log."""
        deadline = time.monotonic() + PATIENCE_S
        while True:
            for row in await self.journal.log_after("recorder", 1000):
                self.events += decode_batch(row.events)
                await self.journal.move_cursor("recorder", row.tx, row.id)
            own = [event for event in self.events if event.message_id == message.id]
            if len(own) >= count:
                return own
            assert time.monotonic() < deadline, own
            await asyncio.sleep(0.01)


@asynccontextmanager
async def a_world(
    journal: Journal,
    *behaviours: Behaviour | None,
    settings: DeliverySettings = DELIVERY,
    smtp: SmtpSettings = SMTP,
) -> AsyncIterator[World]:
    """A running world with a peer for each behaviour; its crashes fail the test."""
    async with AsyncExitStack() as stack:
        loop = asyncio.get_running_loop()
        dns = DnsServer()
        transport, _ = await loop.create_datagram_endpoint(lambda: dns, local_addr=("127.0.0.1", 0))
        stack.callback(transport.close)
        world = World(journal, dns, await journal.create_tenant("acme"))
        port = 0
        for i, behaviour in enumerate(behaviours or (None,)):
            peer = SmtpServer(world.take, behaviour=behaviour)
            _, port = await peer.start(f"127.0.0.{i + 1}", port)
            stack.push_async_callback(peer.stop, 1.0)
            world.peers.append(peer)
        resolver = Resolver(
            DnsSettings(nameservers=(f"127.0.0.1:{dns.port}",), timeout_s=0.5, tries=1),
            clock=time.monotonic,
            random=random.random,
        )
        stack.push_async_callback(resolver.close)
        ledger = Path(stack.enter_context(tempfile.TemporaryDirectory()))

        def make_deliverer() -> Deliverer:
            world.ledger = Ledger(ledger)
            return Deliverer(
                "delivery-0-0",
                "node",
                settings=settings,
                journal=journal,
                composer=Composer(journal, Vault(SECRET)),
                connector=Connector(resolver, msgspec.structs.replace(smtp, port=port), "postray.test", None),
                ledger=world.ledger,
                random=lambda: 0.5,
                shares=1,
                make_tasks=lambda: world.tasks,
            )

        stack.push_async_callback(world.tasks.stop)
        world.make_deliverer = make_deliverer
        await world.restart()
        stack.push_async_callback(world.stop)
        dispatcher = Dispatcher(journal, world.call, settings, 1)
        await dispatcher.refresh()
        world.scheduler = Scheduler(journal, dispatcher, world.call, settings, 1, lambda: world.tasks)
        yield world
        assert world.crashes == []
