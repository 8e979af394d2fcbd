"""From a domain to its hosts: which are tried in what order, and which domains share limits, connections, failures."""

import asyncio
from collections import Counter
from collections.abc import Callable

import msgspec
import pytest
from dnslib import MX, RCODE, A

from cluster.events import Bounced, Deferred, Delivered
from cluster.journal.journal import Journal
from cluster.policy.lifecycle import Status
from cluster.policy.routes import mx
from cluster.settings import DnsSettings
from tests.integration.delivery.receiver import receiving
from tests.integration.delivery.world import DELIVERY, World, a_world, deliver
from tests.integration.journal.builders import a_message

KEPT = msgspec.structs.replace(DELIVERY, connection_idle_s=5.0)
"""Sites with idle connections are there to be looked at when all is delivered."""
LONG_S = 120.0
"""Longer than a domain's route is cached, and longer than the TTL of the tests' DNS answers."""


def refusing(reply: bytes, *, of: str = "GREETING") -> Callable[[str], bytes | None]:
    return lambda line: reply if line.startswith(of) else None


def sites(world: World) -> set[str]:
    return {site.destination.site for site in world.deliverer.parts.sites}


async def test_the_best_preference_is_tried_first_and_equals_share(journal: Journal) -> None:
    settings = msgspec.structs.replace(KEPT, messages_per_connection=1, connections_per_site=20)
    async with (
        a_world(journal, settings=settings) as world,
        receiving(world.port, "127.0.0.11", "127.0.0.12", "127.0.0.13", "127.0.0.14") as receiver,
    ):
        world.dns.zone |= {
            ("example.com", "MX"): [MX("last.mx", 30), MX("b.mx", 10), MX("c.mx", 10), MX("a.mx", 10)],
            ("a.mx", "A"): [A("127.0.0.11")],
            ("b.mx", "A"): [A("127.0.0.12")],
            ("c.mx", "A"): [A("127.0.0.13")],
            ("last.mx", "A"): [A("127.0.0.14")],
        }
        found: set[str] = set()
        delivering = asyncio.create_task(deliver(world, *(a_message(f"u{i}@example.com") for i in range(60))))
        while not delivering.done():  # without idle connections a site goes with its last message
            found |= sites(world)
            await asyncio.wait([delivering], timeout=0.01)
        await delivering
        by_host = Counter(session.address for session in receiver.sessions)
        assert set(by_host) == {"127.0.0.11", "127.0.0.12", "127.0.0.13"}
        assert min(by_host.values()) >= 5, by_host  # fails by chance once in 10,000 times
        assert found == {"a.mx,b.mx,c.mx,last.mx"}


@pytest.mark.parametrize(
    ("stage", "reply"),
    [("GREETING", b"554 5.3.2 not here\r\n"), ("GREETING", b""), ("EHLO", b""), ("EHLO", b"421 no\r\n")],
)
async def test_a_first_exchanger_that_refuses_or_drops_costs_no_attempt(
    journal: Journal, stage: str, reply: bytes
) -> None:
    async with (
        a_world(journal) as world,
        receiving(world.port, "127.0.0.11", answer=refusing(reply, of=stage)) as first,
        receiving(world.port, "127.0.0.12") as second,
    ):
        world.zone("example.com", "127.0.0.11", "127.0.0.12")
        message = a_message()
        await world.accept(message)
        assert (await world.finished(message)).retry_count == 0
        (event,) = await world.events_of(message, 1)
        assert isinstance(event, Delivered)
        assert (event.mx_host, event.mx_ip, event.attempt) == ("mx1.example.com", "127.0.0.12", 1)
        # What failed a moment ago comes last.
        await deliver(world, *(a_message(f"u{i}@example.com") for i in range(20)))
        assert len(first.sessions) == 1
        assert len(second.taken) == 21


@pytest.mark.parametrize("stage", ["MAIL", "RCPT"])
async def test_a_first_exchanger_that_drops_within_a_transaction_is_followed_by_the_next(
    journal: Journal, stage: str
) -> None:
    async with (
        a_world(journal) as world,
        receiving(world.port, "127.0.0.11", answer=refusing(b"", of=stage), chunking=False) as first,
        receiving(world.port, "127.0.0.12") as second,
    ):
        world.zone("example.com", "127.0.0.11", "127.0.0.12")
        message = a_message()
        await world.accept(message)
        row = await world.finished(message)
        assert (row.status, row.retry_count) == (Status.DELIVERED, 0)
        assert len(first.sessions) == 1 and len(second.taken) == 1


