"""Debian's Prometheus for tests: it scrapes a postray every two seconds, with the rules of examples/monitoring."""

import shutil
import subprocess
import time
from pathlib import Path
from typing import Any

import httpx
import yaml

from cluster.installation.ports import ANY_PORT, HeldPort
from tests.unit.monitoring.test_examples import FOLDER

PROGRAM = shutil.which("prometheus")
PROMTOOL = shutil.which("promtool")
MISSING = "is not installed (Debian's package prometheus)"
READY_S = 30.0


def hurried_rules(thresholds: dict[str, str]) -> dict[str, Any]:
    """The rules, which fire at once; ``thresholds`` replaces what some expressions compare with, by alert."""
    rules: dict[str, Any] = yaml.safe_load((FOLDER / "rules.yml").read_text(encoding="utf-8"))
    for rule in rules["groups"][0]["rules"]:
        rule.pop("for", None)
        if (threshold := thresholds.pop(rule["alert"], None)) is not None:
            before, compares, _ = rule["expr"].rpartition(" > ")
            assert compares, rule
            rule["expr"] = f"{before} > {threshold}"
    assert not thresholds, "there are no such alerts"
    return rules


class Prometheus:
    """Call ``start`` and ``stop`` once each."""

    def __init__(self, folder: Path, metrics_url: str, thresholds: dict[str, str]) -> None:
        self._folder = folder
        self._port = HeldPort(ANY_PORT)
        self._process: subprocess.Popen[bytes] | None = None
        address = metrics_url.removeprefix("http://").removesuffix("/metrics")
        config = yaml.safe_load((FOLDER / "prometheus.yml").read_text(encoding="utf-8"))
        config["global"] = {"scrape_interval": "2s", "evaluation_interval": "1s"}
        config["scrape_configs"][0]["static_configs"] = [{"targets": [address]}]
        (folder / "rules.yml").write_text(yaml.safe_dump(hurried_rules(thresholds)), encoding="utf-8")
        (folder / "prometheus.yml").write_text(yaml.safe_dump(config), encoding="utf-8")
        self._api = httpx.Client(base_url=f"http://{self._port.bind}/api/v1", timeout=10, trust_env=False)

    def start(self) -> None:
        assert PROGRAM is not None
        self._port.release()
        with (self._folder / "prometheus.log").open("wb") as output:
            self._process = subprocess.Popen(
                [
                    PROGRAM,
                    f"--config.file={self._folder / 'prometheus.yml'}",
                    f"--storage.tsdb.path={self._folder / 'data'}",
                    f"--web.listen-address={self._port.bind}",
                ],
                stdout=output,
                stderr=subprocess.STDOUT,
            )

    def stop(self) -> None:
        self._api.close()
        assert self._process is not None
        self._process.terminate()
        assert self._process.wait(30) == 0

    def value(self, query: str) -> float | None:
        """The value of the first series that a query finds now."""
        found = self._asked("/query", query=query)["result"]
        return float(found[0]["value"][1]) if found else None

    def alerts(self) -> dict[str, dict[str, str]]:
        """The labels of those that fire, by name."""
        found = self._asked("/alerts")["alerts"]
        return {one["labels"]["alertname"]: one["labels"] for one in found if one["state"] == "firing"}

    def targets(self) -> list[dict[str, Any]]:
        return list(self._asked("/targets")["activeTargets"])

    def _asked(self, path: str, **parameters: str) -> dict[str, Any]:
        until = time.monotonic() + READY_S
        while True:
            try:
                answer = self._api.get(path, params=parameters)
                if answer.status_code == 200:
                    return dict(answer.json()["data"])
            except httpx.TransportError:
                assert self._process is not None and self._process.poll() is None, self._log()
            assert time.monotonic() < until, self._log()
            time.sleep(0.1)

    def _log(self) -> str:
        return (self._folder / "prometheus.log").read_text(encoding="utf-8")
