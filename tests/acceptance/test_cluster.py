"""Two Ray nodes on this machine: ``postray up`` joins them and spreads its actors."""

import asyncio
import os
import secrets
import signal
import subprocess
import sys
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

import httpx
import psutil
import psycopg
import pytest

from cluster.installation.embedded import journal_dsn
from tests.acceptance.running import Client, RunningPostray

VARIABLES = {
    "RAY_AUTH_MODE": "token",
    "RAY_AUTH_TOKEN": secrets.token_hex(32),
    "RAY_USAGE_STATS_ENABLED": "0",
    "RAY_ENABLE_WINDOWS_OR_OSX_CLUSTER": "0",  # loopback only
}


@pytest.fixture
def ray_address() -> Iterator[str]:
    """The address of a cluster of two nodes that requires a token."""
    with subprocess.Popen(
        [sys.executable, "-m", "tests.acceptance.two_nodes"],
        env=os.environ | VARIABLES,
        stdin=subprocess.PIPE,
        stdout=subprocess.PIPE,
        stderr=subprocess.DEVNULL,
        text=True,
    ) as process:
        assert process.stdout is not None
        yield process.stdout.readline().strip()
        process.communicate()


@contextmanager
def joined(data_dir: Path, ray_address: str, dsn: str) -> Iterator[RunningPostray]:
    """A postray on the nodes of that cluster, with one delivery actor on each."""
    postray = RunningPostray(
        data_dir,
        POSTRAY_RAY_ADDRESS=ray_address,
        POSTRAY_POSTGRES_DSN=dsn,
        POSTRAY_DELIVERY_ACTORS_PER_NODE="1",
        **VARIABLES,
    )
    postray.start()
    try:
        yield postray
    finally:
        postray.stop()


async def test_up_joins_a_cluster_spreads_over_its_nodes_and_one_drains_while_mail_flows(
    tmp_path: Path, ray_address: str, journal_dsn: str
) -> None:
    with joined(tmp_path, ray_address, journal_dsn) as postray:
        nodes = {name: node_of(postray, name) for name in ("delivery-0-0", "delivery-1-0", "api-0-0", "api-1-0")}
        assert nodes["delivery-0-0"] == nodes["api-0-0"]
        assert nodes["delivery-1-0"] == nodes["api-1-0"] != nodes["api-0-0"]
        leaving = node_id(postray, "delivery-1-0")
        client = Client(postray)
        batch_id = (await client.api.post("/v3/mail/batch")).json()["batch_id"]
        for part in range(5):
            people = [{"to": [{"email": f"u{part}-{i}@example.com"}]} for i in range(200)]
            await client.send(personalizations=people, batch_id=batch_id)
            if part == 1:
                drained = await asyncio.to_thread(postray.command, "drain", leaving[:12])
                assert drained.returncode == 0, drained.stderr
        batch = await client.until(f"/v3/mail/batch/{batch_id}", lambda b: b["is_complete"])
        assert batch["status_counts"]["delivered"] == 1000
        # Each message exactly once; the last ones were sent by the node that stayed.
        assert await client.captured_count() == 1000
        assert "names 0 nodes" in postray.command("drain", "nowhere").stderr
        await client.close()


def node_of(postray: RunningPostray, actor: str) -> int:
    """The raylet that started the actor's process; each node has one."""
    return psutil.Process(postray.pid_of(actor)).ppid()


async def test_a_killed_node_loses_nothing(tmp_path: Path, ray_address: str, journal_dsn: str) -> None:
    with joined(tmp_path, ray_address, journal_dsn) as postray:
        client = Client(postray)
        batch_id = (await client.api.post("/v3/mail/batch")).json()["batch_id"]
        lost = 0
        for part in range(10):
            people = [{"to": [{"email": f"u{part}-{i}@example.com"}]} for i in range(100)]
            try:
                await client.send(personalizations=people, batch_id=batch_id)
            except httpx.TransportError:
                lost += 1  # the request to that node's API process had no response
            if part == 3:
                os.kill(node_of(postray, "delivery-1-0"), signal.SIGKILL)
        assert lost <= 1
        batch = await client.until(f"/v3/mail/batch/{batch_id}", lambda b: b["is_complete"])
        assert batch["status_counts"]["delivered"] == batch["total_messages"] >= 1000 - 100 * lost
        assert await client.captured_count() >= batch["total_messages"]
        await client.close()


def node_id(postray: RunningPostray, actor: str) -> str:
    """Ray's id of the node on which this actor runs, from the journal."""
    with psycopg.connect(journal_dsn(postray.settings)) as connection:
        row = connection.execute("SELECT node_id FROM delivery_actors WHERE name = %s", [actor]).fetchone()
    assert row is not None
    return str(row[0])
