"""The ways that mail takes: relays with a password, nowhere, the sink; and the addresses that it leaves from."""

import asyncio
import ssl
from datetime import UTC, date, datetime, timedelta
from pathlib import Path

import msgspec
import pytest
from dnslib import MX, TLSA, A

from actors.delivery import upkeep
from actors.in_force import MISSED
from analytics.events import Delivered
from cluster.journal.store import Journal
from cluster.policy.lifecycle import Status
from cluster.settings import TlsSettings
from tests.certificates import Authority
from tests.integration.delivery.receiver import Receiver, receiving
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
        other = await journal.create_tenant("other")
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
        (event,) = await world.told(relayed, 1)
        assert isinstance(event, Delivered) and event.tls_version.startswith("TLSv1")


async def test_a_password_is_said_to_nobody_who_is_not_the_relay(journal: Journal, tls: Tls, tmp_path: Path) -> None:
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
        events = await world.told(message, 2)
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


# Sources


def sources(*caps: str, weights: tuple[int, ...] = (3, 1)) -> str:
    """Sources s0, s1, … at 127.0.0.31, …, and a pool of them. ``caps``: of each one's warm-up, "" for none."""
    text = ""
    for i, _ in enumerate(weights):
        text += f'[sources.s{i}]\naddress = "127.0.0.{31 + i}"\nhelo_name = "s{i}.example.com"\n'
        if i < len(caps) and caps[i]:
            text += f"[sources.s{i}.warm_up]\nstarted = {today()}\nper_day = [{caps[i]}]\n"
    return text + "[pools.marketing]\n" + "".join(f"s{i} = {weight}\n" for i, weight in enumerate(weights))


def today() -> date:
    return datetime.now(UTC).date()


@pytest.fixture(autouse=True)
def not_at_midnight() -> None:
    """Caps are those of a day (UTC)."""
    now = datetime.now(UTC)
    if (now + timedelta(seconds=30)).date() != now.date():
        pytest.skip("the day is about to end")


def zone(world: World) -> None:
    world.dns.zone |= {("example.com", "MX"): [MX("a.mx", 10)], ("a.mx", "A"): [A(HOST)]}


async def test_mail_leaves_from_the_sources_of_its_pool_by_their_weights(journal: Journal) -> None:
    async with a_world(journal) as world, receiving(world.port, HOST) as receiver:
        zone(world)
        await world.put_in_force(routing=sources())
        messages = [a_message(f"u{i}@example.com") for i in range(200)]
        await world.accept(*messages, pool="marketing")
        await world.eventually(lambda: len(receiver.taken) == 200)
        clients = receiver.clients()
        assert set(clients) == {"127.0.0.31", "127.0.0.32"}
        assert 120 <= clients["127.0.0.31"] <= 175, clients  # 150 expected; 6 are a standard deviation
        assert {(s.client, s.helo) for s in receiver.sessions} == {
            ("127.0.0.31", "s0.example.com"),
            ("127.0.0.32", "s1.example.com"),
        }
        event = (await world.told(messages[0], 1))[0]
        assert isinstance(event, Delivered) and event.source_ip in clients
        # A pool that there is not holds nothing back, nor is there a default pool here.
        await world.accept(a_message(), pool="forgotten")
        await world.eventually(lambda: len(receiver.taken) == 201)
        assert set(receiver.clients()) - set(clients) == {"127.0.0.1"}


async def test_each_source_has_limits_of_its_own_at_a_site(journal: Journal) -> None:
    async with a_world(journal) as world, receiving(world.port, HOST, delay_s=0.02) as receiver:
        zone(world)
        shaping = '[[rule]]\nname = "s0"\nsource = "s0"\nconnections = 1\n'
        await world.put_in_force(shaping, sources(weights=(1, 1)))
        await world.accept(*(a_message(f"u{i}@example.com") for i in range(60)), pool="marketing")
        await world.eventually(lambda: len(receiver.taken) == 60)
        assert receiver.most_open(client="127.0.0.31") == 1
        assert 1 < receiver.most_open(client="127.0.0.32") <= 4


