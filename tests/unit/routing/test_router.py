"""From a delivery to its destination and next hop."""

import asyncio
from collections import Counter
from collections.abc import Sequence
from typing import cast

import pytest
from cryptography.fernet import Fernet

from cluster.journal.journal import Journal
from cluster.journal.records import DueDelivery
from cluster.lookup.resolver import Resolver
from cluster.policies import shaping_of
from cluster.policy.routes import mx
from cluster.policy.routes.destinations import CAPTURE, DISCARD, Destination
from cluster.policy.routes.mx import MailHost
from cluster.policy.routes.next_hop import Credentials, NextHop, Unreachable
from cluster.policy.routes.routing import Mode, Routing, Via
from cluster.policy.tls.level import AuthNeeds, TlsLevel
from cluster.policy.tls.policy import DomainTls, MxSecurity
from cluster.routing.active_policy import ActivePolicy
from cluster.routing.router import WAY_KEPT_S, Router
from cluster.settings import DeliverySettings
from cluster.vault import Vault
from tests.unit.delivery.builders import Clock
from tests.unit.virtual_time import in_virtual_time

TWO_HOSTS = mx.MailHosts((MailHost(20, "b.mx.example"), MailHost(10, "a.mx.example")), implicit=False)
SOURCES = '[sources.out1]\naddress = "192.0.2.1"\n[sources.out2]\naddress = "192.0.2.2"\n'
POOLS = SOURCES + "[pools]\ndefault = { out1 = 1, out2 = 1 }\n"


class Dns:
    """Answers from a table; a name that is not in it never resolves."""

    def __init__(self, **answers: mx.Route) -> None:
        self.answers = {name.replace("_", "."): answer for name, answer in answers.items()}
        self.asked: list[str] = []
        self.takes_s: dict[str, float] = {}

    async def resolve(self, domain: str) -> mx.Route:
        self.asked.append(domain)
        if domain not in self.answers:
            await asyncio.Event().wait()
        await asyncio.sleep(self.takes_s.get(domain, 0.0))
        return self.answers[domain]


class World:
    def __init__(self, dns: Dns, mode: Mode = "direct", relay: str = "", **split_sites: int) -> None:
        self.settings = DeliverySettings(
            mode=mode, relay=relay, split_sites={name.replace("_", "."): n for name, n in split_sites.items()}
        )
        self.active_policy = ActivePolicy(cast(Journal, None), Vault(Fernet.generate_key().decode()), self.settings)
        self.clock = Clock()
        self.router = Router(
            self.settings,
            self.active_policy,
            cast(Resolver, dns),
            shares=4,
            port=2525,
            capture=("127.0.0.1", 1025),
            clock=self.clock,
        )

    def put(self, routing: str = "", shaping: str = "") -> None:
        self.active_policy.routing = Routing.parse(routing, self.settings.mode, self.settings.relay)
        self.active_policy.shaping = shaping_of(shaping, self.settings)
        self.active_policy.version += 1


def to(domain: str, message_id: str = "msg_1", tenant_id: str = "tnt_1", pool: str = "") -> DueDelivery:
    return DueDelivery(message_id, 0, tenant_id, domain, pool)


async def test_domains_with_the_same_hosts_are_one_site_and_one_next_hop() -> None:
    dns = Dns(one_example=TWO_HOSTS, two_example=mx.MailHosts(TWO_HOSTS.hosts[::-1], implicit=False))
    router = World(dns).router
    one, two = await router.place(to("one.example")), await router.place(to("two.example"))
    assert one == two
    assert one.destination == Destination("a.mx.example,b.mx.example")
    hosts = (MailHost(10, "a.mx.example"), MailHost(20, "b.mx.example"))
    assert one.hop == NextHop(Via.DIRECT, hosts, 2525, DomainTls(TlsLevel.OPPORTUNISTIC))


