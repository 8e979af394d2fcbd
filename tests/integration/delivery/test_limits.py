"""The limits of a site, measured by the receiver: never one connection nor one message more, however much waits."""

import asyncio
import time
from datetime import UTC, datetime, timedelta
from math import inf

import msgspec
import pytest
from dnslib import MX, A

from actors.delivery.site import Site
from cluster.journal.journal import Journal
from cluster.journal.records import MessageRow, NewMessage
from cluster.policy.lifecycle import Status
from cluster.policy.replies import automation
from cluster.policy.routes.destinations import Destination
from tests.integration.delivery.receiver import Answer, Arrival, Receiver, most_at_once, most_within, receiving
from tests.integration.delivery.world import DELIVERY, World, a_world, deliver
from tests.integration.journal.builders import a_message

SITE = "a.mx,b.mx"
ADDRESSES = ("127.0.0.11", "127.0.0.12", "127.0.0.13")
DOMAINS = ("one.com", "two.com", "three.com")
KEPT = msgspec.structs.replace(DELIVERY, connection_idle_s=5.0)
"""Sites with idle connections are there to be looked at when all is delivered."""
SPLIT = msgspec.structs.replace(KEPT, split_sites={SITE: 2})


def zone(world: World) -> None:
    """Several domains on two hosts with three addresses: one site."""
    for domain in DOMAINS:
        world.dns.zone[domain, "MX"] = [MX("a.mx", 10), MX("b.mx", 10)]
    world.dns.zone |= {("a.mx", "A"): [A("127.0.0.11"), A("127.0.0.12")], ("b.mx", "A"): [A("127.0.0.13")]}


def rule(**values: str | int) -> str:
    """A shaping.toml with one rule for the site."""
    lines = [f"{key} = {value!r}" for key, value in {"name": "test", "site": SITE, **values}.items()]
    return "\n".join(["[[rule]]", *lines, ""])


def messages(count: int) -> list[NewMessage]:
    return [a_message(f"u{i}@{DOMAINS[i % len(DOMAINS)]}") for i in range(count)]


def starts(receiver: Receiver) -> list[float]:
    return [arrival.at for arrival in receiver.arrivals]


def openings(receiver: Receiver) -> list[float]:
    return [session.opened_at for session in receiver.sessions]


async def test_rate_and_connections_of_a_site(journal: Journal) -> None:
    async with a_world(journal, settings=KEPT) as world, receiving(world.port, *ADDRESSES, delay_s=0.02) as receiver:
        zone(world)
        await world.put_in_force(rule(connections=7, message_rate="200/s"))
        await deliver(world, *messages(350))
        assert len(receiver.taken) == 350
        # A busy machine may see as many late as there are connections. (That the rate is used up: test_throttle.py.)
        assert most_within(starts(receiver), 1.0) <= 200 + 7
        assert receiver.most_open() <= 7


async def test_rate_and_connections_of_a_site_that_two_actors_share(journal: Journal) -> None:
    async with a_world(journal, settings=SPLIT) as world, receiving(world.port, *ADDRESSES, delay_s=0.02) as receiver:
        zone(world)
        await world.put_in_force(rule(connections=9, message_rate="300/s"))
        await world.join("delivery-0-1")
        await deliver(world, *messages(450))
        shares = [[site.destination for site in one.parts.sites] for one in world.deliverers]
        assert {place for (place,) in shares} == {Destination(SITE, "", 0, 2), Destination(SITE, "", 1, 2)}
        assert most_within(starts(receiver), 1.0) <= 300 + 9
        assert 1 < receiver.most_open() <= 9


async def test_a_process_that_was_held_up_does_not_make_up_for_it(journal: Journal) -> None:
    async with a_world(journal, settings=KEPT) as world, receiving(world.port, *ADDRESSES, delay_s=0.02) as receiver:
        zone(world)
        await world.put_in_force(rule(connections=10, message_rate="100/s"))
        delivering = asyncio.create_task(deliver(world, *messages(150)))
        while len(receiver.taken) < 30:
            await asyncio.sleep(0.01)
        time.sleep(0.3)  # the machine is busy with something else
        await delivering
        assert most_within(starts(receiver), 1.0) <= 100 + 10


async def test_connections_to_one_address(journal: Journal) -> None:
    settings = msgspec.structs.replace(SPLIT, messages_per_connection=5)
    async with (
        a_world(journal, settings=settings) as world,
        receiving(world.port, *ADDRESSES, delay_s=0.05) as receiver,
    ):
        zone(world)
        await world.put_in_force(rule(connections=20, connections_per_ip=2))
        await world.join("delivery-0-1")
        await deliver(world, *messages(120))
        assert {address: receiver.most_open(address) for address in ADDRESSES} == dict.fromkeys(ADDRESSES, 2)


