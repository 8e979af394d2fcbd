"""Background tasks end when they are asked to."""

import asyncio

import pytest

from cluster import tasks
from cluster.tasks import Tasks


async def test_a_cancellation_that_a_library_drops_is_repeated(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(tasks, "CANCELLED_AGAIN_S", 0.01)
    crashes: list[BaseException] = []
    owner = Tasks(on_crash=lambda _, error: crashes.append(error))
    drops = 3

    async def work() -> None:
        nonlocal drops
        while True:
            try:
                await asyncio.Event().wait()
            except asyncio.CancelledError:
                drops -= 1
                if not drops:
                    raise

    owner.spawn("work", work())
    await asyncio.sleep(0)
    async with asyncio.timeout(30):
        await owner.stop()
    assert (drops, crashes) == (0, [])
