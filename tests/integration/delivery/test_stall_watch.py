"""The stall watch, in real processes: a loop that hangs ends its process, and nothing else does."""

import os
import signal
import subprocess
import sys
import time
from pathlib import Path

import pytest

from actors.delivery.stall_watch import StallWatch

# Like an actor's: the loop is not in the main thread.
PROCESS = """
import asyncio, re, sys, threading, time
from pathlib import Path
from actors.delivery.stall_watch import StallWatch

def hang():
    re.match(r"(a+)+$", "a" * 60 + "b")  # one call that keeps the interpreter for years

async def main():
    watch = asyncio.create_task(StallWatch(Path(sys.argv[1]), cpu_s=0.3, turn_s=0.02).run())
    await asyncio.sleep(0.05)
    print("watched", flush=True)
    {work}
    print("lives", flush=True)

thread = threading.Thread(target=asyncio.run, args=[main()])
thread.start()
thread.join()
"""
STOP_WATCH = "watch.cancel(); await asyncio.gather(watch, return_exceptions=True)"
BUSY = "end = time.process_time() + 0.6\n    while time.process_time() < end: pass"


def a_process(stacks: Path, work: str) -> subprocess.Popen[str]:
    return subprocess.Popen(
        [sys.executable, "-c", PROCESS.replace("{work}", work), str(stacks)],
        stdout=subprocess.PIPE,
        stderr=subprocess.PIPE,
        text=True,
    )


@pytest.mark.parametrize("work", ["hang()", "while True: pass"])
def test_a_loop_that_hangs_ends_its_process_and_says_where(
    tmp_path: Path, caplog: pytest.LogCaptureFixture, work: str
) -> None:
    stacks = tmp_path / "stalled"
    with a_process(stacks, work) as process:
        assert process.wait(60) == -signal.SIGVTALRM
    assert "in main" in stacks.read_text(encoding="utf-8")
    StallWatch(stacks).tell_former()
    (record,) = caplog.records
    assert "the last life stalled" in record.message
    assert "in main" in record.message


@pytest.mark.parametrize(
    "work",
    [
        "for _ in range(60):\n        end = time.process_time() + 0.02\n"
        "        while time.process_time() < end: pass\n        await asyncio.sleep(0)\n",
        "time.sleep(1)",
        f"{STOP_WATCH}\n    {BUSY}",
    ],
    ids=["busy, with turns", "waiting without a turn", "no longer watched"],
)
def test_no_other_process_is_ended(tmp_path: Path, caplog: pytest.LogCaptureFixture, work: str) -> None:
    stacks = tmp_path / "stalled"
    with a_process(stacks, work) as process:
        output, errors = process.communicate(timeout=60)
    assert (process.returncode, output, errors) == (0, "watched\nlives\n", "")
    StallWatch(stacks).tell_former()
    assert not caplog.records


def test_a_process_that_was_stopped_is_not_punished(tmp_path: Path) -> None:
    with a_process(tmp_path / "stalled", "await asyncio.sleep(1)") as process:
        assert process.stdout is not None
        assert process.stdout.readline() == "watched\n"
        os.kill(process.pid, signal.SIGSTOP)
        time.sleep(0.5)  # by the clock, longer than the processor time it may use
        os.kill(process.pid, signal.SIGCONT)
        assert process.wait(60) == 0
