"""A short run of faults: `python -m benchmarks chaos`, run like an operator, keeps every promise."""

import json
from pathlib import Path

from tests.acceptance.benchmark import benchmark


def test_a_short_storm_breaks_no_promise(tmp_path: Path) -> None:
    path = tmp_path / "chaos.json"
    arguments = ["--seconds", "20", "--seed", "5", "--rate", "100", "--patience", "40", "--json", str(path)]
    run = benchmark("chaos", *arguments, most_s=180)
    assert run.returncode == 0, run.stdout + run.stderr
    record = json.loads(path.read_bytes())
    assert record["broken"] == []
    assert record["verdict"]["promised"] > 500
    assert sum(record["kills"].values()) >= 3
    assert all(record["verdict"][what] for what in ("fetches", "unsubscribes", "suppressed", "heard"))
    assert all(record["verdict"][what] for what in ("submitted", "reports", "returned", "complaints"))
    assert record["verdict"]["of_past_days"] > 30 and record["verdict"]["rewrites"] > 10
