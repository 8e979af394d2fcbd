"""What operators move while a delivery actor is at work: mail that is deferred is tried at once."""

from collections.abc import Sequence

import msgspec

from actors.capture.envelope import Behaviour, Reply
from cluster.journal.moving import Wait
from cluster.journal.operations import Queued, QueueFilter, QueueMark
from cluster.journal.store import Journal
from cluster.policy.lifecycle import Status
from tests.integration.delivery.world import DELIVERY, World, a_world
from tests.integration.journal.builders import a_message

LATER = msgspec.structs.replace(DELIVERY, retry_schedule_s=(3600.0,))


async def queued(world: World) -> Sequence[Queued]:
    return (await world.journal.queue_part(QueueFilter(), QueueMark(), 100)).queued


async def test_what_is_deferred_is_tried_now_also_where_connections_failed(journal: Journal) -> None:
    refusals = [Reply(450, "4.2.0 later")]
    behaviour = Behaviour(rcpt=lambda _: refusals.pop() if refusals else None)
    async with a_world(journal, behaviour, settings=LATER) as world:
        world.zone("example.com", "127.0.0.1")
        message = a_message()
        await world.accept(message)
        await world.until(message, Status.QUEUED, attempts=0)

        async def is_deferred() -> bool:
            return [wait for _, wait in await journal.waits(await queued(world))] == [Wait.DEFERRED]

        await world.eventually(is_deferred)
        for site in world.deliverer._sites:
            site.failed()
            site.blocked_until += 3600
        assert await journal.make_due(await queued(world)) == 1
        assert await journal.make_due(await queued(world)) == 0
        await world.deliverer.try_now([("example.com", world.tenant_id), ("unknown.test", world.tenant_id)])
        assert (await world.finished(message)).status is Status.DELIVERED
