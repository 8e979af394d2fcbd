"""The process that fans out and replays, for tests that kill it:

python -m tests.integration.webhooks.owing_process DSN DATA_DIR    works until it is ended

It stands for the recorder too: the feed has ``FED`` events in small pages, with the same ids in each life.
"""

import asyncio
import sys
from pathlib import Path

import uvloop

from actors.webhooks.fanning_out import FanningOut
from actors.webhooks.replaying import Replaying
from analytics.feed import FedEvent, FeedFilter, FeedPage
from cluster.events import Delivered
from cluster.journal.journal import Journal
from cluster.webhooks.known import KnownEndpoints

FED = 2000
PAGE = 10


def fed_id(number: int) -> str:
    """The id of an event of the feed."""
    return f"evt_fed{number:06}"


async def feed(actor: str, method: str, wanted: FeedFilter, after: str, limit: int) -> FeedPage:
    """The recorder's answer."""
    assert (actor, method) == ("recorder", "feed")
    start = int(after or 0)
    end = min(start + PAGE, FED)
    events = [FedEvent(str(number), number, _event(wanted.tenant_id, number)) for number in range(start, end)]
    return FeedPage(events, str(end), is_full=end - start == PAGE)


def _event(tenant_id: str, number: int) -> Delivered:
    return Delivered(
        id=fed_id(number), at=1.0, tenant_id=tenant_id, message_id="msg_1", recipient="ada@example.com", attempt=1
    )


async def run(dsn: str, data_dir: Path) -> None:
    journal = Journal(dsn, application="owing")
    await journal.open()
    known = KnownEndpoints(journal)
    fanning_out = FanningOut(journal, known, data_dir, lambda _: None)
    await fanning_out.start()
    Replaying(journal, known, feed).start()
    print("owing", flush=True)
    await asyncio.Event().wait()


if __name__ == "__main__":
    uvloop.run(run(sys.argv[1], Path(sys.argv[2])))
