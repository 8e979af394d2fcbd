"""The routes that mail takes: relays with a password, nowhere, the sink."""

import ssl
from pathlib import Path

import msgspec
import pytest
from dnslib import TLSA, A

from cluster.events import Delivered
from cluster.journal.journal import Journal
from cluster.policy.lifecycle import Status
from cluster.settings import TlsSettings
from tests.certificates import Authority
from tests.integration.delivery.receiver import receiving
from tests.integration.delivery.world import DELIVERY, World, a_world, deliver
from tests.integration.journal.builders import a_message

RELAY = "127.0.0.21"
HOST = "127.0.0.11"


class Tls(msgspec.Struct, frozen=True):
    settings: TlsSettings
    server: ssl.SSLContext


@pytest.fixture
def tls(tmp_path: Path) -> Tls:
    """A certificate for the relay, whose authority is trusted."""
    authority = Authority.root()
    return Tls(TlsSettings(ca_file=str(authority.save(tmp_path))), authority.issue("relay.test").server(tmp_path))


def relay_route(world: World, port: int, *, domain: str = "*", tenant: str = "") -> str:
    return (
        f'[[routes]]\nvia = "relay"\nrelay = "relay.test:{port}"\nusername = "us"\npassword = "secret"\n'
        f'domain = ["{domain}"]\n' + (f'tenant = ["{tenant}"]\n' if tenant else "")
    )


async def test_a_domains_mail_goes_to_its_relay_and_a_tenants_too(journal: Journal, tls: Tls) -> None:
    async with (
        a_world(journal, tls=tls.settings) as world,
        receiving(world.port, RELAY, tls=tls.server, passwords={"us": "secret"}) as relay,
    ):
        world.zone("example.com", "127.0.0.1")
        world.zone("relayed.com", "127.0.0.1")
        world.dns.zone["relay.test", "A"] = [A(RELAY)]
        other = await world.a_tenant("other")
        await world.put_in_force(
            routing=relay_route(world, world.port, domain="relayed.com")
            + relay_route(world, world.port, domain="*", tenant=other)
        )
        await deliver(world, a_message("direct@example.com"))
        relayed = a_message("ada@relayed.com")
        await world.accept(relayed)
        await world.accept_for(other, a_message("tenants@example.com"))
        # The relay's acceptance is not the recipient's.
        assert (await world.finished(relayed)).status is Status.SENT
        await world.eventually(lambda: len(relay.taken) == 2)
        assert {arrival.recipients[0] for arrival in relay.taken} == {"ada@relayed.com", "tenants@example.com"}
        assert {(session.user, session.encrypted) for session in relay.sessions} == {("us", True)}
        assert [envelope.rcpt_to for envelope in world.taken] == [("direct@example.com",)]
        (event,) = await world.events_of(relayed, 1)
        assert isinstance(event, Delivered) and event.tls_version.startswith("TLSv1")


async def test_a_password_is_sent_to_the_relay_only(journal: Journal, tls: Tls, tmp_path: Path) -> None:
    impostor = Authority.root().issue("relay.test").server(tmp_path)
    async with (
        a_world(journal, tls=tls.settings) as world,
        receiving(world.port, RELAY, tls=impostor, passwords={"us": "secret"}) as relay,
    ):
        world.dns.zone["relay.test", "A"] = [A(RELAY)]
        await world.put_in_force(routing=relay_route(world, world.port))
        message = a_message()
        await world.accept(message)
        row = await world.until(message, Status.QUEUED, attempts=1)
        assert row.error_message is not None and "certificate" in row.error_message
        assert {session.user for session in relay.sessions} == {""}
        assert relay.arrivals == []


@pytest.mark.parametrize("tls_key", ["", 'tls = "required"\n'])
async def test_a_password_for_an_unverified_certificate_waits_for_the_key_that_allows_it(
    journal: Journal, tls: Tls, tmp_path: Path, tls_key: str
) -> None:
    impostor = Authority.root().issue("relay.test").server(tmp_path)
    async with (
        a_world(journal, tls=tls.settings) as world,
        receiving(world.port, RELAY, tls=impostor, passwords={"us": "secret"}) as relay,
    ):
        world.dns.zone["relay.test", "A"] = [A(RELAY)]
        await world.put_in_force(routing=relay_route(world, world.port) + tls_key)
        message = a_message()
        await world.accept(message)
        row = await world.until(message, Status.QUEUED, attempts=1)
        assert row.error_message is not None and 'auth_needs = "verified"' in row.error_message
        assert {session.user for session in relay.sessions} == {""}
        await world.put_in_force(routing=relay_route(world, world.port) + tls_key + 'auth_needs = "encrypted"\n')
        assert (await world.finished(message)).status is Status.SENT
        assert relay.sessions[-1].user == "us"


async def test_a_relay_is_held_to_its_tlsa_records(journal: Journal, tls: Tls, tmp_path: Path) -> None:
    certificate = Authority.root("private").issue("relay.test")
    settings = msgspec.structs.replace(tls.settings, dane=True)
    async with (
        a_world(journal, tls=settings) as world,
        receiving(world.port, RELAY, tls=certificate.server(tmp_path), passwords={"us": "secret"}) as relay,
    ):
        name = f"_{world.port}._tcp.relay.test"
        world.dns.zone["relay.test", "A"] = [A(RELAY)]
        world.dns.zone[name, "TLSA"] = [TLSA(3, 1, 1, b"x" * 32)]
        world.dns.secure |= {"relay.test", name}
        await world.put_in_force(routing=relay_route(world, world.port) + 'tls = "required"\n')
        message = a_message()
        await world.accept(message)
        row = await world.until(message, Status.QUEUED, attempts=1)
        assert row.error_message is not None and "DANE" in row.error_message
        assert {session.user for session in relay.sessions} == {""}
        # Its own records will do instead of an authority, for the password too.
        world.dns.zone[name, "TLSA"] = [TLSA(3, 1, 1, certificate.tlsa(3, 1, 1).data)]
        world.passed_s += 3600
        assert (await world.finished(message)).status is Status.SENT
        assert relay.sessions[-1].user == "us"


async def test_discarded_mail_is_told_as_delivered_and_opens_no_connection(journal: Journal) -> None:
    async with a_world(journal) as world:
        world.zone("example.com", "127.0.0.1")
        await world.put_in_force(routing='[[routes]]\nvia = "discard"\ndomain = ["*.com"]\n')
        message = a_message("ada@example.com", "bob@example.com")
        await world.accept(message)
        assert (await world.finished(message)).status is Status.DELIVERED
        events = await world.events_of(message, 2)
        assert [(type(event), event.mx_ip) for event in events if isinstance(event, Delivered)] == [(Delivered, "")] * 2
        assert world.peers[0].totals.connected == 0
        assert world.dns.asked == []


async def test_in_capture_mode_nothing_leaves_whatever_the_routes_say(journal: Journal, tls: Tls) -> None:
    settings = msgspec.structs.replace(DELIVERY, mode="capture")
    async with (
        a_world(journal, settings=settings, tls=tls.settings) as world,
        receiving(world.port, RELAY, HOST) as outside,
    ):
        world.zone("example.com", HOST)
        world.dns.zone["relay.test", "A"] = [A(RELAY)]
        await world.put_in_force(
            routing='[[routes]]\nvia = "direct"\ndomain = ["example.com"]\n' + relay_route(world, world.port)
        )
        await deliver(world, a_message("ada@example.com"), a_message("ada@relayed.com"))
        assert outside.sessions == []
        assert world.peers[0].totals.accepted == 2
        assert world.dns.asked == []
