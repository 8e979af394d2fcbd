"""Nodes that come and go: each fault changes the cluster, by force or as an operator does it, and undoes the change
after a while, so that the cluster is whole again.

Each way takes one of the nodes by chance. A command that meets an outage is given again, as operators do.
"""

import asyncio
import contextlib
import json
import logging
import subprocess
import time
from collections.abc import Awaitable, Callable
from importlib.metadata import version
from typing import Any

import psutil

from benchmarks.blocking import to_its_end
from benchmarks.chaos.records import Change, ChangeKind, Span
from benchmarks.cluster_postray import ClusterPostray
from benchmarks.later_release import VERSION
from benchmarks.postray import PostrayDidNotStart
from benchmarks.raylets import RayNode
from cluster.policy.placement import kind_of

log = logging.getLogger(__name__)

COMMAND_S = 60.0
"""How long a command is given again: it may meet the longest outage, and the supervisor on its way to another node."""
ONE_COMMAND_S = 150.0
"""How long a command may take once: it waits for the supervisor and for Postgres, and then for the end of actors. On a
busy machine each of these takes tens of seconds."""
AGAIN_S = 1.0
HEADLESS_S = 30.0
"""How long processes may live after their head: 5 s by the setting of the nodes, and what a busy machine takes."""
NOTED_S = 1.0


