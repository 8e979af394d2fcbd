"""The storm: performs a schedule of faults on a running postray, its Postgres and the sink, and undoes all of them.

It owns no process: it signals the given ones only. Everything it freezes is continued, however it ends.
"""

import asyncio
import contextlib
import os
import signal
import time
from collections.abc import Awaitable, Callable, Collection, Iterator, Sequence

import psutil

from benchmarks.blocking import to_its_end
from benchmarks.chaos.days import Days
from benchmarks.chaos.faults import OF_NODES, ChaosFault, FaultKind, FaultLane, after_delay, lane_of
from benchmarks.chaos.nodes import NodeFaults
from benchmarks.chaos.records import Done, Span
from benchmarks.chaos.recovery import through_recovery
from benchmarks.cluster_postray import ClusterPostray
from benchmarks.hook import HookBehavior, HookManner
from benchmarks.hook_process import HookProcess
from benchmarks.postray import PostrayDidNotStart, PostrayProcess
from benchmarks.sink import Manner, SinkBehavior
from benchmarks.sink_process import SinkProcess
from cluster.installation.embedded import EmbeddedPostgres

ACTORS = {
    FaultKind.KILL_API: "api",
    FaultKind.KILL_DELIVERY: "delivery",
    FaultKind.KILL_SCHEDULER: "scheduler",
    FaultKind.KILL_RECORDER: "recorder",
    FaultKind.KILL_SUPERVISOR: "supervisor",
    FaultKind.KILL_WEBHOOKS: "webhooks",
    FaultKind.KILL_MAIL_IN: "mail_in",
    FaultKind.FREEZE_CLICKHOUSE: "recorder",
    FaultKind.FREEZE_DELIVERY: "delivery",
    FaultKind.KILL_CLEARING: "scheduler",
}
MANNERS = {
    FaultKind.SINK_DROPS_BEFORE: SinkBehavior(Manner.DROP_BEFORE, 0.5),
    FaultKind.SINK_DROPS_AFTER: SinkBehavior(Manner.DROP_AFTER, 0.2),
    FaultKind.SINK_REFUSES: SinkBehavior(Manner.REFUSE, 0.6),
    FaultKind.SINK_DEFERS: SinkBehavior(Manner.DEFER, 0.6),
    FaultKind.SINK_STALLS_BEFORE: SinkBehavior(Manner.STALL_BEFORE, 0.2),
    FaultKind.SINK_STALLS_AFTER: SinkBehavior(Manner.STALL_AFTER, 0.1),
    FaultKind.SINK_SLOW: SinkBehavior(Manner.SLOW, 0.5),
}
WITHOUT_DELIVERY = (FaultLane.OUTAGES, FaultLane.SINK)
"""Lanes of faults that hold delivery up, however many actors there are."""
ALL_KILLS = (FaultKind.KILL_ALL, FaultKind.KILL_HEAD)
"""After these ``postray up`` is needed."""
API_KILLS = (FaultKind.KILL_API, FaultKind.KILL_ALL)
OUTAGES = (FaultKind.STOP_POSTGRES, FaultKind.FREEZE_POSTGRES, FaultKind.KILL_BACKEND)
"""Of the journal."""
HOOK_MANNERS = {
    FaultKind.ENDPOINT_DROPS_BEFORE: HookBehavior(HookManner.DROP_BEFORE, 0.7),
    FaultKind.ENDPOINT_DROPS_AFTER: HookBehavior(HookManner.DROP_AFTER, 0.7),
    FaultKind.ENDPOINT_FAILS: HookBehavior(HookManner.FAIL, 0.7),
    FaultKind.ENDPOINT_STALLS: HookBehavior(HookManner.STALL, 0.5),
    FaultKind.ENDPOINT_LATE: HookBehavior(HookManner.LATE, 0.7),
}
TARGET_S = 6.0
"""How long a fault waits for its process: a killed one takes a moment to restart."""
LOOK_S = 0.1
THAWED_S = 2.0
"""After this, a continued process has read and recorded what arrived meanwhile, even on a busy machine."""
CLEARING_S = 0.4
"""So long after a rewrite has begun its process is killed at the latest: most take less."""
UP_TRIES = 5
"""An operator's service manager would also start it again: a start may meet an outage of Postgres."""


