"""The table of actors, and that the nodes of ray-cluster.yaml have room for them."""

import json
from importlib import import_module
from pathlib import Path
from typing import Any

import jsonschema
import msgspec
import pytest
import ray
import yaml

from cluster.policy.placement import Node, Place, plan
from cluster.settings import DeliverySettings, HttpSettings, Settings
from cluster.topology import ACTORS, SPECS, cpus_of_a_node, kinds, on_one_node

ROOT = Path(__file__).parents[2]
MB = 1024 * 1024


@pytest.fixture(scope="module")
def cluster_file() -> dict[str, Any]:
    text = (ROOT / "ray-cluster.yaml").read_text(encoding="utf-8")
    loaded: dict[str, Any] = yaml.safe_load(text)
    return loaded


def placed(settings: Settings, *nodes: str) -> tuple[Place, ...]:
    """Where the actors run on nodes as those of ray-cluster.yaml."""
    return plan([Node(id=node, cpus=2) for node in nodes], kinds(settings), ()).places


def test_one_node_has_every_actor_once() -> None:
    placements = placed(Settings(), "n1")
    assert [p.name for p in placements] == [
        "capture",
        "recorder",
        "delivery-0-0",
        "delivery-0-1",
        "scheduler",
        "webhooks",
        "supervisor",
        "api-0-0",
    ]


def test_several_nodes_each_deliver_and_serve() -> None:
    placements = placed(Settings(delivery=DeliverySettings(mode="direct", actors_per_node=1)), "n1", "n2")
    assert [(p.name, p.node_id) for p in placements] == [
        ("recorder", "n1"),
        ("delivery-0-0", "n1"),
        ("delivery-1-0", "n2"),
        ("scheduler", "n1"),
        ("webhooks", "n1"),
        ("supervisor", "n1"),
        ("api-0-0", "n1"),
        ("api-1-0", "n2"),
    ]


def test_a_node_has_as_many_actors_as_are_set_and_cpus_for_them() -> None:
    settings = Settings(delivery=DeliverySettings(actors_per_node=16), http=HttpSettings(actors_per_node=3))
    names = [p.name for p in on_one_node(settings)]
    assert [name for name in names if name.startswith("api")] == ["api-0-0", "api-0-1", "api-0-2"]
    assert cpus_of_a_node(Settings()) == 2
    assert cpus_of_a_node(settings) == 9


@pytest.mark.parametrize("spec", ACTORS, ids=lambda spec: spec.kind)
def test_every_builder_exists(spec: Any) -> None:
    module, _, function = spec.build.partition(":")
    assert callable(getattr(import_module(module), function))


def test_the_cluster_file_is_what_the_launcher_takes(cluster_file: dict[str, Any]) -> None:
    schema = Path(ray.__file__).parent / "autoscaler" / "ray-schema.json"
    jsonschema.validate(cluster_file, json.loads(schema.read_text(encoding="utf-8")))


@pytest.mark.parametrize("mode", ["capture", "direct"])
def test_the_nodes_of_the_cluster_file_hold_the_actors(cluster_file: dict[str, Any], mode: Any) -> None:
    types = cluster_file["available_node_types"]
    settings = msgspec.structs.replace(Settings(), delivery=DeliverySettings(mode=mode))
    placements = placed(settings, "head", "worker")
    for node, type_name in (("head", "postray.head"), ("worker", "postray.worker")):
        here = [p for p in placements if p.node_id == node]
        offered = types[type_name]["resources"]
        assert here and sum(SPECS[p.kind].cpus for p in here) <= offered["CPU"]
        # Ray needs a part for its object store and its own processes.
        assert sum(SPECS[p.kind].memory_mb for p in here) * MB <= offered["memory"] / 2


def test_strangers_are_kept_out(cluster_file: dict[str, Any]) -> None:
    for commands in ("head_start_ray_commands", "worker_start_ray_commands"):
        starts = [command for command in cluster_file[commands] if "ray start" in command]
        assert starts and all("RAY_AUTH_MODE=token" in command for command in starts)
        assert all("RAY_USAGE_STATS_ENABLED=0" in command for command in starts)
