"""Attacks in a reduced form: the traffic of attackers neither loses nor duplicates a tenant's mail."""

import json
import subprocess
import sys
from pathlib import Path

ATTACKS = ("packed recipients", "long categories", "24 bodies of 19 MB")


def test_another_tenants_mail_arrives_once(tmp_path: Path) -> None:
    path = tmp_path / "attacks.json"
    only = [word for name in ATTACKS for word in ("--only", name)]
    once = ["--seconds", "2", "--rate", "20", "--repeats", "1", "--warm-up", "0"]
    run = subprocess.run(
        [sys.executable, "-m", "benchmarks", "attacks", *only, *once, "--json", str(path)],
        cwd=Path(__file__).parents[2],
        capture_output=True,
        text=True,
        timeout=400,
        check=False,
    )
    assert run.returncode == 0, run.stdout + run.stderr
    record = json.loads(path.read_bytes())
    (repeat,) = record["repeats"]
    assert (repeat["promised"], repeat["counted"], repeat["copies"]) == (120, 120, 0)
    assert {f"{name}: healthz p99" for name in ATTACKS} <= repeat["figures"].keys()
