"""A site's connections when its hosts reply, or have announced, that a connection carries only so much."""

import random

import pytest
from msgspec.structs import replace

from actors.delivery.job import Job
from actors.delivery.pool import TURN
from actors.smtp.commands import Envelope
from actors.smtp.protocol import ConnectionLost
from actors.smtp.reply import make_reply
from actors.smtp.transaction import TransactionResult
from cluster.policy.limits.session import SessionLimits
from cluster.policy.replies.effects import MOVES_AT_MOST
from cluster.policy.replies.stage import Stage
from tests.unit.delivery.builders import HOP, TAKEN, job, some_limits
from tests.unit.delivery.pool_world import World
from tests.unit.virtual_time import in_virtual_time, settle

_ENOUGH = make_reply(452, ["452 4.4.5 too many messages per session"])
_CLOSES = make_reply(421, ["421 too many messages in this connection"])
_OK = make_reply(250, ["250 ok"])
AT_MAIL = replace(TAKEN, mail=_ENOUGH, recipients=(), final=None)
AT_RCPT = replace(TAKEN, recipients=(_ENOUGH,), final=None)
AT_END = replace(TAKEN, final=_ENOUGH)
CLOSED = ConnectionLost(Stage.DATA, "the peer closes the connection", after_end_of_data=False, reply=_CLOSES)
ENDS: dict[str, TransactionResult | ConnectionLost] = {"mail": AT_MAIL, "rcpt": AT_RCPT, "end": AT_END, "421": CLOSED}


def addressed(*recipients: str, tenant_id: str = "tnt_1") -> Job:
    one = job(1, tenant_id)
    deliveries = [replace(one.deliveries[0], recipient=r, recipient_no=n) for n, r in enumerate(recipients)]
    return replace(one, deliveries=tuple(deliveries), envelope=Envelope("from@sender.example", recipients))


def transactions(world: World) -> list[tuple[str, ...]]:
    """The recipients of the transactions on the wire."""
    return [line.envelope.recipients for line in world.on_the_wire]


@pytest.mark.parametrize("end", ENDS)
@in_virtual_time
async def test_a_used_up_connection_costs_a_job_nothing(end: str) -> None:
    world = World(some_limits(1))
    jobs = world.submit(4)
    await settle()
    for answer in (TAKEN, TAKEN, ENDS[end]):
        await world.answer(answer)
    await settle()
    assert (len(world.open), world.pool.outstanding) == (1, 2)
    await world.finish()
    assert world.reported == jobs, "it goes before the others"
    assert [report for _, _, report in world.reports] == [TAKEN] * 4
    assert ([lost for _, lost in world.ended], world.passed_over) == ([False], [])
    assert [limits for _, limits in world.taught] == [SessionLimits(messages=2)]


@pytest.mark.parametrize("end", ENDS)
@in_virtual_time
async def test_the_first_message_of_a_connection_cannot_have_used_it_up(end: str) -> None:
    world = World(some_limits(1))
    jobs = world.submit(3)
    for _ in jobs:
        await settle()
        await world.answer(ENDS[end])
    assert [(job, report) for job, _, report in world.reports] == [(job, ENDS[end]) for job in jobs]
    await settle()
    assert (len(world.began), len(world.attempts), world.taught) == (3, 3, []), "each on a connection of its own"


@in_virtual_time
async def test_a_host_that_takes_every_other_message_ends_nothing_up_in_a_circle() -> None:
    world = World(some_limits(3))
    jobs = world.submit(30)
    await settle()
    while world.on_the_wire:
        for line in list(world.on_the_wire):
            line.end(TAKEN if line.transactions == 1 else AT_MAIL)
        await settle()
    assert sorted(world.reported, key=jobs.index) == jobs
    assert len(world.began) <= 2 * len(jobs)


@pytest.mark.parametrize("seed", range(8))
@in_virtual_time
async def test_whatever_hosts_say_each_job_is_reported_once(seed: int) -> None:
    chance = random.Random(seed)
    world = World(some_limits(chance.randint(1, 5)))
    jobs = world.submit(40)
    await settle()
    while world.on_the_wire:
        for line in list(world.on_the_wire):
            line.end(chance.choice([TAKEN, TAKEN, *ENDS.values()]))
        await settle()
    assert sorted(world.reported, key=jobs.index) == jobs
    assert (world.pool.outstanding, world.passed_over) == (0, [])
    assert len(world.began) <= 2 * len(jobs), "each connection that moves a job has carried another"


