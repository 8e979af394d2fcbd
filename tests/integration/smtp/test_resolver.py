"""The resolver with a DNS server on loopback and a clock that is moved by hand.

c-ares caches answers too, for their TTL by the real clock. Where a test must see a second query, the server answers
with a TTL of 0, which c-ares does not cache and which the resolver raises to its minimum.
"""

import asyncio
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager

import pytest
from dnslib import AAAA, CNAME, MX, RCODE, TXT, A

from cluster.lookup import resolver as resolver_module
from cluster.lookup.resolver import Resolver
from cluster.policy.routes import mx
from cluster.policy.routes.mx import (
    Absent,
    Addresses,
    AddressFamily,
    Failed,
    Found,
    MailHost,
    MailHosts,
    NoMail,
    UnresolvedHosts,
    Unroutable,
)
from cluster.policy.routes.networks import networks
from cluster.settings import DnsSettings
from tests.integration.dns_server import DnsServer


class Clock:
    def __init__(self) -> None:
        self.now = 1000.0

    def __call__(self) -> float:
        return self.now


@asynccontextmanager
async def resolving(
    server: DnsServer,
    clock: Clock,
    *,
    entries: int = 100,
    at_once: int = 100,
    stale_s: float = 0,
    timeout_s: float = 0.3,
    family: AddressFamily = AddressFamily.IPV4_FIRST,
    guard: mx.Guard = mx.UNGUARDED,
    cache_bytes: int = 1_000_000,
) -> AsyncIterator[Resolver]:
    chances = iter([0.5, 0.1, 0.9] * 100)
    transport, _ = await asyncio.get_running_loop().create_datagram_endpoint(
        lambda: server, local_addr=("127.0.0.1", 0)
    )
    settings = DnsSettings(
        nameservers=(f"127.0.0.1:{server.port}",),
        timeout_s=timeout_s,
        tries=1,
        cache_entries=entries,
        lookups_at_once=at_once,
        stale_s=stale_s,
    )
    resolver = Resolver(
        settings, clock=clock, random=lambda: next(chances), family=family, guard=guard, cache_bytes=cache_bytes
    )
    try:
        yield resolver
    finally:
        await resolver.close()
        transport.close()


@pytest.fixture
def server() -> DnsServer:
    server = DnsServer()
    server.zone = {
        ("many.test", "MX"): [MX("Last.test", 30), MX("b.test", 10), MX("a.test", 10), MX("c.test", 10)],
        ("bare.test", "A"): [A("192.0.2.1")],
        ("bare6.test", "AAAA"): [AAAA("2001:db8::1")],
        ("empty.test", "TXT"): [],
        ("_mta-sts.many.test", "TXT"): [TXT([b"v=STSv1; ", b"id=7;"]), TXT(b"other")],
        ("local.test", "A"): [A("127.0.0.1")],
        ("null.test", "MX"): [MX(".", 0)],
        ("alias.test", "CNAME"): [CNAME("many.test")],
        ("both.test", "A"): [A("192.0.2.1"), A("192.0.2.2")],
        ("both.test", "AAAA"): [AAAA("2001:db8::1")],
        ("xn--bcher-kva.test", "MX"): [MX("a.test", 5)],
        ("broken.test", "MX"): [],
    }
    server.rcodes = {"broken.test": RCODE.SERVFAIL, "refused.test": RCODE.REFUSED}
    return server


async def test_mx_order(server: DnsServer) -> None:
    async with resolving(server, Clock()) as resolver:
        first = await resolver.resolve("Many.Test.")
        second = await resolver.resolve("alias.test")
    # c-ares' answer is first sorted by name, so only the random numbers decide: 0.5, 0.1, 0.9 for a, b, c.
    assert first == MailHosts(
        (MailHost(10, "b.test"), MailHost(10, "a.test"), MailHost(10, "c.test"), MailHost(30, "last.test")),
        implicit=False,
    )
    assert isinstance(second, MailHosts)
    assert sorted(second.names) == sorted(first.names)


async def test_equals_are_shuffled_anew_for_each_caller(server: DnsServer) -> None:
    async with resolving(server, Clock()) as resolver:
        routes = [await resolver.resolve("many.test") for _ in range(3)]
    assert len({route.names for route in routes if isinstance(route, MailHosts)}) > 1
    assert server.asked == [("many.test", "MX")]


