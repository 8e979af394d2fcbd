"""Moves by operators while a delivery actor is at work: deferred mail is tried at once, and mail that waits in memory
leaves by another route."""

from collections.abc import Iterator, Sequence
from contextlib import ExitStack, contextmanager

import msgspec
import pytest

from actors.delivery.ownership import Ownership
from cluster.journal.journal import Journal
from cluster.journal.queue_control import QueueFilter, QueueMark, UnfinishedDelivery, Wait
from cluster.journal.records import DueDelivery
from cluster.policy.lifecycle import Status
from cluster.smtpd.envelope import Behaviour, ServerReply
from tests.integration.delivery.world import DELIVERY, World, a_world
from tests.integration.journal.builders import a_message

LATER = msgspec.structs.replace(DELIVERY, retry_schedule_s=(3600.0,))


@contextmanager
def nothing_is_claimed(world: World) -> Iterator[None]:
    """The delivery actor may be taken for dead; afterwards it claims again."""
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(Ownership, "is_fenced", True)
        yield
    world.deliverer.parts.turns.work.set()


async def queued(world: World) -> Sequence[UnfinishedDelivery]:
    return (await world.journal.queue_control.part(QueueFilter(), QueueMark(), 100)).queued


async def test_what_is_deferred_is_tried_now_also_where_connections_failed(journal: Journal) -> None:
    refusals = [ServerReply(450, "4.2.0 later")]
    behaviour = Behaviour(rcpt=lambda _: refusals.pop() if refusals else None)
    async with a_world(journal, behaviour, settings=LATER) as world:
        world.zone("example.com", "127.0.0.1")
        message = a_message()
        await world.accept(message)
        await world.until(message, Status.QUEUED, attempts=0)

        async def is_deferred() -> bool:
            return [wait for _, wait in await journal.queue_control.waits(await queued(world))] == [Wait.DEFERRED]

        await world.eventually(is_deferred)
        for site in world.deliverer.parts.sites:
            site.failed()
            site.blocked_until += 3600
        assert await journal.queue_control.make_due(await queued(world)) == 1
        assert await journal.queue_control.make_due(await queued(world)) == 0
        await world.deliverer.try_now([("example.com", world.tenant_id), ("unknown.test", world.tenant_id)])
        assert (await world.finished(message)).status is Status.DELIVERED


@pytest.mark.parametrize("place", ["memory", "lane", "journal"])
async def test_what_waits_leaves_by_another_route(journal: Journal, place: str) -> None:
    async with a_world(journal, None, None, settings=LATER) as world:
        world.zone("example.com", "127.0.0.1")
        relay = f"127.0.0.2:{world.port}"
        await world.put_in_force(routing=f'[[routes]]\ndomain = ["other.test"]\nvia = "relay"\nrelay = "{relay}"\n')
        waits, goes = a_message(), a_message()
        await world.accept(waits)
        with ExitStack() as pause:
            if place == "memory":
                pause.enter_context(nothing_is_claimed(world))
                await world.eventually(lambda: (waits.id, 0) in world.deliverer.parts.held)
            elif place == "lane":
                waiting = DueDelivery(waits.id, 0, world.tenant_id, "example.com")
                await journal.scheduling.park([waiting], ["mx0.example.com"])
            moved = await journal.queue_control.reroute(await queued(world), None, relay)
            assert [one.route for one in moved] == [relay]
            await world.deliverer.moved(msgspec.msgpack.encode(moved))
            assert (waits.id, 0) not in world.deliverer.parts.held
        assert (await world.finished(waits)).status is Status.SENT
        await world.accept(goes)
        assert (await world.finished(goes)).status is Status.DELIVERED


async def test_a_claim_of_what_was_moved_gets_nothing(journal: Journal) -> None:
    """An actor without notice of the move drops what it holds, and the mail still goes by its new route."""
    async with a_world(journal, None, None, settings=LATER) as world:
        world.zone("example.com", "127.0.0.1")
        relay = f"127.0.0.2:{world.port}"
        await world.put_in_force(routing=f'[[routes]]\ndomain = ["other.test"]\nvia = "relay"\nrelay = "{relay}"\n')
        message = a_message()
        with nothing_is_claimed(world):
            await world.accept(message)
            await world.eventually(lambda: (message.id, 0) in world.deliverer.parts.held)
            assert len(await journal.queue_control.reroute(await queued(world), None, relay)) == 1
        assert (await world.finished(message)).status is Status.SENT