@in_virtual_time
async def test_a_job_meets_only_so_many_used_up_connections() -> None:
    world = World(some_limits(MOVES_AT_MOST + 2))
    world.submit(4 * (MOVES_AT_MOST + 2))
    await settle()
    first = world.on_the_wire[0]
    lines = list(world.on_the_wire)
    await world.answer()
    for line in lines:
        line.share.limits = SessionLimits()  # as if each were another host, so no limit is learned from the others
    unlucky = first.envelope.recipients
    refused = 0
    while any(transaction == unlucky for transaction in transactions(world)):
        for line in list(world.on_the_wire):
            if line.envelope.recipients == unlucky:
                refused += 1
                line.end(AT_MAIL)
        await settle()
    assert refused <= MOVES_AT_MOST + 1
    await world.finish()
    assert world.pool.outstanding == 0


@in_virtual_time
async def test_what_it_shows_holds_for_the_connections_that_are_open() -> None:
    world = World(some_limits(2))
    world.submit(20)
    await settle()
    one, other = world.on_the_wire
    for _ in range(3):
        one.end(TAKEN)
        await settle()
    one.end(AT_MAIL)
    await settle()
    assert other.share.limits == SessionLimits(messages=3)
    assert world.pool.limits_described() == ("at most 3 messages on a connection, says mx1.example.com",)
    await world.finish()
    assert (one.transactions, other.transactions) == (4, 3)


@in_virtual_time
async def test_only_the_recipients_that_it_would_not_carry_go_over_another() -> None:
    world = World(some_limits(1))
    world.submit(1)
    world.pool.submit(HOP, addressed("a@x.test", "b@x.test", "c@x.test", tenant_id="tnt_three"))
    await settle()
    await world.answer()
    enough = make_reply(452, ["452 4.5.3 too many recipients on this connection"])
    partly = replace(TAKEN, recipients=(_OK, enough, enough))
    await world.answer(partly)
    await settle()
    assert [job.envelope.recipients for job in world.reported[1:]] == [("a@x.test",)]
    assert transactions(world) == [("b@x.test", "c@x.test")]
    assert (world.divided, [limits for _, limits in world.taught]) == (["tnt_three"], [SessionLimits(recipients=2)])
    await world.finish()
    assert world.pool.outstanding == 0


# A connection that its host ends at one recipient too many

FEW_AT_A_TIME = [
    "421 4.5.3 too many recipients",
    "421 too many recipients",
    "421 4.5.3 too many recipients in this session",
    "421 4.4.5 too many messages in this connection",
]


def ended_at(recipients: int, says: str | None, stage: Stage = Stage.RCPT) -> ConnectionLost:
    """The connection ends after so many recipients were taken."""
    reply = None if says is None else make_reply(421, [says])
    lost = ConnectionLost(stage, "the peer closes the connection", after_end_of_data=False, reply=reply)
    lost.recipients = (_OK,) * recipients
    return lost


async def delivered_by(world: World, at_most: int, says: str | None, stage: Stage = Stage.RCPT) -> list[int]:
    """What each transaction was for, with a host that ends the connection when one has more recipients than that."""
    sizes = []
    await settle()
    while world.on_the_wire:
        for line in list(world.on_the_wire):
            sizes.append(size := len(line.envelope.recipients))
            assert len(sizes) < 100, "it goes in a circle"
            taken = replace(TAKEN, recipients=(_OK,) * size)
            before = at_most if stage is Stage.RCPT else size
            line.end(ended_at(before, says, stage) if size > at_most else taken)
        await settle()
    return sizes


@pytest.mark.parametrize("alternatives", [0, 2])
@pytest.mark.parametrize("says", FEW_AT_A_TIME)
@pytest.mark.parametrize(("count", "at_most"), [(4, 2), (14, 10), (5, 1), (7, 3)])
@in_virtual_time
async def test_a_host_that_ends_the_connection_at_one_recipient_too_many(
    count: int, at_most: int, says: str, alternatives: int
) -> None:
    world = World(some_limits(1))
    world.alternatives = alternatives
    world.pool.submit(HOP, addressed(*[f"r{number}" for number in range(count)]))
    sizes = await delivered_by(world, at_most, says)
    assert (sizes[0], max(sizes[1:]), sum(sizes[1:])) == (count, at_most, count), "the next transactions are as it asks"
    assert sorted(r for one in world.reported for r in one.envelope.recipients) == sorted(
        f"r{number}" for number in range(count)
    )
    assert all(isinstance(report, TransactionResult) for _, _, report in world.reports)
    assert (world.passed_over, [lost for _, lost in world.ended if lost]) == ([], []), "nothing counts against the host"
    assert (len(world.divided), world.pool.outstanding) == (len(world.reports) - 1, 0)


