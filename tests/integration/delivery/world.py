"""A delivery actor and everything around it, without Ray: a real journal, a DNS server and SMTP peers on loopback."""

import asyncio
import random
import tempfile
import time
from collections.abc import AsyncIterator, Awaitable, Callable, Sequence
from contextlib import AsyncExitStack, asynccontextmanager
from datetime import UTC, date, datetime
from pathlib import Path
from typing import Any

import msgspec
import pytest
from dnslib import MX, RD, A

from actors.compose.templated import Version
from actors.delivery.composing import ComposeOrder, Composer, Made
from actors.delivery.connector import Connector
from actors.delivery.contents import TransformOf, untransformed
from actors.delivery.deliverer import Deliverer
from actors.delivery.ledger import Ledger
from actors.delivery.marker import Marker
from actors.delivery.parts import Dependencies
from actors.delivery.signing import SendingDomains
from actors.delivery.tls_dialer import TlsDialer
from actors.scheduler import Scheduler
from cluster.dkim_keys import generate_ed25519_key, record_name, record_text
from cluster.events import Event, Processed, decode_batch
from cluster.journal.journal import Journal
from cluster.journal.records import MessageRow, NewMessage
from cluster.lookup.domain_tls import TlsPolicies
from cluster.lookup.resolver import Resolver
from cluster.lookup.tls_results import TlsResults
from cluster.policies import put_in_force
from cluster.policy.lifecycle import UNFINISHED, Status
from cluster.policy.routes import mx
from cluster.routing.active_policy import ActivePolicy
from cluster.routing.dispatcher import Dispatcher
from cluster.routing.router import Router
from cluster.settings import DeliverySettings, DnsSettings, SmtpSettings, TlsSettings
from cluster.smtpd.envelope import Answer, Behaviour, ReceivedMessage
from cluster.smtpd.server import SmtpServer
from cluster.tasks import Tasks
from cluster.templates.store import CompiledTemplates
from cluster.tenancy.directory import TenantDirectory
from cluster.vault import Vault
from tests import domains
from tests.integration.dns_server import DnsServer
from tests.integration.journal.builders import a_request, a_sender_domain
from tests.tracking import A_KEY
from tests.waiting import pauses

MAX_WAIT_S = 30.0
MOST_PAUSE_S = 0.05
"""Between rounds of paging in, for which mail that is due waits."""
DELIVERY = DeliverySettings(
    mode="direct", connections_per_site=4, retry_schedule_s=(0.05, 0.5), connection_idle_s=0.2, stop_wait_s=0.5
)
"""After a second attempt a message waits long enough to be seen: its outcome is committed within a batch window."""
SMTP = SmtpSettings()
TLS = TlsSettings()
DNS = DnsSettings(timeout_s=5.0, tries=1)
TODAY = date(2026, 4, 3)
"""The day that warm-ups count by: a test does not see it end."""
DOMAIN = "mail.example.com"
"""The sender domain of the world's tenant."""
KEY, PUBLIC_KEY = generate_ed25519_key()
"""The key of every sender domain, and the ``p=`` value of its record."""
SECRET = domains.SECRET


