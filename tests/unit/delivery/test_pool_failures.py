"""A site's connections when its hosts refuse, are overloaded, or disconnect."""

import asyncio

import pytest
from msgspec.structs import replace

from actors.delivery.connector import Crowded
from actors.delivery.job import Hop, NoRoute
from actors.delivery.pool import PAUSE_S
from actors.smtp.protocol import ConnectError
from actors.smtp.reply import make_reply
from cluster.policy.replies.effects import TRIES_AT_MOST
from cluster.policy.replies.onward import NextHost
from cluster.policy.replies.stage import Stage
from tests.unit.delivery.builders import HOP, OTHER_HOP, TAKEN, job, some_limits
from tests.unit.delivery.pool_world import BROKEN, IN_DOUBT, REFUSED, TOLD_TO_GO, World
from tests.unit.virtual_time import in_virtual_time, settle


@in_virtual_time
async def test_without_any_connection_all_jobs_of_the_next_hop_and_only_these_are_told_why() -> None:
    world = World(some_limits(4))
    world.submit(1, OTHER_HOP)
    await settle()
    world.refusals.append(REFUSED)
    jobs = world.submit(4)
    await settle()
    assert world.reports == [(one, Hop(), REFUSED) for one in jobs]
    assert (world.pool.outstanding, world.pool.on_the_wire) == (1, 1)
    await world.answer()
    assert len(world.reports) == 5


@in_virtual_time
async def test_no_route_is_told_as_well() -> None:
    world = World(some_limits())
    world.refusals.append(NoRoute("mx.example.com: null mx", permanent=True))
    world.submit(2)
    await settle()
    assert [str(report) for _, _, report in world.reports] == ["('mx.example.com: null mx', True, '')"] * 2
    assert not world.pool.connections


@in_virtual_time
async def test_a_defect_in_setting_a_connection_up_is_one_next_hops_and_the_others_go_on(
    caplog: pytest.LogCaptureFixture,
) -> None:
    world = World(some_limits(4))
    world.refusals.append(ValueError("Command and arguments contain prohibited newline characters"))
    failed = world.submit(2)
    await settle()
    assert [(one, str(report)) for one, _, report in world.reports] == [
        (one, str(ConnectError(Stage.CONNECT, "no connection could be set up: ValueError"))) for one in failed
    ]
    assert "prohibited newline" in caplog.text
    world.submit(1, OTHER_HOP)
    await settle()
    await world.answer()
    assert len(world.reports) == 3


@in_virtual_time
async def test_while_another_connection_works_a_failed_one_costs_no_job_and_the_host_is_left_in_peace() -> None:
    world = World(some_limits(20))
    world.submit(1)
    await settle()
    world.refusals.extend([REFUSED] * 1000)
    world.submit(8)
    await asyncio.sleep(0.9)
    assert not world.reports
    assert len(world.attempts) <= 3, "who has said no is not asked again at once"
    world.refusals.clear()
    await asyncio.sleep(PAUSE_S)
    await settle()
    assert len(world.open) > 1, "later it is"
    await world.finish()
    assert len(world.reports) == 9


@in_virtual_time
async def test_what_is_crowded_waits_and_is_tried_again() -> None:
    world = World(some_limits(4))
    world.refusals.extend([Crowded()] * 2)
    world.submit(1)
    await asyncio.sleep(0.5 * PAUSE_S)
    assert (len(world.attempts), world.reports, world.pool.outstanding) == (1, [], 1)
    await asyncio.sleep(PAUSE_S)
    assert len(world.attempts) == 2
    await asyncio.sleep(PAUSE_S)
    assert len(world.attempts) == 3
    await world.finish()
    assert len(world.reports) == 1


@in_virtual_time
async def test_what_is_crowded_does_not_keep_another_next_hop_waiting() -> None:
    world = World(some_limits(4))
    world.refusals.append(Crowded())
    world.submit(1)
    await settle()
    world.submit(1, OTHER_HOP)
    await settle()
    assert [line.hop for line in world.on_the_wire] == [OTHER_HOP]


@in_virtual_time
async def test_a_job_is_lost_with_only_so_many_connections() -> None:
    world = World(some_limits(1))
    world.alternatives = 5
    jobs = world.submit(1)
    for _ in range(TRIES_AT_MOST):
        await settle()
        assert not world.reports
        await world.answer(BROKEN)
    assert world.reports == [(jobs[0], Hop(mx_host="mx1.example.com", mx_ip=f"192.0.2.{TRIES_AT_MOST}"), BROKEN)]
    assert [lost for _, lost in world.ended] == [True] * TRIES_AT_MOST


@in_virtual_time
async def test_without_another_address_the_first_loss_counts() -> None:
    for lost in (BROKEN, TOLD_TO_GO):
        world = World(some_limits(1))
        jobs = world.submit(1)
        await settle()
        await world.answer(lost)
        assert [(job, report) for job, _, report in world.reports] == [(jobs[0], lost)]


