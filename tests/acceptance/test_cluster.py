"""Ray nodes on this machine: ``postray up`` joins them, and its actors are kept at their places while nodes come and
go."""

import asyncio
import json
import os
import signal
import time
from collections.abc import Iterator
from contextlib import contextmanager
from datetime import UTC, datetime
from importlib.metadata import version
from pathlib import Path
from typing import Any

import httpx
import psutil
import psycopg
import pytest
from psycopg.conninfo import make_conninfo

from benchmarks.raylets import RayNodes, ray_cluster, ray_variables
from cluster.installation.embedded import journal_dsn
from cluster.journal.journal import Journal
from tests.acceptance.running import Client, RunningPostray, mail
from tests.waiting import pauses

VARIABLES = ray_variables()
MAX_WAIT_S = 45.0
MOVED_S = 30.0
"""It takes some 10 s, and 15 are promised; the machine may be busy with other tests."""
HEADLESS_S = 15.0
"""By the variables above; 30 with those of ray-cluster.yaml."""


@pytest.fixture(scope="module")
def ray_nodes(tmp_path_factory: pytest.TempPathFactory) -> Iterator[RayNodes]:
    """A cluster for all tests: a start takes long. A node that a test kills is replaced by it."""
    with ray_cluster(tmp_path_factory.mktemp("ray") / "nodes.log", 2, VARIABLES) as nodes:
        yield nodes


@contextmanager
def joined(data_dir: Path, ray_address: str, dsn: str, **variables: str) -> Iterator[RunningPostray]:
    """A postray on the nodes of that cluster, with one delivery actor on each. ``variables``: of its environment."""
    postray = RunningPostray(
        data_dir,
        POSTRAY_RAY_ADDRESS=ray_address,
        POSTRAY_POSTGRES_DSN=dsn,
        POSTRAY_DELIVERY_ACTORS_PER_NODE="1",
        POSTRAY_CLUSTER_MIN_NODES="2",
        POSTRAY_DELIVERY_RETRY_SCHEDULE_S="1",  # the capture sink is on a node that dies
        **(VARIABLES | variables),
    )
    postray.start()
    try:
        yield postray
    finally:
        postray.stop()


def end(postray: RunningPostray) -> None:
    """End it on all nodes."""
    ended = postray.command("down")
    assert ended.returncode == 0, ended.stderr
    assert "no postray runs in the cluster" in postray.command("down").stderr


async def test_up_joins_a_cluster_spreads_over_its_nodes_and_one_drains_while_mail_flows(
    tmp_path: Path, ray_nodes: RayNodes, journal_dsn: str
) -> None:
    with joined(tmp_path, ray_nodes.address, journal_dsn) as postray:
        nodes = {name: node_of(postray, name) for name in ("delivery-0-0", "delivery-1-0", "api-0-0", "api-1-0")}
        assert nodes["delivery-0-0"] == nodes["api-0-0"]
        assert nodes["delivery-1-0"] == nodes["api-1-0"] != nodes["api-0-0"]
        leaving = node_ids(postray)["delivery-1-0"]
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
        await back(postray, client, leaving)
        await client.close()
        await until_fenced(postray, "scheduler")
        refused = another(tmp_path / "another", ray_nodes.address, journal_dsn)
        assert "another postray runs in this cluster of Ray, with another journal" in refused
        end(postray)


async def back(postray: RunningPostray, client: Client, drained: str) -> None:
    """Bring a drained node back: its API listens again, in a new process, and its actors take deliveries."""
    log = postray.data_dir / "logs" / "api-1-0.log"

    def listened() -> int:
        return log.read_text(encoding="utf-8").count("listening url=")

    before = listened()
    assert before > 0
    states = {node["id"]: node["state"] for node in nodes_of(postray)}
    assert states.pop(drained) == "drained" and set(states.values()) == {"working"}
    undrained = postray.command("undrain", drained[:12])
    assert undrained.returncode == 0, undrained.stderr
    deadline = time.monotonic() + MAX_WAIT_S
    while True:
        (node,) = [one for one in nodes_of(postray) if one["id"] == drained]
        if listened() == 2 * before and {actor["name"] for actor in node["actors"]} >= {"delivery-1-0", "api-1-0"}:
            break
        assert time.monotonic() < deadline, node
        await asyncio.sleep(0.1)
    assert (node["state"], node["releases"]) == ("working", [version("postray")])