async def test_domains_with_the_same_hosts_are_one_site(journal: Journal) -> None:
    settings = msgspec.structs.replace(KEPT, connections_per_site=2)
    async with (
        a_world(journal, settings=settings) as world,
        receiving(world.port, "127.0.0.11", delay_s=0.01) as receiver,
    ):
        world.dns.zone |= {
            ("one.com", "MX"): [MX("a.mx", 10), MX("b.mx", 20)],
            ("two.com", "MX"): [MX("B.MX", 5), MX("a.mx", 5)],
            ("a.mx", "A"): [A("127.0.0.11")],
            ("b.mx", "A"): [A("127.0.0.11")],
        }
        await deliver(world, *(a_message(f"u{i}@{domain}") for i in range(30) for domain in ("one.com", "two.com")))
        assert sites(world) == {"a.mx,b.mx"}
        assert receiver.most_open() == 2
        assert Counter(arrival.domain for arrival in receiver.taken) == {"one.com": 30, "two.com": 30}


async def test_domains_with_the_same_hosts_and_preferences_share_a_connection(journal: Journal) -> None:
    settings = msgspec.structs.replace(KEPT, connections_per_site=1)
    async with a_world(journal, settings=settings) as world, receiving(world.port, "127.0.0.11") as receiver:
        for domain in ("one.com", "two.com"):
            world.dns.zone[domain, "MX"] = [MX("a.mx", 10)]
        world.dns.zone["a.mx", "A"] = [A("127.0.0.11")]
        await deliver(world, *(a_message(f"u{i}@{domain}") for i in range(10) for domain in ("one.com", "two.com")))
        assert len(receiver.sessions) == 1


async def test_hosts_of_their_own_in_front_of_one_service_share_limits_and_no_connection(journal: Journal) -> None:
    settings = msgspec.structs.replace(KEPT, connections_per_site=3)
    domains = ("a.com", "b.com", "c.com", "d.com", "e.com")
    async with (
        a_world(journal, settings=settings) as world,
        receiving(world.port, "127.0.0.11", "127.0.0.12", delay_s=0.01) as receiver,
    ):
        await world.put_in_force('[[rule]]\nname = "m"\nsite = "mail.protection.outlook.com"\nconnections = 3\n')
        for i, domain in enumerate(domains):
            host = f"{domain.replace('.', '-')}.mail.protection.outlook.com"
            world.dns.zone |= {(domain, "MX"): [MX(host, 10)], (host, "A"): [A(f"127.0.0.{11 + i % 2}")]}
        await deliver(world, *(a_message(f"u{i}@{domain}") for i in range(16) for domain in domains))
        assert sites(world) == {"mail.protection.outlook.com"}
        assert 1 < receiver.most_open() <= 3
        for session in receiver.sessions:
            assert len({arrival.domain for arrival in receiver.taken if arrival.session is session}) <= 1
        assert Counter(arrival.domain for arrival in receiver.taken) == dict.fromkeys(domains, 16)


async def test_a_domain_with_limits_of_its_own_is_a_site_of_its_own(journal: Journal) -> None:
    settings = msgspec.structs.replace(KEPT, connections_per_site=2)
    async with (
        a_world(journal, settings=settings) as world,
        receiving(world.port, "127.0.0.11", delay_s=0.01) as receiver,
    ):
        await world.put_in_force('[[rule]]\nname = "apart"\ndomain = "apart.com"\nconnections = 1\n')
        for domain in ("apart.com", "one.com"):
            world.dns.zone[domain, "MX"] = [MX("a.mx", 10)]
        world.dns.zone["a.mx", "A"] = [A("127.0.0.11")]
        await deliver(world, *(a_message(f"u{i}@{domain}") for i in range(20) for domain in ("apart.com", "one.com")))
        assert sites(world) == {"apart.com", "a.mx"}
        assert receiver.most_open() == 3
        apart = {id(arrival.session) for arrival in receiver.taken if arrival.domain == "apart.com"}
        others = {id(arrival.session) for arrival in receiver.taken if arrival.domain == "one.com"}
        assert not apart & others


async def bounces(world: World, address: str) -> str:
    message = a_message(address)
    await world.accept(message)
    row = await world.finished(message)
    assert row.status is Status.BOUNCED
    (event,) = await world.events_of(message, 1)
    assert isinstance(event, Bounced) and event.bounce_type == "hard"
    assert row.error_message is not None
    return row.error_message


async def test_domains_that_take_no_mail(journal: Journal) -> None:
    async with a_world(journal) as world:
        world.dns.zone["null.test", "MX"] = [MX(".", 0)]
        world.dns.zone["no-address.test", "MX"] = [MX("nowhere.test", 0)]
        world.dns.zone["nowhere.test", "TXT"] = []
        assert await bounces(world, "ada@null.test") == "null.test: null mx"
        assert await bounces(world, "ada@no-address.test") == "nowhere.test: no address"
        # The API refuses this one; whatever brings it into the journal, it is not connected to.
        assert await bounces(world, "ada@[127.0.0.1]") == "[127.0.0.1]: address literal"
        assert world.peers[0].totals.connected == 0


