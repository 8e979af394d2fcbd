"""The units for systemd in examples/systemd."""

import shutil
import subprocess
from pathlib import Path

import pytest
import yaml

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


@pytest.mark.skipif(shutil.which("systemd-analyze") is None, reason="systemd is not installed")
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
