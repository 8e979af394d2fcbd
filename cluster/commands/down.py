"""``postray down``: ends postray here, in a cluster, or on one of its nodes."""

import contextlib
import time
from pathlib import Path

import click
import psutil

from cluster.commands.instance import in_place, settings_of
from cluster.commands.noting import note
from cluster.commands.output import console, errors
from cluster.installation import running
from cluster.installation.private_files import make_data_dir
from cluster.peers import PeerGone
from cluster.settings import Settings

DOWN_MAX_WAIT_S = 15.0
"""Time limit for stopping, beyond the wait for replies of hosts."""
DOWN_LOOK_S = 0.3
BEGUN = "begun"
"""The outcome in the notes: the journal may end with it."""


@click.command()
@click.option(
    "--node",
    is_flag=False,
    flag_value="",
    metavar="[ID]",
    help="End what runs on this machine's node, or on the one whose id begins so; the others go on.",
)
@click.pass_obj
def down(config: str | None, node: str | None) -> None:
    """Stop the postray of this data directory, or of the cluster at ray.address, on all of its nodes. It waits for
    hosts that have a whole message and have not answered (delivery.stop_wait_s); Ctrl-C ends that."""
    settings = settings_of(config)
    if node is not None:
        note(settings, node or "this node", BEGUN)
        _end_node(settings, node)
        if not node:
            _end_own_command(Path(settings.data_dir).resolve())
        return
    if settings.ray.address:
        note(settings, "the cluster", BEGUN)
        _end_cluster(settings)
        return
    data_dir = Path(settings.data_dir).resolve()
    run = running.read_run(data_dir)
    if run is None or not psutil.pid_exists(run.pid) or running.DataLock(data_dir).is_free():
        raise click.ClickException(f"postray is not running on {data_dir}")
    note(settings, "", BEGUN)
    process = psutil.Process(run.pid)
    process.terminate()
    try:
        if not _wait_for_end(process, data_dir, settings.delivery.stop_wait_s + DOWN_MAX_WAIT_S):
            running.end(run.processes)
            errors.print("it did not stop in time, so its processes were ended")
    except psutil.NoSuchProcess:
        pass  # between two signals
    console.print("stopped")


def _end_cluster(settings: Settings) -> None:
    from cluster.down import end_cluster
    from cluster.launch.ray_node import NoCluster

    in_place(make_data_dir, settings)

    def say(line: str) -> None:
        console.print(line.replace("a second signal", "Ctrl-C"), soft_wrap=True, markup=False)

    try:
        if not end_cluster(settings, say):
            raise click.ClickException(f"no postray runs in the cluster at {settings.ray.address}")
    except (NoCluster, PeerGone) as error:
        raise click.ClickException(str(error)) from error
    running.forget_run(Path(settings.data_dir).resolve())
    console.print("stopped")


def _end_node(settings: Settings, node: str) -> None:
    from cluster.down import NodeStays, end_node
    from cluster.launch.ray_node import NoCluster

    if not settings.ray.address:
        raise click.ClickException("--node is for a cluster at ray.address; postray down stops this postray")
    in_place(make_data_dir, settings)
    try:
        end_node(settings, node, lambda line: console.print(line, soft_wrap=True, markup=False))
    except (NoCluster, NodeStays, PeerGone) as error:
        raise click.ClickException(str(error)) from error


def _wait_for_end(process: psutil.Process, data_dir: Path, max_wait_s: float) -> bool:
    """Whether the process ends in time. Prints what it waits for; Ctrl-C shortens the wait."""
    deadline = time.monotonic() + max_wait_s
    said = ""
    while time.monotonic() < deadline:
        try:
            process.wait(DOWN_LOOK_S)
            return True
        except psutil.TimeoutExpired:
            run = running.read_run(data_dir)
            if run is not None and run.waits_for != said:
                said = run.waits_for
                console.print(said.replace("a second signal", "Ctrl-C"), soft_wrap=True, markup=False)
        except KeyboardInterrupt:
            process.terminate()
            deadline = time.monotonic() + DOWN_MAX_WAIT_S
    return False


def _end_own_command(data_dir: Path) -> None:
    """End the ``postray up`` of this data directory, which looks after the cluster, if it runs."""
    run = running.read_run(data_dir)
    if run is not None and not running.DataLock(data_dir).is_free():
        with contextlib.suppress(psutil.NoSuchProcess):
            psutil.Process(run.pid).terminate()