class NodeFaults:
    """``changes``: what has changed so far. ``start_again`` starts postray after everything has ended. ``later``: the
    folder of the later release, where nodes change theirs."""

    def __init__(self, postray: ClusterPostray, start_again: Callable[[], Awaitable[None]], later: str) -> None:
        self._postray = postray
        self._later = later
        self._start_again = start_again
        self.changes: list[Change] = []
        self.problems: list[str] = []

    @property
    def killed(self) -> list[Span]:
        """When processes of a node were killed, or ended without order."""
        return [(change.at - NOTED_S, change.ended_at + NOTED_S) for change in self.changes if change.is_kill]

    async def kill_node(self, pick: float, seconds: float) -> list[int]:
        pids = await self._killing(ChangeKind.NODE_KILLED, lambda: self._postray.ray.kill(self._picked(pick)))
        await asyncio.sleep(seconds)
        await self._add()
        return pids

    async def drain(self, pick: float, seconds: float) -> list[int]:
        node = self._picked(pick)
        self._changed(ChangeKind.DRAINED)
        await self._command("drain", node.id)
        await asyncio.sleep(seconds)
        self._changed(ChangeKind.UNDRAINED)
        await self._command("undrain", node.id)
        return list(node.processes)

    async def leave(self, pick: float, seconds: float) -> list[int]:
        """What runs on a node is ended in order, and brought back."""
        node = self._picked(pick)
        self._changed(ChangeKind.LEFT)
        await self._command("down", "--node", node.id)
        await asyncio.sleep(seconds)
        self._changed(ChangeKind.BROUGHT_BACK)
        await self._bring_up()
        return list(node.processes)

    async def add(self, pick: float, seconds: float) -> list[int]:
        """A node joins, and later one goes in order."""
        await self._add()
        await asyncio.sleep(seconds)
        node = self._picked(pick)
        self._changed(ChangeKind.LEFT)
        await self._command("down", "--node", node.id)
        await to_its_end(self._postray.ray.remove, node)
        return list(node.processes)

    async def head_away(self, seconds: float) -> list[int]:
        """Delivery goes on without it, and joins it again."""
        ray = self._postray.ray
        self._changed(ChangeKind.HEAD_AWAY)
        await to_its_end(ray.head_goes_away)
        await asyncio.sleep(seconds)
        await to_its_end(ray.head_comes_back)
        self._changed(ChangeKind.HEAD_BACK)
        return list(ray.head)

    async def change_release(self, pick: float) -> list[int]:
        """A node is drained and taken out, and comes back with the release that it had not."""
        node = self._picked(pick)
        release = "" if node.release else self._later
        self._changed(ChangeKind.DRAINED)
        await self._command("drain", node.id)
        self._changed(ChangeKind.LEFT)
        await self._command("down", "--node", node.id)
        self._changed(ChangeKind.RELEASE_CHANGED)
        added = await to_its_end(self._postray.change_release, node, release)
        if await self._bring_up():
            await self._until_works(added)
        return list(node.processes)

    async def _bring_up(self) -> bool:
        """Start ``postray up`` anew, beside the others; returns whether it started."""
        until = time.monotonic() + COMMAND_S
        while True:
            try:
                await to_its_end(self._postray.start_command_anew)
                return True
            except PostrayDidNotStart as error:
                if time.monotonic() > until:
                    self.problems.append(f"postray up beside the others: {str(error)[-500:]}")
                    return False
                log.warning("postray up is tried again: %s", str(error)[-500:])
                await asyncio.sleep(AGAIN_S)

    async def _until_works(self, node: RayNode) -> None:
        """Wait until a node takes requests and delivers, with its release and no other."""
        expected = [VERSION if node.release else version("postray")]
        until = time.monotonic() + ONE_COMMAND_S
        found: dict[str, Any] = {}
        while time.monotonic() < until:
            with contextlib.suppress(subprocess.TimeoutExpired):
                said = await to_its_end(self._run, "nodes", "--json")
                nodes = json.loads(said.stdout)["nodes"] if said.returncode == 0 else []
                found = next((one for one in nodes if one["id"] == node.id), {})
            kinds = {kind_of(actor["name"]) for actor in found.get("actors", ())}
            if found.get("state") == "working" and found["releases"] == expected and kinds >= {"api", "delivery"}:
                return
            await asyncio.sleep(AGAIN_S)
        self.problems.append(f"a node does not work with release {expected}: {found}")

    async def kill_head(self) -> list[int]:
        processes = await asyncio.to_thread(self._postray.processes)
        pids = await self._killing(ChangeKind.HEAD_KILLED, self._postray.ray.kill_head)
        _, alive = await asyncio.to_thread(psutil.wait_procs, processes, HEADLESS_S)
        self.problems += [f"process {one.pid} lived {HEADLESS_S:.0f} s after the head's death" for one in alive]
        await to_its_end(self._postray.kill)
        self.changes[-1].ended_at = time.time()
        await self._start_again()
        self._changed(ChangeKind.STARTED)
        return pids

    def _picked(self, pick: float) -> RayNode:
        nodes = self._postray.ray.nodes
        return nodes[int(pick * len(nodes))]

    def _changed(self, kind: ChangeKind) -> None:
        self.changes.append(Change(kind=kind, at=time.time(), ended_at=time.time()))

    async def _killing(self, kind: ChangeKind, kill: Callable[[], list[int]]) -> list[int]:
        self._changed(kind)
        pids = await to_its_end(kill)
        self.changes[-1].ended_at = time.time()
        return pids

    async def _add(self) -> None:
        await to_its_end(self._postray.ray.add)
        self._changed(ChangeKind.JOINED)

    def _run(self, *arguments: str) -> subprocess.CompletedProcess[str]:
        return self._postray.command(*arguments, max_wait_s=ONE_COMMAND_S)

    async def _command(self, *arguments: str) -> None:
        until = time.monotonic() + COMMAND_S
        while True:
            try:
                said = await to_its_end(self._run, *arguments)
            except subprocess.TimeoutExpired as error:
                self.problems.append(f"postray {' '.join(arguments)}: no end after {error.timeout:.0f} s")
                return
            if said.returncode == 0:
                return
            if time.monotonic() > until:
                self.problems.append(f"postray {' '.join(arguments)}: {said.stderr[-500:]}")
                return
            log.warning("postray %s is tried again: %s", " ".join(arguments), said.stderr[-500:])
            await asyncio.sleep(AGAIN_S)
