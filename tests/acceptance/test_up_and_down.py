"""Starting, stopping and starting again."""

import asyncio
import json
import signal
import socket
from pathlib import Path

import psutil

from actors.smtpd.envelope import ReceivedMessage
from actors.smtpd.server import SmtpServer
from tests.acceptance.running import Client, RunningPostray, is_alive


async def test_the_next_up_ends_what_a_killed_one_left_and_goes_on_and_ctrl_c_leaves_nothing(
    tmp_path: Path, strangers_folder: Path
) -> None:
    postray = RunningPostray(tmp_path)
    postray.start()
    client = Client(postray)
    (message_id,) = await client.send()
    await client.close()
    left = [mark for mark in postray.run.processes if mark.pid != postray.run.pid]
    postray.kill_command()

    postray.start()
    assert not [mark for mark in left if is_alive(mark)]
    client = Client(postray)
    await client.until(f"/v3/messages/{message_id}", lambda m: m["status"] == "delivered")
    (message_id,) = await client.send(personalizations=[{"to": [{"email": "eve@example.com"}]}])
    await client.until(f"/v3/messages/{message_id}", lambda m: m["status"] == "delivered")
    await client.close()
    assert_loopback_only(postray)
    status = json.loads(postray.command("status", "--json").stdout)
    assert (status["running"], status["ready"]) == (True, True)
    assert "already running" in postray.command("up").stderr

    postray.stop(signal.SIGINT)
    assert json.loads(postray.command("status", "--json").stdout) == {"running": False, "ready": False}
    assert "not running" in postray.command("down").stderr

    # Detached this time, and in another user's folder.
    detached = postray.command("up", "--detach", cwd=strangers_folder)
    assert detached.returncode == 0, detached.stdout
    assert postray.key in detached.stdout
    processes = postray.run.processes
    client = Client(postray)
    message = await client.until(f"/v3/messages/{message_id}", lambda m: len(m["events"] or []) == 2)
    assert message["status"] == "delivered"
    assert len(await client.captured("eve@example.com")) == 1
    await client.close()
    assert postray.command("down").returncode == 0
    assert not [mark for mark in processes if is_alive(mark)]


def assert_loopback_only(postray: RunningPostray) -> None:
    for mark in postray.run.processes:
        for connection in psutil.Process(mark.pid).net_connections("inet"):
            if connection.status == psutil.CONN_LISTEN:
                assert connection.laddr.ip in ("127.0.0.1", "::1", "::ffff:127.0.0.1"), connection


async def test_a_stop_waits_for_the_answer_to_what_a_host_has_in_full(tmp_path: Path) -> None:
    taken: list[ReceivedMessage] = []

    async def take(envelope: ReceivedMessage) -> None:
        taken.append(envelope)
        await asyncio.sleep(4)

    host = SmtpServer(take)
    address, port = await host.start("127.0.0.1", 0)
    postray = RunningPostray(tmp_path, POSTRAY_DELIVERY_MODE="relay", POSTRAY_DELIVERY_RELAY=f"{address}:{port}")
    await asyncio.to_thread(postray.start)
    client = Client(postray)
    (message_id,) = await client.send()
    while not taken:
        await asyncio.sleep(0.02)
    await client.close()
    await asyncio.to_thread(postray.stop, signal.SIGTERM)
    assert f"waiting for {address} to answer for 1 message sent in full" in postray.output
    await asyncio.to_thread(postray.start)
    client = Client(postray)
    await client.until(f"/v3/messages/{message_id}", lambda m: m["status"] == "sent")
    await client.close()
    await asyncio.to_thread(postray.stop)
    await host.stop(1.0)
    assert len(taken) == 1


def test_a_wrong_setting_is_named(tmp_path: Path) -> None:
    answer = RunningPostray(tmp_path, POSTRAY_HTTP_BINDE="x").command("up")
    assert answer.returncode == 1
    assert "POSTRAY_HTTP_BINDE" in answer.stderr


def test_a_port_that_somebody_has_is_named(tmp_path: Path) -> None:
    with socket.create_server(("127.0.0.1", 0), reuse_port=True) as server:
        bind = f"127.0.0.1:{server.getsockname()[1]}"
        answer = RunningPostray(tmp_path, POSTRAY_HTTP_BIND=bind).command("up")
    assert answer.returncode == 1
    assert f"http.bind: cannot listen on {bind}: Address already in use" in answer.stdout + answer.stderr
