"""The embedded Postgres: which users can reach it, and where its programs and its socket are."""

import os
import pwd
import signal
import stat
import subprocess
from pathlib import Path

import psycopg
import pytest

from cluster.installation import postgres_programs
from cluster.installation.embedded import EmbeddedPostgres
from cluster.installation.owners import SERVER_USER
from cluster.journal.database import Unavailable


def answers(dsn: str) -> bool:
    with psycopg.connect(dsn) as connection:
        return connection.execute("SELECT 1").fetchone() == (1,)


def test_only_we_can_reach_it_at_a_long_path_as_well(tmp_path: Path, tmp_path_factory: pytest.TempPathFactory) -> None:
    data, links = tmp_path / ("d" * 100), tmp_path_factory.mktemp("r")
    data.mkdir(mode=0o700)
    tmp_path.chmod(0o700)
    modes = {folder: folder.stat().st_mode for folder in (data, *data.parents)}
    server = EmbeddedPostgres(data / "postgres", links)
    try:
        assert answers(server.start())
        # Whichever user it runs as, no folder above its own was opened to others.
        assert {folder: folder.stat().st_mode for folder in modes} == modes
        open_to_others = [p for p in (data / "postgres").rglob("*") if p.lstat().st_mode & 0o077 and not p.is_symlink()]
        assert not open_to_others
        assert stat.S_IMODE((data / "postgres").stat().st_mode) == 0o700
        # A later run of postray takes it over, and restarts it when it has ended.
        other = EmbeddedPostgres(data / "postgres", links)
        assert (answers(other.start()), other.pid) == (True, server.pid)
        os.kill(other.pid, signal.SIGKILL)
        while not other.has_ended:
            pass
        while not other.restart():
            pass
        assert answers(other.dsn)
        other.stop()
    finally:
        server.stop()


def test_a_path_too_long_for_a_socket_is_said(tmp_path: Path) -> None:
    with pytest.raises(Unavailable, match="set data_dir to a shorter one"):
        EmbeddedPostgres(tmp_path / ("d" * 100)).start()


def test_data_of_another_version_is_said(tmp_path: Path) -> None:
    (tmp_path / "postgres").mkdir()
    (tmp_path / "postgres" / "PG_VERSION").write_text("16\n", encoding="ascii")
    with pytest.raises(Unavailable, match="is of Postgres 16, and this postray brings 18"):
        EmbeddedPostgres(tmp_path / "postgres").start()


@pytest.mark.skipif(os.geteuid() != 0, reason="only root needs another user for Postgres")
def test_data_of_another_user_are_said_with_a_command_that_works(tmp_path_factory: pytest.TempPathFactory) -> None:
    folder = tmp_path_factory.mktemp("o w") / "postgres"
    server = EmbeddedPostgres(folder)
    try:
        server.start()
        server.stop()
        for line in ("PG_VERSION", "."):
            os.chown(folder / line, 0, -1)
        with pytest.raises(Unavailable, match="belongs to user root, not pgserver: as root, ") as refused:
            server.start()
        subprocess.run(str(refused.value).partition("as root, ")[2], shell=True, check=True)
        assert answers(server.start())
    finally:
        server.stop()


@pytest.mark.skipif(os.geteuid() != 0, reason="only root needs another user for Postgres")
def test_root_whose_installation_others_cannot_enter_runs_a_copy_of_the_programs(
    tmp_path_factory: pytest.TempPathFactory, monkeypatch: pytest.MonkeyPatch
) -> None:
    tmp_path = tmp_path_factory.mktemp("root")
    hidden = tmp_path / "hidden"
    hidden.mkdir(mode=0o700)
    for part in (postgres_programs.WHEEL, f"{postgres_programs.WHEEL}.libs"):
        (hidden / part).symlink_to(postgres_programs.packages() / part)
    monkeypatch.setattr(postgres_programs, "packages", lambda: hidden)
    data = tmp_path / "data"
    server = EmbeddedPostgres(data / "postgres")
    try:
        assert answers(server.start())
        copy = (data / "postgres-programs").resolve()
        assert stat.S_IMODE(hidden.stat().st_mode) == 0o700
        assert not [one for one in (copy, *copy.rglob("*")) if one.stat().st_mode & 0o022]
        assert (data / "postgres").stat().st_uid == pwd.getpwnam(SERVER_USER).pw_uid
        # After a run that was killed, the next run uses the same copy.
        assert answers(EmbeddedPostgres(data / "postgres").start())
        assert (data / "postgres-programs").resolve() == copy
    finally:
        server.stop()
    assert not copy.exists()
    assert sorted(path.name for path in data.iterdir()) == ["postgres"]
