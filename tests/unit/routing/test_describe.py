"""The descriptions of routes and sources for operators, over a DNS, a journal and members in memory."""

from datetime import UTC, date, datetime, timedelta
from types import SimpleNamespace
from typing import cast

import pytest

from cluster.journal.journal import Journal
from cluster.journal.records import DueDelivery
from cluster.journal.warm_up import WarmUpDay
from cluster.lookup.resolver import Resolver
from cluster.policies import check_policies
from cluster.policy.balance.assignment import Assignment
from cluster.policy.routes import mx
from cluster.policy.routes.membership import make_ring
from cluster.policy.routes.ownership import Candidate
from cluster.policy.tls.level import TlsLevel
from cluster.policy.tls.mta_sts import StsMode
from cluster.policy.tls.policy import DomainTls, MxSecurity
from cluster.routing.active_policy import ActivePolicy
from cluster.routing.describe import Describing
from cluster.routing.router import Router
from cluster.routing.views import MxHost, PoolShare, SourceChoice, TlsView, WarmUpUse
from cluster.settings import DeliverySettings
from cluster.vault import Vault

DAY = date(2026, 4, 3)
SETTINGS = DeliverySettings(mode="direct")
SHAPING = '[[rule]]\nname = "slow"\nsite = "mx.example.net"\nconnections = 3\n'
ROUTING = """
[sources.mta1]
address = "192.0.2.1"
helo_name = "mta1.example.com"
[sources.mta1.warm_up]
started = 2026-04-01
per_day = [10, 20, 30, 40]
[sources.mta2]
address = "192.0.2.2"
address6 = "2001:db8::2"
[pools.default]
mta1 = 1
mta2 = 3
[pools.bulk]
mta2 = 1
[[routes]]
domain = ["relayed.example"]
via = "relay"
relay = "smart.example:587"

[[routes]]
domain = ["secret.example"]
via = "relay"
relay = "smart.example:465"
tls = "required"
username = "u"
password = "p"
[[routes]]
domain = ["nowhere.example"]
via = "discard"
"""


class Dns:
    """A resolver that knows one domain."""

    async def resolve(self, domain: str) -> mx.Route:
        if domain == "example.com":
            return mx.MailHosts(
                (mx.MailHost(20, "b.mx.example.net"), mx.MailHost(10, "a.mx.example.net")), implicit=False
            )
        return mx.Unroutable(mx.NoMail.NULL_MX, domain)

    async def mx_addresses(self, host: str) -> mx.HostAddresses:
        if host.startswith("a."):
            return mx.Addresses(("198.51.100.1",))
        return mx.UnresolvedHosts(host, "SERVFAIL")


class WarmUps:
    """A journal that knows what was granted."""

    def __init__(self) -> None:
        self.warm_up = SimpleNamespace(usage=self._usage)

    async def _usage(self, day: date, limit: int) -> list[WarmUpDay]:
        assert day == DAY
        return [WarmUpDay("mta1", "mx.example.net", 7, 30), WarmUpDay("gone", "mx.example.net", 7, 30)]


async def tls_of(domain: str, level: TlsLevel) -> DomainTls:
    return DomainTls(level, StsMode.ENFORCE, ("*.mx.example.net",), MxSecurity.SECURE)


@pytest.fixture
def active_policy() -> ActivePolicy:
    active_policy = ActivePolicy(cast(Journal, None), cast(Vault, None), SETTINGS, today=lambda: DAY)
    active_policy.shaping, active_policy.routing = check_policies(SETTINGS, SHAPING, ROUTING)
    return active_policy


@pytest.fixture
def describing(active_policy: ActivePolicy) -> Describing:
    journal = cast(Journal, WarmUps())
    resolver = cast(Resolver, Dns())
    router = Router(
        SETTINGS, active_policy, resolver, shares=2, port=25, capture=("127.0.0.1", 2525), clock=lambda: 0.0
    )
    return Describing(
        journal,
        active_policy,
        router,
        resolver,
        ring=lambda: make_ring(
            [Candidate("delivery-0-0", frozenset({"mta1"})), Candidate("delivery-1-0", frozenset({"mta2"}))],
            Assignment(),
        ),
        tls_of=tls_of,
    )


