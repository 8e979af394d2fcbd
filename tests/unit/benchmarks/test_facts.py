"""What the chaos scenario waits for after a storm."""

import pytest

from benchmarks.chaos import facts


async def test_actors_that_do_not_work_again_are_problems() -> None:
    problems = await facts.wait_for_actors(lambda: ["supervisor", "api-0-0"], 0.0)
    assert problems == [f"{name} did not work again 0 s after the storm" for name in ("supervisor", "api-0-0")]


async def test_actors_that_work_again_in_time_are_none(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(facts, "LOOK_S", 0.0)
    looks = iter((["supervisor", "api-0-0"], ["supervisor"], []))
    assert await facts.wait_for_actors(lambda: next(looks), 60.0) == []