class World:
    """``peers`` take mail at 127.0.0.1, 127.0.0.2, … on one port, as hosts of one network do."""

    def __init__(self, journal: Journal, dns: DnsServer, tenant_id: str) -> None:
        self.journal = journal
        self.dns = dns
        self.tenant_id = tenant_id
        self.peers: list[SmtpServer] = []
        self.taken: list[ReceivedMessage] = []
        self.crashes: list[BaseException] = []
        self.events: list[Event] = []
        self.tasks = Tasks(on_crash=lambda _, error: self.crashes.append(error))
        self.reply: asyncio.Future[Answer] | None = None
        """The peers hold the reply to a message back until this is done."""
        self.ledger: Ledger
        self.deliverer: Deliverer
        self.make_deliverer: Callable[[], Deliverer]
        """A new life of the delivery actor."""
        self.key_records: dict[str, str] = {}
        """The records of the signing keys, by name."""
        self.authors: dict[str, str] = {}
        """The address that each tenant sends from."""
        self.others: dict[str, Deliverer] = {}
        """Delivery actors beside the first, by name."""
        self.make_other: Callable[[str], Deliverer]
        self.settings: DeliverySettings
        self.worked_s = 0.0
        """For how long the event loops of the delivery actors have worked."""
        self.port = 0
        """The port of the hosts in the DNS."""
        self.passed_s = 0.0
        """Added to the clock of the caches of DNS answers."""
        self.scheduler: Scheduler
        self.dispatcher: Dispatcher
        self.resolver: Resolver
        self.tls_results: TlsResults

    def zone(self, domain: str, *addresses: str) -> None:
        """The domain's mail exchangers, in order of preference, at these addresses."""
        records: list[RD] = []
        for i, address in enumerate(addresses):
            records.append(MX(f"mx{i}.{domain}", i))
            self.dns.zone[f"mx{i}.{domain}", "A"] = [A(address)]
        self.dns.zone[domain, "MX"] = records

    def take(self, envelope: ReceivedMessage) -> asyncio.Future[Answer] | None:
        self.taken.append(envelope)
        return self.reply

    async def kill(self) -> None:
        """End the delivery actor as SIGKILL does: at once, nothing finished, its files closed."""
        await self.tasks.stop()
        self.ledger.close()

    async def restart(self) -> None:
        """Start the next life of the delivery actor."""
        self.deliverer = self.make_deliverer()
        await self.deliverer.start()

    async def join(self, name: str) -> None:
        """Start one more delivery actor; return when all agree on the ownership."""
        other = self.others[name] = self.make_other(name)
        await other.start()
        deadline = time.monotonic() + MAX_WAIT_S
        while not all(one.parts.ownership.is_settled for one in self.deliverers):
            assert time.monotonic() < deadline, self.crashes
            await asyncio.gather(*(one.parts.heartbeat.beat() for one in self.deliverers))
        await self.dispatcher.refresh()

    @property
    def deliverers(self) -> list[Deliverer]:
        return [self.deliverer, *self.others.values()]

    async def put_in_force(self, shaping: str = "", routing: str = "") -> None:
        """Store policies as an operator does; return when every process follows them."""
        await put_in_force(self.journal, Vault(SECRET), self.settings, shaping, routing)
        await self.follow()

    async def follow(self) -> None:
        """Do now what every process does once a second."""
        for deliverer in self.deliverers:
            await deliverer.follow()
            await deliverer.parts.heartbeat.beat()
        await self.dispatcher.refresh()

    def clock(self) -> float:
        return time.monotonic() + self.passed_s

    async def stop(self) -> None:
        for deliverer in self.deliverers:
            await deliverer.stop()

    async def call(self, actor: str, method: str, *arguments: Any) -> Any:
        return await getattr(self.others.get(actor, self.deliverer), method)(*arguments)

    async def accept(self, *messages: NewMessage, **fields: Any) -> None:
        await self.accept_for(self.tenant_id, *messages, **fields)

    async def a_tenant(self, name: str) -> str:
        """Another tenant; what is accepted for it is from a domain of its own."""
        tenant_id = await self.journal.tenants.create(name)
        await self.give_domain(tenant_id, f"{name}.example")
        return tenant_id

    async def give_domain(self, tenant_id: str, domain: str, subdomain: str = "") -> None:
        await a_sender_domain(
            self.journal, tenant_id, domain, private_key=KEY, vault=Vault(SECRET), subdomain=subdomain
        )
        self.authors[tenant_id] = f"hello@{domain}"
        self.key_records[record_name(domain, "s1")] = record_text(PUBLIC_KEY)

    async def accept_for(self, tenant_id: str, *messages: NewMessage, **fields: Any) -> None:
        request = a_request(tenant_id, *messages, author=self.authors[tenant_id])
        await self.journal.intake.accept([msgspec.structs.replace(request, **fields)])

    async def finished(self, message: NewMessage) -> MessageRow:
        """Page in whatever is due until this message is finished."""
        return await self.until(message, *(status for status in Status if status not in UNFINISHED))

    async def until(self, message: NewMessage, *statuses: Status, attempts: int = 0) -> MessageRow:
        deadline, again = time.monotonic() + MAX_WAIT_S, pauses(MOST_PAUSE_S)
        while True:
            await self.scheduler.paging.round()
            row = await self.journal.messages.find(self.tenant_id, message.id)
            assert row is not None
            if row.status in statuses and row.retry_count >= attempts:
                return row
            assert time.monotonic() < deadline, (row, self.crashes)
            await asyncio.sleep(next(again))

    async def eventually(self, condition: Callable[[], bool | Awaitable[bool]]) -> None:
        """Page in whatever is due until this holds."""
        deadline, again = time.monotonic() + MAX_WAIT_S, pauses(MOST_PAUSE_S)
        while True:
            await self.scheduler.paging.round()
            await self.scheduler.paging.name_lanes()
            await self.scheduler.paging.move_stranded()
            holds = condition()
            if holds if isinstance(holds, bool) else await holds:
                return
            assert time.monotonic() < deadline, self.crashes
            await asyncio.sleep(next(again))

    async def arrived(self, count: int) -> None:
        """Return when so many messages have arrived at the peers."""
        deadline, again = time.monotonic() + MAX_WAIT_S, pauses(MOST_PAUSE_S)
        while len(self.taken) < count:
            assert time.monotonic() < deadline, len(self.taken)
            await asyncio.sleep(next(again))

    def composed_in_threads(self, monkeypatch: pytest.MonkeyPatch) -> list[str]:
        """The ids of the messages that are composed in threads from now on."""
        ids: list[str] = []
        compose = self.deliverer.deps.composer.compose_large

        async def noted(order: ComposeOrder) -> Made:
            ids.append(order.deliveries[0].message_id)
            return await compose(order)

        monkeypatch.setattr(self.deliverer.deps.composer, "compose_large", noted)
        return ids

    async def events_of(self, message: NewMessage, count: int) -> Sequence[Event]:
        """The events of a message after its acceptance, once there are so many in the log."""
        deadline, again = time.monotonic() + MAX_WAIT_S, pauses(MOST_PAUSE_S)
        while True:
            for row in await self.journal.event_log.after("recorder", 1000):
                self.events += [event for event in decode_batch(row.events) if not isinstance(event, Processed)]
                await self.journal.event_log.move_cursor("recorder", row.tx, row.id)
            own = [event for event in self.events if event.message_id == message.id]
            if len(own) >= count:
                return own
            assert time.monotonic() < deadline, own
            await asyncio.sleep(next(again))


