"""One installation that ends in many ways: each next life ends what the last one left, and keeps what it promised."""

import asyncio
import json
import os
import signal
import time
from collections.abc import AsyncIterator, Iterator
from contextlib import asynccontextmanager, suppress
from pathlib import Path

import psutil
import pytest

from cluster.installation import run_folder, running
from cluster.smtpd.envelope import ReceivedMessage
from cluster.smtpd.server import SmtpServer
from tests.acceptance.running import Client, RunningPostray, is_alive

AT_ONCE_S = 15.0
"""It takes two or three seconds."""
AWAY_S = 6.0
"""Longer than any process waits for a connection."""


ENDED = ("delivered", "sent")


class Installation:
    """A data directory and its lives, one after the other, each in the state that the test before has left."""

    def __init__(self, data_dir: Path) -> None:
        self.data_dir = data_dir
        # Mail that finds the sink gone while its own actor still lives is tried again soon.
        self.postray = RunningPostray(data_dir, POSTRAY_DELIVERY_RETRY_SCHEDULE_S="1,1,2")
        self.promised: dict[str, str] = {}
        """The status that each message must reach, by its id."""

    async def promise(self, client: Client, count: int, status: str) -> None:
        people = [{"to": [{"email": f"u{number}@example.com"}]} for number in range(count)]
        self.promised |= dict.fromkeys(await client.send(personalizations=people), status)

    async def keeps_promises(self) -> None:
        async with self.client() as client:
            for message_id, status in self.promised.items():
                message = await client.until(
                    f"/v3/messages/{message_id}", lambda m: m["status"] in ("delivered", "sent")
                )
                assert message["status"] == status
        self.promised.clear()

    @asynccontextmanager
    async def client(self) -> AsyncIterator[Client]:
        client = Client(self.postray)
        yield client
        await client.close()


@pytest.fixture(scope="module")
def installation(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Installation]:
    installation = Installation(tmp_path_factory.mktemp("lives"))
    yield installation
    if installation.postray.is_running:
        installation.postray.stop()  # its Postgres outlives a kill
    installation.postray.kill()


@pytest.fixture
async def running_installation(installation: Installation) -> Installation:
    if installation.postray not in RunningPostray.alive:  # when the test before is not run, or fails
        await asyncio.to_thread(installation.postray.start)
    return installation


async def test_a_stop_waits_for_the_answer_to_what_a_host_has_in_full(installation: Installation) -> None:
    taken: list[ReceivedMessage] = []
    answers = asyncio.Event()

    async def take(envelope: ReceivedMessage) -> None:
        taken.append(envelope)
        await answers.wait()

    host = SmtpServer(take)
    address, port = await host.start("127.0.0.1", 0)
    relay = {"POSTRAY_DELIVERY_MODE": "relay", "POSTRAY_DELIVERY_RELAY": f"{address}:{port}"}
    postray = RunningPostray(installation.data_dir, **relay)
    await asyncio.to_thread(postray.start)
    client = Client(postray)
    await installation.promise(client, 1, "sent")
    await client.close()
    while not taken:
        await asyncio.sleep(0.02)
    stopping = asyncio.create_task(asyncio.to_thread(postray.stop, signal.SIGTERM))
    while f"waiting for {address} to answer for 1 message sent in full" not in postray.output:
        assert not stopping.done()
        await asyncio.sleep(0.02)
    answers.set()
    await stopping
    await host.stop(1.0)
    assert len(taken) == 1


async def test_a_journal_that_goes_away_while_postray_starts_is_waited_for(installation: Installation) -> None:
    postray = installation.postray
    (installation.data_dir / "logs" / "up.out").unlink(missing_ok=True)  # the output of the last life
    starting = asyncio.create_task(asyncio.to_thread(postray.start))
    while "✓ ray" not in postray.output:
        assert not starting.done()
        await asyncio.sleep(0.02)
    os.kill(postmaster(installation.data_dir), signal.SIGSTOP)
    try:
        await asyncio.sleep(AWAY_S)
        assert not starting.done()
    finally:
        os.kill(postmaster(installation.data_dir), signal.SIGCONT)
    await starting
    await installation.keeps_promises()


async def test_the_next_up_ends_what_a_killed_one_left_and_goes_on(running_installation: Installation) -> None:
    postray = running_installation.postray
    async with running_installation.client() as client:
        await running_installation.promise(client, 1, "delivered")
    left = [mark for mark in postray.run.processes if mark.pid != postray.run.pid]
    postray.kill_command()
    await asyncio.to_thread(postray.start)
    assert not [mark for mark in left if is_alive(mark)]
    await running_installation.keeps_promises()


