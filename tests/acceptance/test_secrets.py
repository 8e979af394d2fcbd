"""What other users of the machine can see of a running postray, and how it reports a damaged secret."""

import os
import stat
import time
from collections.abc import Callable, Iterator
from contextlib import suppress
from pathlib import Path

import psutil
import pytest

from cluster.installation import run_folder
from cluster.installation.local_secrets import demo_key, ray_token
from cluster.installation.private_files import Unsafe
from cluster.vault import find_ring
from tests.acceptance.running import MAX_WAIT_S, RunningPostray


def test_no_secret_is_in_logs_arguments_or_run_json(postray: RunningPostray) -> None:
    secrets = [
        (postray.data_dir / name).read_text(encoding="ascii") for name in ("demo.key", "secret.key", "ray.token")
    ]
    told = [(path, path.read_bytes()) for path in (postray.data_dir / "logs").iterdir()]
    told.append((postray.data_dir / "run.json", (postray.data_dir / "run.json").read_bytes()))
    for process in _processes(postray):
        told.append((Path(process.name()), "\0".join(process.cmdline()).encode()))
    assert not [where for where, text in told if any(secret.encode() in text for secret in secrets)]
    assert "postgresql:" not in (postray.data_dir / "run.json").read_text(encoding="utf-8")
    assert postray.key not in postray.command("status", "--json").stdout
    assert postray.key in postray.command("status", "--json", "--secrets").stdout


def test_no_setting_is_in_the_environment_of_rays_processes(postray: RunningPostray) -> None:
    """/proc shows it to threads that can open hardly any file."""
    found = {process.name(): process.environ() for process in _processes(postray) if _is_rays(process)}
    assert {"raylet", "ray::Hos"} <= {name[:8] for name in found}
    assert not [(name, key) for name, environ in found.items() for key in environ if key.startswith("POSTRAY_")]


def test_only_its_owner_can_enter_or_read_what_it_made(postray: RunningPostray) -> None:
    folder = run_folder.find(postray.data_dir)
    assert folder is not None
    for top in (postray.data_dir, folder):
        assert stat.S_IMODE(top.stat().st_mode) == 0o700
        open_to_others = [
            path
            for path in top.rglob("*")
            if not path.is_symlink() and _mode(path) & 0o077 and folder not in path.parents
        ]
        assert not open_to_others
    # Ray opens its folders to others with each worker that it starts, and postray closes them again.
    deadline = time.monotonic() + MAX_WAIT_S
    while opened := list(run_folder.opened(folder)):
        assert time.monotonic() < deadline, opened
        time.sleep(0.1)
    sockets = [path for path in folder.rglob("*") if path.is_socket()]
    assert sockets
    for process in _processes(postray):
        for connection in process.net_connections("unix"):
            path = Path(str(connection.laddr))
            assert not path.is_absolute() or folder in path.parents or postray.data_dir in path.parents, path


def _processes(postray: RunningPostray) -> Iterator[psutil.Process]:
    """Its processes that still run; some of Ray's are short-lived."""
    for mark in postray.run.processes:
        with suppress(psutil.NoSuchProcess):
            process = psutil.Process(mark.pid)
            process.cmdline()
            yield process


def _is_rays(process: psutil.Process) -> bool:
    return process.name().startswith("ray")


def _mode(path: Path) -> int:
    try:
        return path.stat().st_mode
    except FileNotFoundError:  # meanwhile parts are merged and temporary files deleted
        return 0


READS: dict[str, Callable[[Path], object]] = {
    "secret.key": lambda data_dir: find_ring("", "", data_dir),
    "ray.token": ray_token,
    "demo.key": demo_key,
}


@pytest.mark.parametrize("content", [b"", b"\0" * 44, b"sg_live_"])
@pytest.mark.parametrize("name", READS)
def test_a_damaged_secret_is_not_read(tmp_path: Path, name: str, content: bytes) -> None:
    (tmp_path / name).write_bytes(content)
    with pytest.raises(Unsafe, match=f"{name} is {'malformed' if content else 'empty'}: "):
        READS[name](tmp_path)


@pytest.mark.parametrize(
    ("name", "content"), [("secret.key", b"sg_live_"), ("ray.token", b""), ("demo.key", b"\0" * 44)]
)
def test_a_damaged_secret_is_one_line(tmp_path: Path, name: str, content: bytes) -> None:
    (tmp_path / name).write_bytes(content)
    answer = RunningPostray(tmp_path).command("up")
    assert answer.returncode == 1
    said = " ".join((answer.stdout + answer.stderr).split())
    assert f"{tmp_path / name} is {'malformed' if content else 'empty'}: " in said
    assert "Traceback" not in said
    assert (tmp_path / name).read_bytes() == content


@pytest.mark.skipif(os.geteuid() != 0, reason="only root may give a folder away")
def test_a_data_directory_of_another_user_is_one_line(tmp_path: Path) -> None:
    data = tmp_path / "data"
    data.mkdir()
    os.chown(data, 65534, -1)
    for arguments in (("up",), ("up", "--detach")):
        answer = RunningPostray(data).command(*arguments)
        assert answer.returncode == 1
        assert f"{data} belongs to user" in " ".join(answer.stderr.split())
    assert not list(data.iterdir())
