"""Mail is submitted without the API: the code that commits it is below the API and does not need it."""

import asyncio
import os
import subprocess
from pathlib import Path

import msgspec

from cluster.installation.own_python import run_module
from cluster.journal.journal import Journal
from cluster.journal.records import decode_content
from cluster.policy.lifecycle import Status
from tests.domains import a_domain
from tests.integration.intake.another_way_in import Report
from tests.integration.journal.builders import a_tenant

ROOT = Path(__file__).parents[3]


async def test_a_prepared_request_is_committed_and_offered_without_the_api(
    journal: Journal, journal_dsn: str, data_dir: Path
) -> None:
    tenant_id = await a_tenant(journal)
    await a_domain(
        journal, tenant_id, "mail.example.com", verified=True, selector="s1", public_key="AAA=", sealed_private_key=b"x"
    )
    data_dir.mkdir()
    command = run_module("tests.integration.intake.another_way_in", str(data_dir), journal_dsn, tenant_id)
    ran = await asyncio.to_thread(
        subprocess.run, command, capture_output=True, env=os.environ | {"PYTHONPATH": str(ROOT)}, timeout=120
    )
    assert ran.returncode == 0, ran.stderr.decode()
    report = msgspec.json.decode(ran.stdout, type=Report)
    row = await journal.messages.find(tenant_id, report.message_id)
    assert row is not None
    assert (row.status, decode_content(row.content).subject) == (Status.QUEUED, "Welcome")
    assert report.offered == [report.message_id]
    assert report.unverified == [None, "strange.example"]
    assert report.overloaded == "The queue is full: 1 deliveries wait, of 1 at most"
    loaded = {name.partition(".")[0] for name in report.modules}
    assert {"cluster", "psycopg"} <= loaded
    assert loaded.isdisjoint({"api", "actors", "litestar", "ray"})
