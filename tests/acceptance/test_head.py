"""The head's control service is away for longer than Ray would wait without Redis, and comes back with the same Redis:
what runs goes on, and all is joined again."""

import asyncio
import time
from collections.abc import Iterator
from datetime import UTC, datetime
from pathlib import Path

import pytest

from benchmarks.raylets import ray_cluster
from benchmarks.redis_server import is_installed, redis_server
from tests.acceptance.running import Client
from tests.acceptance.test_cluster import (
    HEADLESS_S,
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


@pytest.fixture
def redis(tmp_path: Path) -> Iterator[str]:
    """The address of a Redis that is empty."""
    with redis_server(tmp_path / "redis") as address:
        yield address


@pytest.mark.skipif(not is_installed(), reason="redis-server is not installed")
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
        answer = await client.api.get("/readyz")
        assert answer.status_code == 200 and answer.json()["parts"]["nodes"].startswith(AWAY), answer.text
        batch = await client.until(f"/v3/mail/batch/{batch_id}", lambda b: b["status_counts"].get("delivered") == sent)

        assert postray.is_running

        await asyncio.to_thread(nodes.head_comes_back)
        await until_ready(client, "nodes", "ok")
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
