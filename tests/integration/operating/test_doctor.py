"""``postray doctor``: each check with a fault and without."""

import asyncio
import os
import socket
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path
from typing import BinaryIO

import pytest
from click.testing import CliRunner

from cluster.cli import main
from cluster.doctor.checks import CHECKS, examine
from cluster.doctor.findings import Finding, FindingState, Installation
from cluster.installation import run_folder, running
from cluster.installation.local_secrets import DEMO_KEY, SQL_PASSWORD, ensure_ray_token
from cluster.installation.owners import commands_for
from cluster.installation.private_files import write_whole
from cluster.journal.journal import Journal
from cluster.settings import HttpSettings, PostgresSettings, Settings
from cluster.vault import FILE, Vault, secret_key
from tests.domains import a_domain
from tests.integration.journal.test_sender_domains import execute
from tests.integration.operating.conftest import Postray


@pytest.fixture
def installation(tmp_path: Path) -> Installation:
    """An installation that is not running and has no faults."""
    data_dir = tmp_path / "data"
    data_dir.mkdir(mode=0o700)
    secret_key("", data_dir)
    ensure_ray_token(data_dir)
    return Installation(Settings(data_dir=str(data_dir)), ())


def found(name: str, installation: Installation) -> list[Finding]:
    return list(CHECKS[name](installation))


def worst(name: str, installation: Installation) -> tuple[FindingState, str]:
    """The state and text of the most severe finding."""
    order = list(FindingState)
    one = max(found(name, installation), key=lambda finding: order.index(finding.state))
    return one.state, one.text


MACHINE = {"clock", "disk", "fsync", "limits", "memory"}
"""Checks of the machine that the tests run on: what they say of it is not ours to choose."""


def test_all_is_well(installation: Installation) -> None:
    found = list(examine(installation))
    findings = [(name, finding) for name, finding in found if name not in MACHINE]
    assert {finding.state for _, finding in findings} == {FindingState.OK}
    assert {name for name, _ in found} == set(CHECKS) - {"sockets", "settings"}  # of which there are none


def test_every_finding_is_one_line_with_its_state_and_the_exit_code_tells(installation: Installation) -> None:
    environ = {"POSTRAY_DATA_DIR": installation.settings.data_dir}
    result = CliRunner().invoke(main, ["doctor"], env=environ)
    assert result.exit_code == 0, result.output
    for state, name, text in (line.split(maxsplit=2) for line in result.output.splitlines()):
        assert (state == "ok" or name in MACHINE) and text
    (installation.data_dir / FILE).write_bytes(b"")
    result = CliRunner().invoke(main, ["doctor"], env=environ)
    assert result.exit_code == 1
    assert f"problem  secrets      {installation.data_dir / FILE} is empty: put it back" in result.output
    assert '"state": "problem"' in CliRunner().invoke(main, ["doctor", "--json"], env=environ).output


def test_a_data_directory_that_is_not_there(tmp_path: Path) -> None:
    ((_, finding),) = examine(Installation(Settings(data_dir=str(tmp_path / "none")), ()))
    assert finding.state is FindingState.WARNING


def test_a_place_that_others_can_change(installation: Installation, tmp_path: Path) -> None:
    tmp_path.chmod(0o777)
    state, text = worst("place", installation)
    tmp_path.chmod(0o700)
    assert state is FindingState.PROBLEM
    assert f"chmod go-w {tmp_path}" in text


@pytest.mark.skipif(os.geteuid() != 0, reason="only root may give a folder away")
def test_a_folder_above_that_belongs_to_somebody_else(installation: Installation, tmp_path: Path) -> None:
    os.chown(tmp_path, 65534, -1)
    state, text = worst("place", installation)
    os.chown(tmp_path, 0, -1)
    assert state is FindingState.WARNING
    assert str(tmp_path) in text


