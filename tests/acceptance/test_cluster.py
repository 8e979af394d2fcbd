"""Two Ray nodes on this machine: ``postray up`` joins them and spreads its actors."""

import os
import secrets
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path

import psutil
import pytest

from tests.acceptance.running import Client, RunningPostray

VARIABLES = {
    "RAY_AUTH_MODE": "token",
    "RAY_AUTH_TOKEN": secrets.token_hex(32),
    "RAY_USAGE_STATS_ENABLED": "0",
    "RAY_ENABLE_WINDOWS_OR_OSX_CLUSTER": "0",  # loopback only
}


@pytest.fixture
def ray_address() -> Iterator[str]:
    """The address of a cluster of two nodes, which asks for a token."""
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


async def test_up_joins_a_cluster_and_spreads_over_its_nodes(tmp_path: Path, ray_address: str, postgres: str) -> None:
    postray = RunningPostray(
        tmp_path,
        POSTRAY_RAY_ADDRESS=ray_address,
        POSTRAY_POSTGRES_DSN=postgres,
        POSTRAY_DELIVERY_ACTORS_PER_NODE="1",
        **VARIABLES,
    )
    postray.start()
    try:
        nodes = {name: node_of(postray, name) for name in ("delivery-0-0", "delivery-1-0", "api-0-0", "api-1-0")}
        assert nodes["delivery-0-0"] == nodes["api-0-0"]
        assert nodes["delivery-1-0"] == nodes["api-1-0"] != nodes["api-0-0"]
        client = Client(postray)
        ids = await client.send(personalizations=[{"to": [{"email": f"u{i}@example.com"}]} for i in range(100)])
        for message_id in ids:
            await client.until(f"/v3/messages/{message_id}", lambda m: m["status"] == "delivered", within_s=20)
        await client.close()
    finally:
        postray.stop()


def node_of(postray: RunningPostray, actor: str) -> int:
    """The raylet that started the actor's process: one a node."""
    return psutil.Process(postray.pid_of(actor)).ppid()