async def test_a_source_that_this_machine_has_not_sends_nothing(journal: Journal) -> None:
    routing = '[sources.far]\naddress = "192.0.2.7"\n[pools.default]\nfar = 1\n'
    async with a_world(journal) as world, receiving(world.port, HOST) as receiver:
        zone(world)
        await world.put_in_force(routing=routing)
        message = a_message()
        await world.accept(message)
        for _ in range(10):
            await world.scheduler.round()
            await world.scheduler.name_lanes()
        assert receiver.sessions == []
        row = await journal.message(world.tenant_id, message.id)
        assert row is not None and row.status is Status.QUEUED
        await world.put_in_force(routing="")
        await world.eventually(lambda: len(receiver.taken) == 1)


async def test_what_a_source_that_no_machine_has_would_send_leaves_from_the_others(journal: Journal) -> None:
    routing = '[sources.far]\naddress = "192.0.2.7"\n[pools.default]\nfar = 3\ns0 = 1\n' + sources(weights=(1,))
    async with a_world(journal) as world, receiving(world.port, HOST) as receiver:
        zone(world)
        await world.put_in_force(routing=routing)
        await world.accept(*(a_message(f"u{i}@example.com") for i in range(40)))

        async def looked() -> bool:
            await world.deliverer._upkeep.beat()
            await world.dispatcher.refresh()
            await world.scheduler.round()
            await world.scheduler.name_lanes()
            return len(receiver.taken) == 40

        await world.eventually(looked)
        assert set(receiver.clients()) == {"127.0.0.31"}


GHOST = """
[sources.ghost]
address = "192.0.2.77"
[pools.mixed]
s0 = 1
ghost = 1
[pools.only]
ghost = 1
"""


async def test_mail_of_several_pools_in_the_lane_of_a_source_that_no_machine_has(journal: Journal) -> None:
    async with a_world(journal) as world, receiving(world.port, HOST) as receiver:
        zone(world)
        await world.put_in_force(routing=GHOST + sources(weights=(1,)))
        mixed = [a_message(f"u{i}@example.com") for i in range(20)]
        only = [a_message(f"only{i}@example.com") for i in range(3)]
        await world.accept(*only, pool="only")
        await world.accept(*mixed, pool="mixed")
        # That no machine has the source is not known yet: its share of the mail is parked in its lane.
        await world.scheduler.round()
        ghosts = "ghost>a.mx"
        assert (await journal.parked([ghosts]))[ghosts] > len(only)

        async def looked() -> bool:
            await world.follow()
            return len(receiver.taken) == len(mixed)

        await world.eventually(looked)
        assert set(receiver.clients()) == {"127.0.0.31"}
        # Mail of a pool that has no other source waits for it.
        assert await journal.parked([ghosts]) == {ghosts: len(only)}
        # With a route that needs no source it waits no longer.
        await world.put_in_force(routing='[[routes]]\nvia = "discard"\n' + GHOST + sources(weights=(1,)))

        async def discarded() -> bool:
            rows = [await journal.message(world.tenant_id, message.id) for message in only]
            return all(row is not None and row.status is Status.DELIVERED for row in rows)

        await world.eventually(discarded)


async def test_mail_in_the_lane_of_an_address_that_goes_moves_within_its_pool(
    journal: Journal, monkeypatch: pytest.MonkeyPatch
) -> None:
    gone: set[str] = set()
    is_local = upkeep._is_local
    monkeypatch.setattr(upkeep, "_is_local", lambda source: source.name not in gone and is_local(source))
    async with a_world(journal) as world, receiving(world.port, HOST) as receiver:
        zone(world)
        await world.put_in_force(routing=sources(weights=(1, 1)) + "[pools.one]\ns1 = 1\n")
        gone.add("s1")
        await world.follow()
        both = [a_message(f"u{i}@example.com") for i in range(20)]
        await world.accept(a_message("alone@example.com"), pool="one")
        await world.accept(*both, pool="marketing")
        await world.scheduler.round()
        assert (await journal.parked(["s1>a.mx"]))["s1>a.mx"] > 1

        async def looked() -> bool:
            await world.follow()
            return len(receiver.taken) >= len(both)

        await world.eventually(looked)
        assert receiver.clients() == {"127.0.0.31": len(both)}
        assert await journal.parked(["s1>a.mx"]) == {"s1>a.mx": 1}
        gone.clear()
        await world.follow()
        await world.eventually(lambda: len(receiver.taken) > len(both))
        assert receiver.clients() == {"127.0.0.31": len(both), "127.0.0.32": 1}


