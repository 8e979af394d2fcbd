"""A program that starts a Ray cluster of two nodes on loopback, prints its address, and ends when its input ends.

It is a separate process because Ray keeps the token of the first cluster that a process has connected to.
"""

import sys

from ray.cluster_utils import Cluster

NODE = {"num_cpus": 2, "object_store_memory": 80 * 1024 * 1024}


def main() -> None:
    cluster = Cluster(initialize_head=True, head_node_args={**NODE, "include_dashboard": False})
    cluster.add_node(**NODE)
    print(cluster.address, flush=True)
    sys.stdin.read()
    cluster.shutdown()


if __name__ == "__main__":
    main()
