"""Builds a process's routing: the active policy, the resolver, and the router that uses both."""

import random
import socket
import time

from msgspec import Struct

from cluster.context import Context
from cluster.journal.journal import Journal
from cluster.lookup.resolver import Resolver
from cluster.policy.routes.mx import Guard, make_guard
from cluster.policy.routes.networks import networks
from cluster.routing.active_policy import ActivePolicy
from cluster.routing.router import Router
from cluster.settings import Settings, host_port


class MailRouting(Struct, frozen=True):
    """The parts with which one process routes mail."""

    active_policy: ActivePolicy
    resolver: Resolver
    router: Router


def build_routing(context: Context, journal: Journal) -> MailRouting:
    """The parts, built over this process's journal. Must be called in its event loop."""
    settings = context.settings
    active_policy = ActivePolicy(journal, context.vault, settings.delivery)
    resolver = Resolver(settings.dns, clock=time.monotonic, random=random.random, guard=Guard())
    active_policy.on_policies(lambda: _guard(resolver, active_policy, settings))
    router = Router(
        settings.delivery,
        active_policy,
        resolver,
        shares=context.shares,
        port=settings.smtp.port,
        capture=host_port(settings.capture.smtp_bind),
        clock=time.monotonic,
    )
    return MailRouting(active_policy, resolver, router)


def helo_name(settings: Settings) -> str:
    """The configured name, or this host's. The DNS is queried only when mail leaves the machine."""
    if settings.smtp.helo_name:
        return settings.smtp.helo_name
    return socket.gethostname() if settings.delivery.mode == "capture" else socket.getfqdn()


def _guard(resolver: Resolver, active_policy: ActivePolicy, settings: Settings) -> None:
    """Set the guard that keeps mail from being sent to ourselves: it knows the names and addresses of the active
    sources."""
    resolver.guard = make_guard(
        own_names={helo_name(settings).lower(), *active_policy.routing.helo_names},
        own_addresses=active_policy.routing.addresses,
        networks=networks(allowed=settings.smtp.allowed_networks, prohibited=settings.smtp.prohibited_networks),
    )
