"""How a process comes to know where mail goes: the active policy, the resolver, and the router over both."""

import random
import socket
import time

from msgspec import Struct

from cluster.context import Context
from cluster.journal.journal import Journal
from cluster.lookup.resolver import Resolver
from cluster.policy.routes.mx import Guard, make_guard
from cluster.policy.routes.networks import networks
from cluster.routing.active_policy import InForce
from cluster.routing.router import Placer
from cluster.settings import Settings, host_port
from cluster.vault import Vault


class Ways(Struct, frozen=True):
    """What tells a process where mail goes."""

    in_force: InForce
    resolver: Resolver
    placer: Placer


def find_ways(context: Context, journal: Journal) -> Ways:
    """A process's own; to be made in its event loop."""
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


def helo_name(settings: Settings) -> str:
    """The configured name, or this host's; asking the DNS for it only when mail leaves the machine."""
    if settings.smtp.helo_name:
        return settings.smtp.helo_name
    return socket.gethostname() if settings.delivery.mode == "capture" else socket.getfqdn()


def _guard(resolver: Resolver, in_force: InForce, settings: Settings) -> None:
    """The DNS must not send us to ourselves: our names and addresses are those of the sources in force."""
    resolver.guard = make_guard(
        own_names={helo_name(settings).lower(), *in_force.routing.helo_names},
        own_addresses=in_force.routing.addresses,
        networks=networks(allowed=settings.smtp.allowed_networks, prohibited=settings.smtp.prohibited_networks),
    )