async def test_new_connections_at_a_rate(journal: Journal) -> None:
    settings = msgspec.structs.replace(SPLIT, messages_per_connection=1)
    async with a_world(journal, settings=settings) as world, receiving(world.port, *ADDRESSES) as receiver:
        zone(world)
        await world.put_in_force(rule(connections=20, connection_rate="20/s"))
        await world.join("delivery-0-1")
        await deliver(world, *messages(40))
        assert len(receiver.sessions) >= 40
        # A tenth less than the second: this busy process may see a connection late.
        assert most_within(openings(receiver), 0.9) <= 20


async def test_a_tenants_rate_and_connections(journal: Journal) -> None:
    async with a_world(journal, settings=KEPT) as world, receiving(world.port, *ADDRESSES, delay_s=0.05) as receiver:
        zone(world)
        other = await world.a_tenant("other")
        await world.put_in_force(
            rule(connections=20) + rule(name="slow", tenant=world.tenant_id, message_rate="20/s", connections=2)
        )
        limited = messages(200)
        await world.accept(*limited)
        await world.accept_for(other, *(a_message(f"free{i}@one.com") for i in range(100)))

        def of(tenant_is_limited: bool) -> list[Arrival]:
            return [one for one in receiver.taken if one.recipients[0].startswith("free") is not tenant_is_limited]

        await world.eventually(lambda: len(of(False)) == 100 and len(of(True)) >= 30)
        slow = of(True)
        assert len(slow) < 200
        assert most_at_once((arrival.at, arrival.ended_at) for arrival in slow) == 2
        # The rate counts at the claim, so the claims' delays show here; the site's own rate is exact.
        assert most_within([arrival.at for arrival in slow], 1.0) <= 20 + 2


# Automation


def trigger(**values: str | float) -> str:
    lines = [f"{key} = {value!r}" for key, value in values.items()]
    return "\n".join(["[[automation]]", *lines, ""])


def once(reply: bytes, verb: str = "MAIL") -> Answer:
    """This reply to the first such command."""
    left = [reply]
    return lambda line: left.pop() if left and line.startswith(verb) else None


def site_of(world: World) -> Site:
    (site,) = world.deliverer.parts.sites
    return site


async def actions(journal: Journal) -> set[str]:
    return {action.action for action in await journal.site_actions.latest(None, 100)}


async def test_who_complains_is_sent_to_more_slowly_over_fewer_connections(journal: Journal) -> None:
    async with a_world(journal, settings=KEPT) as world, receiving(world.port, *ADDRESSES) as receiver:
        zone(world)
        await world.put_in_force(
            rule(connections=8)
            + trigger(name="slower", match="slow down", action="slow_down", factor=0.5)
            + trigger(name="fewer", match="too many connections", action="fewer_connections", factor=0.25)
        )
        await deliver(world, *messages(30))
        site = site_of(world)
        assert (site.throttle.message_rate(), site.throttle.connections()) == (0, 8)
        receiver.answer = once(b"450 4.7.1 slow down\r\n")
        await deliver(world, *messages(1))
        assert 0 < site.throttle.message_rate() <= 30 / 2
        receiver.answer = once(b"421 4.7.0 too many connections\r\n")
        await deliver(world, *messages(1))
        assert site.throttle.connections() == 2

        async def both_recorded() -> bool:
            return await actions(journal) >= {"slow_down", "fewer_connections"}

        await world.eventually(both_recorded)
        (state,) = await world.deliverer.sites()
        assert len(state.adjustments) == 2
        receiver.arrivals.clear()
        receiver.sessions.clear()
        await deliver(world, *messages(20))
        assert most_within(starts(receiver), 1.0) <= 30 / 2 + 2
        assert receiver.most_open() <= 2


async def test_lowered_limits_creep_back_up(journal: Journal, monkeypatch: pytest.MonkeyPatch) -> None:
    # Seconds for minutes.
    for name, value in {"MEASURED_S": 0.1, "RISE_EVERY_S": 0.2, "RISE_AFTER": 3, "SETTLE_S": 0.1}.items():
        monkeypatch.setattr(automation, name, value)
    async with a_world(journal, settings=KEPT) as world, receiving(world.port, *ADDRESSES) as receiver:
        zone(world)
        await world.put_in_force(trigger(name="t", match="slow", action="slow_down", factor=0.5, **{"for": "200ms"}))
        await deliver(world, *messages(60))
        receiver.answer = once(b"450 4.7.1 slow down\r\n")
        await deliver(world, *messages(1))
        site = site_of(world)
        rates = [site.throttle.message_rate()]

        async def rises() -> bool:
            await deliver(world, *messages(5))
            rates.append(site.throttle.message_rate())
            return len(set(rates)) >= 3

        await world.eventually(rises)
        # 0 at the end: there is no limit any more.
        assert rates == sorted(rates, key=lambda rate: rate or inf)

        async def recorded() -> bool:
            return bool(await actions(journal) & {"raised", "restored"})

        await world.eventually(recorded)


