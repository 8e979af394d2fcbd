"""The connections of a site: how many, for whom, how long, and that every job ends exactly once."""

import asyncio
from collections import Counter
from itertools import pairwise
from random import Random

import pytest

from actors.delivery.connector import Crowded
from actors.delivery.job import Job, NoRoute
from actors.delivery.pool import PAUSE_S, TURN
from actors.smtp.protocol import ConnectionLost
from actors.smtp.transaction import TransactionResult
from tests.unit.delivery.builders import HOP, OTHER_HOP, TAKEN, some_limits
from tests.unit.delivery.pool_world import BROKEN, IN_DOUBT, REFUSED, TOLD_TO_GO, World
from tests.unit.virtual_time import in_virtual_time, settle

# How many


@in_virtual_time
async def test_one_connection_carries_one_message_and_what_follows_it() -> None:
    world = World(some_limits(20))
    world.submit(1)
    await settle()
    assert (world.pool.connections, world.pool.on_the_wire) == (1, 1)
    await world.answer()
    world.submit(1)
    await settle()
    await world.answer()
    assert len(world.attempts) == 1
    assert [hop.mx_ip for _, hop, _ in world.reports] == ["192.0.2.1"] * 2


@pytest.mark.parametrize(("jobs", "behind", "opened"), [(4, 0, 1), (5, 0, 2), (40, 0, 10), (4, 100, 20), (400, 0, 20)])
def test_connections_are_opened_to_need(jobs: int, behind: int, opened: int) -> None:
    @in_virtual_time
    async def scenario() -> None:
        world = World(some_limits(20), behind=behind)
        world.submit(jobs)
        await settle()
        assert len(world.open) == opened
        await world.finish()
        assert Counter(world.reported).total() == len(set(world.reported)) == jobs

    scenario()


@in_virtual_time
async def test_there_are_never_more_than_the_limit_and_one_counts_until_it_has_said_quit() -> None:
    world = World(some_limits(3, messages_per_connection=2), takes_s=0.1)
    world.opening_takes_s, world.quit_takes_s = 0.05, 1.0
    jobs = world.submit(60)
    while world.pool.outstanding:
        assert len(world.open) <= 3
        await asyncio.sleep(0.01)
    assert world.most_open == 3
    assert set(world.reported) == set(jobs)
    assert max(line.transactions for _, _, line in world.began) == 2


@in_virtual_time
async def test_what_waits_behind_a_slow_transaction_gets_a_connection_of_its_own() -> None:
    world = World(some_limits(5), takes_s=2.0)
    world.submit(4)
    await asyncio.sleep(5.1)
    assert len(world.reports) == 4


@in_virtual_time
async def test_a_lower_limit_is_come_down_to() -> None:
    world = World(some_limits(4), takes_s=0.1)
    world.submit(100)
    await settle()
    assert len(world.open) == 4
    world.throttle.limits = some_limits(2)
    await asyncio.sleep(0.5)
    assert len(world.open) == 2
    await world.pool.drain()
    assert len(world.reports) == 100


@in_virtual_time
async def test_connections_are_opened_no_faster_than_their_rate() -> None:
    world = World(some_limits(20, connection_rate="2/s"), takes_s=10.0)
    world.submit(80)
    await asyncio.sleep(5)
    times = [at for at, _ in world.attempts]
    assert all(later - earlier > 0.499 for earlier, later in pairwise(times))
    assert len(times) >= 9


@in_virtual_time
async def test_nothing_waits_behind_a_transaction_that_hangs() -> None:
    world = World(some_limits(5))
    world.submit(3)
    await settle()
    (hanging,) = world.on_the_wire
    await asyncio.sleep(1)
    for line in set(world.on_the_wire) - {hanging}:
        line.end(TAKEN)
    await settle()
    await asyncio.sleep(1)
    for line in set(world.on_the_wire) - {hanging}:
        line.end(TAKEN)
    await settle()
    assert len(world.reports) == 2
    hanging.end(TAKEN)


@in_virtual_time
async def test_what_waits_for_its_turn_is_not_worth_another_connection() -> None:
    world = World(some_limits(20, message_rate="1/s"), takes_s=0.1)
    world.submit(4)
    await world.pool.drain()
    assert len(world.attempts) == 1


# How long


@in_virtual_time
async def test_an_idle_connection_is_closed_after_its_time() -> None:
    world = World(some_limits(connection_idle_s=5))
    world.submit(1)
    await settle()
    await world.answer()
    await asyncio.sleep(4.9)
    assert len(world.open) == 1
    await asyncio.sleep(0.2)
    assert (world.open, world.pool.connections) == ([], 0)


