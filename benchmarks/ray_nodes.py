"""A program that starts a Ray cluster on loopback: a head, and a node for each line "add" of its input. It prints the
cluster's address, the processes of the head, then each node's id and its processes, and ends when its input ends. After
"add" there may be a folder, from which the processes of that node import first.
"away" ends the head's control service, "back" starts it again; "again" starts a head where the one before was, whose
processes were killed, and prints its processes. Either remembers what it knew where RAY_REDIS_ADDRESS names a Redis.

It is a separate process because Ray keeps the token of the first cluster that a process has connected to.
"""

import os
import sys
from typing import Any

from ray._private.node import Node
from ray.cluster_utils import Cluster

from cluster.installation.ports import ANY_PORT, HeldPort

NODE = {"num_cpus": 2, "object_store_memory": 80 * 1024 * 1024}


def processes(node: Node) -> list[int]:
    return [one.process.pid for started in node.all_processes.values() for one in started]


def main() -> None:
    # The head has no CPUs for actors: it runs Ray's control service, and nothing of postray depends on it.
    head: dict[str, Any] = {**NODE, "num_cpus": 0, "include_dashboard": False}
    if "RAY_REDIS_ADDRESS" in os.environ:
        port = HeldPort(ANY_PORT)
        head["gcs_server_port"] = port.number  # it must come back where it was
        port.release()
    cluster = Cluster(initialize_head=True, head_node_args=head)
    redis = os.environ.pop("RAY_REDIS_ADDRESS", None)  # only the head uses it
    print(cluster.address, flush=True)
    print(*processes(cluster.head_node), flush=True)
    for line in map(str.strip, sys.stdin):
        if line == "away":
            cluster.head_node.kill_gcs_server()
            print("away", flush=True)
        elif line == "back":
            cluster.head_node.start_gcs_server()
            print("back", flush=True)
        elif line == "again":
            assert redis is not None
            os.environ["RAY_REDIS_ADDRESS"] = redis
            cluster.head_node = None
            cluster.add_node(**head)
            del os.environ["RAY_REDIS_ADDRESS"]
            print(*processes(cluster.head_node), flush=True)
        else:
            folder = line.removeprefix("add").strip()
            node = cluster.add_node(**NODE, **({"env_vars": {"PYTHONPATH": folder}} if folder else {}))
            print(node.node_id, *processes(node), flush=True)
    cluster.shutdown()


if __name__ == "__main__":
    main()