@pytest.mark.parametrize("stage", [Stage.DATA, Stage.END_OF_DATA])
@in_virtual_time
async def test_a_host_that_ends_the_connection_for_their_number_after_the_last(stage: Stage) -> None:
    world = World(some_limits(1))
    world.pool.submit(HOP, addressed(*"abcd"))
    assert await delivered_by(world, 1, "421 4.5.3 too many recipients", stage) == [4, 2, 2, 1, 1, 1, 1]
    assert (len(world.reports), world.pool.outstanding) == (4, 0)


@in_virtual_time
async def test_what_a_connection_carried_in_its_first_transaction_is_learnt() -> None:
    world = World(some_limits(1))
    world.pool.submit(HOP, addressed(*"abc"))
    await delivered_by(world, 2, "421 4.5.3 too many recipients in this session")
    assert [limits for _, limits in world.taught] == [SessionLimits(recipients=2)]


@in_virtual_time
async def test_who_was_refused_before_the_connection_ended_is_told_so() -> None:
    world = World(some_limits(1))
    world.pool.submit(HOP, addressed(*"abcde"))
    await settle()
    lost = ended_at(0, "421 4.5.3 too many recipients")
    unknown, too_many = make_reply(550, ["550 5.1.1 unknown"]), make_reply(452, ["452 4.5.3 too many recipients"])
    lost.recipients = (unknown, _OK, too_many)
    await world.answer(lost)
    ((refused, _, report),) = world.reports
    assert refused.envelope.recipients == ("a",)
    assert isinstance(report, ConnectionLost) and report.recipients == (unknown,)
    assert await delivered_by(world, 1, "421 4.5.3 too many recipients") == [1, 1, 1, 1]


@pytest.mark.parametrize("stage", [Stage.RCPT, Stage.DATA])
@pytest.mark.parametrize("no", ["452 4.5.3 too many recipients", "550 max 2 recipients", "503 5.5.1 bad sequence"])
@in_virtual_time
async def test_a_host_that_refuses_one_too_many_and_then_hangs_up(no: str, stage: Stage) -> None:
    world = World(some_limits(1))
    world.pool.submit(HOP, addressed(*"abcd"))
    await settle()
    lost = ended_at(2, None, stage)
    refusals = 1 if stage is Stage.RCPT else 2
    lost.recipients += (make_reply(int(no[:3]), [no]),) * refusals
    await world.answer(lost)
    assert (await delivered_by(world, 2, None), world.passed_over) == ([2, 2], [])
    assert all(isinstance(report, TransactionResult) for _, _, report in world.reports)


@pytest.mark.parametrize("seed", range(8))
@in_virtual_time
async def test_however_connections_are_lost_each_recipient_is_reported_once(seed: int) -> None:
    chance = random.Random(seed)
    world = World(some_limits(chance.randint(1, 3)))
    world.alternatives = chance.randint(0, 2)
    one = addressed(*[f"r{number}" for number in range(9)])
    attempts = chance.randint(1, 2)
    world.pool.submit(HOP, replace(one, deliveries=tuple(replace(d, attempts=attempts) for d in one.deliveries)))
    await settle()
    ends = 0
    while world.on_the_wire:
        for line in list(world.on_the_wire):
            ends += 1
            size = len(line.envelope.recipients)
            words = chance.choice([None, "421 bye", "421 4.7.28 rate limited", *FEW_AT_A_TIME])
            stage = chance.choice([Stage.MAIL, Stage.RCPT, Stage.DATA, Stage.END_OF_DATA])
            lost = ended_at(chance.randrange(size) if stage is Stage.RCPT else size, words, stage)
            taken = replace(TAKEN, recipients=(_OK,) * size)
            line.end(taken if chance.random() < 1 / 3 else lost)
        await settle()
    assert sorted(d.recipient_no for job in world.reported for d in job.deliveries) == list(range(9))
    assert (world.pool.outstanding, ends < 100) == (0, True)


@pytest.mark.parametrize("says", [None, "421 4.3.2 closing", "421 bye"])
@pytest.mark.parametrize(("count", "at_most"), [(4, 2), (3, 1)])
@in_virtual_time
async def test_a_connection_lost_at_a_later_recipient_divides_the_second_attempt(
    count: int, at_most: int, says: str | None
) -> None:
    one = addressed(*[f"r{number}" for number in range(count)])
    world = World(some_limits(1))
    world.pool.submit(HOP, one)
    assert await delivered_by(world, at_most, says) == [count]
    assert [job for job, _, _ in world.reports] == [one], "it may be chance"
    world.reports.clear()
    again = replace(one, deliveries=tuple(replace(delivery, attempts=2) for delivery in one.deliveries))
    world.pool.submit(HOP, again)
    assert (await delivered_by(world, at_most, says))[0] == count
    assert (
        sum(len(job.deliveries) for job, _, report in world.reports if isinstance(report, TransactionResult)) == count
    )
    assert world.pool.outstanding == 0


