"""A process that was suspended for longer than its time limits: a reply that arrived meanwhile counts.

The test uses uvloop, as in production. If the time limit were handled before the reply in the socket, the message would
be sent twice without need.
"""

import contextlib
import os
import signal
import socket
import subprocess
import sys
import time
from pathlib import Path

import pytest
import uvloop

from actors.smtp.client import SmtpConnection
from actors.smtp.commands import Envelope
from actors.smtp.protocol import ConnectionLost
from cluster.settings import SmtpSettings

LIMIT_S = 0.4
MAX_WAIT_S = 20.0
ROOT = Path(__file__).parents[3]


async def send_one(port: int) -> str:
    """The client's result: the final code, or the stage and the reason of the lost connection."""
    settings = SmtpSettings(data_termination_timeout_s=LIMIT_S)
    connection = await SmtpConnection.open("peer.test", "127.0.0.1", port, settings=settings, helo_name="client.test")
    try:
        result = await connection.send(Envelope("a@example.org", ("b@peer.test",)), b"Subject: hello\r\n\r\nhello\r\n")
        return str(result.final.code if result.final else None)
    except ConnectionLost as lost:
        return f"{lost.stage} {lost.reason}"
    finally:
        connection.abort()


@pytest.mark.parametrize(("last_reply", "expected"), [(b"250 2.0.0 taken\r\n", "250"), (b"", "end_of_data timed out")])
def test_what_came_while_the_process_was_stopped(last_reply: bytes, expected: str) -> None:
    with socket.create_server(("127.0.0.1", 0)) as listener:
        listener.settimeout(MAX_WAIT_S)
        client = subprocess.Popen(
            [sys.executable, "-m", "tests.integration.smtp.test_stalls", str(listener.getsockname()[1])],
            cwd=ROOT,
            stdout=subprocess.PIPE,
            text=True,
        )
        try:
            _serve_and_stop(listener, client.pid, last_reply)
            told, _ = client.communicate(timeout=MAX_WAIT_S)
        finally:
            client.kill()
            client.wait()
    assert told.strip() == expected


def _serve_and_stop(listener: socket.socket, pid: int, last_reply: bytes) -> None:
    """Serve one message without extensions. The reply comes while the client is suspended, long before its limit."""
    connection, _ = listener.accept()
    connection.settimeout(MAX_WAIT_S)
    with connection, connection.makefile("rb") as commands:
        connection.sendall(b"220 peer.test\r\n")
        for line in iter(commands.readline, b"DATA\r\n"):
            assert line, "the client went away before DATA"
            connection.sendall(b"250 ok\r\n")
        connection.sendall(b"354 go ahead\r\n")
        for line in iter(commands.readline, b".\r\n"):
            assert line, "the client went away before the end of the message"
        os.kill(pid, signal.SIGSTOP)
        connection.sendall(last_reply)
        time.sleep(2 * LIMIT_S)  # the suspension itself is what is tested
        os.kill(pid, signal.SIGCONT)
        with contextlib.suppress(ConnectionResetError):
            commands.read()  # until the client closes, which it does abruptly


if __name__ == "__main__":
    print(uvloop.run(send_one(int(sys.argv[1]))))
