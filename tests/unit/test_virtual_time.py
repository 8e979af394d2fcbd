"""The tests' own event loop."""

import asyncio

import pytest

from tests.unit.virtual_time import VirtualLoop


@pytest.mark.parametrize("year", [0, 1, 100])
def test_timers_fire_however_much_time_has_passed(year: int) -> None:
    loop = VirtualLoop()
    fired: list[float] = []

    async def wait() -> None:
        await asyncio.sleep(year * 365 * 86400.0)
        loop.call_at(loop.time(), fired.append, 1)  # due, and not before the clock's next step
        for _ in range(10):
            await asyncio.sleep(0)
        assert fired
        before = loop.time()
        await asyncio.sleep(0.1)
        assert 0.1 <= loop.time() - before < 0.2

    with asyncio.Runner(loop_factory=lambda: loop) as runner:
        runner.run(wait())
