"""The addresses that mail leaves from: pools and their weights, addresses that no machine has, warm-up."""

import asyncio

import pytest
from dnslib import MX, A

from actors.delivery import heartbeat
from cluster.events import Delivered
from cluster.journal.journal import Journal
from cluster.policy.lifecycle import Status
from cluster.routing.active_policy import MISSED
from tests.integration.delivery.receiver import Receiver, receiving
from tests.integration.delivery.world import TODAY, World, a_world
from tests.integration.journal.builders import a_message

HOST = "127.0.0.11"


def sources(*caps: str, weights: tuple[int, ...] = (3, 1)) -> str:
    """Sources s0, s1, … at 127.0.0.31, …, and a pool of them. ``caps``: of each one's warm-up, "" for none."""
    text = ""
    for i, _ in enumerate(weights):
        text += f'[sources.s{i}]\naddress = "127.0.0.{31 + i}"\nhelo_name = "s{i}.example.com"\n'
        if i < len(caps) and caps[i]:
            text += f"[sources.s{i}.warm_up]\nstarted = {TODAY}\nper_day = [{caps[i]}]\n"
    return text + "[pools.marketing]\n" + "".join(f"s{i} = {weight}\n" for i, weight in enumerate(weights))


@pytest.fixture
def gone(monkeypatch: pytest.MonkeyPatch) -> set[str]:
    """Sources whose addresses this machine has no longer."""
    names: set[str] = set()
    is_local = heartbeat.is_local
    monkeypatch.setattr(heartbeat, "is_local", lambda source: source.name not in names and is_local(source))
    return names


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
        event = (await world.events_of(messages[0], 1))[0]
        assert isinstance(event, Delivered) and event.source_ip in clients
        # A pool that does not exist holds nothing back, nor is there a default pool here.
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
            await world.scheduler.paging.round()
            await world.scheduler.paging.name_lanes()
        assert receiver.sessions == []
        row = await journal.messages.find(world.tenant_id, message.id)
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
            await world.deliverer.parts.heartbeat.beat()
            await world.dispatcher.refresh()
            await world.scheduler.paging.round()
            await world.scheduler.paging.name_lanes()
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
        await world.scheduler.paging.round()
        ghosts = "ghost>a.mx"
        assert (await journal.queue_control.parked_in([ghosts]))[ghosts] > len(only)

        async def looked() -> bool:
            await world.follow()
            return len(receiver.taken) == len(mixed)

        await world.eventually(looked)
        assert set(receiver.clients()) == {"127.0.0.31"}
        # Mail of a pool that has no other source waits for it.
        assert await journal.queue_control.parked_in([ghosts]) == {ghosts: len(only)}
        # With a route that needs no source it waits no longer.
        await world.put_in_force(routing='[[routes]]\nvia = "discard"\n' + GHOST + sources(weights=(1,)))

        async def discarded() -> bool:
            rows = [await journal.messages.find(world.tenant_id, message.id) for message in only]
            return all(row is not None and row.status is Status.DELIVERED for row in rows)

        await world.eventually(discarded)


async def test_mail_in_the_lane_of_an_address_that_goes_moves_within_its_pool(journal: Journal, gone: set[str]) -> None:
    async with a_world(journal) as world, receiving(world.port, HOST) as receiver:
        zone(world)
        await world.put_in_force(routing=sources(weights=(1, 1)) + "[pools.one]\ns1 = 1\n")
        gone.add("s1")
        await world.follow()
        both = [a_message(f"u{i}@example.com") for i in range(20)]
        await world.accept(a_message("alone@example.com"), pool="one")
        await world.accept(*both, pool="marketing")
        await world.scheduler.paging.round()
        assert (await journal.queue_control.parked_in(["s1>a.mx"]))["s1>a.mx"] > 1

        async def looked() -> bool:
            await world.follow()
            return len(receiver.taken) >= len(both)

        await world.eventually(looked)
        assert receiver.clients() == {"127.0.0.31": len(both)}
        assert await journal.queue_control.parked_in(["s1>a.mx"]) == {"s1>a.mx": 1}
        gone.clear()
        await world.follow()
        await world.eventually(lambda: len(receiver.taken) > len(both))
        assert receiver.clients() == {"127.0.0.31": len(both), "127.0.0.32": 1}


async def test_an_address_that_goes_while_postray_runs_and_comes_back(journal: Journal, gone: set[str]) -> None:
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
        await world.deliverer.parts.allowances.grant()
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
        # Another site has its own caps.
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
            (used,) = await journal.warm_up.usage(TODAY, 10)
            left = [s for s in world.deliverer.parts.sites if s.in_flight or (s.allowance and s.allowance.remaining)]
            return used.granted == used.cap == 40 and not left

        await world.eventually(all_granted)
        await nothing_more_leaves(world, receiver)
        # What a killed life had taken of the cap and not used is lost with it, never granted again.
        assert 30 <= len(receiver.arrivals) <= 40
