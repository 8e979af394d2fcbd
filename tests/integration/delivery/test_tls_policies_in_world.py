"""What a domain publishes about TLS, from the look-up to the delivery: MTA-STS (RFC 8461) and DANE (RFC 7672).

The tests of the connection cover every case of either. These tests show that mail waits where it must not be sent,
and is sent where it may.
"""

import ssl
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from pathlib import Path

import pytest
from dnslib import MX, TLSA, TXT, A
from msgspec.structs import replace

from cluster.events import Deferred, Delivered
from cluster.journal.journal import Journal
from cluster.policy.lifecycle import Status
from cluster.policy.tls.dane import Tlsa
from cluster.settings import TlsSettings
from cluster.tenancy.settings import DEFAULTS
from tests.certificates import Authority, Certificate
from tests.integration.delivery.receiver import Receiver, receiving
from tests.integration.delivery.world import World, a_world
from tests.integration.journal.builders import a_message
from tests.integration.smtp.tls_world import PolicyServer, http, policy

DOMAIN = "example.com"
FIRST, SECOND = "mx0.example.com", "mx1.example.com"
ADDRESSES = ("127.0.0.11", "127.0.0.12")


class Fixture:
    """A world, and an authority that it trusts."""

    def __init__(self, world: World, authority: Authority, folder: Path) -> None:
        self.world = world
        self.authority = authority
        self._folder = folder

    def good(self, host: str) -> ssl.SSLContext:
        return self.server(self.authority.issue(host))

    def bad(self, host: str) -> ssl.SSLContext:
        return self.server(Authority.root("another").issue(host))

    def server(self, certificate: Certificate) -> ssl.SSLContext:
        return certificate.server(self._folder)

    def sign(self, host: str, *records: Tlsa) -> None:
        """DNSSEC for the domain and the host, and the host's TLSA records."""
        name = f"_{self.world.port}._tcp.{host}"
        self.world.dns.zone[name, "TLSA"] = [TLSA(r.usage, r.selector, r.matching, r.data) for r in records]
        self.world.dns.secure |= {DOMAIN, host, name}

    def counted(self) -> set[tuple[str, str]]:
        return {(one.policy_type.value, str(one.result_type)) for one in self.world.tls_results.counts()}

    async def deferred(self, receiver: Receiver) -> str:
        """A message that must not go: why it waits."""
        message = a_message(f"ada@{DOMAIN}")
        await self.world.accept(message)
        row = await self.world.until(message, Status.QUEUED, attempts=1)
        assert receiver.arrivals == []
        (event, *_) = await self.world.events_of(message, 1)
        assert isinstance(event, Deferred)
        assert row.error_message is not None
        return row.error_message

    async def delivered(self) -> Delivered:
        message = a_message(f"ada@{DOMAIN}")
        await self.world.accept(message)
        assert (await self.world.finished(message)).status is Status.DELIVERED
        (event,) = await self.world.events_of(message, 1)
        assert isinstance(event, Delivered)
        return event


@asynccontextmanager
async def publishing(journal: Journal, folder: Path, *, mode: str = "", dane: bool = False) -> AsyncIterator[Fixture]:
    """A domain with two hosts and, unless ``mode`` is "", an MTA-STS policy for them."""
    authority = Authority.root()
    https = PolicyServer()
    https.answer = http(policy(mode or "none", mx=f"{FIRST}\r\nmx: {SECOND}"))
    await https.start(authority.issue(f"mta-sts.{DOMAIN}").server(folder))
    settings = TlsSettings(ca_file=str(authority.save(folder)), mta_sts_port=https.port, dane=dane)
    try:
        async with a_world(journal, tls=settings) as world:
            world.zone(DOMAIN, *ADDRESSES)
            world.dns.zone[DOMAIN, "MX"] = [MX(FIRST, 0)]
            if mode:
                world.dns.zone[f"_mta-sts.{DOMAIN}", "TXT"] = [TXT("v=STSv1; id=1;")]
                world.dns.zone[f"mta-sts.{DOMAIN}", "A"] = [A("127.0.0.1")]
            yield Fixture(world, authority, folder)
    finally:
        await https.stop()


async def test_enforce_delivers_to_a_good_certificate(journal: Journal, tmp_path: Path) -> None:
    async with (
        publishing(journal, tmp_path, mode="enforce") as made,
        receiving(made.world.port, ADDRESSES[0], tls=made.good(FIRST)) as receiver,
    ):
        event = await made.delivered()
        assert event.tls_version == "TLSv1.3"
        assert [session.encrypted for session in receiver.sessions] == [True]
        assert made.counted() == {("sts", "")}


@pytest.mark.parametrize("fault", ["authority", "name", "no TLS"])
async def test_enforce_refuses_a_host_without_a_good_certificate(journal: Journal, tmp_path: Path, fault: str) -> None:
    async with publishing(journal, tmp_path, mode="enforce") as made:
        tls = {"authority": made.bad(FIRST), "name": made.good("somebody.else"), "no TLS": None}[fault]
        async with receiving(made.world.port, ADDRESSES[0], tls=tls) as receiver:
            reason = await made.deferred(receiver)
            assert ("certificate" in reason) == (fault != "no TLS"), reason
            assert "tls" in reason.lower(), reason


