"""The examples for containers and Kubernetes, against what builds and what reads them.

No image is built and no cluster is asked: the fields are those of KubeRay's reference of RayCluster (ray.io/v1).
"""

import re
import shlex
import subprocess
import tomllib
from collections.abc import Iterator
from importlib.metadata import version
from pathlib import Path
from typing import Any

import pytest
import yaml

from cluster.settings import load
from cluster.topology import SPECS, on_one_node

ROOT = Path(__file__).parents[3]
CONTAINERFILE = ROOT / "examples" / "Containerfile"
KUBERAY = ROOT / "examples" / "kuberay.yaml"

SPEC = {
    "authOptions",
    "autoscalerOptions",
    "enableInTreeAutoscaling",
    "gcsFaultToleranceOptions",
    "headGroupSpec",
    "headServiceAnnotations",
    "managedBy",
    "rayVersion",
    "suspend",
    "upgradeStrategy",
    "workerGroupSpecs",
}
HEAD = {"enableIngress", "headService", "labels", "rayStartParams", "resources", "serviceType", "template"}
WORKERS = {
    "groupName",
    "idleTimeoutSeconds",
    "labels",
    "maxReplicas",
    "minReplicas",
    "numOfHosts",
    "rayStartParams",
    "replicas",
    "resources",
    "scaleStrategy",
    "suspend",
    "template",
}
POD = {
    "containers",
    "initContainers",
    "securityContext",
    "serviceAccountName",
    "terminationGracePeriodSeconds",
    "volumes",
}
CONTAINER = {
    "args",
    "command",
    "env",
    "image",
    "livenessProbe",
    "name",
    "ports",
    "readinessProbe",
    "resources",
    "securityContext",
    "volumeMounts",
    "workingDir",
}
PARAMETERS = {"num-cpus", "include-dashboard", "labels", "object-store-memory", "memory", "resources", "port"}
"""Options of ray start."""


def instructions() -> Iterator[tuple[str, str]]:
    text = re.sub(r"\\\n", " ", "\n".join(line for line in lines() if not line.startswith("#")))
    for line in text.splitlines():
        if line.strip():
            word, _, rest = line.strip().partition(" ")
            yield word, rest.strip()


def lines() -> list[str]:
    return CONTAINERFILE.read_text(encoding="utf-8").splitlines()


def of(word: str) -> list[str]:
    return [rest for found, rest in instructions() if found == word]


def test_the_instructions_are_those_of_a_containerfile() -> None:
    known = {
        "FROM",
        "RUN",
        "COPY",
        "ENV",
        "USER",
        "WORKDIR",
        "VOLUME",
        "EXPOSE",
        "STOPSIGNAL",
        "HEALTHCHECK",
        "ENTRYPOINT",
        "CMD",
    }
    assert {word for word, _ in instructions()} <= known
    assert of("ENTRYPOINT") == ['["postray"]']


def test_all_that_is_copied_is_there_and_all_packages_are_copied() -> None:
    sources = [word for rest in of("COPY") if not rest.startswith("--from") for word in shlex.split(rest)[:-1]]
    assert all((ROOT / source).exists() for source in sources)
    project = tomllib.loads((ROOT / "pyproject.toml").read_text(encoding="utf-8"))
    packages = project["tool"]["setuptools"]["packages"]["find"]["include"]
    assert {package.rstrip("*") for package in packages} <= set(sources)


def test_it_runs_as_a_user_who_owns_the_data_directory() -> None:
    assert of("USER") == ["postray"]
    (user,) = (rest for rest in of("RUN") if rest.startswith("useradd"))
    assert "--uid 7025" in user and "-o postray -g postray -m 0700 /var/lib/postray" in user
    environ = dict(word.split("=", 1) for word in shlex.split(of("ENV")[-1]))
    settings = load(None, {name: value for name, value in environ.items() if name.startswith("POSTRAY_")})
    assert of("VOLUME") == [settings.data_dir] == ["/var/lib/postray"]


def test_its_python_is_one_that_postray_takes() -> None:
    needed = tomllib.loads((ROOT / "pyproject.toml").read_text(encoding="utf-8"))["project"]["requires-python"]
    oldest = tuple(map(int, needed.removeprefix(">=").split(".")))
    for image in of("FROM"):
        found = re.match(r"python:(\d+)\.(\d+)-slim", image)
        assert found and (int(found[1]), int(found[2])) >= oldest


@pytest.fixture(scope="module")
def documents() -> dict[str, Any]:
    found = list(yaml.safe_load_all(KUBERAY.read_text(encoding="utf-8")))
    return {one["kind"]: one for one in found}


def pods(cluster: Any) -> dict[str, Any]:
    head, (workers,) = cluster["spec"]["headGroupSpec"], cluster["spec"]["workerGroupSpecs"]
    return {"head": head["template"]["spec"], "worker": workers["template"]["spec"]}


