"""What a process tells of itself."""

import asyncio
import os

import psutil

from cluster.metrics import read
from cluster.monitoring.process import LOOK_S, ProcessMetrics


def told(process: ProcessMetrics) -> dict[str, float]:
    return {one.name: one.values[""] for one in read(process) if one.kind != "histogram"}


def test_it_tells_memory_processor_time_files_and_its_start() -> None:
    found, own = told(ProcessMetrics(lambda: 0.0)), psutil.Process(os.getpid())
    assert 0.5 < found["postray_process_resident_memory_bytes"] / own.memory_info().rss < 2
    assert 0 < found["postray_process_cpu_seconds_total"] < 3600 * 10
    assert 0 < found["postray_process_open_fds"] <= found["postray_process_max_fds"]
    assert found["postray_process_start_time_seconds"] == own.create_time()


def test_the_worst_of_the_last_minute_is_kept_for_a_minute_or_two() -> None:
    at = 0.0
    process = ProcessMetrics(lambda: at)
    worst = []
    for second, late_s in ((1, 0.2), (2, 3.0), (30, 0.1), (61, 0.0), (90, 0.5), (122, 0.0), (183, 0.0)):
        at = second
        process.note(late_s)
        worst.append(told(process)["postray_process_loop_lag_worst_seconds"])
    assert worst == [0.2, 3.0, 3.0, 3.0, 3.0, 0.5, 0.0]


async def test_a_loop_that_stands_still_is_late() -> None:
    at = asyncio.get_running_loop().time
    skipped = 0.0
    process = ProcessMetrics(lambda: at() + skipped)
    looking = asyncio.create_task(process.run())
    await asyncio.sleep(0.01)
    skipped = 7.0
    while not process.lag.counts[-2]:
        await asyncio.sleep(LOOK_S / 10)
    looking.cancel()
    assert 6.5 < told(process)["postray_process_loop_lag_worst_seconds"] < 9
