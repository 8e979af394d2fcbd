"""A program that starts a Ray cluster on loopback with Ray's own autoscaler: a head, and nodes of Ray's fake provider,
which are further raylets of this machine. It prints the cluster's address once the first node is there, and ends when
its input ends.
"""

import json
import os
import sys
import tempfile
import time
from pathlib import Path

import psutil
from ray.autoscaler._private.fake_multi_node.node_provider import FAKE_HEAD_NODE_ID, FAKE_HEAD_NODE_TYPE
from ray.cluster_utils import Cluster

from cluster.installation.ports import ANY_PORT, HeldPort

NODE = {"CPU": 2, "object_store_memory": 80 * 1024 * 1024}
NO_COMMANDS = (
    "initialization_commands",
    "setup_commands",
    "head_setup_commands",
    "worker_setup_commands",
    "head_start_ray_commands",
    "worker_start_ray_commands",
    "cluster_synced_files",
    "rsync_exclude",
    "rsync_filter",
)
FIRST_NODE_S = 30.0
VARIABLES = {
    "RAY_FAKE_CLUSTER": "1",
    "AUTOSCALER_UPDATE_INTERVAL_S": "1",
    "RAY_OVERRIDE_NODE_ID_FOR_TESTING": FAKE_HEAD_NODE_ID,
}


def launcher(address: str, most_nodes: int) -> dict[str, object]:
    """What ``ray-cluster.yaml`` says elsewhere. A node that is idle for 3 s ends."""
    return {
        "cluster_name": "test",
        "max_workers": most_nodes,
        "upscaling_speed": 1,
        "idle_timeout_minutes": 0.05,
        "provider": {
            "type": "fake_multinode",
            "gcs_address": address,
            "use_node_id_as_ip": True,  # they have one address
            "disable_node_updaters": True,
            "disable_launch_config_check": True,
        },
        "auth": {},
        "available_node_types": {
            FAKE_HEAD_NODE_TYPE: {"resources": {"CPU": 0}, "node_config": {}, "max_workers": 0},
            "worker": {"resources": NODE, "node_config": {}, "min_workers": 1, "max_workers": most_nodes},
        },
        "head_node_type": FAKE_HEAD_NODE_TYPE,
        "file_mounts": {},
        "file_mounts_sync_continuously": False,
        **{name: [] for name in NO_COMMANDS},
    }


def main() -> None:
    os.environ.update(VARIABLES)
    port = HeldPort(ANY_PORT)
    address = port.bind
    with tempfile.NamedTemporaryFile("w", suffix=".yaml", encoding="utf-8") as config:
        json.dump(launcher(address, most_nodes=3), config)
        config.flush()
        port.release()
        cluster = Cluster(
            initialize_head=True,
            head_node_args={
                "num_cpus": 0,
                "object_store_memory": NODE["object_store_memory"],
                "include_dashboard": False,
                "gcs_server_port": int(address.rpartition(":")[2]),
                "autoscaling_config": config.name,
            },
        )
        until = time.monotonic() + FIRST_NODE_S
        while not any(one["Alive"] and one["Resources"].get("CPU") for one in cluster.global_state.node_table()):
            if time.monotonic() > until:
                monitor = Path(cluster.head_node.get_session_dir_path()) / "logs" / "monitor.out"
                raise TimeoutError(f"the autoscaler starts no node: {monitor.read_text(encoding='utf-8')[-2000:]}")
            time.sleep(0.1)
        print(cluster.address, flush=True)
        sys.stdin.read()
        nodes = [
            child
            for started in cluster.head_node.all_processes["monitor"]
            for child in psutil.Process(started.process.pid).children(recursive=True)
        ]
        cluster.shutdown()
        for process in nodes:
            if process.is_running():
                process.kill()


if __name__ == "__main__":
    main()
