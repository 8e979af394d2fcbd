"""Very many domains: the caches for them are bounded, and idle ones cost neither memory nor time."""

import asyncio
import gc
import time
import tracemalloc
from collections.abc import AsyncIterator, Iterable
from contextlib import asynccontextmanager

import msgspec
import pytest

from actors.delivery import ownership
from actors.delivery.site import Site
from cluster.journal.journal import Journal
from cluster.lookup.resolver import Resolver
from cluster.policy.limits import connections
from cluster.policy.limits.connections import AddressStates
from cluster.policy.routes import mx
from cluster.policy.routes.destinations import Destination
from cluster.routing import dispatcher as dispatch
from cluster.routing import router as placing
from cluster.routing.active_policy import ActivePolicy
from cluster.routing.router import Router
from cluster.settings import DnsSettings
from cluster.vault import Vault
from tests.integration.delivery.many_domains import ManyDomains
from tests.integration.delivery.receiver import receiving
from tests.integration.delivery.world import DELIVERY, SECRET, a_world, deliver
from tests.integration.journal.builders import a_message

DOMAINS = 10_000
AT_ONCE = 100
SITE_BYTES = 6000
"""The most for an idle site; the docstring of actors/delivery/sites.py gives the measured size."""


@asynccontextmanager
async def name_server() -> AsyncIterator[ManyDomains]:
    server = ManyDomains()
    transport, _ = await asyncio.get_running_loop().create_datagram_endpoint(
        lambda: server, local_addr=("127.0.0.1", 0)
    )
    yield server
    transport.close()


async def test_what_is_remembered_of_the_dns_is_bounded(journal: Journal, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(placing, "WAYS_KEPT", 700)
    async with name_server() as server:
        settings = DnsSettings(nameservers=(f"127.0.0.1:{server.port}",), cache_entries=1000)
        resolver = Resolver(settings, clock=time.monotonic, random=lambda: 0.5, guard=mx.UNGUARDED)
        active_policy = ActivePolicy(journal, Vault(SECRET), DELIVERY)
        router = Router(
            DELIVERY, active_policy, resolver, shares=1, port=25, capture=("127.0.0.1", 25), clock=time.monotonic
        )
        most = 0
        for first in range(0, DOMAINS, AT_ONCE):
            ways = await asyncio.gather(*(router.learn(f"d{i}.test") for i in range(first, first + AT_ONCE)))
            assert [way.site for way in ways] == [f"mx.d{i}.test" for i in range(first, first + AT_ONCE)]
            most = max(most, len(resolver.cache))
        await resolver.close()
        assert server.asked >= DOMAINS
        assert (most, len(resolver.cache), len(router.ways)) == (1000, 1000, 700)
        assert resolver.asking == {}


async def test_what_is_remembered_of_owners_is_bounded(journal: Journal, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(dispatch, "OWNERS_KEPT", 1000)
    monkeypatch.setattr(ownership, "OWNED_KEPT", 1000)
    async with a_world(journal) as world:
        for place in places(3000):
            owner = world.dispatcher.owner_of(place)
            assert owner is not None and owner.name == "delivery-0-0"
            # An actor asks this for a misrouted offer, or for an empty lane.
            assert world.deliverer.parts.ownership.owns(place)
        assert len(world.dispatcher.owners) == 1000
        assert len(world.deliverer.parts.ownership.owned) <= 1000


def test_what_is_remembered_of_addresses_is_bounded(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(connections, "REMEMBERED", 1000)
    addresses = AddressStates()
    for i, place in enumerate(places(3000)):
        address = f"192.0.{i // 250}.{i % 250}"
        addresses.opened(place, address)
        addresses.failed("", address, 0.0)
        addresses.closed(place, address)
    assert (len(addresses.dead), len(addresses.open_at)) == (1000, 0)


def places(count: int) -> Iterable[Destination]:
    return (Destination(f"mx.d{i}.test") for i in range(count))


async def test_the_memory_of_an_idle_site_is_what_is_stated(journal: Journal) -> None:
    async with a_world(journal) as world:
        sites = world.deliverer.parts.sites
        names = list(places(2000))
        sites.of(Destination("first.test"))
        gc.collect()
        tracemalloc.start()
        try:
            for place in names:
                sites.of(place)
            gc.collect()
            used, _ = tracemalloc.get_traced_memory()
        finally:
            tracemalloc.stop()
        assert 0.5 * SITE_BYTES < used / len(names) <= SITE_BYTES, used / len(names)
        await world.eventually(lambda: len(sites) == 0)
        turns = world.deliverer.parts.turns
        assert sites._sites == {} and turns._turns == {} and turns._timers == {}


async def test_a_claim_looks_at_the_sites_that_have_work_alone(
    journal: Journal, monkeypatch: pytest.MonkeyPatch
) -> None:
    async with a_world(journal) as world:
        sites = world.deliverer.parts.sites
        for place in places(5000):
            sites.of(place)
        looked_at: list[Site] = []
        wanted = Site.wanted

        def counted(site: Site) -> int:
            looked_at.append(site)
            return wanted(site)

        monkeypatch.setattr(Site, "wanted", counted)
        world.zone("example.com", "127.0.0.1")
        await deliver(world, *(a_message(f"u{i}@example.com") for i in range(20)))
        # Each turn and each end of a transaction inspects that site; a beat inspects no idle site.
        assert {site.destination.site for site in looked_at} == {"mx0.example.com"}
        assert len(looked_at) <= 3 * 20 + 10


async def test_sites_are_dropped_with_all_that_is_known_of_them_when_they_are_idle(journal: Journal) -> None:
    count = 100
    async with (
        a_world(journal, dns_settings=DnsSettings(timeout_s=5.0, tries=1)) as world,
        receiving(world.port, "127.0.0.11") as receiver,
    ):
        for i in range(count):
            world.zone(f"d{i}.test", "127.0.0.11")
        await deliver(world, *(a_message(f"ada@d{i}.test") for i in range(count)))
        assert len(receiver.taken) == count
        deliverer = world.deliverer
        await world.eventually(lambda: len(deliverer.parts.sites) == 0)
        assert deliverer.parts.ownership.owned == {}
        assert not len(deliverer.parts.held)
        assert not len(deliverer.parts.unresolved)
        assert deliverer.deps.connector.addresses.open_at == {}
        assert receiver.most_open() <= count
        assert all(session.closed_at < asyncio.get_running_loop().time() for session in receiver.sessions)


async def test_a_full_actor_does_not_go_through_all_that_is_parked(
    journal: Journal, monkeypatch: pytest.MonkeyPatch
) -> None:
    settings = msgspec.structs.replace(DELIVERY, window=50)
    # Nothing leaves: the routes of all these domains are unresolved for as long as the DNS does not answer.
    async with a_world(journal, settings=settings, dns_settings=DnsSettings(timeout_s=60.0, tries=1)) as world:
        world.dns.silent = True
        await world.accept(*(a_message(f"ada@d{i}.test") for i in range(500)))
        await world.eventually(lambda: len(world.deliverer.parts.held) == 50)
        looks = 0
        is_shut = world.deliverer.parts.sites.is_shut

        def counted(place: Destination, tenant_id: str) -> bool:
            nonlocal looks
            looks += 1
            return is_shut(place, tenant_id)

        monkeypatch.setattr(world.deliverer.parts.sites, "is_shut", counted)
        for _ in range(3):
            await world.scheduler.paging.round()
            await world.scheduler.paging.name_lanes()
            await asyncio.sleep(0.1)
        assert len(world.deliverer.parts.lanes) >= 400
        assert looks < 10
