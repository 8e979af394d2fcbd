"""examples/monitoring: what its rules and its dashboard name is there, and each rule is tested."""

import json
import re
from pathlib import Path
from typing import Any

import pytest
import yaml

import cluster
from cluster.metrics import Histogram
from tests.metrics_page import declared

FOLDER = Path(cluster.__file__).parents[1] / "examples" / "monitoring"
LABELS = {"actor", "instance", "job", "le"}
"""Of every value, or given by Prometheus."""


def rules() -> list[dict[str, Any]]:
    groups = yaml.safe_load((FOLDER / "rules.yml").read_text(encoding="utf-8"))["groups"]
    return [rule for group in groups for rule in group["rules"]]


def panels() -> list[dict[str, Any]]:
    found: list[dict[str, Any]] = json.loads((FOLDER / "dashboard.json").read_text(encoding="utf-8"))["panels"]
    return found


EXPRESSIONS = [
    *((rule["alert"], rule["expr"]) for rule in rules()),
    *((panel["title"], target["expr"]) for panel in panels() for target in panel.get("targets", ())),
]


def samples() -> dict[str, set[str]]:
    """The labels of each series."""
    found: dict[str, set[str]] = {"up": set()}
    for _, metric in declared():
        if isinstance(metric, Histogram):
            found |= {f"{metric.name}_{suffix}": set() for suffix in ("bucket", "count", "sum")}
        else:
            found[metric.name] = {metric.label} - {""}
    return found


@pytest.mark.parametrize(("title", "expression"), EXPRESSIONS)
def test_what_is_asked_for_is_counted(title: str, expression: str) -> None:
    known = samples()
    named = set(re.findall(r"\b(?:postray_\w+|up)\b", expression))
    assert named and named <= set(known), title
    labels = LABELS.union(*(known[name] for name in named))
    grouped = {label for found in re.findall(r"by \(([^)]*)\)", expression) for label in found.split(", ")}
    matched = set(re.findall(r"(\w+)=~?\"", expression))
    assert grouped | matched <= labels, title


def test_each_rule_says_what_to_do_and_is_tested() -> None:
    tested = yaml.safe_load((FOLDER / "rules_test.yml").read_text(encoding="utf-8"))["tests"]
    fired = {one["alertname"] for test in tested for one in test["alert_rule_test"] if one["exp_alerts"]}
    quiet = {one["alertname"] for test in tested for one in test["alert_rule_test"] if not one["exp_alerts"]}
    names = [rule["alert"] for rule in rules()]
    assert sorted(fired) == sorted(quiet) == sorted(names)
    for rule in rules():
        assert rule["labels"]["severity"] in ("critical", "warning", "info")
        assert set(rule["annotations"]) == {"summary", "description"}


def test_panels_do_not_lie_on_each_other() -> None:
    taken: set[tuple[int, int]] = set()
    for panel in panels():
        place = panel["gridPos"]
        assert place["x"] + place["w"] <= 24
        own = {
            (x, y)
            for x in range(place["x"], place["x"] + place["w"])
            for y in range(place["y"], place["y"] + place["h"])
        }
        assert not own & taken, panel["title"]
        taken |= own
    ids = [panel["id"] for panel in panels()]
    assert len(set(ids)) == len(ids)
