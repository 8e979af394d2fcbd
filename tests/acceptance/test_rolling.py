"""A rolling change: `python -m benchmarks rolling`, run like an operator, changes a node's release while mail flows."""

import json
from pathlib import Path

import pytest

from tests.acceptance.benchmark import benchmark

BROKEN = ("lost", "stuck", "cancelled_but_sent", "disagreements", "inexcusable", "problems")
OF_TIME = ("rate not back", "late")
"""What is late, and a rate that is not back in time, may be the machine's fault, which runs other tests meanwhile."""


@pytest.mark.long
def test_a_node_changes_its_release_while_mail_flows(tmp_path: Path) -> None:
    path = tmp_path / "rolling.json"
    arguments = ["--nodes", "2", "--seconds", "10", "--rate", "20", "--patience", "60", "--json", str(path)]
    run = benchmark("rolling", *arguments, most_s=400)
    assert path.is_file(), run.stdout + run.stderr
    record = json.loads(path.read_bytes())
    verdict, rolled = record["verdict"], record["rolled"]
    assert [one for one in record["broken"] if not one.startswith(OF_TIME)] == [], run.stdout + run.stderr
    assert {what: verdict[what] for what in BROKEN} == {what: [] for what in BROKEN}
    assert (verdict["unanswered"], verdict["surplus"], verdict["duplicated"]) == (0, 0, 0)
    assert rolled["changes"] == 1
    assert 0 < rolled["written_by_later"] < rolled["requests"]
    assert verdict["promised"] > 100 and rolled["lateness"]["copies"] > 100
    assert [change["kind"] for change in record["recoveries"]] == ["drained", "left", "release changed"]