@pytest.mark.skipif(os.geteuid() != 0, reason="only root may give a folder away")
def test_owners_and_the_commands_that_mend_them(installation: Installation) -> None:
    data_dir, server = installation.data_dir, installation.data_dir / "postgres"
    server.mkdir()
    (server / "PG_VERSION").touch()
    subprocess.run(["sh", "-c", commands_for(data_dir)], check=True)
    assert worst("owners", installation)[0] is FindingState.OK
    for given_away in (server, server / "PG_VERSION", data_dir / FILE):
        os.chown(given_away, 65534, -1)
        state, text = worst("owners", installation)
        assert state is FindingState.PROBLEM
        subprocess.run(["sh", "-c", text.partition("as root, ")[2]], check=True)
        assert worst("owners", installation)[0] is FindingState.OK
    # All of it another user's: one line mends it, the folder of the embedded Postgres included.
    subprocess.run(["chown", "-R", "nobody", str(data_dir)], check=True)
    assert not found("owners", installation)
    state, text = worst("place", installation)
    assert state is FindingState.PROBLEM
    subprocess.run(["sh", "-c", text.partition("or as root: ")[2]], check=True)
    assert (worst("place", installation)[0], worst("owners", installation)[0]) == (FindingState.OK, FindingState.OK)
    # With a Postgres of the settings, the embedded one is not needed.
    os.chown(server, 65534, -1)
    elsewhere = Installation(Settings(data_dir=str(data_dir), postgres=PostgresSettings(dsn="host=a")), ())
    assert worst("owners", elsewhere)[0] is FindingState.OK


def test_modes(installation: Installation) -> None:
    (installation.data_dir / "logs").mkdir(mode=0o700)
    (installation.data_dir / "logs").chmod(0o755)
    assert worst("modes", installation)[0] is FindingState.WARNING
    installation.data_dir.chmod(0o711)
    state, text = worst("modes", installation)
    assert state is FindingState.PROBLEM
    assert f"chmod go= {installation.data_dir}" in text


def test_the_folder_of_the_sockets(installation: Installation) -> None:
    folder = installation.data_dir / run_folder.NAME
    folder.mkdir(mode=0o700)
    assert worst("sockets", installation)[0] is FindingState.OK
    (folder / "ray").mkdir(mode=0o700)
    (folder / "ray").chmod(0o777)
    state, text = worst("sockets", installation)
    assert (state, f"chmod go= {folder / 'ray'}" in text) == (FindingState.WARNING, True)
    run_folder.close(installation.data_dir)
    assert worst("sockets", installation)[0] is FindingState.OK
    folder.chmod(0o777)
    assert worst("sockets", installation)[0] is FindingState.PROBLEM


@pytest.mark.parametrize("name", [FILE, DEMO_KEY, "ray.token", SQL_PASSWORD])
def test_secrets(installation: Installation, name: str) -> None:
    write_whole(installation.data_dir / name, b"nonsense")
    state, text = worst("secrets", installation)
    assert state is FindingState.PROBLEM
    assert text.startswith(f"{installation.data_dir / name} is malformed: ")


def test_a_secret_that_is_lost(installation: Installation) -> None:
    (installation.data_dir / FILE).unlink()
    assert worst("secrets", installation)[0] is FindingState.OK  # nothing was sealed with it yet
    (installation.data_dir / "postgres").mkdir()
    (installation.data_dir / "postgres" / "PG_VERSION").touch()
    state, text = worst("secrets", installation)
    assert (state, "is missing: put it back" in text) == (FindingState.PROBLEM, True)


@pytest.mark.parametrize(
    ("content", "mode", "state"),
    [
        ('[postgres]\ndsn = "postgresql://u:p@host/db"\n', 0o644, FindingState.PROBLEM),
        ('[postgres]\ndsn = "postgresql://u:p@host/db"\n', 0o600, FindingState.OK),
        ('secret = ""  # none\n[postgres]\ndsn = ""\n', 0o644, FindingState.OK),
        ("", 0o666, FindingState.PROBLEM),
    ],
)
def test_settings_files(
    installation: Installation, tmp_path: Path, content: str, mode: int, state: FindingState
) -> None:
    path = tmp_path / "postray.toml"
    path.write_text(content, encoding="utf-8")
    path.chmod(mode)
    assert worst("settings", Installation(installation.settings, (path,)))[0] is state


async def seal(journal: Journal, secret: str) -> None:
    tenant_id = await journal.tenants.create("acme")
    sealed = Vault(secret).seal(b"key")
    await a_domain(
        journal, tenant_id, "acme.example", verified=True, selector="s", public_key="p", sealed_private_key=sealed
    )


async def test_what_was_sealed(installation: Installation, journal: Journal, journal_dsn: str) -> None:
    data_dir = installation.data_dir
    with_journal = Installation(Settings(data_dir=str(data_dir), postgres=PostgresSettings(dsn=journal_dsn)), ())
    await seal(journal, secret_key("", data_dir))
    assert (await asyncio.to_thread(worst, "sealed", with_journal))[0] is FindingState.OK
    (data_dir / FILE).unlink()
    secret_key("", data_dir)
    state, text = await asyncio.to_thread(worst, "sealed", with_journal)
    assert (state, text.startswith("the DKIM key of acme.example was sealed with another")) == (
        FindingState.PROBLEM,
        True,
    )


