"""The units for systemd in examples/systemd."""

import shutil
import subprocess
from pathlib import Path

import pytest
import yaml

from cluster.settings import Settings

FOLDER = Path("examples/systemd")
UNITS = sorted(FOLDER.glob("*.service"))


def settings_in(unit: Path) -> dict[str, list[str]]:
    found: dict[str, list[str]] = {}
    for line in unit.read_text(encoding="utf-8").splitlines():
        key, equals, value = line.partition("=")
        if equals and not line.startswith("#"):
            found.setdefault(key, []).append(value)
    return found


def test_postray_is_started_again_but_not_after_postray_down() -> None:
    unit = settings_in(FOLDER / "postray.service")
    assert (unit["Restart"], unit["KillMode"]) == (["on-failure"], ["mixed"])
    assert settings_in(FOLDER / "postray-ray.service")["Restart"] == ["always"]
    assert all(settings_in(unit)["StartLimitIntervalSec"] == ["0"] for unit in UNITS)


def test_ray_has_the_variables_of_the_cluster_launcher() -> None:
    told = yaml.safe_load(Path("ray-cluster.yaml").read_text(encoding="utf-8"))
    starts = " ".join(told["head_start_ray_commands"]).split()
    expected = {word for word in starts if word.startswith(("RAY_", "RAY_health"))}
    given = {word for line in settings_in(FOLDER / "postray-ray.service")["Environment"] for word in line.split()}
    assert expected and given == expected


def test_postray_tells_systemd_how_it_is_and_is_reloaded_by_a_signal() -> None:
    unit = settings_in(FOLDER / "postray.service")
    assert (unit["Type"], unit["ExecReload"]) == (["notify"], ["/bin/kill -HUP $MAINPID"])
    assert int(unit["TimeoutStopSec"][0]) > Settings().delivery.stop_wait_s


WITH_SYSTEMD = pytest.mark.skipif(shutil.which("systemd-analyze") is None, reason="systemd is not installed")
MOST_EXPOSED = 25
"""Of 100, as systemd-analyze counts: a unit without any hardening has 96."""


@WITH_SYSTEMD
def test_postray_can_do_little_else_than_its_work() -> None:
    unit, threshold = FOLDER / "postray.service", f"--threshold={MOST_EXPOSED}"
    checked = subprocess.run(
        ["systemd-analyze", "security", "--offline=true", "--no-pager", threshold, unit],
        capture_output=True,
        text=True,
        check=False,
        timeout=60,
    )
    assert checked.returncode == 0, checked.stdout + checked.stderr


@WITH_SYSTEMD
@pytest.mark.parametrize("unit", UNITS, ids=lambda unit: unit.name)
def test_systemd_takes_it(unit: Path, tmp_path: Path) -> None:
    here = tmp_path / unit.name
    text = unit.read_text(encoding="utf-8")
    for program in ("postray", "ray"):
        text = text.replace(f"/opt/postray/.venv/bin/{program} ", "/bin/true ")
    here.write_text(text.replace("User=postray", "User=root"), encoding="utf-8")
    checked = subprocess.run(
        ["systemd-analyze", "verify", here], capture_output=True, text=True, check=False, timeout=60
    )
    assert (checked.returncode, checked.stderr) == (0, "")