async def test_enforce_goes_on_to_a_host_that_can(journal: Journal, tmp_path: Path) -> None:
    async with (
        publishing(journal, tmp_path, mode="enforce") as made,
        receiving(made.world.port, ADDRESSES[0], tls=made.bad(FIRST)) as first,
        receiving(made.world.port, ADDRESSES[1], tls=made.good(SECOND)) as second,
    ):
        made.world.dns.zone[DOMAIN, "MX"] = [MX(FIRST, 0), MX(SECOND, 1)]
        assert (await made.delivered()).mx_host == SECOND
        assert first.arrivals == []
        assert len(second.taken) == 1


async def test_enforce_refuses_a_host_that_the_policy_does_not_name(journal: Journal, tmp_path: Path) -> None:
    async with publishing(journal, tmp_path, mode="enforce") as made:
        made.world.dns.zone |= {(DOMAIN, "MX"): [MX("mx.evil.test", 0)], ("mx.evil.test", "A"): [A(ADDRESSES[0])]}
        async with receiving(made.world.port, ADDRESSES[0], tls=made.good("mx.evil.test")) as receiver:
            await made.deferred(receiver)
            assert receiver.sessions == []


async def test_testing_delivers_and_counts(journal: Journal, tmp_path: Path) -> None:
    async with (
        publishing(journal, tmp_path, mode="testing") as made,
        receiving(made.world.port, ADDRESSES[0], tls=made.bad(FIRST)),
    ):
        await made.delivered()
        assert ("sts", "certificate-not-trusted") in made.counted()


async def test_a_policy_of_one_domain_does_not_bind_another_at_the_same_hosts(journal: Journal, tmp_path: Path) -> None:
    async with (
        publishing(journal, tmp_path, mode="enforce") as made,
        receiving(made.world.port, ADDRESSES[0], tls=made.bad(FIRST)) as receiver,
    ):
        made.world.dns.zone["other.com", "MX"] = [MX(FIRST, 0)]
        await made.deferred(receiver)
        message = a_message("ada@other.com")
        await made.world.accept(message)
        assert (await made.world.finished(message)).status is Status.DELIVERED


async def test_dane_delivers_to_the_certificate_that_is_published(journal: Journal, tmp_path: Path) -> None:
    async with publishing(journal, tmp_path, dane=True) as made:
        # Only the DNS vouches for it.
        certificate = Authority.root("own").issue(FIRST)
        made.sign(FIRST, certificate.tlsa(3, 1, 1))
        async with receiving(made.world.port, ADDRESSES[0], tls=made.server(certificate)):
            assert (await made.delivered()).tls_version == "TLSv1.3"
            assert made.counted() == {("tlsa", "")}


@pytest.mark.parametrize("shown", ["another certificate", "no TLS"])
async def test_dane_refuses_any_other(journal: Journal, tmp_path: Path, shown: str) -> None:
    async with publishing(journal, tmp_path, dane=True) as made:
        made.sign(FIRST, made.authority.issue(FIRST).tlsa(3, 1, 1))
        tls = made.good(FIRST) if shown == "another certificate" else None
        async with receiving(made.world.port, ADDRESSES[0], tls=tls) as receiver:
            await made.deferred(receiver)


async def test_dane_without_dnssec_asks_for_nothing(journal: Journal, tmp_path: Path) -> None:
    async with publishing(journal, tmp_path, dane=True) as made:
        made.sign(FIRST, made.authority.issue(FIRST).tlsa(3, 1, 1))
        made.world.dns.secure.clear()
        async with receiving(made.world.port, ADDRESSES[0], tls=made.bad(FIRST)):
            await made.delivered()


# What a tenant requires


@pytest.mark.parametrize("requires", [{"require_tls": True}, {"require_valid_certificate": True}])
async def test_a_tenant_that_requires_more_than_the_host_has_waits_alone(
    journal: Journal, tmp_path: Path, requires: dict[str, bool]
) -> None:
    async with publishing(journal, tmp_path) as made:
        tls = made.bad(FIRST) if "require_valid_certificate" in requires else None
        async with receiving(made.world.port, ADDRESSES[0], tls=tls) as receiver:
            await made.delivered()  # over a connection that stays open
            sessions = len(receiver.sessions)
            world, id = made.world, made.world.tenant_id
            await journal.tenants.change_settings(id, lambda settings: replace(settings, **requires))
            await world.deliverer.deps.directory.refresh()
            message = a_message(f"ada@{DOMAIN}")
            await world.accept(message)
            row = await world.until(message, Status.QUEUED, attempts=1)
            assert row.error_message is not None and "the tenant requires TLS" in row.error_message
            assert len(receiver.arrivals) == 1
            await journal.tenants.change_settings(id, lambda settings: DEFAULTS)
            await world.deliverer.deps.directory.refresh()
            await made.delivered()  # the site does not rest: it takes all other mail
            assert len(receiver.sessions) > sessions


async def test_a_tenants_version_of_tls_is_the_least(journal: Journal, tmp_path: Path) -> None:
    async with publishing(journal, tmp_path) as made:
        old = made.good(FIRST)
        old.maximum_version = ssl.TLSVersion.TLSv1_2
        async with receiving(made.world.port, ADDRESSES[0], tls=old) as receiver:
            await journal.tenants.change_settings(
                made.world.tenant_id, lambda settings: replace(settings, require_tls=True, tls_version=1.3)
            )
            await made.world.deliverer.deps.directory.refresh()
            assert "the tenant requires TLS 1.3" in await made.deferred(receiver)
