"""The folder of the sockets of a running postray."""

import socket
import stat
from pathlib import Path

import pytest

from cluster.installation import run_folder
from cluster.installation.private_files import Unsafe


@pytest.fixture
def short(tmp_path_factory: pytest.TempPathFactory, monkeypatch: pytest.MonkeyPatch) -> Path:
    """Allow as long a socket path as if the temporary folder's path were short."""
    folder = tmp_path_factory.mktemp("d")
    monkeypatch.setattr(run_folder, "LONGEST", len(str(folder)) + 30)
    monkeypatch.setattr("tempfile.tempdir", str(folder))
    return folder


def is_closed(folder: Path) -> bool:
    return stat.S_IMODE(folder.lstat().st_mode) == 0o700


def test_it_is_in_the_data_directory_where_that_is_short(short: Path) -> None:
    data = short / "data"
    data.mkdir()
    folder = run_folder.make(data, {})
    assert folder == data / "run" == run_folder.find(data)
    assert is_closed(folder)
    (folder / "left").touch()
    assert not list(run_folder.make(data, {}).iterdir())
    run_folder.remove(data)
    assert not list(data.iterdir())
    assert run_folder.find(data) is None


def test_what_is_opened_in_it_is_found_and_closed(short: Path) -> None:
    data = short / "data"
    data.mkdir()
    run_folder.close(data)  # there is none
    folder = run_folder.make(data, {})
    inner, file, elsewhere = folder / "ray" / "logs", folder / "ray" / "log", short / "elsewhere"
    inner.mkdir(parents=True)
    file.touch()
    elsewhere.mkdir()
    (folder / "link").symlink_to(elsewhere)
    with socket.socket(socket.AF_UNIX) as one:
        one.bind(str(folder / "s"))
    for path, mode in (
        (inner.parent, 0o777),
        (inner, 0o1777),
        (file, 0o644),
        (elsewhere, 0o777),
        (folder / "s", 0o777),
    ):
        path.chmod(mode)
    assert set(run_folder.opened(folder)) == {inner.parent, inner, file}
    run_folder.close(data)
    assert not list(run_folder.opened(folder))
    assert [stat.S_IMODE(path.stat().st_mode) for path in (inner, file, elsewhere)] == [0o1700, 0o600, 0o777]


def test_else_where_the_system_keeps_such_folders_and_under_a_name_that_cannot_be_foreseen(short: Path) -> None:
    data, runtime = short / ("d" * 50), short / "user"
    data.mkdir()
    runtime.mkdir(mode=0o700)
    first = run_folder.make(data, {"XDG_RUNTIME_DIR": str(runtime)})
    assert first.parent == runtime
    assert is_closed(first)
    assert run_folder.find(data) == first == (data / "run").readlink()
    # The folder of a run that was killed is removed by the next run.
    second = run_folder.make(data, {"XDG_RUNTIME_DIR": str(runtime)})
    assert (second != first, first.exists()) == (True, False)
    # A runtime folder in which others may write is not used.
    runtime.chmod(0o777)
    third = run_folder.make(data, {"XDG_RUNTIME_DIR": str(runtime)})
    assert third.parent == short
    assert not list(runtime.iterdir())
    run_folder.remove(data)
    assert (third.exists(), list(data.iterdir())) == (False, [])


def test_a_link_that_leads_elsewhere_deletes_nothing(short: Path) -> None:
    data, other = short / "data", short / "other"
    data.mkdir()
    other.mkdir()
    (other / "kept").touch()
    (data / "run").symlink_to(other)
    assert run_folder.make(data, {}) == data / "run"
    assert (other / "kept").exists()


def test_no_place_is_one_line(short: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(run_folder, "LONGEST", 5)
    data = short / "data"
    data.mkdir()
    with pytest.raises(Unsafe, match="no place for sockets"):
        run_folder.make(data, {})
    assert list(short.iterdir()) == [data]
    assert not list(data.iterdir())


def test_what_ray_makes_there_fits(tmp_path: Path) -> None:
    name = "ray/session_2026-01-01_00-00-00_000000_4194304/sockets/plasma_store.1"
    path = "/" + "r" * (run_folder.LONGEST - 1) + "/" + name
    with socket.socket(socket.AF_UNIX) as one, pytest.raises(FileNotFoundError):  # and not "path too long"
        one.bind(path)
