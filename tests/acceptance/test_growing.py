"""Ray's own autoscaler, with nodes that are further raylets of this machine: mail piles up, a second node is asked for
and delivers; when it is quiet again, it is drained and given back."""

import asyncio
import os
import subprocess
import sys
import time
from collections.abc import Iterator
from pathlib import Path

import psutil
import psycopg
import pytest

from tests.acceptance.running import Client, RunningPostray
from tests.acceptance.test_cluster import VARIABLES, end, node_ids, nodes_of

MAX_WAIT_S = 60.0

pytestmark = pytest.mark.long


@pytest.fixture
def autoscaled(tmp_path: Path) -> Iterator[str]:
    """The address of a cluster with one node, which may have three."""
    log = tmp_path / "ray.log"
    with (
        log.open("wb") as errors,
        subprocess.Popen(
            [sys.executable, "-m", "tests.acceptance.autoscaled_ray"],
            env=os.environ | VARIABLES,
            stdin=subprocess.PIPE,
            stdout=subprocess.PIPE,
            stderr=errors,
            text=True,
        ) as process,
    ):
        assert process.stdout is not None
        address = process.stdout.readline().strip()
        assert address, log.read_text(encoding="utf-8")
        yield address
        children = psutil.Process(process.pid).children(recursive=True)
        process.communicate()
    _, alive = psutil.wait_procs(children, timeout=MAX_WAIT_S)
    assert alive == []


async def test_a_second_node_comes_with_the_mail_and_goes_after_it(
    tmp_path: Path, autoscaled: str, journal_dsn: str
) -> None:
    postray = RunningPostray(
        tmp_path / "data",
        POSTRAY_RAY_ADDRESS=autoscaled,
        POSTRAY_POSTGRES_DSN=journal_dsn,
        POSTRAY_DELIVERY_ACTORS_PER_NODE="1",
        POSTRAY_CLUSTER_MAX_NODES="2",
        POSTRAY_CLUSTER_GROW_AFTER_S="1",
        POSTRAY_CLUSTER_SHRINK_AFTER_S="4",
        POSTRAY_CAPTURE_KEEP_MESSAGES="1000000",  # on a slow machine more are sent than are kept by default
        **VARIABLES,
    )
    postray.start()
    try:
        client = Client(postray)
        batch_id = (await client.api.post("/v3/mail/batch")).json()["batch_id"]
        people = [{"to": [{"email": f"u{i}@example.com"}]} for i in range(1000)]
        deadline = time.monotonic() + MAX_WAIT_S
        sent = 0
        while "delivery-1-0" not in node_ids(postray):
            if sent - (await progress(client, batch_id)) < 4000:
                await client.send(personalizations=people, batch_id=batch_id)
                sent += 1000
            assert time.monotonic() < deadline, postray.command("nodes").stdout
            await asyncio.sleep(0.1)
        told = await asyncio.to_thread(postray.command, "nodes")
        assert "2 nodes are wanted (1 to 2), 2 are there" in told.stdout, told.stdout
        joined = node_ids(postray)["delivery-1-0"]
        while not any(node["id"] == joined and node["counts"]["smtp_connections"] for node in nodes_of(postray)):
            await client.send(personalizations=people[:200], batch_id=batch_id)
            sent += 200
            assert time.monotonic() < deadline + MAX_WAIT_S, postray.command("nodes").stdout
        batch = await client.until(f"/v3/mail/batch/{batch_id}", lambda b: b["is_complete"])
        assert batch["status_counts"]["delivered"] == sent == await client.captured_count()
        while len(left := nodes_of(postray)) > 1:
            assert time.monotonic() < deadline + 2 * MAX_WAIT_S, postray.command("nodes").stdout
            await asyncio.sleep(0.2)
        assert left[0]["id"] != joined
        while wanted(journal_dsn) != (1, ""):
            assert time.monotonic() < deadline + 2 * MAX_WAIT_S, wanted(journal_dsn)
            await asyncio.sleep(0.2)
        log = (postray.data_dir / "logs" / "supervisor.log").read_text(encoding="utf-8")
        assert f"node taken out node={joined}" in log and f"node gone node={joined}" in log
        await client.send(batch_id=batch_id)
        await client.until(f"/v3/mail/batch/{batch_id}", lambda b: b["is_complete"])
        await client.close()
        end(postray)
    finally:
        postray.stop()


async def progress(client: Client, batch_id: str) -> int:
    """Messages of the batch that are delivered."""
    answer = await client.api.get(f"/v3/mail/batch/{batch_id}")
    return int(answer.json()["status_counts"].get("delivered", 0))


def wanted(dsn: str) -> tuple[int, str]:
    with psycopg.connect(dsn) as connection:
        row = connection.execute("SELECT nodes, going FROM wanted_nodes").fetchone()
    assert row is not None
    return row[0], row[1]
