"""A way in that is not the API, as a program: it prepares one message, commits it and offers it to its delivery actor.

``python -m tests.integration.intake.another_way_in DATA_DIR DSN TENANT_ID``; prints the outcome as JSON.
"""

import asyncio
import sys
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Any

import msgspec
from msgspec import Struct

from cluster.context import Context
from cluster.intake.backpressure import Overloaded, Watch
from cluster.intake.intake import Intake
from cluster.intake.prepared import prepared_request, send_time
from cluster.intake.senders import first_unverified
from cluster.journal.records import Address, BodyPart, Content, NewRequest, PreparedPersonalization
from cluster.policy.backpressure import LoadBounds
from cluster.routing.build import build_routing
from cluster.routing.direct_offers import DirectOffers
from cluster.routing.dispatcher import Dispatcher
from cluster.routing.offer import OfferAnswer, decode_offer
from cluster.settings import Settings
from cluster.tenancy.directory import TenantDirectory
from cluster.vault import secret_key

ACTOR = "delivery-0-0"
OFFERED_WITHIN_S = 30.0


class Report(Struct):
    """The outcome of the program."""

    message_id: str
    unverified: list[str | None]
    offered: list[str]
    """Ids of messages that the delivery actor was offered."""
    overloaded: str
    """The intake's reason for refusing once the queue was full."""
    modules: list[str]


def a_request(tenant_id: str) -> NewRequest:
    content = Content(
        from_=Address("hello@mail.example.com"), subject="Welcome", parts=(BodyPart("text/plain", "Hello"),)
    )
    now = datetime.now(UTC)
    return prepared_request(
        content,
        [PreparedPersonalization(to=(Address("ada@example.com", "Ada"),))],
        [send_time(None, now)],
        tenant_id=tenant_id,
        now=now,
        lifetime=timedelta(days=1),
        files={},
    )


async def run(data_dir: str, dsn: str, tenant_id: str) -> Report:
    context = Context(
        name="another-way-in",
        node_id="n0",
        settings=Settings(),
        data_dir=data_dir,
        postgres_dsn=dsn,
        secret_key=secret_key("", Path(data_dir)),
    )
    journal = await context.open_journal()
    await journal.membership.register(ACTOR, context.node_id)
    offered: asyncio.Future[list[str]] = asyncio.get_running_loop().create_future()

    async def call(name: str, method: str, *arguments: Any) -> Any:
        if (name, method) == (ACTOR, "offer"):
            offered.set_result([waiting.message_id for waiting in decode_offer(arguments[0])])
            return OfferAnswer([], 1)
        return None

    async def share(data: bytes) -> Any:
        raise AssertionError("one short message is not shared")

    routing = build_routing(context, journal)
    dispatcher = Dispatcher(journal, call, routing.router, routing.active_policy)
    await dispatcher.refresh()
    offers = DirectOffers(dispatcher, share)
    offering = asyncio.create_task(offers.run())
    watch = Watch(
        LoadBounds(backlog=1, free_disk_mb=0),
        backlog=journal.queue.backlog,
        count_backlog=journal.queue.count_backlog,
        journal_dir=None,
    )
    intake = Intake(journal.intake.accept, commit_window_ms=0, offers=offers, why_full=watch.why_full)
    await intake.start()
    directory = TenantDirectory(journal)
    request = a_request(tenant_id)
    await intake.commit(request)
    async with asyncio.timeout(OFFERED_WITHIN_S):
        taken = await offered
    await watch.look()
    try:
        await intake.commit(a_request(tenant_id))
        overloaded = ""
    except Overloaded as error:
        overloaded = error.detail
    offering.cancel()
    await intake.stop()
    tenant = await directory.tenant(tenant_id)
    assert tenant is not None
    unverified = [
        await first_unverified(directory, tenant, some) for some in (["mail.example.com"], ["strange.example"])
    ]
    await journal.close()
    return Report(request.message_ids[0], unverified, taken, overloaded, sorted(sys.modules))


if __name__ == "__main__":
    print(msgspec.json.encode(asyncio.run(run(*sys.argv[1:]))).decode())