async def test_a_receiver_that_wants_no_more_is_left_alone_and_what_waited_is_given_back(journal: Journal) -> None:
    settings = msgspec.structs.replace(KEPT, connections_per_site=1)
    async with (
        a_world(journal, settings=settings) as world,
        receiving(world.port, *ADDRESSES, delay_s=0.02) as receiver,
    ):
        zone(world)
        await world.put_in_force(trigger(name="t", match="go away", action="suspend", **{"for": "1h"}))
        waiting = messages(50)
        await world.accept(*waiting)
        await world.eventually(lambda: len(receiver.taken) >= 3)
        receiver.answer = once(b"421 4.7.0 go away\r\n")

        async def recorded() -> bool:
            return "suspend" in await actions(journal)

        await world.eventually(recorded)
        (suspension,) = await journal.suspensions.active()
        assert (suspension.site, suspension.tenant_id, suspension.made_by) == (SITE, "", "automation")
        await nothing_leaves(world, receiver)
        assert site_of(world).in_flight == len(site_of(world).queue) == 0
        # It holds over a restart.
        await world.kill()
        await world.restart()
        await world.follow()
        await nothing_leaves(world, receiver)
        await journal.suspensions.resume(SITE, None, "operator")
        await world.follow()
        await world.eventually(lambda: len(receiver.taken) == 50)
        assert len({arrival.recipients[0] for arrival in receiver.taken}) == 50


async def nothing_leaves(world: World, receiver: Receiver) -> None:
    """Transactions on the wire may end; then the receiver gets nothing, however often the queue is inspected."""
    await world.follow()
    await world.eventually(lambda: not any(site.pool.on_the_wire for site in world.deliverer.parts.sites))
    heard = len(receiver.arrivals)
    for _ in range(20):
        await world.scheduler.paging.round()
        await world.scheduler.paging.name_lanes()
        await asyncio.sleep(0.01)
    assert len(receiver.arrivals) == heard


# Suspensions by an operator


async def test_an_operator_suspends_a_site_and_resumes_it(journal: Journal) -> None:
    settings = msgspec.structs.replace(KEPT, connections_per_site=1)
    async with (
        a_world(journal, settings=settings) as world,
        receiving(world.port, *ADDRESSES, delay_s=0.02) as receiver,
    ):
        zone(world)
        world.zone("other.com", "127.0.0.1")
        mail = messages(40)
        await world.accept(*mail)
        await world.eventually(lambda: len(receiver.taken) >= 3)
        await journal.suspensions.suspend(SITE, "", datetime.now(UTC) + timedelta(hours=1), "maintenance", "operator")
        await nothing_leaves(world, receiver)
        assert len(receiver.taken) < 40
        assert sum(len(site.queue) for site in world.deliverer.parts.sites) == 0
        assert not len(world.deliverer.parts.held)
        assert {(await state(world, message)).status for message in mail} == {Status.QUEUED, Status.DELIVERED}
        await deliver(world, a_message("ada@other.com"))
        await journal.suspensions.resume(SITE, None, "operator")
        await world.follow()
        await world.eventually(lambda: len(receiver.taken) == 40)


async def test_an_operator_suspends_one_tenant_at_one_site(journal: Journal) -> None:
    settings = msgspec.structs.replace(KEPT, connections_per_site=1)
    async with a_world(journal, settings=settings) as world, receiving(world.port, *ADDRESSES) as receiver:
        zone(world)
        world.zone("other.com", "127.0.0.1")
        good = await world.a_tenant("good")
        await journal.suspensions.suspend(
            SITE, world.tenant_id, datetime.now(UTC) + timedelta(hours=1), "complaints", "operator"
        )
        await world.follow()
        held = messages(10)
        await world.accept(*held)
        await world.accept_for(good, *(a_message(f"good{i}@one.com") for i in range(10)))
        await world.eventually(lambda: len(receiver.taken) == 10)
        await nothing_leaves(world, receiver)
        assert all(arrival.recipients[0].startswith("good") for arrival in receiver.taken)
        # Elsewhere the tenant is sent for.
        await deliver(world, a_message("ada@other.com"))
        await journal.suspensions.resume(SITE, world.tenant_id, "operator")
        await world.follow()
        await world.eventually(lambda: len(receiver.taken) == 20)


async def test_a_suspended_tenants_mail_waits_and_goes_on(journal: Journal) -> None:
    async with a_world(journal, settings=KEPT) as world, receiving(world.port, *ADDRESSES) as receiver:
        zone(world)
        good = await world.a_tenant("good")
        await journal.tenants.suspend(world.tenant_id)
        await world.follow()
        await world.accept(*messages(10))
        await world.accept_for(good, *(a_message(f"good{i}@one.com") for i in range(10)))
        await world.eventually(lambda: len(receiver.taken) == 10)
        await nothing_leaves(world, receiver)
        assert all(arrival.recipients[0].startswith("good") for arrival in receiver.taken)
        await journal.tenants.resume(world.tenant_id)
        await world.follow()
        await world.eventually(lambda: len(receiver.taken) == 20)


async def state(world: World, message: NewMessage) -> MessageRow:
    row = await world.journal.messages.find(world.tenant_id, message.id)
    assert row is not None
    return row