def nodes_of(postray: RunningPostray) -> list[dict[str, Any]]:
    nodes: list[dict[str, Any]] = json.loads(postray.command("nodes", "--json").stdout)["nodes"]
    return nodes


async def until_fenced(postray: RunningPostray, kind: str) -> None:
    """Begin a newer life of it: its process ends for good. Not Ray starts it again, but the supervisor."""
    journal = Journal(journal_dsn(postray.settings), application="newer")
    await journal.open()
    supervisor = postray.data_dir / "logs" / "supervisor.log"
    assert f"starting actor={kind}" not in supervisor.read_text(encoding="utf-8")
    await journal.singletons.begin(kind, "newer", 1)
    deadline = time.monotonic() + MAX_WAIT_S
    while await journal.singletons.living(kind) is None:
        assert time.monotonic() < deadline
        await asyncio.sleep(0.1)
    await journal.close()
    assert "ending for good" in (postray.data_dir / "logs" / f"{kind}.log").read_text(encoding="utf-8")
    assert f"starting actor={kind}" in supervisor.read_text(encoding="utf-8")


def another(data_dir: Path, ray_address: str, dsn: str) -> str:
    """Why a postray with a journal of its own does not start in this cluster."""
    own = make_conninfo(dsn, dbname="another")
    with psycopg.connect(dsn, autocommit=True) as connection:
        connection.execute("CREATE DATABASE another")
        postray = RunningPostray(data_dir, POSTRAY_RAY_ADDRESS=ray_address, POSTRAY_POSTGRES_DSN=own, **VARIABLES)
        refused = postray.command("up")
        connection.execute("DROP DATABASE another WITH (FORCE)")
    assert refused.returncode != 0
    return refused.stderr


