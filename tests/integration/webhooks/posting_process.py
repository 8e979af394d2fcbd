"""The process that posts, for tests that kill it:

python -m tests.integration.webhooks.posting_process DSN    posts until it is ended
"""

import asyncio
import sys

import uvloop

from cluster.journal.journal import Journal
from cluster.settings import WebhookSettings
from tests.integration.webhooks.world import posting


async def run(dsn: str) -> None:
    journal = Journal(dsn, application="posting")
    await journal.open()
    async with posting(journal, WebhookSettings(retry_schedule_s=(0.2,))):
        print("posting", flush=True)
        await asyncio.Event().wait()


if __name__ == "__main__":
    uvloop.run(run(sys.argv[1]))
