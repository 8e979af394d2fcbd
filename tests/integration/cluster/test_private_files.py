"""Files and folders that only their owner may read, checked by their modes, and as another user where the test may
switch users."""

import os
import pwd
import stat
import subprocess
import tempfile
from collections.abc import Iterator
from pathlib import Path

import pytest

from cluster.installation.private_files import (
    OTHERS,
    Unsafe,
    create_whole,
    make_folder,
    place_problem,
    prepare_data_dir,
    read_secret,
    write_whole,
)

AS_ROOT = os.geteuid() == 0
as_root = pytest.mark.skipif(not AS_ROOT, reason="only root may give files to others, or become another user")
NOBODY = pwd.getpwnam("nobody").pw_uid


@pytest.fixture(autouse=True)
def open_umask() -> Iterator[None]:
    """The least restrictive umask that a user may have."""
    former = os.umask(0)
    yield
    os.umask(former)


def mode(path: Path) -> int:
    return stat.S_IMODE(path.lstat().st_mode)


def test_folders_are_closed_from_the_start_those_above_as_well(tmp_path: Path) -> None:
    make_folder(tmp_path / "a" / "b")
    assert (mode(tmp_path / "a"), mode(tmp_path / "a" / "b")) == (0o700, 0o700)
    (tmp_path / "a").chmod(0o750)
    make_folder(tmp_path / "a")
    assert mode(tmp_path / "a") == 0o750


def test_a_file_is_replaced_whole_and_leaves_no_draft(tmp_path: Path) -> None:
    path = tmp_path / "secret"
    write_whole(path, b"one")
    path.chmod(0o644)
    write_whole(path, b"two")
    assert (path.read_bytes(), mode(path), os.listdir(tmp_path)) == (b"two", 0o600, ["secret"])