@asynccontextmanager
async def a_world(
    journal: Journal,
    *behaviours: Behaviour | None,
    settings: DeliverySettings = DELIVERY,
    smtp: SmtpSettings = SMTP,
    tls: TlsSettings = TLS,
    dns_settings: DnsSettings = DNS,
    transform_of: TransformOf = untransformed,
    takes_mail: bool = False,
) -> AsyncIterator[World]:
    """A running world with a peer for each behaviour; its crashes fail the test."""
    async with AsyncExitStack() as stack:
        loop = asyncio.get_running_loop()
        dns = DnsServer()
        transport, _ = await loop.create_datagram_endpoint(lambda: dns, local_addr=("127.0.0.1", 0))
        stack.callback(transport.close)
        world = World(journal, dns, await journal.tenants.create("acme"))
        await world.give_domain(world.tenant_id, DOMAIN)
        world.settings = settings
        port = 0
        for i, behaviour in enumerate(behaviours or (None,)):
            peer = SmtpServer(world.take, behaviour=behaviour)
            _, port = await peer.start(f"127.0.0.{i + 1}", port)
            stack.push_async_callback(peer.stop, 1.0)
            world.peers.append(peer)
        world.port = port
        dns_settings = msgspec.structs.replace(dns_settings, nameservers=(f"127.0.0.1:{dns.port}",))
        resolver = Resolver(dns_settings, clock=world.clock, random=random.random, guard=mx.UNGUARDED)
        stack.push_async_callback(resolver.close)
        world.resolver = resolver
        results = world.tls_results = TlsResults(lambda: datetime.now(UTC))
        policies = TlsPolicies(resolver, tls, dns_settings, clock=world.clock, results=results)
        dialer = TlsDialer(policies, tls, clock=world.clock, results=results)
        stack.push_async_callback(policies.close)

        def ways() -> tuple[ActivePolicy, Router]:
            active_policy = ActivePolicy(journal, Vault(SECRET), settings, today=lambda: TODAY)
            return active_policy, Router(
                settings,
                active_policy,
                resolver,
                shares=1,
                port=port,
                capture=("127.0.0.1", port),
                clock=world.clock,
                tls_of=policies.of_domain,
            )

        folder = Path(stack.enter_context(tempfile.TemporaryDirectory()))

        def make(name: str, ledger: Ledger, tasks: Tasks) -> Deliverer:
            active_policy, router = ways()
            marker = Marker(folder / name)
            directory = TenantDirectory(journal)
            deps = Dependencies(
                name=name,
                node_id="node",
                settings=settings,
                journal=journal,
                composer=Composer(
                    journal,
                    SendingDomains(journal, Vault(SECRET), directory, takes_mail=takes_mail),
                    CompiledTemplates(journal, Version),
                    marker,
                    lambda: A_KEY,
                    transform_of=transform_of,
                ),
                connector=Connector(resolver, dialer, smtp, "postray.test", random=random.random),
                router=router,
                active_policy=active_policy,
                directory=directory,
                ledger=ledger,
                marker=marker,
                stall_watch=None,
                worked_s=lambda: world.worked_s,
                processors_s=lambda: (0.0, world.worked_s),
                tls_results=results,
                random=lambda: 0.5,
                now=time.time,
                tasks=tasks,
            )
            return Deliverer(deps, policies.close)

        def make_deliverer() -> Deliverer:
            world.ledger = Ledger(folder / "delivery-0-0")
            return make("delivery-0-0", world.ledger, world.tasks)

        def make_other(name: str) -> Deliverer:
            tasks = Tasks(on_crash=lambda _, error: world.crashes.append(error))
            return make(name, Ledger(folder / name), tasks)

        stack.push_async_callback(world.tasks.stop)
        world.make_deliverer = make_deliverer
        world.make_other = make_other
        await world.restart()
        stack.push_async_callback(world.stop)
        active_policy, router = ways()
        world.dispatcher = Dispatcher(journal, world.call, router, active_policy)
        await world.dispatcher.refresh()
        world.scheduler = Scheduler(journal, world.dispatcher, world.call, settings.lease_s, lambda: world.tasks)
        yield world
        assert world.crashes == []


async def deliver(world: World, *messages: NewMessage) -> None:
    """Accept these, and return when all of them are delivered."""
    await world.accept(*messages)
    for message in messages:
        row = await world.finished(message)
        assert row.status is Status.DELIVERED, row