async def test_an_address_that_goes_while_postray_runs_and_comes_back(
    journal: Journal, monkeypatch: pytest.MonkeyPatch
) -> None:
    gone: set[str] = set()
    is_local = upkeep._is_local
    monkeypatch.setattr(upkeep, "_is_local", lambda source: source.name not in gone and is_local(source))
    async with a_world(journal) as world, receiving(world.port, HOST) as receiver:
        zone(world)
        await world.put_in_force(routing=sources(weights=(1, 1)))

        async def all_leave(batch: str) -> set[str]:
            """The addresses that a number of messages leave from."""
            known = len(receiver.taken)
            for _ in range(MISSED + 1):
                await world.follow()
            await world.accept(*(a_message(f"{batch}{i}@example.com") for i in range(30)), pool="marketing")
            await world.eventually(lambda: len(receiver.taken) == known + 30)
            return {arrival.session.client for arrival in receiver.taken[known:]}

        assert await all_leave("a") == {"127.0.0.31", "127.0.0.32"}
        gone.add("s1")
        assert await all_leave("b") == {"127.0.0.31"}
        gone.clear()
        assert await all_leave("c") == {"127.0.0.31", "127.0.0.32"}


# Warm-up


async def leave(world: World, receiver: Receiver, count: int) -> None:
    """Return when so many have left; portions of the caps are taken as often as they are looked at."""

    async def left() -> bool:
        await world.deliverer.follow()
        await world.deliverer._upkeep._allow()
        await world.dispatcher.refresh()
        return len(receiver.taken) >= count

    await world.eventually(left)


async def nothing_more_leaves(world: World, receiver: Receiver) -> None:
    heard = len(receiver.arrivals)
    for _ in range(20):
        await leave(world, receiver, 0)
        await asyncio.sleep(0.01)
    assert len(receiver.arrivals) == heard


async def test_exactly_the_cap_leaves_from_a_new_source_and_the_rest_from_others(journal: Journal) -> None:
    async with a_world(journal) as world, receiving(world.port, HOST) as receiver:
        zone(world)
        await world.put_in_force(routing=sources("25", weights=(1, 1)))
        await world.accept(*(a_message(f"u{i}@example.com") for i in range(120)), pool="marketing")
        await leave(world, receiver, 120)
        assert receiver.clients() == {"127.0.0.31": 25, "127.0.0.32": 95}


async def test_nothing_leaves_when_all_caps_are_used_up(journal: Journal) -> None:
    async with a_world(journal) as world, receiving(world.port, HOST) as receiver:
        zone(world)
        await world.put_in_force(routing=sources("20", "10", weights=(1, 1)))
        await world.accept(*(a_message(f"u{i}@example.com") for i in range(60)), pool="marketing")
        await leave(world, receiver, 30)
        await nothing_more_leaves(world, receiver)
        assert receiver.clients() == {"127.0.0.31": 20, "127.0.0.32": 10}
        # Another site has caps of its own.
        world.dns.zone |= {("other.com", "MX"): [MX("b.mx", 10)], ("b.mx", "A"): [A(HOST)]}
        await world.accept(*(a_message(f"u{i}@other.com") for i in range(5)), pool="marketing")
        await leave(world, receiver, 35)


async def test_caps_hold_over_a_kill(journal: Journal) -> None:
    async with a_world(journal) as world, receiving(world.port, HOST, delay_s=0.01) as receiver:
        zone(world)
        await world.put_in_force(routing=sources("40", weights=(1,)))
        await world.accept(*(a_message(f"u{i}@example.com") for i in range(100)), pool="marketing")
        for count in (10, 20, 30):
            await leave(world, receiver, count)
            await world.kill()
            await world.restart()
            await world.dispatcher.refresh()

        async def all_granted() -> bool:
            await leave(world, receiver, 0)
            (used,) = await journal.warm_up_usage(today(), 10)
            left = [s for s in world.deliverer._sites if s.in_flight or (s.allowance and s.allowance.remaining)]
            return used.granted == used.cap == 40 and not left

        await world.eventually(all_granted)
        await nothing_more_leaves(world, receiver)
        # What a killed life had taken of the cap and not used is lost with it, never granted again.
        assert 30 <= len(receiver.arrivals) <= 40
