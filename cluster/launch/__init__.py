"""Ray: starting or joining a cluster, placing actors in it, and carrying calls between them.

Only the modules of this package import ray.

- ``ray_node``: the Ray of this machine
- ``host_process``: the process of an actor, and its links to the others
- ``handles``: what a process calls the others by, found before it calls them
- ``places``: which nodes and actors there are, starting an actor at its place, and ending one
- ``questions`` and ``asking``: questions to Ray's control service with an end in time, from an actor and from others
- ``looking``: whether the cluster that ``postray up`` has started or joined is still there
- ``together``: all actors at once, for ``postray up`` and ``postray down``
"""

import os

# Ray reads these when it is imported, so they are set first: no usage telemetry, workers at normal priority, no history
# of calls (Ray keeps 100,000 in the memory of its control service), and no warning about accelerator variables.
os.environ.setdefault("RAY_USAGE_STATS_ENABLED", "0")
os.environ.setdefault("RAY_worker_niceness", "0")
os.environ.setdefault("RAY_task_events_report_interval_ms", "0")
os.environ.setdefault("RAY_ACCEL_ENV_VAR_OVERRIDE_ON_ZERO", "0")