async def test_sender_domains(installation: Installation, journal: Journal, journal_dsn: str) -> None:
    with_journal = Installation(
        Settings(data_dir=str(installation.data_dir), postgres=PostgresSettings(dsn=journal_dsn)), ()
    )
    await seal(journal, secret_key("", installation.data_dir))
    assert (await asyncio.to_thread(worst, "domains", with_journal))[0] is FindingState.OK
    for hours, state in ((71, FindingState.OK), (73, FindingState.WARNING)):
        await execute(journal_dsn, f"UPDATE sender_domains SET wrong_since = now() - interval '{hours} hours'")
        found, text = await asyncio.to_thread(worst, "domains", with_journal)
        assert found is state
    assert text.startswith("acme.example of tnt_") and "postray domains verify acme.example" in text


async def test_parts_of_a_running_one(postray: Postray) -> None:
    running_one = Installation(Settings(data_dir=str(postray.data_dir)), ())

    async def told() -> tuple[FindingState, str]:
        return await asyncio.to_thread(worst, "parts", running_one)

    assert await told() == (FindingState.OK, "all 1 parts work")
    postray.parts = {"journal": None, "recorder": "degraded: ClickHouse set 1 damaged part aside"}
    assert await told() == (FindingState.WARNING, "recorder: degraded: ClickHouse set 1 damaged part aside")
    postray.parts = {"journal": "away"}
    assert await told() == (FindingState.PROBLEM, "journal: away")


def test_damaged_events(installation: Installation) -> None:
    detached = installation.data_dir / "clickhouse" / "store" / "abc" / "abcdef" / "detached"
    (detached / "ignored_all_1_1_0").mkdir(parents=True)
    assert worst("events", installation)[0] is FindingState.OK
    (detached / "broken-on-start_all_1_1_0").mkdir()
    state, text = worst("events", installation)
    assert state is FindingState.PROBLEM
    assert text.endswith(f"rm -r {detached / 'broken-on-start_all_1_1_0'}")


def waiting(log: BinaryIO) -> subprocess.Popen[bytes]:
    """A process that waits."""
    return subprocess.Popen([sys.executable, "-c", "input()"], stdin=subprocess.PIPE, stdout=log)


@pytest.fixture
def left(installation: Installation) -> Iterator[int]:
    """A process with a log in the run folder, as Ray has them."""
    folder = run_folder.make(installation.data_dir)
    with (folder / "log").open("wb") as log, waiting(log) as one:
        yield one.pid
        one.kill()


def test_leftovers(installation: Installation, left: int) -> None:
    state, text = worst("leftovers", installation)
    assert (state, f"left processes: {left};" in text) == (FindingState.WARNING, True)
    running.end(running.leftovers(installation.data_dir))
    assert "left " + str(installation.data_dir / "run") in worst("leftovers", installation)[1]
    run_folder.remove(installation.data_dir)
    assert worst("leftovers", installation)[0] is FindingState.OK


def test_of_others_nothing_is_taken_for_a_leftover(installation: Installation, tmp_path: Path) -> None:
    run_folder.make(installation.data_dir)
    with (tmp_path / "run").open("wb") as log, waiting(log) as one:
        assert running.leftovers(installation.data_dir) == []
        one.kill()


@pytest.mark.parametrize(("bound_mb", "state"), [(10**9, FindingState.PROBLEM), (0, None)])
def test_disk(installation: Installation, bound_mb: int, state: FindingState | None) -> None:
    settings = Settings(data_dir=installation.settings.data_dir, http=HttpSettings(min_free_disk_mb=bound_mb))
    found_state, text = worst("disk", Installation(settings, ()))
    assert found_state is state or state is None
    assert " GB free at " in text


def test_an_api_that_does_not_answer_is_a_problem(installation: Installation) -> None:
    with socket.create_server(("127.0.0.1", 0)) as server:
        url = f"http://127.0.0.1:{server.getsockname()[1]}"
    with running.DataLock(installation.data_dir):
        running.write_run(installation.data_dir, running.Run(pid=os.getpid(), url=url, page="", processes=[]))
        state, text = worst("parts", installation)
    assert (state, "does not answer" in text) == (FindingState.PROBLEM, True)
