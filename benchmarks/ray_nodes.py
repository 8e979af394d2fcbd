"""A program that starts a Ray cluster on loopback: a head, and a node for each line "add" of its input. It prints the
cluster's address, the processes of the head, then each node's id and its processes, and ends when its input ends.

It is a separate process because Ray keeps the token of the first cluster that a process has connected to.
"""

import sys

from ray._private.node import Node
from ray.cluster_utils import Cluster

NODE = {"num_cpus": 2, "object_store_memory": 80 * 1024 * 1024}


def processes(node: Node) -> list[int]:
    return [one.process.pid for started in node.all_processes.values() for one in started]


def main() -> None:
    # The head has no CPUs for actors: it runs Ray's control service, and nothing of postray depends on it.
    cluster = Cluster(initialize_head=True, head_node_args={**NODE, "num_cpus": 0, "include_dashboard": False})
    print(cluster.address, flush=True)
    print(*processes(cluster.head_node), flush=True)
    for _ in sys.stdin:
        node = cluster.add_node(**NODE)
        print(node.node_id, *processes(node), flush=True)
    cluster.shutdown()


if __name__ == "__main__":
    main()
