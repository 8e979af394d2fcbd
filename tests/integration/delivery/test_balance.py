"""Destinations that move between delivery actors, and hot sites that are split, as the receiver sees it: its limits
hold all the time, nothing is cut off, and the pause is short."""

import asyncio
import time
from collections.abc import AsyncIterator, Mapping
from contextlib import asynccontextmanager
from itertools import pairwise
from math import inf
from statistics import median

import msgspec
import pytest
from dnslib import MX, A

from actors.balancing import Balancing
from benchmarks.simulate.settling import settle
from cluster.journal.journal import Journal
from cluster.policy.balance import splitting
from cluster.policy.balance.assignment import Assignment, Split
from cluster.policy.routes.destinations import Destination
from tests.integration.delivery.receiver import Receiver, most_within, receiving
from tests.integration.delivery.test_limits import ADDRESSES, KEPT, SITE, messages, rule, starts, zone
from tests.integration.delivery.world import World, a_world
from tests.integration.journal.builders import a_message

PAUSE_S = 10.0
"""A site pauses for less than 3 s: for half a second to 1.4 s, with five of these tests at a time on two cores. Beside
acceptance tests a machine may stand still for some seconds more."""
QUICK = msgspec.structs.replace(KEPT, connection_idle_s=1.0)


@asynccontextmanager
async def a_cluster(journal: Journal, *others: str, delay_s: float = 0.02) -> AsyncIterator[tuple[World, Receiver]]:
    """Delivery actors and a scheduler, whose loops all run."""
    async with (
        a_world(journal, settings=QUICK) as world,
        receiving(world.port, *ADDRESSES, delay_s=delay_s) as receiver,
    ):
        zone(world)
        for name in others:
            await world.join(name)
        await world.scheduler.start()
        yield world, receiver


async def assign(journal: Journal, version: int, placed: Mapping[str, str], shares: int = 0) -> None:
    splits = {SITE: Split(shares=shares)} if shares else {}
    assignment = Assignment(version=version, placed=placed, splits=splits)
    assert await journal.balance.assign(assignment, version - 1)


async def taken(receiver: Receiver, count: int) -> None:
    deadline = time.monotonic() + 20
    while len(receiver.taken) < count:
        assert time.monotonic() < deadline, len(receiver.taken)
        await asyncio.sleep(0.01)


def accepted(world: World) -> list[int]:
    """What each actor has reported."""
    return [int(one.parts.reporter.attempts["accepted"]) for one in world.deliverers]


def longest_pause_s(receiver: Receiver) -> float:
    return max(after - before for before, after in pairwise(sorted(starts(receiver))))


def assert_nothing_was_cut(receiver: Receiver, count: int) -> None:
    assert len(receiver.taken) == len(receiver.arrivals) == count
    assert all(arrival.ended_at <= arrival.session.closed_at for arrival in receiver.arrivals)


async def test_a_site_that_moves_keeps_its_limits_and_pauses_for_a_moment(journal: Journal) -> None:
    async with a_cluster(journal, "delivery-0-1") as (world, receiver):
        await world.put_in_force(rule(connections=6, message_rate="100/s"))
        await world.accept(*messages(900))
        for version, count in ((1, 150), (2, 350), (3, 550)):
            await taken(receiver, count)
            await assign(journal, version, {SITE: f"delivery-0-{version % 2}"})
        await taken(receiver, 900)
        assert_nothing_was_cut(receiver, 900)
        assert all(count >= 100 for count in accepted(world))
        assert most_within(starts(receiver), 1.0) <= 100 + 6
        assert receiver.most_open() <= 6
        assert longest_pause_s(receiver) < PAUSE_S


async def test_the_rate_of_one_message_after_the_other_holds_over_a_move(journal: Journal) -> None:
    async with a_cluster(journal, "delivery-0-1") as (world, receiver):
        await world.put_in_force(rule(connections=6, message_rate="2/s", connection_rate="2/s"))
        await world.accept(*messages(14))
        for version, count in ((1, 3), (2, 6), (3, 9)):
            await taken(receiver, count)
            await assign(journal, version, {SITE: f"delivery-0-{version % 2}"})
        await taken(receiver, 14)
        assert all(accepted(world))
        assert min(after - before for before, after in pairwise(sorted(starts(receiver)))) > 0.45
        assert longest_pause_s(receiver) < PAUSE_S


async def test_a_host_that_is_slow_holds_up_its_own_site_only(journal: Journal) -> None:
    async with a_cluster(journal, "delivery-0-1") as (world, receiver):
        world.dns.zone |= {("slow.com", "MX"): [MX("c.mx", 10)], ("c.mx", "A"): [A("127.0.0.14")]}
        async with receiving(world.port, "127.0.0.14", delay_s=6.0) as slow:
            await world.put_in_force(rule(connections=6, message_rate="100/s"))
            await assign(journal, 1, {SITE: "delivery-0-0", "c.mx": "delivery-0-0"})
            await world.accept(a_message("u@slow.com"))
            await world.eventually(lambda: len(slow.arrivals) == 1)
            await world.accept(*messages(300))
            await taken(receiver, 50)
            await assign(journal, 2, {SITE: "delivery-0-1", "c.mx": "delivery-0-1"})
            await taken(receiver, 300)
            assert slow.arrivals[0].ended_at == inf
            assert accepted(world)[1] >= 100
            assert longest_pause_s(receiver) < PAUSE_S
            await taken(slow, 1)


