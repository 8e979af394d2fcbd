"""The passing of days: again and again the operator's ``postray storage prune`` lets the next past days go.

The scheduler does the work, with the code by which days go at their end. It is killed in the middle of it by faults of
their own, besides all others.
"""

import asyncio
import contextlib
import time
from collections.abc import Sequence
from datetime import date, datetime, timedelta
from pathlib import Path
from uuid import uuid4

import psycopg

from benchmarks.chaos.past import ENDED
from benchmarks.client import Client, NotSent, Unanswered
from cluster.journal.rewriting import REWRITE_LOCK

LOOK_S = 0.2
CONNECT_S = 2
BUSY_S = 0.01
"""Time between two looks whether a rewrite has begun."""
REWRITTEN = "partitions rewritten"
UNDER_WAY = ("running", "failed")
"""Failed: mostly since an earlier one is under way."""

_BUSY = "SELECT 1 FROM pg_locks WHERE locktype = 'advisory' AND objid = %s AND granted"
_ENDED = "SELECT count(*) FROM requests WHERE categories = ARRAY[%s]"


class Days:
    """``steps``: how often days pass in a run. ``past``: the past days, from the first on."""

    def __init__(self, operator: Client, dsn: str, past: Sequence[date], steps: int) -> None:
        self._operator = operator
        self._dsn = dsn
        self._past = past
        self._steps = steps
        self._step = 0

    def next_before(self) -> date:
        """The first day that stays after the next step."""
        self._step = min(self._step + 1, self._steps)
        gone = max(1, len(self._past) * self._step // max(1, self._steps))
        return self._past[gone - 1] + timedelta(days=1)

    async def pass_some(self, seconds: float) -> None:
        """Let the next days go; returns when they have gone, or after so long: then the scheduler goes on."""
        await self._prune(self.next_before(), seconds)

    async def finish(self, max_wait_s: float) -> list[str]:
        """Let all past days go; returns the problem if that took longer than ``max_wait_s``."""
        last = self._past[-1] + timedelta(days=1)
        return [] if await self._prune(last, max_wait_s) else [f"past days had not gone after {max_wait_s:g} s"]

    async def begun(self, seconds: float) -> bool:
        """Ask for the next step, and return as soon as partitions are being rewritten; returns whether they are."""
        before, name = self.next_before(), _name()
        with contextlib.suppress(TimeoutError):
            async with asyncio.timeout(seconds):
                while await self._state(name, before) not in UNDER_WAY:
                    await asyncio.sleep(LOOK_S)
                return await asyncio.to_thread(self._until_busy, round(seconds / BUSY_S))
        return False

    async def _prune(self, before: date, seconds: float) -> bool:
        """Returns whether it was done in time. A scheduler that was killed meanwhile begins anew."""
        name = _name()
        with contextlib.suppress(TimeoutError):
            async with asyncio.timeout(seconds):
                while (state := await self._state(name, before)) != "done":
                    if state == "failed":  # Postgres was away, or another one is under way
                        name = _name()
                    await asyncio.sleep(LOOK_S)
                return True
        return False

    async def _state(self, name: str, before: date) -> str:
        try:
            answer = await self._operator.post("/api/admin/storage/prune", {"name": name, "before": f"{before}"})
        except (NotSent, Unanswered):
            return "unknown"
        return str(answer.json()["state"]) if answer.status == 200 else "unknown"

    def _until_busy(self, looks: int) -> bool:
        with (
            contextlib.suppress(psycopg.OperationalError),
            psycopg.connect(self._dsn, autocommit=True, connect_timeout=CONNECT_S) as connection,
        ):
            for _ in range(looks):
                if connection.execute(_BUSY, [REWRITE_LOCK]).fetchone() is not None:
                    return True
                time.sleep(BUSY_S)
        return False


def _name() -> str:
    return f"prune-{uuid4().hex[:12]}"


def rewritten_at(data_dir: Path) -> list[float]:
    """When partitions were rewritten in a run, by the scheduler's log; in seconds since the epoch."""
    log = (data_dir / "logs" / "scheduler.log").read_text(encoding="utf-8", errors="replace")
    return [datetime.fromisoformat(line.split()[0]).timestamp() for line in log.splitlines() if REWRITTEN in line]


def left_of_past(dsn: str) -> int:
    """Messages that ended on past days and are still there."""
    with psycopg.connect(dsn, autocommit=True) as connection:
        row = connection.execute(_ENDED, [ENDED]).fetchone()
    assert row is not None
    return int(row[0])