@in_virtual_time
async def test_with_many_open_elsewhere_fewer_are_opened() -> None:
    world = World(some_limits(20))
    world.elsewhere = 50 * 16
    world.submit(20)
    await settle()
    assert len(world.open) == 1
    await world.finish()


@in_virtual_time
async def test_of_too_many_that_are_idle_the_one_that_has_waited_longest_goes() -> None:
    world = World(some_limits(20, connection_idle_s=50), idle_at_most=2)
    world.submit(20)
    await settle()
    lines = list(world.open)
    began = [line for _, _, line in world.began]
    while world.on_the_wire:
        # The connection that began last is the last to finish its messages.
        line = min(world.on_the_wire, key=began.index)
        line.end(TAKEN)
        await settle()
    assert len(world.reported) == 20
    assert set(world.open) < set(lines)
    assert (len(world.open), began[-1] in world.open) == (2, True)


@in_virtual_time
async def test_a_connection_has_its_number_of_messages_and_its_age() -> None:
    world = World(some_limits(1, messages_per_connection=3), takes_s=0.1)
    world.submit(7)
    await world.pool.drain()
    assert [line.transactions for line in dict.fromkeys(line for _, _, line in world.began)] == [3, 3, 1]

    world = World(some_limits(1, connection_age_s=1.0), takes_s=0.3)
    world.submit(8)
    await world.pool.drain()
    assert [line.transactions for line in dict.fromkeys(line for _, _, line in world.began)] == [4, 4]


@in_virtual_time
async def test_what_is_idle_is_closed_at_its_age() -> None:
    world = World(some_limits(20, connection_idle_s=5, connection_age_s=8))
    for _ in range(2):
        world.submit(1)
        await settle()
        await world.answer()
        await asyncio.sleep(4.1)
    assert world.open == []


@in_virtual_time
async def test_disconnecting_closes_what_is_idle_and_leaves_what_works() -> None:
    world = World(some_limits(20))
    world.submit(5)
    await settle()
    idle, busy = world.open
    await world.answer()
    world.pool.take_back()
    await world.finish()
    world.submit(1)
    await settle()
    world.pool.disconnect()
    await settle()
    assert (world.open, world.on_the_wire) == ([idle], [idle]) or (world.open, world.on_the_wire) == ([busy], [busy])
    await world.answer()


@in_virtual_time
async def test_draining_ends_with_every_job_reported_and_every_connection_closed() -> None:
    world = World(some_limits(3), takes_s=0.2)
    world.quit_takes_s = 0.3
    jobs = world.submit(30)
    await world.pool.drain()
    assert set(world.reported) == set(jobs)
    assert (world.open, world.pool.connections, world.pool.outstanding) == ([], 0, 0)
    assert len(world.ended) == len(world.attempts)
    assert not any(lost for _, lost in world.ended)


# Stopping


@in_virtual_time
async def test_a_stopped_pool_waits_only_for_what_a_host_has_in_full() -> None:
    world = World(some_limits(2))
    jobs = world.submit(5)
    await settle()
    whole, part = world.on_the_wire
    part.has_all_data = False
    back = world.pool.stop()
    await settle()
    assert set(back) == {*jobs[1:]}
    assert world.pool.unanswered() == [whole.host]
    assert world.reports == []
    late = world.submit(1)
    await settle()
    assert world.pool.stop() == late, "what a claim hands over afterwards goes back as well"
    assert len(world.attempts) == 2
    await world.answer()
    await world.pool.drain()
    assert world.reported == jobs[:1]
    assert (world.open, world.pool.connections, world.pool.on_the_wire) == ([], 0, 0)


@in_virtual_time
async def test_a_stopped_pool_that_waited_long_enough_reports_what_was_not_answered_as_lost() -> None:
    world = World(some_limits(1))
    world.alternatives = 1
    jobs = world.submit(2)
    await settle()
    assert world.pool.stop() == jobs[1:]
    world.pool.give_up()
    await world.pool.drain()
    assert [(job, report) for job, _, report in world.reports] == [(jobs[0], IN_DOUBT)]


# Several next hops


@in_virtual_time
async def test_a_connection_carries_only_what_its_next_hop_is_right_for() -> None:
    world = World(some_limits(4), takes_s=0.1)
    world.submit(6)
    world.submit(6, OTHER_HOP)
    await world.pool.drain()
    assert {(recipient, line.hop) for _, recipient, line in world.began} == {
        (f"r{number}@example.com", HOP if number <= 6 else OTHER_HOP) for number in range(1, 13)
    }