@pytest.mark.parametrize("domain", ["bare.test", "bare6.test"])
async def test_a_domain_without_mx_is_its_own_host(server: DnsServer, domain: str) -> None:
    async with resolving(server, Clock()) as resolver:
        assert await resolver.resolve(domain) == MailHosts((MailHost(0, domain),), implicit=True)
    assert sorted(server.asked) == [(domain, "A"), (domain, "AAAA"), (domain, "MX")]


@pytest.mark.parametrize(
    ("domain", "cause"),
    [
        ("null.test", NoMail.NULL_MX),
        ("nowhere.test", NoMail.NO_SUCH_DOMAIN),
        ("empty.test", NoMail.NO_ADDRESS),
        ("[192.0.2.1]", NoMail.ADDRESS_LITERAL),
        ("a..test", NoMail.BAD_NAME),
    ],
)
async def test_permanent_failures(server: DnsServer, domain: str, cause: NoMail) -> None:
    async with resolving(server, Clock()) as resolver:
        assert await resolver.resolve(domain) == Unroutable(cause, domain)


@pytest.mark.parametrize(("domain", "reason"), [("broken.test", "SERVFAIL"), ("refused.test", "REFUSED")])
async def test_transient_failures(server: DnsServer, domain: str, reason: str) -> None:
    async with resolving(server, Clock()) as resolver:
        assert await resolver.resolve(domain) == UnresolvedHosts(domain, reason)
        assert await resolver.addresses(domain) == UnresolvedHosts(domain, reason)


async def test_silence(server: DnsServer) -> None:
    server.silent = True
    async with resolving(server, Clock()) as resolver:
        assert await resolver.resolve("many.test") == UnresolvedHosts("many.test", "timed out")


async def test_internationalised_domains(server: DnsServer) -> None:
    async with resolving(server, Clock()) as resolver:
        assert await resolver.resolve("Bücher.test") == MailHosts((MailHost(5, "a.test"),), implicit=False)


@pytest.mark.parametrize(
    ("family", "addresses"),
    [
        (AddressFamily.IPV4_FIRST, ("192.0.2.1", "192.0.2.2", "2001:db8::1")),
        (AddressFamily.IPV6_FIRST, ("2001:db8::1", "192.0.2.1", "192.0.2.2")),
    ],
)
async def test_addresses_of_a_host(server: DnsServer, family: AddressFamily, addresses: tuple[str, ...]) -> None:
    async with resolving(server, Clock(), family=family) as resolver:
        found = await resolver.addresses("both.test")
        assert isinstance(found, Addresses)
        assert sorted(found.addresses) == sorted(addresses)
        assert (":" in found.addresses[0]) == (family is AddressFamily.IPV6_FIRST)
        assert await resolver.addresses("127.0.0.1") == Addresses(("127.0.0.1",))
        assert await resolver.addresses("nowhere.test") == Unroutable(NoMail.NO_SUCH_DOMAIN, "nowhere.test")


@pytest.mark.parametrize(("domain", "seconds"), [("many.test", 5.0), ("nowhere.test", 60.0), ("broken.test", 5.0)])
async def test_answers_are_remembered_for_their_time(server: DnsServer, domain: str, seconds: float) -> None:
    clock = Clock()
    async with resolving(server, clock) as resolver:
        first = await resolver.resolve(domain)
        asked = len(server.asked)
        clock.now += seconds - 0.001
        assert type(await resolver.resolve(domain)) is type(first)
        assert len(server.asked) == asked
        clock.now += 0.001
        await resolver.resolve(domain)
        assert len(server.asked) == asked * 2


async def test_a_longer_ttl_is_honoured(server: DnsServer) -> None:
    clock = Clock()
    server.ttl = 300
    async with resolving(server, clock) as resolver:
        await resolver.resolve("many.test")
        server.silent = True
        clock.now += 299
        assert isinstance(await resolver.resolve("many.test"), MailHosts)
        assert resolver.cache[("many.test", "MX")].ask_at == 1300


async def test_a_name_is_asked_for_once_at_a_time(server: DnsServer) -> None:
    async with resolving(server, Clock()) as resolver:
        routes = await asyncio.gather(*(resolver.resolve("many.test") for _ in range(50)))
        assert all(isinstance(route, MailHosts) for route in routes)
        assert server.asked == [("many.test", "MX")]