async def test_mail_that_would_come_back_to_us(journal: Journal) -> None:
    async with a_world(journal) as world, receiving(world.port, "127.0.0.11", "127.0.0.12") as receiver:
        world.resolver.guard = mx.make_guard(own_names=["us.test"], own_addresses=["127.0.0.12"])
        world.dns.zone |= {
            ("ours.test", "MX"): [MX("us.test", 10), MX("worse.test", 20)],
            ("backup.test", "MX"): [MX("us.test", 20), MX("best.test", 10), MX("worse.test", 30)],
            ("by-address.test", "MX"): [MX("alias.test", 10), MX("worse.test", 20)],
            ("us.test", "A"): [A("127.0.0.12")],
            ("alias.test", "A"): [A("127.0.0.12")],
            ("best.test", "A"): [A("127.0.0.11")],
            ("worse.test", "A"): [A("127.0.0.11")],
        }
        assert await bounces(world, "ada@ours.test") == "ours.test: loops back to us"
        assert await bounces(world, "ada@by-address.test") == "alias.test: loops back to us"
        assert receiver.sessions == []
        await deliver(world, a_message("ada@backup.test"))
        assert [session.address for session in receiver.sessions] == ["127.0.0.11"]


async def test_an_old_answer_is_used_while_the_dns_fails(journal: Journal) -> None:
    async with a_world(journal) as world:
        world.zone("example.com", "127.0.0.1")
        await deliver(world, a_message())
        world.passed_s += LONG_S
        world.dns.rcodes |= {"example.com": RCODE.SERVFAIL, "mx0.example.com": RCODE.SERVFAIL}
        asked = len(world.dns.asked)
        await deliver(world, a_message())
        assert len(world.dns.asked) > asked


async def test_a_domain_without_dns_holds_no_others_up(journal: Journal) -> None:
    async with a_world(journal, dns_settings=DnsSettings(timeout_s=60.0, tries=1)) as world:
        world.zone("example.com", "127.0.0.1")
        slow = [f"slow{i}.test" for i in range(50)]
        world.dns.mute |= set(slow)
        world.dns.rcodes |= dict.fromkeys(slow, RCODE.SERVFAIL)
        stuck = [a_message(f"ada@slow{i}.test") for i in range(50)]
        await world.accept(*stuck)
        await world.scheduler.paging.round()
        await deliver(world, *(a_message(f"u{i}@example.com") for i in range(50)))
        assert {arrival.rcpt_to[0].partition("@")[2] for arrival in world.taken} == {"example.com"}
        # They were still being asked for then.
        assert len(world.deliverer.parts.unresolved) == 50
        world.dns.mute.clear()
        world.dns.release()
        (event,) = await world.events_of(stuck[0], 1)
        assert isinstance(event, Deferred) and "DNS" in event.reason


async def test_exchangers_may_change_between_attempts(journal: Journal) -> None:
    async with (
        a_world(journal) as world,
        receiving(world.port, "127.0.0.11", answer=refusing(b"451 4.3.0 later\r\n", of="RCPT")) as old,
        receiving(world.port, "127.0.0.12") as new,
    ):
        world.zone("example.com", "127.0.0.11")
        message = a_message()
        await world.accept(message)
        await world.until(message, Status.QUEUED, attempts=1)
        world.dns.zone |= {("example.com", "MX"): [MX("new.mx", 10)], ("new.mx", "A"): [A("127.0.0.12")]}
        world.passed_s += LONG_S
        assert (await world.finished(message)).status is Status.DELIVERED
        assert len(old.taken) == 0 and len(new.taken) == 1
        (*_, event) = await world.events_of(message, 2)
        assert isinstance(event, Delivered) and event.site == "new.mx"


async def test_one_domains_dead_hosts_do_not_stop_the_others_of_its_site(journal: Journal) -> None:
    async with a_world(journal, settings=KEPT) as world, receiving(world.port, "127.0.0.11") as receiver:
        for name, address in {"good": "127.0.0.11", "closed": "127.0.0.19", "gone": ""}.items():
            host = f"{name}-com.mail.protection.outlook.com"
            world.dns.zone[f"{name}.com", "MX"] = [MX(host, 10)]
            if address:
                world.dns.zone[host, "A"] = [A(address)]
        lost = [a_message(f"u{i}@gone.com") for i in range(20)]
        await world.accept(*lost)
        for message in lost:
            assert (await world.finished(message)).status is Status.BOUNCED
        (site,) = world.deliverer.parts.sites
        assert site.destination.site == "mail.protection.outlook.com"
        assert site.blocked_until == 0.0, "a host that there is not says nothing of those that there are"
        await deliver(world, a_message("ada@good.com"))
        await world.accept(*(a_message(f"u{i}@closed.com") for i in range(20)))
        await world.accept(*(a_message(f"u{i}@good.com") for i in range(20)))
        await world.eventually(lambda: len(receiver.taken) == 21)
        assert site.blocked_until == 0.0, "nor does one that is closed, while others are open"