def test_a_crash_while_writing_leaves_the_former_file(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    path = tmp_path / "secret"
    write_whole(path, b"one")

    def crash(descriptor: int) -> None:
        raise OSError("no space left")

    monkeypatch.setattr("os.fsync", crash)
    with pytest.raises(OSError, match="no space left"):
        write_whole(path, b"two")
    assert (path.read_bytes(), os.listdir(tmp_path)) == (b"one", ["secret"])


def test_of_two_that_make_a_secret_one_wins(tmp_path: Path) -> None:
    path = tmp_path / "secret"
    assert create_whole(path, b"one")
    assert not create_whole(path, b"two")
    assert (path.read_bytes(), mode(path), os.listdir(tmp_path)) == (b"one", 0o600, ["secret"])


def test_a_secret_is_read_and_closed(tmp_path: Path) -> None:
    path = tmp_path / "secret"
    assert read_secret(path, "remedy") is None
    path.write_text("it\n", encoding="ascii")
    path.chmod(0o644)
    assert (read_secret(path, "remedy"), mode(path)) == ("it", 0o600)


@pytest.mark.parametrize(("content", "fault"), [(b"", "empty"), (b" \n", "empty"), ("ü".encode(), "malformed")])
def test_a_damaged_secret_is_one_line_with_its_name_and_the_remedy(tmp_path: Path, content: bytes, fault: str) -> None:
    path = tmp_path / "secret"
    path.write_bytes(content)
    with pytest.raises(Unsafe) as refused:
        read_secret(path, "put it back")
    assert str(refused.value) == f"{path} is {fault}: put it back"


def test_a_secret_that_is_a_link_or_no_file_is_refused(tmp_path: Path) -> None:
    (tmp_path / "elsewhere").write_text("it", encoding="ascii")
    (tmp_path / "link").symlink_to("elsewhere")
    (tmp_path / "folder").mkdir()
    for name, fault in (("link", "is a link"), ("folder", "is not a regular file")):
        with pytest.raises(Unsafe, match=fault):
            read_secret(tmp_path / name, "remedy")


def test_the_folder_of_an_older_version_is_tightened_and_told(tmp_path: Path) -> None:
    folder = tmp_path / "data"
    (folder / "logs").mkdir(parents=True)
    (folder / "demo.key").write_text("it", encoding="ascii")
    (folder / "link").symlink_to("nowhere")
    for path in (folder, folder / "logs"):
        path.chmod(0o755)
    (folder / "demo.key").chmod(0o644)
    tightened = prepare_data_dir(folder)
    assert [mode(path) for path in (folder, folder / "logs", folder / "demo.key")] == [0o700, 0o700, 0o600]
    assert [line.split(" was open")[0] for line in tightened] == [
        str(path) for path in (folder, folder / "demo.key", folder / "logs")
    ]
    assert prepare_data_dir(folder) == []


def test_a_link_of_ours_to_a_folder_of_ours_is_followed(tmp_path: Path) -> None:
    (tmp_path / "disk").mkdir(mode=0o755)
    (tmp_path / "data").symlink_to("disk")
    assert len(prepare_data_dir(tmp_path / "data")) == 1
    assert mode(tmp_path / "disk") == 0o700


@pytest.mark.parametrize(("open_to", "refused"), [(0o777, True), (0o1777, False), (0o755, False)])
def test_a_folder_that_strangers_can_rename_is_refused(tmp_path: Path, open_to: int, refused: bool) -> None:
    (tmp_path / "data").mkdir(mode=0o700)
    tmp_path.chmod(open_to)
    problem = place_problem(tmp_path / "data")
    tmp_path.chmod(0o700)
    assert (problem is not None) == refused
    if problem:
        assert problem.startswith(f"every user may rename what is in {tmp_path}")
        assert "\n" not in problem


def test_what_is_no_folder_is_refused(tmp_path: Path) -> None:
    (tmp_path / "data").write_text("", encoding="ascii")
    assert "is not a folder" in (place_problem(tmp_path / "data") or "")


@as_root
def test_a_folder_or_secret_of_another_user_is_refused(tmp_path: Path) -> None:
    (tmp_path / "data").mkdir()
    os.chown(tmp_path / "data", NOBODY, -1)
    with pytest.raises(
        Unsafe, match="belongs to user nobody, and postray runs as root: run it as nobody, or as root: chown"
    ):
        prepare_data_dir(tmp_path / "data")
    write_whole(tmp_path / "secret", b"it", owner=NOBODY)
    with pytest.raises(Unsafe, match="belongs to user nobody"):
        read_secret(tmp_path / "secret", "remedy")


@as_root
def test_a_folder_that_a_group_can_rename_is_refused_but_not_the_group_of_administrators(tmp_path: Path) -> None:
    (tmp_path / "data").mkdir(mode=0o700)
    os.chown(tmp_path, -1, pwd.getpwnam("nobody").pw_gid)
    tmp_path.chmod(0o770)
    assert "may rename what is in" in (place_problem(tmp_path / "data") or "")
    os.chown(tmp_path, -1, 0)
    assert place_problem(tmp_path / "data") is None


@as_root
def test_the_link_of_a_stranger_is_not_followed(tmp_path: Path) -> None:
    (tmp_path / "disk").mkdir()
    (tmp_path / "data").symlink_to("disk")
    os.lchown(tmp_path / "data", NOBODY, -1)
    assert "is a link that user nobody made" in (place_problem(tmp_path / "data") or "")


STRANGER = 'for path; do if [ -r "$path" ]; then echo "$path"; fi; done'


def seen_by_a_stranger(*paths: Path) -> int:
    """How many of these files a user without any rights can read."""
    answer = subprocess.run(
        ["/bin/sh", "-c", STRANGER, "sh", *map(str, paths)],
        user=NOBODY,
        group=NOBODY,
        extra_groups=[],
        capture_output=True,
        check=True,
        cwd="/",
    )
    return len(answer.stdout.splitlines())


@as_root
def test_a_stranger_reads_nothing() -> None:
    # Not in the folder of the test session, whose parents are closed: only our own modes must deny access.
    with tempfile.TemporaryDirectory(prefix="postray-stranger-") as name:
        parent = Path(name)
        parent.chmod(0o755)
        folder = parent / "data"
        (folder / "logs").mkdir(parents=True, mode=0o755)
        folder.chmod(0o755)
        (folder / "demo.key").write_text("it", encoding="ascii")
        (folder / "demo.key").chmod(0o644)
        assert seen_by_a_stranger(folder, folder / "logs", folder / "demo.key") == 3
        prepare_data_dir(folder)
        write_whole(folder / "secret.key", b"it")
        assert seen_by_a_stranger(folder, folder / "logs", folder / "demo.key", folder / "secret.key") == 0
        assert not folder.stat().st_mode & OTHERS