async def test_one_waiter_that_gives_up_leaves_the_others_their_answer(server: DnsServer) -> None:
    async with resolving(server, Clock()) as resolver:
        first, second = (asyncio.create_task(resolver.resolve("many.test")) for _ in range(2))
        await asyncio.sleep(0)
        first.cancel()
        assert isinstance(await second, MailHosts)
        assert server.asked == [("many.test", "MX")]


async def test_the_cache_is_bounded(server: DnsServer) -> None:
    async with resolving(server, Clock(), entries=3) as resolver:
        for i in range(10):
            await resolver.resolve(f"no{i}.test")
        await resolver.resolve("no9.test")
        assert len(resolver.cache) == 3
        assert len(server.asked) == 10
        await resolver.resolve("no0.test")
        assert len(server.asked) == 11


async def test_a_million_domains_take_no_more_than_the_cache(server: DnsServer) -> None:
    async with resolving(server, Clock(), entries=50) as resolver:
        for i in range(0, 1000, 100):
            await asyncio.gather(*(resolver.resolve(f"no{n}.test") for n in range(i, i + 100)))
            assert len(resolver.cache) <= 50
        assert not resolver.asking


async def test_answers_are_kept_within_a_bound_of_bytes(server: DnsServer) -> None:
    for name in ("one.test", "two.test", "three.test"):
        server.zone[name, "TXT"] = [TXT(b"x" * 200)]
    async with resolving(server, Clock(), cache_bytes=1500) as resolver:
        for name in ("one.test", "two.test", "one.test", "three.test", "one.test", "two.test"):
            assert await resolver.texts(name) == Found((), (), ("x" * 200,))
    # Two fit; the least recently used one was evicted and is queried again.
    assert server.asked == [(name, "TXT") for name in ("one.test", "two.test", "three.test", "two.test")]


async def test_texts(server: DnsServer) -> None:
    async with resolving(server, Clock()) as resolver:
        for _ in range(2):
            found = await resolver.texts("_mta-sts.Many.test")
            assert isinstance(found, Found)
            assert sorted(found.texts) == ["other", "v=STSv1; id=7;"]
        assert server.asked == [("_mta-sts.many.test", "TXT")]
        assert await resolver.texts("nowhere.test") == Absent(name_exists=False)
        assert await resolver.texts("many.test") == Absent(name_exists=True)
        assert await resolver.texts("a..test") == Absent(name_exists=False)
        assert await resolver.texts("broken.test") == Failed("SERVFAIL")


async def test_an_expired_answer_is_used_while_the_dns_is_down(server: DnsServer) -> None:
    clock = Clock()
    async with resolving(server, clock, stale_s=3600) as resolver:
        await resolver.resolve("many.test")
        await resolver.resolve("nowhere.test")
        server.rcodes |= {"many.test": RCODE.SERVFAIL, "nowhere.test": RCODE.SERVFAIL}
        clock.now += 100
        asked = []
        for _ in range(2):  # the second is answered from the cache: a failing DNS is not queried again at once
            assert isinstance(await resolver.resolve("many.test"), MailHosts)
            assert await resolver.resolve("nowhere.test") == Unroutable(NoMail.NO_SUCH_DOMAIN, "nowhere.test")
            asked.append(len(server.asked))
        assert asked[0] == asked[1]
        clock.now += 3600
        assert await resolver.resolve("many.test") == UnresolvedHosts("many.test", "SERVFAIL")
        del server.rcodes["many.test"]
        clock.now += 5
        assert isinstance(await resolver.resolve("many.test"), MailHosts)