async def test_what_is_known_is_known_without_asking_for_a_while() -> None:
    dns = Dns(one_example=TWO_HOSTS)
    world = World(dns)
    assert world.router.known(to("one.example")) is None
    placed = await world.router.place(to("one.example"))
    assert world.router.known(to("one.example")) == placed
    world.clock.now += WAY_KEPT_S
    assert world.router.known(to("one.example")) is None
    await world.router.place(to("one.example"))
    assert dns.asked == ["one.example"] * 2


@pytest.mark.parametrize(
    ("answer", "permanent"),
    [(mx.Unroutable(mx.NoMail.NULL_MX, "one.example"), True), (mx.UnresolvedHosts("one.example", "timeout"), False)],
)
async def test_a_domain_without_a_way_is_a_site_of_its_own(answer: mx.Route, permanent: bool) -> None:
    placed = await World(Dns(one_example=answer)).router.place(to("one.example"))
    assert placed.destination == Destination("one.example")
    assert isinstance(placed.hop, Unreachable) and placed.hop.permanent is permanent
    assert placed.hop.reason.startswith("one.example: ")


async def test_a_dns_that_is_back_is_believed_as_soon_as_the_resolver_asks_it_again() -> None:
    dns = Dns(one_example=mx.UnresolvedHosts("one.example", "timed out"))
    world = World(dns)
    assert isinstance((await world.router.place(to("one.example"))).hop, Unreachable)
    dns.answers["one.example"] = TWO_HOSTS
    world.clock.now += mx.FAILURE_TTL_S
    assert (await world.router.place(to("one.example"))).destination == Destination("a.mx.example,b.mx.example")


async def test_what_the_dns_denies_is_kept_like_what_it_says() -> None:
    dns = Dns(one_example=mx.Unroutable(mx.NoMail.NULL_MX, "one.example"))
    world = World(dns)
    await world.router.place(to("one.example"))
    world.clock.now += WAY_KEPT_S - 1
    assert world.router.known(to("one.example")) is not None


@in_virtual_time
async def test_preparing_learns_what_is_quick_and_leaves_what_is_not_to_itself() -> None:
    router = World(Dns(one_example=TWO_HOSTS)).router
    await router.prepare([to("one.example"), to("slow.example"), to("one.example", "msg_2")], max_wait_s=0.01)
    assert router.known(to("one.example")) is not None
    assert router.known(to("slow.example")) is None
    assert router.known_or_own(to("slow.example")) == Destination("slow.example")
    assert router.known_or_own(to("one.example")) == Destination("a.mx.example,b.mx.example")


def trickling(domains: Sequence[str]) -> Router:
    """A DNS that answers for these one after the other, 0.07 s apart."""
    dns = Dns(**{domain.replace(".", "_"): TWO_HOSTS for domain in domains})
    dns.takes_s = {domain: 0.07 * n for n, domain in enumerate(domains)}
    return World(dns).router


@in_virtual_time
async def test_preparing_goes_on_while_answers_come() -> None:
    """Many domains at once do not mean a slow name server: giving up would send their mail to the wrong owners."""
    domains = [f"d{n}.example" for n in range(6)]
    router = trickling(domains)
    began = asyncio.get_running_loop().time()
    await router.prepare([to(domain) for domain in (*domains, "slow.example")], max_wait_s=0.1)
    assert all(router.known(to(domain)) for domain in domains)
    assert 0.4 < asyncio.get_running_loop().time() - began < 0.51


@in_virtual_time
async def test_preparing_ends_however_many_answers_come() -> None:
    domains = [f"d{n}.example" for n in range(100)]
    router = trickling(domains)
    began = asyncio.get_running_loop().time()
    await router.prepare([to(domain) for domain in domains], max_wait_s=0.1)
    assert asyncio.get_running_loop().time() - began < 0.51


