"""The wheel: all that the product reads is in it, and it runs with no repository around. And the service that it is
for a service manager: told when it is ready, reloaded by a signal, stopped in order."""

import json
import os
import shutil
import signal
import socket
import subprocess
import sys
import sysconfig
import tomllib
import urllib.request
import zipfile
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest

from benchmarks.postray import PORTS
from cluster.installation.ports import ANY_PORT
from cluster.installation.service import VARIABLE
from tests.acceptance.running import mail

ROOT = Path(__file__).parents[2]
PROJECT = tomllib.loads((ROOT / "pyproject.toml").read_text(encoding="utf-8"))
PACKAGES = [name.rstrip("*") for name in PROJECT["tool"]["setuptools"]["packages"]["find"]["include"]]
NOT_INSTALLED = ("benchmarks/results/", "benchmarks/README.md")
"""What was measured, and how: for those who read the repository."""
MAX_WAIT_S = 120.0


@pytest.fixture(scope="module")
def wheel(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Built from a copy of what the build reads: a build leaves files beside its sources."""
    sources, out = tmp_path_factory.mktemp("sources"), tmp_path_factory.mktemp("wheel")
    for name in PACKAGES:
        shutil.copytree(ROOT / name, sources / name, ignore=shutil.ignore_patterns("__pycache__"))
    for name in ("pyproject.toml", "README.md", "LICENSE"):
        shutil.copy(ROOT / name, sources / name)
    build = "from setuptools.build_meta import build_wheel; import sys; print(build_wheel(sys.argv[1]))"
    subprocess.run([sys.executable, "-c", build, str(out)], cwd=sources, check=True, capture_output=True, timeout=300)
    (made,) = out.glob("postray-*.whl")
    return made


def tracked() -> Iterator[str]:
    """The files of the packages that are in the repository, or about to be."""
    command = ["git", "ls-files", "--cached", "--others", "--exclude-standard", "--", *PACKAGES]
    found = subprocess.run(command, cwd=ROOT, check=True, capture_output=True, text=True, timeout=60)
    yield from (line for line in found.stdout.splitlines() if (ROOT / line).is_file())


def test_every_file_of_the_packages_is_in_it_and_no_other(wheel: Path) -> None:
    inside = {name for name in zipfile.ZipFile(wheel).namelist() if ".dist-info/" not in name}
    assert inside == {name for name in tracked() if not name.startswith(NOT_INSTALLED)}


@pytest.fixture(scope="module")
def installed(wheel: Path, tmp_path_factory: pytest.TempPathFactory) -> Path:
    """The bin of an environment with the wheel. The libraries are those of this one, whose postray is out of reach."""
    folder = tmp_path_factory.mktemp("installed")
    subprocess.run([sys.executable, "-m", "venv", "--without-pip", folder], check=True, timeout=120)
    python = folder / "bin" / "python"
    where = "import sysconfig; print(sysconfig.get_path('purelib'))"
    site = Path(subprocess.run([python, "-c", where], check=True, capture_output=True, text=True).stdout.strip())
    # A folder that a .pth file names is searched, and its own .pth files, such as that of an editable postray, are not.
    (site / "libraries.pth").write_text(sysconfig.get_path("purelib"), encoding="utf-8")
    subprocess.run(
        [sys.executable, "-m", "pip", "--python", python, "install", "--quiet", "--no-deps", "--no-index", wheel],
        check=True,
        timeout=300,
    )
    return folder / "bin"


class Service:
    """An installed ``postray up`` with a service manager that listens."""

    def __init__(self, installed: Path, folder: Path, manager: socket.socket) -> None:
        self._postray = installed / "postray"
        self._folder = folder
        self._manager = manager
        inherited = {name: value for name, value in os.environ.items() if not name.startswith(("POSTRAY_", "PYTHON"))}
        self._environ = inherited | dict.fromkeys(PORTS, ANY_PORT)
        with (folder / "out").open("wb") as out:
            self.process = subprocess.Popen(
                [self._postray, "up", "--hide-key"],
                cwd=folder,
                env=self._environ | {VARIABLE: manager.getsockname()},
                stdin=subprocess.DEVNULL,
                stdout=out,
                stderr=subprocess.STDOUT,
            )

    def command(self, *words: str) -> str:
        ended = subprocess.run(
            [self._postray, *words], cwd=self._folder, env=self._environ, capture_output=True, text=True, timeout=60
        )
        assert ended.returncode == 0, ended.stdout + ended.stderr
        return ended.stdout

    def told(self, beginning: str) -> list[str]:
        """What the manager is told, until a message begins so."""
        said: list[str] = []
        while not said or not said[-1].startswith(beginning):
            try:
                said.append(self._manager.recv(4096).decode())
            except TimeoutError:
                raise AssertionError(f"{said}\n{(self._folder / 'out').read_text(encoding='utf-8')}") from None
        return said


@pytest.fixture(scope="module")
def service(installed: Path, tmp_path_factory: pytest.TempPathFactory) -> Iterator[Service]:
    folder = tmp_path_factory.mktemp("empty")
    with socket.socket(socket.AF_UNIX, socket.SOCK_DGRAM) as manager:
        manager.bind(str(folder / "notify"))
        manager.settimeout(MAX_WAIT_S)
        running = Service(installed, folder, manager)
        yield running
        if running.process.poll() is None:
            running.process.terminate()
            running.process.wait(MAX_WAIT_S)


def test_it_runs_in_an_empty_folder_and_tells_the_service_manager_when_it_is_ready(service: Service) -> None:
    *before, ready = service.told("READY=1")
    assert before[0] == "STATUS=starting: journal runs"
    state = status(service)
    assert (state["ready"], ready) == (True, f"READY=1\nSTATUS=runs at {state['url']}")
    request = urllib.request.Request(
        f"{state['url']}/v3/mail/send",
        data=json.dumps(mail()).encode(),
        headers={"Authorization": f"Bearer {state['api_key']}", "Content-Type": "application/json"},
    )
    direct = urllib.request.build_opener(urllib.request.ProxyHandler({}))
    with direct.open(request, timeout=30) as answer:
        assert answer.status == 202
    assert "SELECT" not in service.command("sql", "SELECT count() FROM events_once")


def status(service: Service) -> dict[str, Any]:
    found: dict[str, Any] = json.loads(service.command("status", "--json", "--secrets"))
    return found


def test_a_hangup_puts_changed_policies_in_force(service: Service) -> None:
    service.process.send_signal(signal.SIGHUP)
    assert service.told("STATUS=")[-1] == "STATUS=nothing has changed"
    shaping = service._folder / "shaping.toml"
    shaping.write_text('[[rule]]\nname = "mine"\nmessage_rate = "no"\n', encoding="utf-8")
    service.process.send_signal(signal.SIGHUP)
    assert service.told("STATUS=")[-1].startswith("STATUS=not reloaded: shaping: ")
    shaping.write_text('[[rule]]\nname = "mine"\nconnections = 3\n', encoding="utf-8")
    service.process.send_signal(signal.SIGHUP)
    assert service.told("STATUS=")[-1].startswith("STATUS=version ")
    assert status(service)["ready"]


def test_a_stop_is_told_and_in_order(service: Service) -> None:
    service.process.send_signal(signal.SIGTERM)
    assert service.told("STOPPING=1")[-1] == "STOPPING=1\nSTATUS=stops"
    assert service.process.wait(MAX_WAIT_S) == 0