@in_virtual_time
async def test_a_host_that_takes_no_recipient_is_not_asked_for_each() -> None:
    world = World(some_limits(1))
    one = addressed(*"abcdefgh")
    again = replace(one, deliveries=tuple(replace(delivery, attempts=2) for delivery in one.deliveries))
    world.pool.submit(HOP, again)
    assert await delivered_by(world, 0, None) == [8, 1, 7, 1, 6]
    assert (sum(len(job.deliveries) for job in world.reported), world.pool.outstanding) == (8, 0)


@pytest.mark.parametrize("says", ["421 4.7.28 rate limited", "421 4.7.1 greylisted, try later"])
@in_virtual_time
async def test_who_is_told_to_wait_waits_whole(says: str) -> None:
    world = World(some_limits(1))
    one = addressed(*"abcd")
    again = replace(one, deliveries=tuple(replace(delivery, attempts=2) for delivery in one.deliveries))
    world.pool.submit(HOP, again)
    assert await delivered_by(world, 2, says) == [4]
    assert world.reported == [again]


# Announced


@in_virtual_time
async def test_no_more_messages_than_announced() -> None:
    world = World(some_limits(1))
    world.announced = SessionLimits(messages=3)
    world.submit(7)
    await settle()
    await world.finish()
    while len(world.reports) < 7:
        await settle()
        await world.finish()
    assert [line.transactions for line in dict.fromkeys(line for _, _, line in world.began)] == [3, 3, 1]


@in_virtual_time
async def test_no_more_recipients_in_a_transaction_than_announced() -> None:
    world = World(some_limits(1))
    world.announced = SessionLimits(recipients_per_transaction=2)
    world.pool.submit(HOP, addressed(*"abcde"))
    seen = []
    await settle()
    while world.on_the_wire:
        (line,) = world.on_the_wire
        seen += transactions(world)
        await world.answer(replace(TAKEN, recipients=(_OK,) * len(line.envelope.recipients)))
    assert seen == [("a", "b"), ("c", "d"), ("e",)]
    assert (len(world.divided), len(world.reports), world.pool.outstanding) == (2, 3, 0)


@in_virtual_time
async def test_no_more_domains_on_a_connection_than_announced() -> None:
    world = World(some_limits(1))
    world.announced = SessionLimits(domains=1)
    world.pool.submit(HOP, addressed("a@x.test", "b@y.test", "c@X.test"))
    seen = []
    await settle()
    while world.on_the_wire:
        (line,) = world.on_the_wire
        seen.append((line.address, line.envelope.recipients))
        await world.answer(replace(TAKEN, recipients=(_OK,) * len(line.envelope.recipients)))
        await settle()
    assert seen == [("192.0.2.1", ("a@x.test", "c@X.test")), ("192.0.2.2", ("b@y.test",))]
    assert world.pool.outstanding == 0


@in_virtual_time
async def test_mail_for_the_domain_that_a_connection_has_had_goes_first_for_a_turn() -> None:
    world = World(some_limits(1))
    world.announced = SessionLimits(domains=1)
    for number in range(2 * TURN):
        world.pool.submit(HOP, addressed(f"a@{'xy'[number % 2]}.test"))
    seen = []
    await settle()
    while world.on_the_wire:
        seen.append((world.on_the_wire[0].address, *world.on_the_wire[0].envelope.recipients))
        await world.answer()
        await settle()
    assert seen == [("192.0.2.1", "a@x.test")] * TURN + [("192.0.2.2", "a@y.test")] * TURN
    assert (len(world.reports), world.pool.outstanding) == (2 * TURN, 0)


@in_virtual_time
async def test_what_is_left_of_a_divided_job_can_be_taken_back() -> None:
    world = World(some_limits(1))
    world.announced = SessionLimits(recipients_per_transaction=1)
    world.pool.submit(HOP, addressed("a", "b", "c"))
    await settle()
    assert [job.envelope.recipients for job in world.pool.take_back()] == [("b", "c")]
    await world.answer()
    assert (len(world.reports), world.pool.outstanding) == (1, 0)
