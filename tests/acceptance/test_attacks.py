"""Attacks in a reduced form: the traffic of attackers neither loses nor duplicates a tenant's mail."""

import json
from pathlib import Path

import pytest

from tests.acceptance.benchmark import benchmark

ATTACKS = ("packed recipients", "long categories", "24 bodies of 19 MB")


@pytest.mark.long
def test_another_tenants_mail_arrives_once(tmp_path: Path) -> None:
    path = tmp_path / "attacks.json"
    only = [word for name in ATTACKS for word in ("--only", name)]
    once = ["--seconds", "2", "--rate", "20", "--repeats", "1", "--warm-up", "0"]
    run = benchmark("attacks", *only, *once, "--json", str(path), most_s=400)
    assert run.returncode == 0, run.stdout + run.stderr
    record = json.loads(path.read_bytes())
    (repeat,) = record["repeats"]
    assert (repeat["promised"], repeat["counted"], repeat["copies"]) == (120, 120, 0)
    assert {f"{name}: healthz p99" for name in ATTACKS} <= repeat["figures"].keys()
