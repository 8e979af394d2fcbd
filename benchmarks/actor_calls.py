"""A program that asks a cluster how often its actors were called by others: it prints a JSON object, by method.

It is a separate process because Ray keeps the token of the first cluster that a process has connected to. The settings
are those of the environment.
"""

import json
import os
from collections import Counter
from pathlib import Path

from actors.supervisor import Collected
from cluster.launch import ray_node, together
from cluster.settings import load
from cluster.topology import SUPERVISOR

CALLS = "postray_actor_calls_total"
OWN = "metrics"
"""What this program causes itself."""


def main() -> None:
    settings = load(None, os.environ)
    ray_node.join(settings.ray.address, Path(settings.data_dir).resolve())
    collected: Collected = together.call(SUPERVISOR, "collected_metrics")
    ray_node.stop_ray()
    if collected.missing:
        raise SystemExit(f"did not answer: {collected.missing}")
    called: Counter[str] = Counter()
    for readings in collected.readings.values():
        for reading in readings:
            if reading.name == CALLS:
                called.update({method: int(times) for method, times in reading.values.items() if method != OWN})
    print(json.dumps(called))


if __name__ == "__main__":
    main()
