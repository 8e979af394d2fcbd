"""Many misbehaving hosts in one world: a domain and a message for each, and how each ends."""

import ssl
import time
from collections.abc import AsyncIterator, Mapping, Sequence
from contextlib import AsyncExitStack, asynccontextmanager
from typing import NamedTuple

from msgspec import Struct
from msgspec.structs import replace

from cluster.events import Bounced, Deferred, Delivered, Event
from cluster.journal.journal import Journal
from cluster.journal.records import NewMessage
from cluster.settings import DeliverySettings, DnsSettings, SmtpSettings, TlsSettings
from tests.integration.delivery.world import DELIVERY, TLS, World, a_world
from tests.integration.journal.builders import a_message
from tests.integration.smtp.peer import EXTENSIONS, Answer, Peer

SETTINGS = replace(DELIVERY, retry_schedule_s=DeliverySettings().retry_schedule_s)
"""With the real retry delays, so that a deferred delivery stays deferred while a test checks it."""
SMTP = SmtpSettings(connect_timeout_s=20, greeting_timeout_s=20, mail_timeout_s=20, rcpt_timeout_s=20)
"""Long timeouts: these tests must see none, however busy the machine is."""
DNS = DnsSettings(timeout_s=5, tries=5)
MAX_WAIT_S = 30.0

CHUNKS = EXTENSIONS
PIPELINED = ("PIPELINING",)
ONE_BY_ONE = ()


class Ending(NamedTuple):
    """The outcome of one recipient."""

    event: str
    bounce_class: str = ""
    retry_in_s: int = 0
    response: str = ""


def deferred(bounce_class: str, retry_in_s: int, response: str = "") -> Ending:
    return Ending("deferred", bounce_class, retry_in_s, response)


def bounced(bounce_class: str, response: str) -> Ending:
    return Ending("bounced", bounce_class, 0, response)


DELIVERED = Ending("delivered", response="250 2.0.0 accepted")
IN_CHUNKS = Ending("delivered", response="250 2.0.0 accepted chunk")
LOST = deferred("connection_lost", 30)
SILENT = deferred("no_answer", 120)
NO_TLS = deferred("tls_failure", 60)


class Case(Struct, kw_only=True):
    """A host and the outcome of a message to it, recipient by recipient."""

    ends: Ending | tuple[Ending, ...]
    script: Mapping[str, Answer | list[Answer]] = {}
    extensions: tuple[str, ...] = EXTENSIONS
    tls: ssl.SSLContext | None = None

    @property
    def endings(self) -> list[Ending]:
        return [self.ends] if isinstance(self.ends, Ending) else list(self.ends)

    def peer(self) -> Peer:
        return Peer(self.script, extensions=self.extensions, tls=self.tls)


def ending(event: Event) -> Ending:
    match event:
        case Delivered():
            return Ending("delivered", response=event.smtp_response)
        case Deferred():
            wait = round(event.next_attempt_at - event.at)
            return Ending("deferred", event.bounce_class, wait, event.smtp_response)
        case Bounced():
            return Ending("bounced", event.bounce_class, 0, event.smtp_response)
    raise AssertionError(event)


def addressed(domain: str, recipients: int = 1) -> NewMessage:
    return a_message(*(f"r{i}@{domain}" for i in range(recipients)))


class Hosts:
    """A world, and scripted hosts that listen as long as it does."""

    def __init__(self, world: World, stack: AsyncExitStack) -> None:
        self.world = world
        self._stack = stack
        self._count = 0

    async def host(self, domain: str, *peers: Peer) -> None:
        """Make these the domain's mail exchangers, in order of preference."""
        self.world.zone(domain, *[await self.listen(peer) for peer in peers])

    async def listen(self, peer: Peer) -> str:
        """Make it listen at an unused address in 127.0.1.0/24, and return the address."""
        self._count += 1
        address = f"127.0.1.{self._count}"
        await self._stack.enter_async_context(peer.listening(address, self.world.port))
        return address


@asynccontextmanager
async def hosts(
    journal: Journal,
    settings: DeliverySettings = SETTINGS,
    smtp: SmtpSettings = SMTP,
    tls: TlsSettings = TLS,
) -> AsyncIterator[Hosts]:
    async with AsyncExitStack() as stack:
        world = await stack.enter_async_context(
            a_world(journal, settings=settings, smtp=smtp, tls=tls, dns_settings=DNS)
        )
        yield Hosts(world, stack)


async def judged(hosts: Hosts, cases: Mapping[str, Case]) -> dict[str, Peer]:
    """Send a message to the host of each case, all at once, and compare how each ends with what is right."""
    world = hosts.world
    peers = {}
    messages = {}
    for name, case in cases.items():
        domain = f"{name}.test"
        peers[name] = case.peer()
        await hosts.host(domain, peers[name])
        messages[name] = addressed(domain, len(case.endings))
    await world.accept(*messages.values())
    events = await first_events(world, list(messages.values()))
    ends = {name: [ending(event) for event in events[message.id]] for name, message in messages.items()}
    wrong = {name: (found, cases[name].endings) for name, found in ends.items() if found != cases[name].endings}
    assert not wrong, wrong
    return peers


async def first_events(world: World, messages: Sequence[NewMessage]) -> dict[str, list[Event]]:
    """The first event of every recipient of each message, in their order."""
    deadline = time.monotonic() + MAX_WAIT_S
    while True:
        await world.scheduler.paging.round()
        await world.events_of(messages[0], 0)  # reads what is new
        found: dict[str, dict[str, Event]] = {message.id: {} for message in messages}
        for event in world.events:
            if event.message_id in found:
                found[event.message_id].setdefault(event.recipient, event)
        missing = [m for m in messages if len(found[m.id]) < len(m.recipients)]
        if not missing:
            return {m.id: [found[m.id][recipient.email] for recipient in m.recipients] for m in messages}
        assert time.monotonic() < deadline, (missing[0].recipients, len(missing), world.crashes)