async def test_no_node_matters(tmp_path: Path, ray_nodes: RayNodes, journal_dsn: str) -> None:
    """The node that has all there is one of dies, and with it the command that started postray; another joins; then the
    one that has all there is one of now is taken out and brought back; last, the head dies."""
    with joined(tmp_path, ray_nodes.address, journal_dsn) as postray:
        client = Client(postray)
        batch_id = (await client.api.post("/v3/mail/batch")).json()["batch_id"]
        supervisor, dying = postray.pid_of("supervisor"), node_of(postray, "supervisor")
        assert node_of(postray, "scheduler") == dying != node_of(postray, "delivery-1-0")
        lost = sent = 0
        for part in range(10):
            people = [{"to": [{"email": f"u{part}-{i}@example.com"}]} for i in range(100)]
            try:
                await client.send(personalizations=people, batch_id=batch_id)
                sent += 100
            except httpx.TransportError:
                lost += 1  # the request to that node's API process had no response
            if part == 3:
                killed_at = datetime.now(UTC)
                postray.kill_command()
                os.kill(dying, signal.SIGKILL)
        assert lost <= 2

        await until_ready(client, "nodes", "degraded: 1 of 2 nodes (cluster.min_nodes)")
        await until_ready(client, "recorder", "ok")  # mail does not wait for it, and neither does readiness
        ready = await until_ready(client, "scheduler", "ok")
        assert "delivery-0-0" not in ready
        assert postray.pid_of("supervisor") != supervisor
        moved = seconds_until_begun(postray, killed_at)
        assert moved.keys() >= {"supervisor", "scheduler", "recorder", "webhooks"}
        assert min(moved.values()) > 0 and max(moved.values()) < MOVED_S, moved
        batch = await client.until(f"/v3/mail/batch/{batch_id}", lambda b: b["is_complete"])
        assert batch["status_counts"]["delivered"] == batch["total_messages"] >= sent

        began = time.monotonic()
        joining = ray_nodes.add().id
        while node_ids(postray).get("delivery-0-0") != joining:
            assert time.monotonic() - began < MAX_WAIT_S
            await asyncio.sleep(0.1)
        await until_ready(client, "api-0-0", "ok")
        assert (await until_ready(client, "delivery-0-0", "ok"))["nodes"] == "ok"
        people = [{"to": [{"email": f"v{i}@example.com"}]} for i in range(400)]
        await client.send(personalizations=people, batch_id=batch_id)
        batch = await client.until(f"/v3/mail/batch/{batch_id}", lambda b: b["is_complete"])
        assert batch["status_counts"]["delivered"] == batch["total_messages"] >= sent + 400
        assert "delivery-0-0" in postray.command("sites", "--json").stdout

        supervisor, leaving = postray.pid_of("supervisor"), node_ids(postray)["delivery-1-0"]
        assert node_of(postray, "supervisor") == node_of(postray, "delivery-1-0")
        left = postray.command("down", "--node", leaving[:12])
        assert left.returncode == 0, left.stderr
        ready = await until_ready(client, "nodes", "degraded: 1 of 2 nodes (cluster.min_nodes)")
        assert {"delivery-1-0", "api-1-0"}.isdisjoint(ready)
        assert not psutil.pid_exists(supervisor)
        await until_ready(client, "scheduler", "ok")  # the supervisor may be there before those that it starts
        assert node_of(postray, "supervisor") == node_of(postray, "scheduler") == node_of(postray, "delivery-0-0")
        batch_id = (await client.api.post("/v3/mail/batch")).json()["batch_id"]
        await client.send(personalizations=people, batch_id=batch_id)
        await client.until(f"/v3/mail/batch/{batch_id}", lambda b: b["is_complete"])
        assert "postray down ends all" in postray.command("down", "--node").stderr
        assert {"delivery-1-0", "api-1-0"}.isdisjoint((await client.api.get("/readyz")).json()["parts"])
        postray.start()
        await until_ready(client, "delivery-1-0", "ok")
        await until_ready(client, "api-1-0", "ok")

        actors = [psutil.Process(postray.pid_of(name)) for name in ("api-0-0", "api-1-0", "delivery-0-0", "scheduler")]
        for pid in ray_nodes.head:
            os.kill(pid, signal.SIGKILL)
        began, sent = time.monotonic(), 0
        while await is_accepted(client, batch_id):
            sent += 1
            assert time.monotonic() - began < HEADLESS_S, "it accepts what no actor can deliver"
            await asyncio.sleep(0.2)
        _, alive = await asyncio.to_thread(psutil.wait_procs, actors, timeout=HEADLESS_S)
        assert alive == []
        await asyncio.to_thread(postray.ended)
        await client.close()

    with (
        ray_cluster(tmp_path / "again.log", 1, VARIABLES) as again,
        joined(tmp_path, again.address, journal_dsn) as postray,
    ):
        client = Client(postray)
        batch = await client.until(f"/v3/mail/batch/{batch_id}", lambda b: b["is_complete"])
        assert batch["status_counts"]["delivered"] == batch["total_messages"] >= len(people) + sent > len(people)
        await client.close()
        end(postray)


async def is_accepted(client: Client, batch_id: str) -> bool:
    """Whether a message is accepted. It ends with its process, or is refused."""
    try:
        answer = await client.api.post("/v3/mail/send", json=mail(batch_id=batch_id))
    except httpx.TransportError:
        return False
    return answer.status_code == 202


async def until_ready(client: Client, part: str, state: str) -> dict[str, Any]:
    """The parts, when postray is ready, and this part in this state."""
    deadline, again = time.monotonic() + MAX_WAIT_S, pauses(most_s=0.5)
    while True:
        try:
            answer = await client.api.get("/readyz")
            parts: dict[str, Any] = answer.json()["parts"]
            if answer.status_code == 200 and parts.get(part) == state:
                return parts
            said = answer.text
        except httpx.TransportError as error:
            said = repr(error)
        assert time.monotonic() < deadline, said
        await asyncio.sleep(next(again))


def seconds_until_begun(postray: RunningPostray, since: datetime) -> dict[str, float]:
    """When the last life of each of what there is one of began."""
    with psycopg.connect(journal_dsn(postray.settings)) as connection:
        lives = connection.execute("SELECT kind, began_at FROM singletons").fetchall()
    return {kind: (began_at - since).total_seconds() for kind, began_at in lives}


def node_of(postray: RunningPostray, actor: str) -> int:
    """The raylet that started the actor's process; each node has one."""
    return psutil.Process(postray.pid_of(actor)).ppid()


def node_ids(postray: RunningPostray) -> dict[str, str]:
    """Ray's ids of the nodes on which delivery actors run, from the journal."""
    with psycopg.connect(journal_dsn(postray.settings)) as connection:
        return dict(connection.execute("SELECT name, node_id FROM delivery_actors").fetchall())