async def test_routes_need_no_dns() -> None:
    world = World(Dns())
    world.put(
        '[[routes]]\ndomain = ["gone.example"]\nvia = "discard"\n'
        '[[routes]]\ntenant = ["tnt_2"]\nvia = "capture"\n'
        '[[routes]]\ndomain = ["*.corp.example"]\nvia = "relay"\nrelay = "smart.example:587"\n'
        'username = "u"\npassword = "p"\ntls = "required"\nauth_needs = "encrypted"\n'
    )
    discarded = world.router.known(to("gone.example"))
    assert discarded is not None and discarded.hop == NextHop(Via.DISCARD)
    assert discarded.destination.site == DISCARD
    captured = world.router.known(to("one.example", tenant_id="tnt_2"))
    assert captured is not None and captured.destination.site == CAPTURE
    assert captured.hop == NextHop(Via.CAPTURE, (MailHost(0, "127.0.0.1"),), 1025)
    relayed = world.router.known(to("mail.corp.example"))
    assert relayed is not None and relayed.destination.site == "smart.example:587"
    assert relayed.hop == NextHop(
        Via.RELAY,
        (MailHost(0, "smart.example"),),
        587,
        DomainTls(TlsLevel.REQUIRED, mx_security=MxSecurity.SECURE),
        Credentials("u", "p", AuthNeeds.ENCRYPTED),
    )
    assert "'p'" not in repr(relayed.hop)
    assert world.router.known(to("one.example")) is None


@pytest.mark.parametrize(("mode", "relay", "site"), [("capture", "", CAPTURE), ("relay", "smart:25", "smart:25")])
async def test_one_host_for_all_is_one_site_in_shares(mode: Mode, relay: str, site: str) -> None:
    router = World(Dns(), mode, relay).router
    found = Counter(router.known_or_own(to(f"d{number}.example", f"msg_{number}")) for number in range(400))
    assert set(found) == {Destination(site, share=share, shares=4) for share in range(4)}
    assert router.shares_of(site) == 4


async def test_a_site_of_the_dns_is_split_only_where_the_settings_say_so() -> None:
    dns = Dns(one_example=mx.MailHosts((MailHost(10, "mx.one.example"),), implicit=False), two_example=TWO_HOSTS)
    router = World(dns, mx_one_example=2).router
    shares = {(await router.place(to("one.example", f"msg_{number}"))).destination for number in range(50)}
    assert shares == {Destination("mx.one.example", share=share, shares=2) for share in range(2)}
    assert (router.shares_of("mx.one.example"), router.shares_of("two.example")) == (2, 1)


async def test_the_source_is_the_pools_and_stays_with_the_message() -> None:
    world = World(Dns(one_example=TWO_HOSTS))
    world.put(POOLS)
    places = [(await world.router.place(to("one.example", f"msg_{number}"))).destination for number in range(50)]
    assert {place.source for place in places} == {"out1", "out2"}
    again = [(await world.router.place(to("one.example", f"msg_{number}"))).destination for number in range(50)]
    assert places == again


async def test_what_is_captured_or_discarded_has_no_source() -> None:
    world = World(Dns(), "capture")
    world.put(POOLS)
    assert world.router.known_or_own(to("one.example")).source == ""


async def test_other_policies_are_heeded_at_once() -> None:
    world = World(Dns(one_example=TWO_HOSTS))
    await world.router.place(to("one.example"))
    world.put('[[routes]]\ndomain = ["one.example"]\nvia = "discard"\n')
    assert world.router.known_or_own(to("one.example")).site == DISCARD
    world.put(shaping='[[rule]]\nname = "apart"\ndomain = "one.example"\nconnections = 1\n')
    assert world.router.known(to("one.example")) is None
    assert (await world.router.place(to("one.example"))).destination.site == "one.example"


async def test_a_way_that_was_found_under_other_policies_is_not_kept() -> None:
    world = World(Dns(one_example=TWO_HOSTS))

    async def meanwhile(domain: str, level: TlsLevel) -> DomainTls:
        world.put(shaping='[[rule]]\nname = "apart"\ndomain = "one.example"\nconnections = 1\n')
        return DomainTls(level)

    world.router.tls_of = meanwhile
    await world.router.learn("one.example")
    assert world.router.known(to("one.example")) is None
