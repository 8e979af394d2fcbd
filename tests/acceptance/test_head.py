"""The head, or its control service alone, is away for longer than Ray would wait without Redis, and comes back with the
same Redis: what runs goes on, and all is joined again."""

import asyncio
import signal
import time
from collections.abc import Iterator
from datetime import UTC, datetime
from pathlib import Path

import pytest

from benchmarks.raylets import ray_cluster
from benchmarks.redis_server import is_installed, redis_server
from cluster.policy.routes.membership import ACTOR_ALIVE_S
from tests.acceptance.running import Client, RunningPostray
from tests.acceptance.test_cluster import (
    HEADLESS_S,
    MAX_WAIT_S,
    VARIABLES,
    end,
    joined,
    node_ids,
    seconds_until_begun,
    until_ready,
)

WAITS = {"RAY_gcs_rpc_server_reconnect_timeout_s": "120"}
"""Without Redis it is 5 s in these tests: then everything ends."""
BEGAN = datetime(2026, 1, 1, tzinfo=UTC)
AWAY = "degraded: places are not kept"
BOUNDED_S = 30.0
"""It takes some 16 s, most of which Ray's control service is waited for."""
TAKEN_OVER_S = ACTOR_ALIVE_S + 5.0
"""After which the others have the destinations of a delivery actor that died."""


@pytest.fixture
def redis(tmp_path: Path) -> Iterator[str]:
    """The address of a Redis that is empty."""
    with redis_server(tmp_path / "redis") as address:
        yield address


needs_redis = pytest.mark.skipif(not is_installed(), reason="redis-server is not installed")


@needs_redis
async def test_delivery_goes_on_without_the_head_and_joins_it_again(
    tmp_path: Path, redis: str, journal_dsn: str
) -> None:
    variables = VARIABLES | WAITS | {"RAY_REDIS_ADDRESS": redis}
    with (
        ray_cluster(tmp_path / "nodes.log", 2, variables) as nodes,
        joined(tmp_path / "data", nodes.address, journal_dsn, **WAITS) as postray,
    ):
        client = Client(postray)
        await until_ready(client, "nodes", "ok")
        batch_id = (await client.api.post("/v3/mail/batch")).json()["batch_id"]
        people = [{"to": [{"email": f"u{i}@example.com"}]} for i in range(400)]
        await client.send(personalizations=people, batch_id=batch_id)  # all have called each other
        await client.until(f"/v3/mail/batch/{batch_id}", lambda b: b["is_complete"])
        ring = sorted(node_ids(postray))
        names = (*ring, "api-0-0", "api-1-0", "scheduler", "recorder", "webhooks", "supervisor")
        pids = {name: postray.pid_of(name) for name in names}
        lives = seconds_until_begun(postray, BEGAN)

        await asyncio.to_thread(nodes.head_goes_away)
        began, sent = time.monotonic(), len(people)
        while time.monotonic() < began + HEADLESS_S:
            await client.send(batch_id=batch_id)
            sent += 1
            await asyncio.sleep(0.2)
        for _ in range(20):  # of both API processes, also where one was never asked before
            async with Client(postray).api as other:
                answer = await other.get("/readyz")
            assert answer.status_code == 200 and answer.json()["parts"]["nodes"].startswith(AWAY), answer.text
        batch = await client.until(f"/v3/mail/batch/{batch_id}", lambda b: b["status_counts"].get("delivered") == sent)

        postray.kill_actor(dying := ring[1])
        await asyncio.to_thread(says_that_the_head_is_away, postray)
        began = time.monotonic()
        while time.monotonic() < began + TAKEN_OVER_S:
            await client.send(batch_id=batch_id)
            sent += 1
            await asyncio.sleep(0.2)
        await client.until(f"/v3/mail/batch/{batch_id}", lambda b: b["status_counts"].get("delivered") == sent)
        answer = await client.api.get("/readyz")
        assert answer.status_code == 200 and answer.json()["parts"][dying].startswith("degraded: gone"), answer.text
        postray.signal_command(signal.SIGTERM)
        began = time.monotonic()
        assert await asyncio.to_thread(postray.over) == 0, postray.output
        assert time.monotonic() - began < BOUNDED_S

        await asyncio.to_thread(nodes.head_comes_back)
        await until_ready(client, "nodes", "ok")
        await until_ready(client, dying, "ok")
        del pids[dying]
        assert {name: postray.pid_of(name) for name in pids} == pids
        assert seconds_until_begun(postray, BEGAN) == lives, "nothing there is one of began again"
        assert sorted(node_ids(postray)) == ring
        people = [{"to": [{"email": f"v{i}@example.com"}]} for i in range(400)]
        await client.send(personalizations=people, batch_id=batch_id)
        batch = await client.until(f"/v3/mail/batch/{batch_id}", lambda b: b["is_complete"])
        total = batch["total_messages"]
        assert batch["status_counts"]["delivered"] == total == sent + 400
        assert await client.captured_count() == total
        await client.close()
        end(postray)


def says_that_the_head_is_away(postray: RunningPostray) -> None:
    """Commands end in time, and say why they do nothing."""
    for arguments in (["down"], ["down", "--node"]):
        began = time.monotonic()
        refused = postray.command(*arguments)
        assert refused.returncode == 1 and "on the head, does not answer" in refused.stderr, refused.stderr
        assert time.monotonic() - began < BOUNDED_S
    began = time.monotonic()
    told = postray.command("nodes")
    assert told.returncode == 0 and AWAY in told.stdout, told.stdout + told.stderr
    assert time.monotonic() - began < BOUNDED_S


@needs_redis
async def test_the_machine_of_the_head_dies_and_comes_back(tmp_path: Path, redis: str, journal_dsn: str) -> None:
    """Its Ray and its control service at once. The cluster goes on without it, and has it again afterwards."""
    variables = VARIABLES | WAITS | {"RAY_REDIS_ADDRESS": redis}
    with (
        ray_cluster(tmp_path / "nodes.log", 2, variables) as nodes,
        joined(tmp_path / "data", nodes.address, journal_dsn, **WAITS) as postray,
    ):
        client = Client(postray)
        await until_ready(client, "nodes", "ok")
        batch_id = (await client.api.post("/v3/mail/batch")).json()["batch_id"]
        ring = sorted(node_ids(postray))
        pids = {name: postray.pid_of(name) for name in (*ring, "api-0-0", "api-1-0", "scheduler", "supervisor")}
        await asyncio.to_thread(nodes.kill_head)
        began, sent = time.monotonic(), 0
        while time.monotonic() < began + HEADLESS_S:
            await client.send(batch_id=batch_id)
            sent += 1
            await asyncio.sleep(0.2)
        await client.until(f"/v3/mail/batch/{batch_id}", lambda b: b["status_counts"].get("delivered") == sent)
        await asyncio.to_thread(nodes.start_head_again)
        await until_ready(client, "nodes", "ok")
        assert {name: postray.pid_of(name) for name in pids} == pids
        joining = (await asyncio.to_thread(nodes.add)).id
        began = time.monotonic()
        while joining not in node_ids(postray).values():
            assert time.monotonic() < began + MAX_WAIT_S, "it takes no node any more"
            await asyncio.sleep(0.1)
        await client.close()
        end(postray)