async def test_the_way_of_a_domain(describing: Describing) -> None:
    found = await describing.route("example.com", "tnt_1", "")
    assert (found.domain, found.via, found.problem, found.pool) == ("example.com", "direct", "", "default")
    assert found.mx == (
        MxHost(preference=10, host="a.mx.example.net", addresses=("198.51.100.1",)),
        MxHost(preference=20, host="b.mx.example.net", addresses=()),
    )
    assert found.site == await describing.site_of("example.com")
    assert found.sources == (
        SourceChoice(source="mta2", weight=3, owner="delivery-1-0"),
        SourceChoice(source="mta1", weight=1, owner="delivery-0-0"),
    )
    assert found.destination in (f"mta1>{found.site}", f"mta2>{found.site}")
    assert found.owner == ("delivery-0-0" if found.destination.startswith("mta1") else "delivery-1-0")
    assert [setting.key for setting in found.shaping][:2] == ["connections", "connections_per_ip"]
    assert any(setting.key == "tenant message_rate" for setting in found.shaping)
    assert found.tls == TlsView(
        level="opportunistic",
        mta_sts_mode="enforce",
        mta_sts_mx=("*.mx.example.net",),
        dane="the MX records are secure: TLSA records of the hosts are followed",
    )


async def test_the_pool_that_is_asked_for(describing: Describing) -> None:
    found = await describing.route("example.com", "", "bulk")
    assert (found.pool, [choice.source for choice in found.sources]) == ("bulk", ["mta2"])
    assert (await describing.route("example.com", "", "forgotten")).pool == "default"


async def test_how_long_a_delivery_is_tried_is_what_the_rule_for_it_says(
    describing: Describing, active_policy: ActivePolicy
) -> None:
    async def end(domain: str) -> datetime:
        return await describing.tried_until(DueDelivery("msg_1", 0, "tnt_1", domain), sent, expires)

    sent = datetime(2026, 4, 3, 12, tzinfo=UTC)
    expires = sent + timedelta(days=2)
    assert await end("example.com") == expires
    active_policy.shaping, _ = check_policies(
        SETTINGS, '[[rule]]\nname = "short"\ndomain = ["*.test", "example.com"]\nlifetime = "3m"\n', ROUTING
    )
    for domain in ("example.com", "null.test"):
        assert await end(domain) == sent + timedelta(minutes=3)
    assert await end("null.example") == expires


async def test_a_domain_that_takes_no_mail(describing: Describing) -> None:
    found = await describing.route("null.example", "", "")
    assert (found.site, found.mx, found.tls) == ("null.example", (), None)
    assert "null mx" in found.problem


@pytest.mark.parametrize(
    ("domain", "via", "tls", "origin"),
    [
        ("relayed.example", "relay smart.example:587", TlsView(level="opportunistic"), "default"),
        # A password needs stricter TLS than the route.
        ("secret.example", "relay smart.example:465", TlsView(level="verified"), "routing.toml"),
        ("nowhere.example", "discard", None, ""),
    ],
)
async def test_other_ways(describing: Describing, domain: str, via: str, tls: TlsView | None, origin: str) -> None:
    found = await describing.route(domain, "", "")
    assert (found.via, found.mx, found.tls, found.problem) == (via, (), tls, "")
    shown = [(setting.value, setting.rule, setting.origin) for setting in found.shaping if setting.key == "tls"]
    assert [value for value, *_ in shown] == ([tls.level] if tls else [])
    assert [origin for *_, origin in shown] == ([origin] if tls else [])


async def test_sources(describing: Describing) -> None:
    first, second = await describing.sources()
    assert (first.name, first.addresses, first.helo) == ("mta1", ("192.0.2.1",), "mta1.example.com")
    assert (first.actors, first.warm_up_day) == (("delivery-0-0",), 3)
    assert first.warm_up == (WarmUpUse(site="mx.example.net", granted=7, cap=30),)
    assert second.addresses == ("192.0.2.2", "2001:db8::2")
    assert second.pools == (PoolShare(pool="default", weight=3), PoolShare(pool="bulk", weight=1))
    assert (second.warm_up_day, second.warm_up) == (0, ())
