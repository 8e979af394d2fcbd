"""The process of an actor of which a cluster has one, without Ray: ``KIND DSN DATA_DIR``. It prints "running" when its
object runs, "start NAME" for each actor that it would start, and runs until it is ended."""

import asyncio
import base64
import sys

from cluster.context import Context, Facts, Home, Links
from cluster.launch import host_process
from cluster.launch.handles import Handles
from cluster.launch.host_process import HostProcess
from cluster.launch.questions import Questions
from cluster.peers import PeerGone
from cluster.policy.placement import Node, Place
from cluster.settings import Settings
from cluster.topology import SPECS


async def call(actor: str, method: str, *arguments: object) -> None:
    raise PeerGone(actor, "there is none")


async def kill(actor: str) -> None:
    print(f"kill {actor}", flush=True)


async def look() -> Facts:
    return Facts(nodes=(Node(id="n", cpus=8),), living=())


async def start(place: Place) -> None:
    print(f"start {place.name}", flush=True)


async def end(actor: str, max_wait_s: float) -> None:
    print(f"end {actor}", flush=True)


def links(context: Context, control: Questions, handles: Handles) -> Links:
    return Links(call=call, kill=kill, share=None, look=look, start=start, end=end, ask_for=end)  # type: ignore[arg-type]


async def main(kind: str, dsn: str, data_dir: str) -> None:
    host_process._links = links
    context = Context(
        name=kind,
        node_id="n",
        settings=Settings(data_dir=data_dir),
        data_dir=data_dir,
        postgres_dsn=dsn,
        secret_key=base64.urlsafe_b64encode(bytes(32)).decode(),
        home=Home(node_id="n"),
    )
    await HostProcess(SPECS[kind].build, context).start()
    print("running", flush=True)
    await asyncio.Event().wait()


if __name__ == "__main__":
    asyncio.run(main(*sys.argv[1:]))
