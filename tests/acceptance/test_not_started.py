"""What keeps ``up`` from starting is named."""

import socket
from pathlib import Path

from tests.acceptance.running import RunningPostray


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
