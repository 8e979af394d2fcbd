"""What the chaos scenario waits for after a storm."""

from pathlib import Path

import pytest

from benchmarks.chaos import facts


async def test_actors_that_do_not_work_again_are_problems() -> None:
    problems = await facts.wait_for_actors(lambda: ["supervisor", "api-0-0"], 0.0)
    assert problems == [f"{name} did not work again 0 s after the storm" for name in ("supervisor", "api-0-0")]


async def test_actors_that_work_again_in_time_are_none(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(facts, "LOOK_S", 0.0)
    looks = iter((["supervisor", "api-0-0"], ["supervisor"], []))
    assert await facts.wait_for_actors(lambda: next(looks), 60.0) == []


def test_a_process_that_ended_by_a_defect_is_a_problem(tmp_path: Path) -> None:
    (tmp_path / "logs").mkdir()
    at, crash = "2026-11-30T00:30:15.058Z", "CRITICAL scheduler cluster.tasks task crashed, ending the process task="
    (tmp_path / "logs" / "api-0-0.log").write_text(f"{at} INFO api-0-0 running pid=1\n")
    (tmp_path / "logs" / "scheduler.log").write_text(
        f"{at} {crash}node | NodeEnded: 7\n{at} {crash}pruning | Traceback | ValueError: no\n"
    )
    assert facts.crashed(tmp_path) == [f"scheduler crashed at {at}: pruning | Traceback | ValueError: no"]