@in_virtual_time
async def test_an_idle_connection_gives_its_place_to_a_next_hop_that_has_none() -> None:
    world = World(some_limits(1))
    world.quit_takes_s = 0.5
    world.submit(1)
    await settle()
    await world.answer()
    world.submit(1, OTHER_HOP)
    await settle()
    assert len(world.attempts) == 1, "its place is free only when it has said QUIT"
    await asyncio.sleep(0.6)
    assert [line.hop for line in world.open] == [OTHER_HOP]
    assert world.most_open == 1
    await world.answer()
    assert len(world.reports) == 2


@in_virtual_time
async def test_a_busy_connection_gives_its_place_after_its_turn_and_both_go_on_in_turns() -> None:
    world = World(some_limits(1), takes_s=0.1)
    world.submit(2 * TURN + 5)
    world.submit(TURN + 3, OTHER_HOP)
    await world.pool.drain()
    turns = [(line.hop, line.transactions) for line in dict.fromkeys(line for _, _, line in world.began)]
    assert turns == [(HOP, TURN), (OTHER_HOP, TURN), (HOP, TURN), (OTHER_HOP, 3), (HOP, 5)]


# Turns


@in_virtual_time
async def test_transactions_begin_no_faster_than_the_rate() -> None:
    world = World(some_limits(20, message_rate="10/s"), takes_s=0.5)
    world.submit(50)
    await world.pool.drain()
    times = sorted(at for at, _, _ in world.began)
    assert all(later - earlier > 0.095 for earlier, later in pairwise(times))
    assert times[-1] - times[0] < 5.5


@in_virtual_time
async def test_what_waits_for_its_turn_can_be_taken_back_and_what_is_on_the_wire_not() -> None:
    world = World(some_limits(20, message_rate="1/s"))
    jobs = world.submit(10)
    await asyncio.sleep(0.1)
    assert (world.pool.outstanding, world.pool.on_the_wire) == (10, 1)
    found = dict(world.pool.jobs())
    assert set(found) == set(jobs)
    assert [job for job, is_on_the_wire in found.items() if is_on_the_wire] == jobs[:1]
    assert set(world.pool.take_back()) == set(jobs[1:])
    # Those that wait for their turn are still there, and are not counted twice.
    assert (world.pool.take_back(), world.pool.outstanding) == ([], 1)
    assert world.pool.outstanding == 1
    await asyncio.sleep(5)
    await world.answer()
    await asyncio.sleep(5)
    assert world.reported == jobs[:1]
    assert world.pool.take_back() == []


@in_virtual_time
async def test_a_higher_rate_does_not_wait_for_the_turns_of_the_lower_one() -> None:
    world = World(some_limits(20, message_rate="1/h"), takes_s=0.1)
    world.submit(3)
    await asyncio.sleep(60)
    assert len(world.reports) == 1
    world.throttle.limits = some_limits(20, message_rate="10/s")
    await asyncio.sleep(2)
    assert len(world.reports) == 3


@in_virtual_time
async def test_what_comes_after_a_taking_back_is_sent() -> None:
    world = World(some_limits(4, message_rate="1/s"), takes_s=0.1)
    world.submit(3)
    world.pool.take_back()
    later = world.submit(2)
    await world.pool.drain()
    assert world.reported == later


@pytest.mark.parametrize("seed", range(5))
def test_whatever_happens_every_job_comes_to_one_end(seed: int) -> None:
    chance = Random(seed)

    def answer() -> TransactionResult | ConnectionLost:
        return TAKEN if chance.random() < 0.7 else chance.choice((BROKEN, TOLD_TO_GO, IN_DOUBT))

    @in_virtual_time
    async def scenario() -> None:
        world = World(some_limits(5, messages_per_connection=7, connection_idle_s=3, connection_age_s=20))
        world.quit_takes_s, world.opening_takes_s, world.alternatives = 0.05, 0.02, 1
        submitted: list[Job] = []
        taken: list[Job] = []
        for _ in range(600):
            if chance.random() < 0.3:
                submitted += world.submit(chance.randrange(6), chance.choice([HOP, OTHER_HOP]))
            if chance.random() < 0.1:
                world.refusals.append(chance.choice([REFUSED, Crowded(), NoRoute("no", permanent=False)]))
            if chance.random() < 0.02:
                taken += world.pool.take_back()
            for line in list(world.on_the_wire):
                if chance.random() < 0.5:
                    line.end(answer())
            await asyncio.sleep(chance.random() / 10)
            assert world.most_open <= 5
            assert len(world.reports) + len(taken) + world.pool.outstanding == len(submitted)
        world.refusals.clear()
        for _ in range(5):
            await world.finish()
            await asyncio.sleep(2 * PAUSE_S)
        await world.pool.drain()
        assert Counter(world.reported + taken) == Counter(submitted)
        assert not world.pool.connections

    scenario()