def test_every_field_of_the_cluster_is_known(documents: dict[str, Any]) -> None:
    cluster = documents["RayCluster"]
    assert cluster["apiVersion"] == "ray.io/v1"
    spec = cluster["spec"]
    assert spec.keys() <= SPEC and spec["headGroupSpec"].keys() <= HEAD
    assert all(group.keys() <= WORKERS for group in spec["workerGroupSpecs"])
    groups = (spec["headGroupSpec"], *spec["workerGroupSpecs"])
    for group in groups:
        assert group["rayStartParams"].keys() <= PARAMETERS
        assert all(isinstance(value, str) for value in group["rayStartParams"].values())
    for pod in pods(cluster).values():
        assert pod.keys() <= POD
        for container in (*pod["containers"], *pod.get("initContainers", ())):
            assert container.keys() <= CONTAINER
            names = {volume["name"] for volume in pod.get("volumes", ())}
            assert {mount["name"] for mount in container.get("volumeMounts", ())} <= names
            assert all(isinstance(one.get("value", ""), str) for one in container.get("env", ()))


def test_ray_is_the_one_that_is_installed(documents: dict[str, Any]) -> None:
    assert documents["RayCluster"]["spec"]["rayVersion"] == version("ray")


def test_a_worker_has_room_for_the_actors_of_a_node(documents: dict[str, Any]) -> None:
    (group,) = documents["RayCluster"]["spec"]["workerGroupSpecs"]
    (container,) = group["template"]["spec"]["containers"]
    text = documents["ConfigMap"]["data"]["postray.toml"]
    (memory,) = re.findall(r"(\d+)Gi", container["resources"]["limits"]["memory"])
    settings = load(None, {})
    needed = [SPECS[place.kind] for place in on_one_node(settings)]
    assert float(group["rayStartParams"]["num-cpus"]) >= sum(actor.cpus for actor in needed)
    assert int(memory) * 1024 >= sum(actor.memory_mb for actor in needed)
    assert group["minReplicas"] >= tomllib.loads(text)["cluster"]["min_nodes"]


def test_its_settings_can_be_read(documents: dict[str, Any], tmp_path: Path) -> None:
    (tmp_path / "postray.toml").write_text(documents["ConfigMap"]["data"]["postray.toml"], encoding="utf-8")
    (container,) = pods(documents["RayCluster"])["worker"]["containers"]
    secrets = {one["name"]: one["valueFrom"]["secretKeyRef"]["key"] for one in container["env"] if "valueFrom" in one}
    environ = {
        "POSTRAY_SECRET": "A" * 43 + "=",
        "POSTRAY_POSTGRES_DSN": "postgresql://u:p@db/postray",
        "POSTRAY_CLICKHOUSE_DSN": "clickhouse://u:p@ch/postray",
    }
    assert environ.keys() | {"RAY_AUTH_TOKEN"} == secrets.keys()
    settings = load(tmp_path / "postray.toml", environ)
    mounts = {mount["mountPath"] for mount in container["volumeMounts"]}
    assert {settings.data_dir, "/etc/postray"} <= mounts
    # What is made by hand must be what the pods ask for.
    made = set(re.findall(r"--from-literal=([a-z-]+)=", KUBERAY.read_text(encoding="utf-8")))
    assert made == set(secrets.values())


def test_ray_has_the_variables_of_the_cluster_launcher(documents: dict[str, Any]) -> None:
    told = yaml.safe_load((ROOT / "ray-cluster.yaml").read_text(encoding="utf-8"))
    words = " ".join(told["head_start_ray_commands"]).split()
    expected = dict(word.split("=", 1) for word in words if word.startswith("RAY_"))
    for pod in pods(documents["RayCluster"]).values():
        (container,) = pod["containers"]
        given = {one["name"]: one.get("value") for one in container["env"]}
        assert expected.items() <= given.items()


def test_pods_run_as_the_user_of_the_image_and_stop_in_their_time(documents: dict[str, Any]) -> None:
    for pod in pods(documents["RayCluster"]).values():
        assert (pod["securityContext"]["runAsUser"], pod["securityContext"]["runAsNonRoot"]) == (7025, True)
        assert pod["terminationGracePeriodSeconds"] > load(None, {}).delivery.stop_wait_s
        (container,) = pod["containers"]
        assert container["securityContext"]["capabilities"] == {"drop": ["ALL"]}


def test_the_commands_are_understood_by_the_shell(documents: dict[str, Any]) -> None:
    for pod in pods(documents["RayCluster"]).values():
        for container in (*pod["containers"], *pod.get("initContainers", ())):
            shell, *_ = container["command"]
            script = (container["command"] + container.get("args", []))[-1]
            subprocess.run([shell, "-n", "-c", script], check=True, timeout=30)


def test_the_service_and_the_network_policy_select_the_pods(documents: dict[str, Any]) -> None:
    (group,) = documents["RayCluster"]["spec"]["workerGroupSpecs"]
    labels = group["template"]["metadata"]["labels"]
    assert documents["Service"]["spec"]["selector"].items() <= labels.items()
    name = documents["RayCluster"]["metadata"]["name"]
    assert documents["NetworkPolicy"]["spec"]["podSelector"]["matchLabels"] == {"ray.io/cluster": name}
