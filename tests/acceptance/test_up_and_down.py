"""Starting, stopping, starting again: what an operator does first."""

import json
import signal
from pathlib import Path

import psutil

from tests.acceptance.running import STOP_S, Client, RunningPostray, is_alive


async def test_a_second_up_finds_its_data_and_ctrl_c_leaves_nothing(tmp_path: Path) -> None:
    postray = RunningPostray(tmp_path)
    postray.start()
    key = postray.key
    client = Client(postray)
    (message_id,) = await client.send()
    await client.until(f"/v3/messages/{message_id}", lambda m: m["status"] == "delivered", within_s=10)
    await client.close()
    assert_loopback_only(postray)

    status = json.loads(postray.command("status", "--json").stdout)
    assert (status["running"], status["ready"]) == (True, True)
    assert "already running" in postray.command("up").stderr

    assert postray.stop(signal.SIGINT) < STOP_S
    assert json.loads(postray.command("status", "--json").stdout) == {"running": False, "ready": False}
    assert "not running" in postray.command("down").stderr

    # Detached this time.
    detached = postray.command("up", "--detach")
    assert detached.returncode == 0, detached.stdout
    assert key in detached.stdout
    processes = postray.run.processes
    client = Client(postray)
    message = await client.until(f"/v3/messages/{message_id}", lambda m: len(m["events"] or []) == 2, within_s=10)
    assert message["status"] == "delivered"
    assert len(await client.captured("ada@example.com")) == 1
    await client.close()
    assert postray.command("down").returncode == 0
    assert not [mark for mark in processes if is_alive(mark)]


async def test_what_a_killed_up_left_behind_is_ended_by_the_next(tmp_path: Path) -> None:
    postray = RunningPostray(tmp_path)
    postray.start()
    client = Client(postray)
    (message_id,) = await client.send()
    await client.close()
    left = [mark for mark in postray.run.processes if mark.pid != postray.run.pid]
    postray.kill()
    postray.start()
    assert not [mark for mark in left if is_alive(mark)]
    client = Client(postray)
    await client.until(f"/v3/messages/{message_id}", lambda m: m["status"] == "delivered", within_s=20)
    await client.close()
    postray.stop(signal.SIGTERM)


def assert_loopback_only(postray: RunningPostray) -> None:
    for mark in postray.run.processes:
        for connection in psutil.Process(mark.pid).net_connections("inet"):
            if connection.status == psutil.CONN_LISTEN:
                assert connection.laddr.ip in ("127.0.0.1", "::1", "::ffff:127.0.0.1"), connection


def test_a_wrong_setting_is_named(tmp_path: Path) -> None:
    answer = RunningPostray(tmp_path, POSTRAY_HTTP_BINDE="x").command("up")
    assert answer.returncode == 1
    assert "POSTRAY_HTTP_BINDE" in answer.stderr
