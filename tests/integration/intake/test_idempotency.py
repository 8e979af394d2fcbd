"""After a crash between commit and answer, the repeat gets the first answer."""

import asyncio
import os
import signal
import subprocess
from pathlib import Path

from cluster.installation.own_python import run_module
from cluster.intake.idempotency import Idempotency
from cluster.journal.idempotency import FirstAnswer
from cluster.journal.journal import Journal
from tests.integration.intake.killed_after_commit import NAMED
from tests.integration.journal.builders import a_tenant

ROOT = Path(__file__).parents[3]


async def test_a_repeat_after_a_crash_gets_the_answer_that_was_lost(journal: Journal, journal_dsn: str) -> None:
    tenant = await a_tenant(journal)
    command = run_module("tests.integration.intake.killed_after_commit", journal_dsn, tenant)
    ran = await asyncio.to_thread(
        subprocess.run, command, capture_output=True, env=os.environ | {"PYTHONPATH": str(ROOT)}, timeout=120
    )
    assert ran.returncode == -signal.SIGKILL, ran.stderr.decode()

    async def never() -> None:
        raise AssertionError("it was sent twice")

    first = await Idempotency(journal).once(tenant, NAMED, never)
    assert isinstance(first, FirstAnswer)
    assert first.message_ids == [ran.stdout.decode().strip()]
    assert await journal.messages.find(tenant, first.message_ids[0]) is not None
