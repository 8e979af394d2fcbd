"""A process that is killed between the commit of a request with an idempotency key and its answer.

``python -m tests.integration.intake.killed_after_commit DSN TENANT``
"""

import asyncio
import os
import signal
import sys
from collections.abc import Collection, Sequence

import msgspec

from cluster.intake.intake import Intake
from cluster.journal.idempotency import IdempotencyKey
from cluster.journal.journal import Journal
from cluster.journal.records import NewRequest
from tests.integration.journal.builders import a_message, a_request

NAMED = IdempotencyKey(text="order 7", sandbox=False, body_sha256=b"1" * 32)


async def main(dsn: str, tenant: str) -> None:
    journal = Journal(dsn, application="killed")
    await journal.open()

    async def accept(requests: Sequence[NewRequest]) -> Collection[str]:
        await journal.intake.accept(requests)
        os.kill(os.getpid(), signal.SIGKILL)
        raise AssertionError("not reached")

    intake = Intake(accept, commit_window_ms=0, offers=lambda _: None)
    await intake.start()
    request = msgspec.structs.replace(a_request(tenant, a_message()), idempotency=NAMED)
    print(request.message_ids[0], flush=True)
    await intake.commit(request)


if __name__ == "__main__":
    asyncio.run(main(*sys.argv[1:]))