class Storm:
    """Performs one schedule. ``done``: the faults performed so far; ``poison``: sends a poison message."""

    def __init__(
        self,
        postray: PostrayProcess,
        postgres: EmbeddedPostgres,
        sink: SinkProcess,
        hook: HookProcess,
        poison: Callable[[], Awaitable[None]],
        days: Days,
        later: str,
    ) -> None:
        """``later``: as of NodeFaults."""
        self._postray = postray
        self._poison = poison
        self._postgres = postgres
        self._postgres_runs = True
        self._sink = sink
        self._hook = hook
        self._days = days
        self.nodes = NodeFaults(postray, self._start_again, later) if isinstance(postray, ClusterPostray) else None
        self._whole = asyncio.Lock()
        """Held while nodes, or everything, go and come back."""
        self._frozen: set[psutil.Process] = set()
        self._outages = 0
        """That have begun, of Postgres."""
        self._began = 0.0
        self._began_at = 0.0
        self._seconds = 0.0
        self.done: list[Done] = []
        self.problems: list[str] = []

    @property
    def kills(self) -> int:
        """Faults that ended at least one process."""
        return sum(done.kind.startswith("kill") and bool(done.pids) for done in self.done)

    def spans(self, kinds: Collection[FaultKind]) -> list[Span]:
        """When faults of these kinds took place, in seconds since the epoch."""
        return [
            (self._began_at + done.at_s, self._began_at + done.ended_s)
            for done in self.done
            if done.kind in kinds and done.pids
        ]

    @property
    def lasted(self) -> Span:
        """From when to when it lasted, without what came late, in seconds since the epoch."""
        return self._began_at, self._began_at + self._seconds

    def without_delivery(self) -> list[Span]:
        """When no actor could deliver anything, in seconds since the epoch."""
        return [
            (self._began_at + done.at_s, self._began_at + done.ended_s)
            for done in self.done
            if done.kind in ALL_KILLS or lane_of(done.kind) in WITHOUT_DELIVERY
        ]

    def frozen(self) -> set[int]:
        """The currently frozen processes."""
        return {process.pid for process in tuple(self._frozen)}

    async def run(self, faults: Sequence[ChaosFault], seconds: float) -> None:
        """Perform the faults on time, or late when the previous one of the lane took longer. After so many seconds none
        begins any more: on a busy machine lanes fall far behind."""
        self._began = asyncio.get_running_loop().time()
        self._began_at = time.time()
        self._seconds = seconds
        lanes = [[fault for fault in faults if fault.lane is lane] for lane in FaultLane]
        async with asyncio.TaskGroup() as group:
            for lane in lanes:
                group.create_task(self._run_lane(lane, seconds))

    async def heal(self) -> None:
        """Undo lasting faults: continue processes, start Postgres, make sink and endpoint honest."""
        self._thaw(list(self._frozen))
        self._sink.order(SinkBehavior(Manner.HONEST))
        self._hook.order(HookBehavior(HookManner.HONEST))
        await self._start_postgres()

    async def _run_lane(self, faults: Sequence[ChaosFault], seconds: float) -> None:
        while faults := after_delay(faults, self._now()):
            fault, *faults = faults
            await asyncio.sleep(max(0.0, fault.at_s - self._now()))
            if (at_s := self._now()) > seconds:
                return
            pids = await self._perform(fault)
            self.done.append(Done(kind=fault.kind, at_s=round(at_s, 2), ended_s=round(self._now(), 2), pids=pids))

    def _now(self) -> float:
        return asyncio.get_running_loop().time() - self._began

    async def _perform(self, fault: ChaosFault) -> list[int]:
        """Returns the pids of the affected processes."""
        self._outages += fault.kind in OUTAGES
        match fault.kind:
            case FaultKind.KILL_ALL:
                async with self._whole:
                    return await self._kill_all()
            case kind if kind in OF_NODES:
                async with self._whole:
                    return await self._change_nodes(fault)
            case FaultKind.KILL_BACKEND:
                victims = self._backend(fault.pick)
                return await to_its_end(through_recovery, self._postgres.dsn, lambda: _signal(victims, signal.SIGKILL))
            case FaultKind.STOP_POSTGRES:
                return await self._stop_postgres(fault.duration_s)
            case FaultKind.FREEZE_POSTGRES:
                return await self._freeze(self._postgres_processes(), fault.duration_s)
            case FaultKind.FREEZE_CLICKHOUSE | FaultKind.FREEZE_DELIVERY:
                return await self._freeze(await self._actor(fault), fault.duration_s)
            case FaultKind.POISON:
                await self._poison()
                return []
            case FaultKind.PASS_DAYS:
                await self._days.pass_some(fault.duration_s)
                return []
            case FaultKind.KILL_CLEARING:
                if not await self._days.begun(fault.duration_s):
                    return []
                await asyncio.sleep(fault.pick * CLEARING_S)
                return _signal(await self._actor(fault), signal.SIGKILL)
            case kind if kind in MANNERS:
                self._sink.order(MANNERS[kind])
                await asyncio.sleep(fault.duration_s)
                self._sink.order(SinkBehavior(Manner.HONEST))
                return []
            case kind if kind in HOOK_MANNERS:
                self._hook.order(HOOK_MANNERS[kind])
                await asyncio.sleep(fault.duration_s)
                self._hook.order(HookBehavior(HookManner.HONEST))
                return []
            case _:
                return _signal(await self._actor(fault), signal.SIGKILL)

    # Processes

    async def _actor(self, fault: ChaosFault) -> list[psutil.Process]:
        """The process of an actor of the fault's kind; never a frozen one, which may hold replies it has not read."""
        for _ in range(round(TARGET_S / LOOK_S)):
            names = await asyncio.to_thread(self._postray.names, ACTORS[fault.kind])
            if names:
                pid = await asyncio.to_thread(self._postray.pid_of, names[int(fault.pick * len(names))])
                if pid is not None and pid not in self.frozen():
                    with contextlib.suppress(psutil.NoSuchProcess):
                        return [psutil.Process(pid)]
            await asyncio.sleep(LOOK_S)
        return []

    def _backend(self, pick: float) -> list[psutil.Process]:
        """One process that serves a client."""
        backends = [process for process in self._postgres_processes() if _serves(process)]
        return [backends[int(pick * len(backends))]] if backends else []

    def _postgres_processes(self) -> list[psutil.Process]:
        """The postmaster, followed by its children."""
        if not self._postgres_runs:
            return []
        try:
            postmaster = psutil.Process(self._postgres.pid)
            return [postmaster, *postmaster.children()]
        except psutil.NoSuchProcess:
            return []

    async def _freeze(self, processes: list[psutil.Process], seconds: float) -> list[int]:
        self._frozen.update(processes)
        try:
            pids = _signal(processes, signal.SIGSTOP)
            await asyncio.sleep(seconds if pids else 0)
            return pids
        finally:
            self._thaw(processes)

    def _thaw(self, processes: Sequence[psutil.Process]) -> None:
        _signal(processes, signal.SIGCONT)
        self._frozen.difference_update(processes)

    # Restarts

    async def _stop_postgres(self, seconds: float) -> list[int]:
        pid = self._postgres.pid
        self._postgres_runs = False
        await to_its_end(self._postgres.stop)
        await asyncio.sleep(seconds)
        await self._start_postgres()
        return [pid]

    async def _start_postgres(self) -> None:
        if not self._postgres_runs:
            await to_its_end(self._postgres.start)
            self._postgres_runs = True

    async def _kill_all(self) -> list[int]:
        # A frozen process may have read replies that it has not recorded, for as long as it is frozen.
        if self._frozen:
            self._thaw(list(self._frozen))
            await asyncio.sleep(THAWED_S)
        pids = await to_its_end(self._postray.kill)
        await self._start_again()
        return pids

    async def _change_nodes(self, fault: ChaosFault) -> list[int]:
        assert self.nodes is not None, "a storm over one machine has no faults of nodes"
        match fault.kind:
            case FaultKind.KILL_NODE:
                return await self.nodes.kill_node(fault.pick, fault.duration_s)
            case FaultKind.DRAIN_NODE:
                return await self.nodes.drain(fault.pick, fault.duration_s)
            case FaultKind.LEAVE_NODE:
                return await self.nodes.leave(fault.pick, fault.duration_s)
            case FaultKind.CHANGE_RELEASE:
                return await self.nodes.change_release(fault.pick)
            case FaultKind.ADD_NODE:
                return await self.nodes.add(fault.pick, fault.duration_s)
            case FaultKind.HEAD_AWAY:
                return await self.nodes.head_away(fault.duration_s)
            case _:
                return await self.nodes.kill_head()

    async def _start_again(self) -> None:
        """``postray up`` after everything has ended."""
        said = ""
        for _ in range(UP_TRIES):
            outages, was_there = self._outages, self._postgres_runs
            try:
                await to_its_end(self._postray.start)
                return
            except PostrayDidNotStart as error:
                said = f"postray up after it was killed: {str(error)[-500:]}"
                if was_there and self._outages == outages:
                    self.problems.append(said)
        self.problems.append(f"it was not started again: {said}")


def _serves(process: psutil.Process) -> bool:
    with contextlib.suppress(psutil.NoSuchProcess):
        return "[local]" in " ".join(process.cmdline())
    return False


def _signal(processes: Sequence[psutil.Process], number: signal.Signals) -> list[int]:
    """Signal the processes that still exist; returns their pids."""
    return list(_signalled(processes, number))


def _signalled(processes: Sequence[psutil.Process], number: signal.Signals) -> Iterator[int]:
    for process in processes:
        with contextlib.suppress(psutil.NoSuchProcess, ProcessLookupError):
            if process.is_running():
                os.kill(process.pid, number)
                yield process.pid