async def test_a_site_that_is_split_and_made_whole_again_keeps_its_limits(journal: Journal) -> None:
    async with a_cluster(journal, "delivery-0-1") as (world, receiver):
        await world.put_in_force(rule(connections=6, message_rate="100/s"))
        await world.accept(*messages(900))
        for version, (count, shares) in enumerate(((150, 2), (450, 1)), 1):
            await taken(receiver, count)
            await assign(journal, version, {}, shares=shares)
        await taken(receiver, 900)
        assert_nothing_was_cut(receiver, 900)
        assert all(count >= 50 for count in accepted(world))
        assert most_within(starts(receiver), 1.0) <= 100 + 6
        assert receiver.most_open() <= 6
        assert longest_pause_s(receiver) < PAUSE_S


async def test_what_the_actors_report_is_balanced(journal: Journal) -> None:
    """Four sites of one weight, which the hash gives to one of two actors."""
    names = ("delivery-0-0", "delivery-0-1")
    async with a_cluster(journal, names[1]) as (world, receiver):
        ring = world.dispatcher.ring
        hosts = [host for n in range(200) if ring.owner(Destination(host := f"mx{n}.test")) == names[0]][:4]
        for host in hosts:
            world.dns.zone |= {(f"at.{host}", "MX"): [MX(host, 10)], (host, "A"): [A("127.0.0.11")]}
        balancing = Balancing(journal, {}, now=time.time, matters_per_min=1.0)

        async def send(count: int) -> None:
            before = len(receiver.taken)
            await world.accept(*(a_message(f"u{n}@at.{host}") for host in hosts for n in range(count)))
            await taken(receiver, before + 4 * count)

        await send(20)
        await world.eventually(lambda: accepted(world) == [80, 0])
        assert await balancing.round() is None  # the actors have not reported yet
        for one in world.deliverers:
            await one.parts.load_reports.report()
        found = await balancing.round()
        assert found is not None
        assert sorted(found.placed.values()) == [names[0], names[0], names[1], names[1]]
        assert await balancing.round() is None
        await world.eventually(lambda: all(one.parts.ownership.is_settled for one in world.deliverers))
        await world.eventually(lambda: world.dispatcher.ring.assignment.version == found.version)
        await send(20)
        await world.eventually(lambda: accepted(world) == [80 + 40, 40])
        await world.others[names[1]].stop()
        await send(1)


async def test_a_site_at_which_an_actor_stands_at_its_limit_is_split(
    journal: Journal, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(splitting, "SPLIT_AFTER_S", 0.5)
    async with a_cluster(journal, "delivery-0-1", delay_s=0.05) as (world, receiver):
        await world.put_in_force(rule(connections=6))
        balancing = Balancing(journal, {}, now=time.time)
        await world.accept(*messages(900))
        await taken(receiver, 30)
        found = None
        for _ in range(10):
            await asyncio.sleep(0.2)
            world.worked_s += 10.0
            for one in world.deliverers:
                await one.parts.load_reports.report()
            if (found := await balancing.round()) is not None:
                break
        assert found is not None
        assert found.splits[SITE].shares == 2
        await taken(receiver, 900)
        assert all(count >= 50 for count in accepted(world))
        assert receiver.most_open() <= 6
        assert_nothing_was_cut(receiver, 900)


async def test_of_two_assignments_made_of_one_the_first_is_in_force(journal: Journal) -> None:
    assert await journal.balance.assignment() == Assignment()
    first, second = Assignment(version=1, placed={"a.mx": "one"}), Assignment(version=1, placed={"a.mx": "two"})
    assert await journal.balance.assign(first, 0)
    assert not await journal.balance.assign(second, 0)
    assert await journal.balance.assignment() == first


async def test_a_change_is_known_to_all_as_soon_as_the_simulator_says(journal: Journal) -> None:
    others = [f"delivery-0-{n}" for n in range(1, 8)]
    async with a_world(journal, settings=QUICK) as world:
        for name in others:
            await world.join(name)
        names = ["delivery-0-0", *others]
        took_s, simulated_s = [], []
        for version in (1, 2, 3):
            await asyncio.sleep(0.3 * version)  # at another moment of the actors' beats
            await assign(journal, version, {"a.mx": names[version]})
            began = time.monotonic()

            def all_know(version: int = version) -> bool:
                ownerships = [one.parts.ownership for one in world.deliverers]
                return all(one.is_settled and one.assignment.version == version for one in ownerships)

            await world.eventually(all_know)
            took_s.append(time.monotonic() - began)
            before, after = Assignment(version=version - 1), Assignment(version=version)
            simulated_s.append(settle(names, before, after, {}, drain_s=0.1, seed=version).acknowledged_s)
        assert 0.3 * median(simulated_s) < median(took_s) < 1.5 * median(simulated_s) + 0.5, (took_s, simulated_s)
