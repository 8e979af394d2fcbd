"""A short measurement: `python -m benchmarks latency`, run like an operator, counts every message."""

import json
from pathlib import Path

from tests.acceptance.benchmark import benchmark


def test_a_short_measurement_counts_every_message(tmp_path: Path) -> None:
    path = tmp_path / "latency.json"
    arguments = ["--seconds", "2", "--rate", "50", "--repeats", "2", "--warm-up", "0.1"]
    run = benchmark("latency", *arguments, "--json", str(path), "--plots", str(tmp_path), most_s=180)
    assert run.returncode == 0, run.stdout + run.stderr
    record = json.loads(path.read_bytes())
    assert record["broken"] == []
    assert [(repeat["promised"], repeat["counted"]) for repeat in record["repeats"]] == [(100, 100), (100, 100)]
    parts = record["repeats"][0]["usage"]
    assert {"api-0-0", "delivery-0-0", "postgres", "ray", "recorder", "sink", "harness"} <= parts.keys()
    assert parts["delivery-0-0"]["peak_resident_mb"] > 50
    pictures = {picture.name for picture in tmp_path.glob("*.png")}
    assert pictures == {"latency-throughput.png", "latency-latency.png", "latency-cpu.png"}