async def test_an_expired_answer_does_not_wait_long_for_a_new_one(
    server: DnsServer, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(mx, "STALE_MAX_WAIT_S", 0.01)
    clock = Clock()
    async with resolving(server, clock, stale_s=3600, timeout_s=10) as resolver:
        await resolver.resolve("many.test")
        server.zone["many.test", "MX"] = [MX("new.test", 10)]
        clock.now += 100
        server.hold = True
        old = await resolver.resolve("many.test")
        assert isinstance(old, MailHosts)
        assert len(old.names) == 4
        while not server.held:
            await asyncio.sleep(0.001)
        server.release()
        while resolver.asking:
            await asyncio.sleep(0.001)
        assert await resolver.resolve("many.test") == MailHosts((MailHost(10, "new.test"),), implicit=False)
        assert len(server.asked) == 2


async def test_no_more_questions_at_once_than_allowed(server: DnsServer) -> None:
    server.hold = True
    async with resolving(server, Clock(), at_once=3, timeout_s=10) as resolver:
        asking = [asyncio.create_task(resolver.resolve(f"no{i}.test")) for i in range(10)]
        done = 0
        while done < len(asking):
            while len(server.held) < min(3, len(asking) - done):
                await asyncio.sleep(0.001)
            assert len(server.asked) <= done + 3
            server.release()
            done = len(server.asked)
        await asyncio.gather(*asking)


async def test_hosts_that_are_ourselves(server: DnsServer) -> None:
    guard = mx.make_guard(
        own_names=["b.test"],
        own_addresses=["192.0.2.1"],
        networks=networks(prohibited=["127.0.0.0/8"], allowed=["192.0.2.0/24"]),
    )
    async with resolving(server, Clock(), guard=guard) as resolver:
        assert await resolver.resolve("many.test") == Unroutable(NoMail.LOOP, "many.test")
        assert await resolver.mx_addresses("both.test") == Unroutable(NoMail.LOOP, "both.test")
        prohibited = Unroutable(NoMail.PROHIBITED, "local.test", "127.0.0.1 is in smtp.prohibited_networks")
        assert await resolver.mx_addresses("local.test") == prohibited
        # A host that the operator names may have any address.
        assert await resolver.addresses("local.test") == Addresses(("127.0.0.1",))


async def test_channels_make_way_and_lose_no_question(server: DnsServer, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(resolver_module, "CHANNEL_QUESTIONS", 3)
    async with resolving(server, Clock()) as resolver:
        first = resolver.dns.channel
        routes = await asyncio.gather(*(resolver.resolve(f"no{i}.test") for i in range(20)))
        assert routes == [Unroutable(NoMail.NO_SUCH_DOMAIN, f"no{i}.test") for i in range(20)]
        assert first is not resolver.dns.channel
        assert list(resolver.dns.under_way) == [resolver.dns.channel]


async def test_closing_while_asking(server: DnsServer) -> None:
    server.silent = True
    async with resolving(server, Clock()) as resolver:
        asking = asyncio.create_task(resolver.resolve("many.test"))
        while not server.asked:
            await asyncio.sleep(0.001)
    with pytest.raises(asyncio.CancelledError):
        await asking


async def test_a_slow_answer_after_quick_ones_is_waited_for(server: DnsServer) -> None:
    async with resolving(server, Clock(), timeout_s=30) as resolver:
        for i in range(20):
            await resolver.resolve(f"quick{i}.test")
        server.hold = True
        asking = asyncio.create_task(resolver.resolve("many.test"))
        asked = len(server.asked)
        # c-ares repeats the query after its own timeout; with one try alone it would have failed earlier.
        async with asyncio.timeout(30):
            while len(server.asked) < asked + 3:
                await asyncio.sleep(0.005)
        server.release()
        assert isinstance(await asking, MailHosts)


async def test_aliases_are_asked_now_one_after_another(server: DnsServer) -> None:
    server.zone = {
        ("links.acme.example", "CNAME"): [CNAME("CDN.example")],
        ("cdn.example", "CNAME"): [CNAME("mail.postray.example")],
        ("round.example", "CNAME"): [CNAME("about.example")],
        ("about.example", "CNAME"): [CNAME("round.example")],
        **{(f"{n}.long.example", "CNAME"): [CNAME(f"{n + 1}.long.example")] for n in range(20)},
    }
    server.rcodes = {"broken.example": RCODE.SERVFAIL}
    server.ttl = 3600
    async with resolving(server, Clock()) as resolver:
        assert await resolver.aliases("Links.acme.example") == ("cdn.example", "mail.postray.example")
        server.zone[("links.acme.example", "CNAME")] = [CNAME("other.example")]
        assert await resolver.aliases("links.acme.example") == ("other.example",)
        assert await resolver.aliases("nothing.example") == await resolver.aliases("not a name") == ()
        assert await resolver.aliases("round.example") == ("about.example", "round.example")
        assert len(await resolver.aliases("0.long.example") or ()) == resolver_module.MOST_ALIASES
        assert await resolver.aliases("broken.example") is None
        server.silent = True
        assert await resolver.aliases("links.acme.example", 0.2) is None
