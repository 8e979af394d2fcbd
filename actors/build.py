"""Composition roots: how each actor's object is put together in its own process. topology.py names these functions.

Each imports what it needs itself, so that no process loads the libraries of the others.
"""

import os
import random
import socket
import time
from datetime import UTC, datetime
from typing import TYPE_CHECKING

from msgspec import Struct

from cluster.context import Context, Links
from cluster.journal.journal import Journal
from cluster.policy.routes.mx import Guard, make_guard
from cluster.policy.routes.networks import networks
from cluster.settings import Settings, host_port
from cluster.vault import Vault

if TYPE_CHECKING:
    from actors.capture.sink import CaptureSink
    from actors.delivery.deliverer import Deliverer
    from actors.recorder import Recorder
    from actors.scheduler import Scheduler
    from actors.supervisor import Supervisor
    from cluster.lookup.resolver import Resolver
    from cluster.routing.active_policy import InForce
    from cluster.routing.router import Placer

DELIVERY_CONNECTIONS = 5
"""To Postgres: two claimers, outcomes, heartbeat, and one to spare."""

RECORDER_NICE = 5
"""Nobody waits for what it writes: where the cores are busy, those go first whom somebody waits for."""


async def capture(context: Context, links: Links) -> "CaptureSink":
    from actors.capture.sink import CaptureSink

    return CaptureSink(context.settings.capture, context.data_path)


async def recorder(context: Context, links: Links) -> "Recorder":
    from actors.recorder import Recorder

    os.nice(RECORDER_NICE)
    return Recorder(context.settings.clickhouse, context.data_path, await context.open_journal(2))


async def delivery(context: Context, links: Links) -> "Deliverer":
    from actors.delivery.composing import Composer
    from actors.delivery.connector import Connector
    from actors.delivery.deliverer import Deliverer
    from actors.delivery.ledger import Ledger
    from actors.delivery.marker import Marker
    from actors.delivery.stall_watch import StallWatch
    from actors.delivery.tls_dialer import TlsPolicies
    from cluster.lookup.tls_results import TlsResults

    settings = context.settings
    journal = await context.open_journal(DELIVERY_CONNECTIONS)
    vault = Vault(context.secret_key)
    ways = find_ways(context, journal)
    results = TlsResults(lambda: datetime.now(UTC), keep_days=settings.tls.results_keep_days)
    tls = TlsPolicies(ways.resolver, settings.tls, settings.dns, clock=time.monotonic, results=results)
    ways.placer.tls_of = tls.of_domain
    own = context.data_path / "ledger" / context.name
    marker = Marker(own)
    return Deliverer(
        context.name,
        context.node_id,
        settings=settings.delivery,
        journal=journal,
        composer=Composer(journal, vault, marker, settings.message),
        connector=Connector(ways.resolver, tls, settings.smtp, helo_name(settings), random=random.random),
        placer=ways.placer,
        in_force=ways.in_force,
        ledger=Ledger(own),
        marker=marker,
        stall_watch=StallWatch(own / "stalled"),
        tls_results=results,
        close=tls.close,
        random=random.random,
        now=time.time,
    )


async def scheduler(context: Context, links: Links) -> "Scheduler":
    from actors.scheduler import Scheduler
    from cluster.routing.dispatcher import Dispatcher

    journal = await context.open_journal(2)
    ways = find_ways(context, journal)
    dispatcher = Dispatcher(journal, links.call, ways.placer, ways.in_force)
    return Scheduler(journal, dispatcher, links.call, context.settings.delivery.lease_s)


async def supervisor(context: Context, links: Links) -> "Supervisor":
    from actors.supervisor import Supervisor

    watched = [name for name in context.actors if name != context.name]
    return Supervisor(await context.open_journal(1), links.call, watched, links.kill)


def helo_name(settings: Settings) -> str:
    """The configured name, or this host's; asking the DNS for it only when mail leaves the machine."""
    if settings.smtp.helo_name:
        return settings.smtp.helo_name
    return socket.gethostname() if settings.delivery.mode == "capture" else socket.getfqdn()


class Ways(Struct, frozen=True):
    """What tells a process where mail goes."""

    in_force: "InForce"
    resolver: "Resolver"
    placer: "Placer"


def find_ways(context: Context, journal: Journal) -> Ways:
    """A process's own; to be made in its event loop."""
    from cluster.lookup.resolver import Resolver
    from cluster.routing.active_policy import InForce
    from cluster.routing.router import Placer

    settings = context.settings
    in_force = InForce(journal, Vault(context.secret_key), settings.delivery)
    resolver = Resolver(settings.dns, clock=time.monotonic, random=random.random, guard=Guard())
    in_force.on_policies(lambda: _guard(resolver, in_force, settings))
    placer = Placer(
        settings.delivery,
        in_force,
        resolver,
        shares=context.shares,
        port=settings.smtp.port,
        capture=host_port(settings.capture.smtp_bind),
        clock=time.monotonic,
    )
    return Ways(in_force, resolver, placer)


def _guard(resolver: "Resolver", in_force: "InForce", settings: Settings) -> None:
    """The DNS must not send us to ourselves: our names and addresses are those of the sources in force."""
    resolver.guard = make_guard(
        own_names={helo_name(settings).lower(), *in_force.routing.helo_names},
        own_addresses=in_force.routing.addresses,
        networks=networks(allowed=settings.smtp.allowed_networks, prohibited=settings.smtp.prohibited_networks),
    )