@in_virtual_time
async def test_what_may_have_been_accepted_is_never_tried_on_another_connection() -> None:
    world = World(some_limits(1))
    world.alternatives = 5
    world.submit(1)
    await settle()
    await world.answer(IN_DOUBT)
    assert [report for _, _, report in world.reports] == [IN_DOUBT]


@in_virtual_time
async def test_a_host_that_closed_an_idle_connection_has_said_nothing_about_the_message() -> None:
    world = World(some_limits(1))
    world.submit(1)
    await settle()
    await world.answer()
    world.submit(1)
    await settle()
    await world.answer(BROKEN)
    assert len(world.reports) == 1
    assert [lost for _, lost in world.ended] == [False]
    await world.answer()
    assert len(world.reports) == 2
    assert len(world.attempts) == 2


@in_virtual_time
async def test_a_lost_job_goes_before_the_others() -> None:
    world = World(some_limits(1))
    world.alternatives = 1
    world.submit(3)
    await settle()
    await world.answer(BROKEN)
    await world.finish()
    assert [recipient for _, recipient, _ in world.began] == [f"r{number}@example.com" for number in (1, 1, 2, 3)]


@in_virtual_time
async def test_a_connection_that_ended_while_it_was_idle_is_not_used_and_not_held_against_the_host() -> None:
    world = World(some_limits(1))
    world.submit(1)
    await settle()
    await world.answer()
    world.open[0].is_usable = False
    jobs = world.submit(1)
    await settle()
    await world.answer()
    assert world.reported[1:] == jobs
    assert ([lost for _, lost in world.ended], world.passed_over) == ([False], [])


PUT_OFF = replace(TAKEN, final=make_reply(451, ["451 4.3.0 later"]))
NO_SENDER = replace(TAKEN, mail=make_reply(452, ["452 4.3.1 full"]), recipients=(), final=None)


@in_virtual_time
async def test_a_message_that_one_host_puts_off_is_taken_by_the_next() -> None:
    world = World(some_limits(2))
    (one,) = world.submit(1)
    await settle()
    await world.answer(PUT_OFF)
    assert [line.host for line in world.on_the_wire] == ["mx2.example.com"]
    assert (world.reports, world.passed_over, world.pool.outstanding) == ([], [(one, PUT_OFF)], 1)
    await world.answer()
    assert [(job, hop.mx_host, report) for job, hop, report in world.reports] == [(one, "mx2.example.com", TAKEN)]
    assert world.divided == []


@in_virtual_time
async def test_a_host_that_takes_no_mail_is_left_and_passed_over_for_a_while() -> None:
    world = World(some_limits(2))
    world.submit(1)
    await settle()
    await world.answer(NO_SENDER)
    assert [(connection.host, lost) for connection, lost in world.ended] == [("mx1.example.com", True)]
    await world.answer(NO_SENDER)
    ((_, hop, report),) = world.reports
    assert (hop.mx_host, report) == ("mx2.example.com", NO_SENDER), "each host is asked once"


@in_virtual_time
async def test_with_one_connection_allowed_the_next_host_gets_it() -> None:
    world = World(some_limits(1))
    world.submit(1)
    await settle()
    await world.answer(PUT_OFF)
    await settle()
    assert [line.host for line in world.on_the_wire] == ["mx2.example.com"]


@in_virtual_time
async def test_a_next_host_that_cannot_be_reached_leaves_what_the_first_said() -> None:
    world = World(some_limits(2))
    (one,) = world.submit(1)
    await settle()
    world.refusals.append(REFUSED)
    await world.answer(PUT_OFF)
    await settle()
    assert [(job, hop.mx_host, report) for job, hop, report in world.reports] == [(one, "mx1.example.com", PUT_OFF)]


@in_virtual_time
async def test_a_shaping_rule_keeps_it_from_the_next_host() -> None:
    world = World(replace(some_limits(2), next_host=NextHost.NEXT_ATTEMPT))
    (one,) = world.submit(1)
    await settle()
    await world.answer(PUT_OFF)
    assert [(job, report) for job, _, report in world.reports] == [(one, PUT_OFF)]


@in_virtual_time
async def test_what_a_transaction_could_not_carry_goes_in_another_and_each_part_is_reported() -> None:
    world = World(some_limits(1))
    one = job(1, "tnt_both")
    others = replace(one.envelope, recipients=("a@example.com", "b@example.com"))
    both = replace(one, deliveries=one.deliveries * 2, envelope=others)
    world.pool.submit(HOP, both)
    await settle()
    ok = make_reply(250, ["250 ok"])
    await world.answer(replace(TAKEN, recipients=(ok, make_reply(552, ["552 enough"]))))
    assert [job.envelope.recipients for job in world.reported] == [("a@example.com",)]
    assert world.divided == ["tnt_both"]
    await world.finish()
    assert [job.envelope.recipients for job in world.reported] == [("a@example.com",), ("b@example.com",)]
    assert world.pool.outstanding == 0
