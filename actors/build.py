"""Composition roots: how each actor's object is put together in its own process. topology.py names these functions.

Each imports what it needs itself, so that no process loads the libraries of the others.
"""

import random
import socket
import time
from typing import TYPE_CHECKING

from cluster.context import Context, Links
from cluster.settings import Settings, host_port
from cluster.vault import Vault

if TYPE_CHECKING:
    from actors.capture.sink import CaptureSink
    from actors.delivery.deliverer import Deliverer
    from actors.recorder import Recorder
    from actors.scheduler import Scheduler
    from actors.supervisor import Supervisor

DELIVERY_CONNECTIONS = 5
"""To Postgres: two claimers, outcomes, heartbeat, and one to spare."""


async def capture(context: Context, links: Links) -> "CaptureSink":
    from actors.capture.sink import CaptureSink

    return CaptureSink(context.settings.capture, context.data_path)


async def recorder(context: Context, links: Links) -> "Recorder":
    from actors.recorder import Recorder

    return Recorder(context.settings.clickhouse, context.data_path, await context.open_journal(2))


async def delivery(context: Context, links: Links) -> "Deliverer":
    from actors.delivery.composing import Composer
    from actors.delivery.connector import Connector
    from actors.delivery.deliverer import Deliverer
    from actors.delivery.ledger import Ledger
    from actors.delivery.resolver import Resolver

    settings = context.settings
    journal = await context.open_journal(DELIVERY_CONNECTIONS)
    resolver = Resolver(settings.dns, clock=time.monotonic, random=random.random)
    return Deliverer(
        context.name,
        context.node_id,
        settings=settings.delivery,
        journal=journal,
        composer=Composer(journal, Vault(context.secret_key)),
        connector=Connector(resolver, settings.smtp, helo_name(settings), fixed_host(settings)),
        ledger=Ledger(context.data_path / "ledger" / context.name),
        random=random.random,
        shares=context.shares,
    )


async def scheduler(context: Context, links: Links) -> "Scheduler":
    from actors.dispatch import Dispatcher
    from actors.scheduler import Scheduler

    journal = await context.open_journal(2)
    dispatcher = Dispatcher(journal, links.call, context.settings.delivery, context.shares)
    return Scheduler(journal, dispatcher, links.call, context.settings.delivery, context.shares)


async def supervisor(context: Context, links: Links) -> "Supervisor":
    from actors.supervisor import Supervisor

    watched = [name for name in context.actors if name != context.name]
    return Supervisor(await context.open_journal(1), links.call, watched, links.kill)


def helo_name(settings: Settings) -> str:
    """The configured name, or this host's; asking the DNS for it only when mail leaves the machine."""
    if settings.smtp.helo_name:
        return settings.smtp.helo_name
    return socket.gethostname() if settings.delivery.mode == "capture" else socket.getfqdn()


def fixed_host(settings: Settings) -> tuple[str, int] | None:
    """The one host that takes all mail in capture and relay mode."""
    if settings.delivery.mode == "capture":
        return host_port(settings.capture.smtp_bind)
    if settings.delivery.mode == "relay":
        return host_port(settings.delivery.relay)
    return None