async def test_the_next_up_ends_what_ray_left_after_a_kill_of_the_group(
    running_installation: Installation, tmp_path: Path
) -> None:
    """SIGKILL of all processes that Ctrl-C would reach, and of others."""
    postray, data_dir = running_installation.postray, running_installation.data_dir
    # Processes that started after it had recorded its own, and those that lead their own groups.
    told = postray.run
    postray.kill_actor("scheduler")
    os.killpg(os.getpgid(told.pid), signal.SIGKILL)
    postray.over()
    assert run_folder.find(data_dir) is not None
    # As if it had been killed before it recorded its processes.
    running.forget_run(data_dir)
    left = running.leftovers(data_dir)
    assert left, "Ray ended by itself at once: nothing is tested"
    # A process of another Ray, with its logs elsewhere.
    with (tmp_path / "log").open("wb") as log, psutil.Popen(["sleep", "600"], stdout=log) as other:
        await asyncio.to_thread(postray.start)
        assert not [mark for mark in left if is_alive(mark)]
        assert other.is_running()
        other.kill()


async def test_when_ray_dies_up_ends_and_the_next_goes_on(running_installation: Installation) -> None:
    postray = running_installation.postray
    async with running_installation.client() as client:
        await running_installation.promise(client, 200, "delivered")
    (raylet,) = [p for p in psutil.Process(postray.run.pid).children(recursive=True) if p.name() == "raylet"]
    raylet.kill()
    assert "Ray ended" in await asyncio.to_thread(postray.ended)
    await asyncio.to_thread(postray.start)
    await running_installation.keeps_promises()


@pytest.mark.parametrize("whom", [pytest.param("group", marks=pytest.mark.long), "all"])
async def test_a_signal_to_all_of_its_processes_ends_it_at_once(running_installation: Installation, whom: str) -> None:
    """SIGTERM as ``timeout`` sends it to the group, and a service manager to all: Ray ends beside the command, which
    has then nothing to wait for."""
    postray = running_installation.postray
    async with running_installation.client() as client:
        await running_installation.promise(client, 200, "delivered")
    up = psutil.Process(postray.run.pid)
    marks = [running.mark(one) for one in (up, *up.children(recursive=True))]
    began = time.monotonic()
    if whom == "group":
        os.killpg(os.getpgid(up.pid), signal.SIGTERM)
    else:
        for one in marks:
            with suppress(ProcessLookupError):  # with those before it
                os.kill(one.pid, signal.SIGTERM)
    assert await asyncio.to_thread(postray.over) == 0, postray.output
    assert time.monotonic() - began < AT_ONCE_S, postray.output
    assert not [mark for mark in marks if is_alive(mark)]
    await asyncio.to_thread(postray.start)
    await running_installation.keeps_promises()


async def test_ctrl_c_leaves_nothing(running_installation: Installation) -> None:
    postray = running_installation.postray
    async with running_installation.client() as client:
        await running_installation.promise(client, 1, "delivered")
        await running_installation.keeps_promises()
    assert_loopback_only(postray)
    assert told(postray) == (True, True)
    assert "already running" in postray.command("up").stderr
    postray.stop(signal.SIGINT)
    assert told(postray) == (False, False)
    assert "not running" in postray.command("down").stderr
    assert run_folder.find(running_installation.data_dir) is None


async def test_detached_in_another_users_folder(installation: Installation, strangers_folder: Path) -> None:
    postray = installation.postray
    detached = postray.command("up", "--detach", cwd=strangers_folder)
    assert detached.returncode == 0, detached.stdout
    assert postray.key in detached.stdout
    processes = postray.run.processes
    async with installation.client() as client:
        (message_id,) = await client.send(personalizations=[{"to": [{"email": "eve@example.com"}]}])
        message = await client.until(f"/v3/messages/{message_id}", lambda m: len(m["events"] or []) == 2)
        assert message["status"] == "delivered"
        assert len(await client.captured("eve@example.com")) == 1
    assert postray.command("down").returncode == 0
    assert not [mark for mark in processes if is_alive(mark)]


def postmaster(data_dir: Path) -> int:
    return int((data_dir / "postgres" / "postmaster.pid").read_text().splitlines()[0])


def told(postray: RunningPostray) -> tuple[bool, bool]:
    """Whether it runs and is ready, as its status says."""
    status = json.loads(postray.command("status", "--json").stdout)
    return status["running"], status["ready"]


def assert_loopback_only(postray: RunningPostray) -> None:
    for mark in postray.run.processes:
        for connection in psutil.Process(mark.pid).net_connections("inet"):
            if connection.status == psutil.CONN_LISTEN:
                assert connection.laddr.ip in ("127.0.0.1", "::1", "::ffff:127.0.0.1"), connection
